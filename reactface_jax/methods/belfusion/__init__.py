"""BeLFusion (Barquero et al., ICCV 2023) as the REACT challenges adapted it for their baseline.

A VAE compresses windows of a listener; a diffusion model draws its latents from the speaker's.
"""
