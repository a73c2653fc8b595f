"""ReactFace that keeps the promise of "online": every encoder sees only the past, and streams in constant time.

Command:   reactface train --config react2023 --workdir runs/react2023 --data.dir SHARDS \
               --train.pretrained-audio CONVERTED_WAV2VEC2
Data, hardware: as configs/reference.py.
Time:      not measured.
Expected:  not measured. Everything but `causal` is the authors' code; docs/streaming.md says what that changes.
"""

from reactface_jax.config import Config, EvalConfig, ModelConfig

config = Config(model=ModelConfig(causal=True), eval=EvalConfig(protocol="stream"))
