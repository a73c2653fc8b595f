"""Ng et al., "Learning to Listen: Modeling Non-Deterministic Dyadic Facial Motion", CVPR 2022.

A VQ-VAE turns 32 frames of a listener into 4 codes; a transformer predicts the next code from the past four and from
the speaker's face and voice.
"""
