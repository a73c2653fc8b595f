"""Ng et al., "Learning to Listen" (CVPR 2022): a VQ-VAE over the listener, then a predictor of its codes, in one run.

Command:   reactface train --config methods/ng --workdir runs/ng --data.dir SHARDS
Data:      REACT2023, 64-frame crops; neither pictures nor pre-trained weights.
Hardware:  one GPU; 2 CPU cores for a toy (tests/unit/test_ng_row.py).
Time:      100,000 steps of the VQ-VAE, to the peak of its learning rate, then 100,000 of the predictor. Not measured:
           nobody has run it to the end in this code base.
Expected:  Table II has FRDvs .0015, FRVar .0102, FRDiv .0003, FRCorr .059, FRSyn 45.70.

The release does not say how long it trains; both learning rates rise over the first 100,000 steps.
"""

from reactface_jax.config import Config, DataConfig, TrainConfig

config = Config(
    method="ng",
    data=DataConfig(clip_frames=64),
    train=TrainConfig(steps=200_000, batch_size=32),
)
