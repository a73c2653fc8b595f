"""An eighth of the portrait renderer's channels on pictures of 64x64, for two CPU cores.

Command:   reactface train --config pirender_small --workdir runs/portrait --data.dir SHARDS
Hardware:  2 CPU cores.
Time:      15 minutes, with other work beside it.
Expected:  docs/rendering.md: heads that turn as they should, in coarse and blurred pictures.
"""

from reactface_jax.rendering.portrait.config import RendererConfig, RendererData, RendererTraining

config = RendererConfig(
    data=RendererData(image_size=64, clip_frames=64, eval_clips=6),
    train=RendererTraining(
        steps=1200,
        warp_steps=300,
        clips=4,
        frames=4,
        learning_rate=1e-3,
        narrower=8,
        style=10.0,
        log_every=25,
        eval_every=300,
    ),
)
