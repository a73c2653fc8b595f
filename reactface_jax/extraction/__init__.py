"""The 58 coefficients of the people in a video, measured with MediaPipe."""
