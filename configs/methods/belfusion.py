"""BeLFusion, as the REACT challenges adapted it: a VAE over windows of 50 frames, then a diffusion of its latents.

Command:   reactface train --config methods/belfusion --workdir runs/belfusion --data.dir SHARDS
Data:      REACT2023, 256-frame crops; the speaker's coefficients only.
Hardware:  one GPU; 2 CPU cores for a toy (tests/unit/test_belfusion_row.py).
Time:      1000 epochs of the VAE (83,000 steps), then 100 of the denoiser (8,300). Not measured: nobody has run it to
           the end in this code base.
Expected:  not measured. The challenges' figures are of their 25 attributes, which this data does not hold.

--belfusion.online answers each window from the speaker's window before it.
"""

from reactface_jax.config import Config, TrainConfig

config = Config(method="belfusion", train=TrainConfig(steps=91_300, batch_size=32))
