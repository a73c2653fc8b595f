"""ReactFace as its authors' public code trains it.

Command:   reactface train --config reference --workdir runs/reference --data.dir SHARDS \
               --train.pretrained-audio CONVERTED_WAV2VEC2
Data:      REACT2023, crops of 256 frames. Without UDIVA its train.csv has 1,593 rows, in both roles 3,186 clips.
Hardware:  the authors used one A100; the batch of 8 can be sharded over 1, 2, 4 or 8 devices.
Time:      65,800 steps: 200 times all 2,634 rows of train.csv, or 165 epochs of the 3,186 clips. Not measured here:
           nobody has run it to the end in this code base.
Expected:  the metrics of the paper's tables were computed with the authors' code, weights and data. What is tested here
           is that the model, the losses and their gradients are the same numbers, not that training ends in the same
           table.
"""

from reactface_jax.config import Config

config = Config()  # the defaults are the authors' code
