"""The speaker's video and voice, a feature a frame."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from reactface_jax.models.video_encoder import ConvolutionAndMoments, instance_norm
from reactface_jax.ops.linear import dense
from reactface_jax.types import AnyArray

NUM_MFCC = 78


class SpeakerEncoder(nn.Module):
    """Convolutions of single frames, whose norms see the whole clip; and a linear map of the voice's MFCC."""

    feature_dim: int
    chunk: int = 0
    """Frames that are convolved at a time; 0: all."""

    @nn.compact
    def __call__(
        self, video: Float[Array, "B T H W 3"], mfcc: Float[Array, "B T 78"], length: Int[AnyArray, ""] | None = None
    ) -> Float[Array, "B T D"]:
        """Encodes clips.

        Args:
          video: frames in [-1, 1].
          mfcc: of each frame's sound, not standardised.
          length: frames in use, if not all; features of the others mean nothing.
        """
        dim = self.feature_dim
        valid = None
        if length is not None:
            valid = jnp.broadcast_to(jnp.arange(video.shape[1]) < length, video.shape[:2])

        def conv(name: str, x: Array, features: int, size: int, stride: int, pool: bool = False) -> Array:
            layer = ConvolutionAndMoments(features, (1, size, size), stride, pool, self.chunk, name=name)
            x, mean, variance = layer(x)
            return nn.relu(instance_norm(x, mean, variance, valid))

        x = conv("conv1", video, max(dim // 4, 1), 7, 2, pool=True)
        x = conv("conv2", x, dim, 7, 2)
        x = conv("conv3", x, dim, 3, 2)
        x = x + conv("conv4", x, dim, 3, 1)
        x = conv("conv5", x, dim, 3, 2)
        seen = dense(dim, jnp.float32, "fc")(x.mean(axis=(2, 3)))
        heard = dense(dim, jnp.float32, "audio_feature_map")(mfcc)
        return dense(dim, jnp.float32, "fusion_layer")(jnp.concatenate([seen, heard], axis=-1))
