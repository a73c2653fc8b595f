"""F-Enc, causal: convolutions and norms see only the frames so far. The parameters are `video_encoder.py`'s."""

from typing import Literal, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from reactface_jax.models.causal.ring import Place
from reactface_jax.models.causal.running_statistics import Statistics, accumulate
from reactface_jax.models.video_encoder import INSTANCE_NORM_EPSILON, face_features
from reactface_jax.ops.convolution import conv3d
from reactface_jax.ops.linear import PYTORCH_SCALE, dense, kernel_initializer
from reactface_jax.ops.pooling import max_pool

Start = Literal["first_frame", "zeros"]


class Layer(NamedTuple):
    """What a convolution and its norm remember."""

    frames: Float[Array, "B t H W c"]
    """The last k - 1 frames of its input."""
    statistics: Statistics


class VideoState(NamedTuple):
    """The five layers'."""

    conv1: Layer
    conv2: Layer
    conv3: Layer
    conv4: Layer
    conv5: Layer


class CausalVideoEncoder(nn.Module):
    """Frames [B T H W 3] in [-1, 1] to features [B T D], each a function of the frames up to its own."""

    feature_dim: int
    grid: int = 28
    gain: float = 1.0
    dtype: DTypeLike = jnp.float32
    tile: int = 4
    """Frames that convolutions compute together (see `conv3d`). A window is a whole number of tiles, so that no later
    frame changes its last digits."""
    chunk: int = 0
    """Frames of a whole clip that are convolved at a time, and again for the gradient; 0: all."""
    start: Start = "first_frame"
    """What the convolutions see before a conversation: its first frame, held, or zeros."""

    @nn.compact
    def __call__(
        self, video: Float[Array, "B T H W 3"], state: VideoState | None = None, place: Place | None = None
    ) -> tuple[Float[Array, "B T D"], VideoState]:
        """Encodes a chunk of frames that follows those in `state` (None: a conversation's first)."""
        if state is None and 0 < self.chunk < video.shape[1] and not self.is_initializing():
            return self._in_chunks(video)
        dim = self.feature_dim
        layers: dict[str, Layer] = {}

        def conv(name: str, x: Array, features: int, kernel: tuple[int, int, int], stride: int, pool: bool) -> Array:
            before = None if state is None else getattr(state, name)
            conv_and_norm = _CausalConv(features, kernel, stride, pool, self.tile, self.dtype, self.start, name=name)
            x, layers[name] = conv_and_norm(x, before, place)
            return nn.relu(x)

        x = face_features(video, conv, dim, self.grid)
        return dense(dim, self.dtype, "fc", scale=PYTORCH_SCALE * self.gain**2)(x), VideoState(**layers)

    def _in_chunks(self, video: Float[Array, "B T H W 3"]) -> tuple[Float[Array, "B T D"], VideoState]:
        """A whole clip as the conversation that it is; the state is the last chunk's, zeros after the clip included."""
        batch, frames, *size = video.shape
        count = -(-frames // self.chunk)
        video = jnp.pad(video, [(0, 0), (0, count * self.chunk - frames), (0, 0), (0, 0), (0, 0)])
        chunks = jnp.moveaxis(video.reshape(batch, count, self.chunk, *size), 1, 0)
        encoder = self.clone(chunk=0, parent=None, name=None)
        variables = {"params": self.variables["params"]}

        @jax.checkpoint
        def step(carry: tuple[VideoState, Array], chunk: Array) -> tuple[tuple[VideoState, Array], Array]:
            state, frame = carry
            place = Place(frame, jnp.zeros((), jnp.int32), self.chunk, self.chunk)
            features, after = cast(tuple[Array, VideoState], encoder.apply(variables, chunk, state, place))
            return (after, frame + self.chunk), features

        _, shapes = jax.eval_shape(encoder.apply, variables, chunks[0])
        start = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        (state, _), features = jax.lax.scan(step, (start, jnp.zeros((batch,), jnp.int32)), chunks)
        return jnp.moveaxis(features, 0, 1).reshape(batch, count * self.chunk, -1)[:, :frames], state


class _CausalConv(nn.Module):
    """A 3-D convolution that looks only back, and an instance norm over the frames so far."""

    features: int
    kernel_size: tuple[int, int, int]
    stride: int
    pool: bool
    tile: int
    dtype: DTypeLike
    start: Start

    @nn.compact
    def __call__(
        self, x: Float[Array, "B T H W c"], before: Layer | None, place: Place | None
    ) -> tuple[Float[Array, "B T H2 W2 d"], Layer]:
        kernel = self.param(
            "kernel", kernel_initializer(), (*self.kernel_size, x.shape[-1], self.features), jnp.float32
        )
        known = self.kernel_size[0] - 1
        x = x.astype(self.dtype)
        # Zeros would be a grey picture: where a face follows it, the norms' means jump and take the clip to settle.
        history = jnp.repeat(x[:, :1] if self.start == "first_frame" else jnp.zeros_like(x[:, :1]), known, axis=1)
        if before is not None and place is not None:
            fresh = (place.frame == 0)[:, None, None, None, None]
            history = jnp.where(fresh, history, before.frames.astype(self.dtype))
        x = jnp.concatenate([history, x], axis=1)
        y = conv3d(x, jnp.asarray(kernel, self.dtype), stride=self.stride, margin=0, tile=self.tile).astype(jnp.float32)

        mean = y.mean(axis=(2, 3))  # B T d
        variance = jnp.square(y - mean[:, :, None, None]).mean(axis=(2, 3))
        mean, variance, statistics = accumulate(
            mean, variance, before and before.statistics, None if place is None else place.frame
        )
        gain = jax.lax.rsqrt(variance + INSTANCE_NORM_EPSILON)
        y = max_pool(y) if self.pool else y  # norm and ReLU are increasing: pooling first gives the same
        y = (y - mean[:, :, None, None]) * gain[:, :, None, None]
        return y.astype(self.dtype), Layer(x[:, x.shape[1] - known :], statistics)
