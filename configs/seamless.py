"""The causal ReactFace on Meta's Seamless Interaction: the public data without a waiting list.

Command:   reactface train --config seamless --workdir runs/seamless --data.dir SHARDS \
               --train.pretrained-audio CONVERTED_WAV2VEC2
Data:      `reactface prepare seamless`, such as 100 hours: 12,000 pieces of 30 s, so 24,000 clips of both
           directions; an hour takes about 2.7 GB of shards (an estimate: 2 x 90,000 frames of 15 kB).
Hardware:  one accelerator; 2, 4 or 8 devices share the batch of 8.
Time:      not measured. Estimated: 3,000 steps an epoch of 100 hours, 50 epochs.
Expected:  not measured; nobody has trained on it in this code base, and the reader was tried on made trees only.
"""

from reactface_jax.config import Config, DataConfig, EvalConfig, ModelConfig, TrainConfig

config = Config(
    model=ModelConfig(causal=True),
    data=DataConfig(max_neighbours=10),  # what `prepare seamless --mean-degree 10` makes on average
    train=TrainConfig(steps=150_000),
    eval=EvalConfig(protocol="stream"),
)
