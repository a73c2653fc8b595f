"""Trans-AE, a row of the paper's Table II: ReactFace's speaker encoder with a deterministic transformer decoder.

Command:   reactface train --config methods/trans_ae --workdir runs/trans_ae --data.dir SHARDS \
               --train.pretrained-audio CONVERTED_WAV2VEC2
Data:      REACT2023, 256-frame crops.
Hardware:  as ReactFace (configs/reference.py), whose speaker encoder is most of it.
Time:      65,800 steps as ReactFace. Not measured here: nobody has run it to the end in this code base.
Expected:  Table II has FRDvs .0063, FRVar .0003, FRDiv 0, FRCorr .245, FRSyn 45.01: it comes to the mean face.
"""

from reactface_jax.config import Config

config = Config(method="trans-ae")
