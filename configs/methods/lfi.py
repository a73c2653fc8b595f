"""LFI, "Let's Face It" (Jonell et al., IVA 2020): a normalising flow that draws the listener frame by frame.

Command:   reactface train --config methods/lfi --workdir runs/lfi --data.dir SHARDS
Hardware:  one accelerator; windows of 80 frames, 256 of them at a time, without pictures.
Time:      not yet measured.
Expected:  not yet measured. The paper's Table II has the row; its authors trained on other data.

The release's schedule: 30 epochs of all windows of 80 frames. A clip of 750 frames has 671, the 2634 rows of
REACT2023's train.csv (UDIVA's too) 6904 batches; an epoch is that many steps, whatever clips there are. The loader cuts
the windows, one of each clip in turn, wherever they begin.
"""

from reactface_jax.config import Config, DataConfig, TrainConfig
from reactface_jax.config.lfi import LfiConfig

config = Config(
    method="lfi",
    data=DataConfig(image_size=0, clip_frames=80),
    lfi=LfiConfig(),
    train=TrainConfig(steps=207_120, batch_size=256, eval_every=6904, checkpoint_every=6904, log_every=100),
)
