"""Parameters at step 0: fresh ones, and a pretrained audio encoder in their place."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from reactface_jax.config import Config
from reactface_jax.errors import UserError
from reactface_jax.types import SAMPLES_PER_FRAME
from reactface_jax.weights.params_file import load_params


def init_params(model: nn.Module, config: Config, key: PRNGKeyArray) -> Any:
    """Fresh parameters, from the shapes of a clip of one window: nothing of the forward pass is computed."""
    params_key, sample_key = jax.random.split(key)
    size, frames = config.data.image_size, config.train.window
    video = jax.ShapeDtypeStruct((1, frames, size, size, 3), jnp.float32)
    audio = jax.ShapeDtypeStruct((1, frames * SAMPLES_PER_FRAME), jnp.float32)
    return model.lazy_init({"params": params_key, "sample": sample_key}, video, audio)["params"]


def with_pretrained_audio(params: Any, folder: str) -> Any:
    """Replaces the audio encoder's parameters. Raises `UserError` if the folder's do not fit."""
    ours, (theirs, _) = params["speaker_encoder"]["audio_encoder"], load_params(folder)
    shapes = [jax.tree.map(jnp.shape, tree) for tree in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise UserError(f"--train.pretrained-audio {folder} does not fit the sizes of model.audio; convert it again")
    speaker_encoder = {**params["speaker_encoder"], "audio_encoder": theirs}
    return {**params, "speaker_encoder": speaker_encoder}
