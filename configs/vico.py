"""The causal ReactFace on ViCo: 483 clips, each listener's own reaction the only appropriate one.

Command:   reactface train --config vico --workdir runs/vico --data.dir SHARDS \
               --train.pretrained-audio CONVERTED_WAV2VEC2
Data:      `reactface prepare vico --min-seconds 5.12`: clips are shorter than REACT2023's, and
           crops of 128 frames fit them.
Hardware:  one accelerator; 2, 4 or 8 devices share the batch of 8.
Time:      not measured. Estimated: 120 steps an epoch (966 clips of both directions), about 160 epochs.
Expected:  not measured; nobody has trained on it in this code base, and the reader was tried on made trees only.
"""

from reactface_jax.config import Config, DataConfig, EvalConfig, ModelConfig, TrainConfig

config = Config(
    model=ModelConfig(causal=True),
    data=DataConfig(clip_frames=128, max_neighbours=1),
    train=TrainConfig(steps=20_000),
    eval=EvalConfig(protocol="stream"),
)
