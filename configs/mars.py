"""The causal ReactFace on MARS, the data of the REACT challenges of 2025 and 2026.

Command:   reactface train --config mars --workdir runs/mars --data.dir SHARDS \
               --train.pretrained-audio CONVERTED_WAV2VEC2
Data:      `reactface prepare mars`: its own 58 coefficients, all listeners of a session as appropriate reactions.
Hardware:  one accelerator; 2, 4 or 8 devices share the batch of 8.
Time:      not measured. Estimated: as configs/reference.py a step, since sizes and batch are the same.
Expected:  not measured; nobody has trained on it in this code base, and the reader was tried on made trees only.
"""

from reactface_jax.config import Config, EvalConfig, ModelConfig

config = Config(model=ModelConfig(causal=True), eval=EvalConfig(protocol="stream"))
