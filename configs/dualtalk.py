"""The causal ReactFace on DualTalk, by ear: FLAME's parameters and sound, without pictures.

Command:   reactface train --config dualtalk --workdir runs/dualtalk --data.dir SHARDS \
               --train.pretrained-audio CONVERTED_WAV2VEC2
Data:      `reactface prepare dualtalk --keep flame`: the 58 columns are FLAME's, not ARKit's,
           so nothing here draws them.
Hardware:  one accelerator; 2, 4 or 8 devices share the batch of 8.
Time:      not measured. Estimated: less than configs/reference.py a step, since there are no pictures.
Expected:  not measured; nobody has trained on it in this code base, and the reader was tried on made trees only.
"""

from reactface_jax.config import Config, DataConfig, EvalConfig, ModelConfig

config = Config(
    model=ModelConfig(causal=True, use_video=False, use_vim=False),
    data=DataConfig(image_size=0, max_neighbours=1),
    eval=EvalConfig(protocol="stream"),
)
