"""What methods hear: numbers of each 40 ms video frame of sound, inside `jax.jit`, the same in a stream as in a clip.

`Batch.audio` has zero mean and unit variance over its whole file, so a file's loudness is gone and loudness within it
stays. What needs samples in [-1, 1] takes such sound times `SPEECH_LEVEL`.
"""

SPEECH_LEVEL = 10 ** (-26 / 20)
"""Root mean square of speech at -26 dB of full scale, the level at which speech codecs are tested (ITU-T P.56)."""
