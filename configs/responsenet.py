"""The causal ReactFace on ResponseNet: 696 pairs, 14 hours, a sound channel a person.

Command:   reactface train --config responsenet --workdir runs/responsenet --data.dir SHARDS \
               --train.pretrained-audio CONVERTED_WAV2VEC2
Data:      `reactface prepare responsenet`: 1,680 pieces of 30 s at most, about 38 GB of shards (both are estimates).
Hardware:  one accelerator; 2, 4 or 8 devices share the batch of 8.
Time:      not measured. Estimated: 420 steps an epoch, 157 epochs.
Expected:  not measured; nobody has trained on it in this code base, and the reader was tried on made trees only.
"""

from reactface_jax.config import Config, DataConfig, EvalConfig, ModelConfig

config = Config(model=ModelConfig(causal=True), data=DataConfig(max_neighbours=1), eval=EvalConfig(protocol="stream"))
