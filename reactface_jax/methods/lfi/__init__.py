"""LFI, "Let's Face It" (Jonell et al., IVA 2020): an autoregressive conditional normalising flow, frame by frame."""
