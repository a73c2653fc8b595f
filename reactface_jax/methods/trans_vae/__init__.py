"""Trans-VAE, the REACT challenges' own baseline: a transformer VAE from the speaker's video and voice.

Either at once for a clip (offline), or a window at a time, with the reactions so far (online).
"""
