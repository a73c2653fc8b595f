"""The causal ReactFace on RealTalk: 692 videos of two people, one sound for both.

Command:   reactface train --config realtalk --workdir runs/realtalk --data.dir SHARDS \
               --train.pretrained-audio CONVERTED_WAV2VEC2
Data:      `reactface prepare realtalk`; an hour takes about 2.7 GB of shards (an estimate: 2 x 90,000 frames of 15 kB).
           The speaker's sound has the listener's voice in it, since there is one for both.
Hardware:  one accelerator; 2, 4 or 8 devices share the batch of 8.
Time:      not measured. Estimated: a step as in configs/reference.py; the number of pieces is printed by `prepare`.
Expected:  not measured; nobody has trained on it in this code base, and the reader was tried on made trees only.
"""

from reactface_jax.config import Config, DataConfig, EvalConfig, ModelConfig

config = Config(model=ModelConfig(causal=True), data=DataConfig(max_neighbours=1), eval=EvalConfig(protocol="stream"))
