"""Trans-VAE, the REACT challenges' baseline: a transformer VAE of the speaker's video and voice.

Command:   reactface train --config methods/trans_vae --workdir runs/trans_vae --data.dir SHARDS
Data:      REACT2023, 256-frame crops of 224x224 pixels.
Hardware:  one GPU; 2 CPU cores for a toy (tests/unit/test_trans_vae_row.py).
Time:      50 epochs at batch 4, 32,900 steps. Not measured: nobody has run it to the end in this code base.
Expected:  not measured.

--trans-vae.online answers a window at a time; it encodes the speaker from the beginning in each, as the original does,
so a step takes as many times longer as a clip has windows.
"""

from reactface_jax.config import Config, TrainConfig

config = Config(method="trans-vae", train=TrainConfig(steps=32_900, batch_size=4))
