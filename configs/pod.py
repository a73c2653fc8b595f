"""The authors' code on a slice of accelerators: bfloat16, with chunks and recomputation for chips of little memory.

Command:   reactface train --config pod --workdir runs/pod --data.dir SHARDS \
               --train.pretrained-audio CONVERTED_WAV2VEC2
Data:      REACT2023, as configs/reference.py.
Hardware:  8 chips, a clip each: v5e-8 or larger, 8 GPUs; more chips with --train.batch-size, launch/ has the scripts.
Time:      not measured.
Expected:  not measured. Numbers differ from configs/reference.py by bfloat16's rounding. With a clip a chip, and memory
           to spare, `--model.video-chunk 0 --model.remat none` saves a third of the cycles by the TPU compiler's plan.
"""

from reactface_jax.config import Config, ModelConfig

config = Config(model=ModelConfig(dtype="bfloat16", video_chunk=64, remat="layers"))
