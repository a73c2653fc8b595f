"""The portrait renderer, trained on the speakers of any shards.

Command:   reactface train --config pirender --workdir runs/pirender --data.dir SHARDS
Hardware:  an accelerator; for two CPU cores see configs/pirender_small.py.
Time:      not measured.
Expected:  the log's psnr and ssim of validation frames rise above psnr_of_portrait and ssim_of_portrait, which take the
           portrait itself for the answer; how far has not been measured yet.
"""

from reactface_jax.rendering.portrait.config import RendererConfig

config = RendererConfig()
