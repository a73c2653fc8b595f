"""Zhou et al., "Responsive Listening Head Generation" (RLHG, ECCV 2022): an LSTM from the speaker to the listener.

Command:   reactface train --config methods/zhou --workdir runs/zhou --data.dir SHARDS
Hardware:  any; without pictures, a window of 90 frames of each of 16 clips.
Time:      not yet measured.
Expected:  not yet measured. The paper's Table II has the row: one reaction, repeated, so FRDiv is 0.

The release's schedule of 500 epochs, where an epoch is as many windows as REACT2023's train.csv has rows, 2634 with
UDIVA: all windows at a distance of one frame, as the release takes them of its smaller data, would be 119 thousand
batches each.
Whole clips are read, so that windows at their end are shorter, down to 30 frames, as in the release.
"""

from reactface_jax.config import Config, DataConfig, TrainConfig
from reactface_jax.config.zhou import ZhouConfig

config = Config(
    method="zhou",
    data=DataConfig(image_size=0, clip_frames=750),
    zhou=ZhouConfig(),
    train=TrainConfig(steps=82_500, batch_size=16, eval_every=1650, checkpoint_every=1650, log_every=55),
)
