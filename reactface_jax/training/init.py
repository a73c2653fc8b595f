"""Parameters at step 0: fresh ones, and a pretrained audio encoder in their place."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from reactface_jax.config import Config
from reactface_jax.errors import UserError
from reactface_jax.training.state import Params
from reactface_jax.types import SAMPLES_PER_FRAME
from reactface_jax.weights.params_file import load_params


def init_params(model: nn.Module, config: Config, key: PRNGKeyArray) -> Params:
    """Fresh parameters, from the shapes of a clip of one window: nothing of the forward pass is computed."""
    params_key, sample_key = jax.random.split(key)
    size, frames = config.data.image_size, config.train.window
    video = jax.ShapeDtypeStruct((1, frames, size, size, 3), jnp.float32)
    audio = jax.ShapeDtypeStruct((1, frames * SAMPLES_PER_FRAME), jnp.float32)
    params: Params = model.lazy_init({"params": params_key, "sample": sample_key}, video, audio)["params"]
    return params


def pretrained_audio(shapes: Params, folder: str) -> Params | None:
    """Reads a pretrained audio encoder; None if `folder` is "".

    Args:
      shapes: those of the model's parameters, into which it is to go.
      folder: what `python -m reactface_jax.convert wav2vec2` wrote.

    Raises:
      UserError: the model has no audio encoder, or the folder's does not fit it.
    """
    if not folder:
        return None
    if "audio_encoder" not in shapes.get("speaker_encoder", {}):
        raise UserError("--train.pretrained-audio is for a model that hears; leave it out, or set --model.use-audio")
    theirs, _ = load_params(folder)
    ours = shapes["speaker_encoder"]["audio_encoder"]
    if jax.tree.map(jnp.shape, ours) != jax.tree.map(jnp.shape, theirs):
        raise UserError(f"--train.pretrained-audio {folder} does not fit the sizes of model.audio; convert it again")
    return theirs


def with_audio_encoder(params: Params, audio_encoder: Params) -> Params:
    """The model's parameters with another audio encoder."""
    return {**params, "speaker_encoder": {**params["speaker_encoder"], "audio_encoder": audio_encoder}}
