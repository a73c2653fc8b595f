"""Zhou et al.'s responsive listening head (RLHG, ECCV 2022): an LSTM from the speaker to the listener's next frame."""
