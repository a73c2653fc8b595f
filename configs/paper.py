"""ReactFace as the paper's text describes it, where that differs from the authors' code (docs/model.md lists both).

Command:   reactface train --config paper --workdir runs/paper --data.dir SHARDS \
               --train.pretrained-audio CONVERTED_WAV2VEC2
Data, hardware: as configs/reference.py.
Time:      not measured.
Expected:  not measured. The authors' released weights do not fit this architecture (its CIE is one layer deeper).

Two points of the text have no field and stay as in the code: the CIE's mean and variance tokens attend to each other
too, and F-Enc ends in decoder layers instead of a transformer encoder.
"""

from reactface_jax.config import Config, ModelConfig

config = Config(
    model=ModelConfig(
        momentum=0.999,
        interaction_layers=3,
        sync_order="face_first",
        alignment="strict",  # a listener frame sees the speech up to its own time
    )
)
