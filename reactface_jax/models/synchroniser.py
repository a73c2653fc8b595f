"""SLBS: the listener's motion is synchronised with the speaker's speech (MIM) and face (VIM) of the window."""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from reactface_jax.config import ModelConfig
from reactface_jax.models.attention import DecoderLayer
from reactface_jax.models.positions import MASKED, Alignment, alignment_bias, hide_beyond, temporal_bias
from reactface_jax.ops.linear import PYTORCH_SCALE, dense
from reactface_jax.types import NUM_COEFFICIENTS, SPEECH_RATIO


class Synchroniser(nn.Module):
    """Biased cross-attention to the window's speech and motion, then the map to coefficients.

    An interaction whose switch is off is left out; so is the one with speech in a model without audio.
    """

    period: int
    """Frames in a unit of the biases."""
    num_heads: int
    order: Literal["speech_first", "face_first"] = "speech_first"
    alignment: Alignment = "reference"
    use_vim: bool = True
    use_mim: bool = True
    dropout: float = 0.1
    dtype: DTypeLike = jnp.float32
    face_alignment: Alignment = "reference"

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B K w D"],
        speech: Float[Array, "B S D"] | None,
        motion: Float[Array, "B F D"],
        visible_frames: Int[Array, " B"] | None = None,
        *,
        first: Bool[Array, "*B"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "B K w C"]:
        """Coefficients of the window.

        Args:
          x: the listener's motion features.
          speech: the speaker's speech features, S = 2 F (None: a model without audio).
          motion: the speaker's motion features: of the window, after F - w frames before it.
          visible_frames: frames of each clip's window that are not padding (None: all).
          first: whether this is the first window, of all clips or of each, which has none before it; None: it is not.
          deterministic: no dropout.
        """
        num_frames = x.shape[2]
        before = motion.shape[1] - num_frames
        bias = temporal_bias(self.num_heads, num_frames, self.period)

        def attend(name: str, memory: Array, ratio: int, alignment: Alignment) -> Array:
            mask = alignment_bias(
                self.num_heads,
                num_frames,
                memory.shape[1],
                period=self.period,
                ratio=ratio,
                offset=(ratio - 1) * num_frames,
                alignment=alignment,
                before=before,
            )
            hidden = jnp.zeros((1, memory.shape[1]), jnp.float32)
            if before and first is not None:
                earlier = (jnp.arange(memory.shape[1]) < ratio * before)[None, :]
                hidden += jnp.where(first.reshape(-1, 1) & earlier, MASKED, 0.0)
            if visible_frames is not None:
                hidden += hide_beyond(ratio * (before + visible_frames), memory.shape[1])
            mask = mask[None, None] + hidden[:, None, None, None, :]  # B 1 h w M
            layer = DecoderLayer(self.num_heads, self.dropout, self.dtype, name=name)
            return layer(x, memory[:, None], bias, mask, deterministic=deterministic)

        for kind in ("speech", "face") if self.order == "speech_first" else ("face", "speech"):
            if kind == "speech" and self.use_mim and speech is not None:
                x = attend("speech_decoder", speech, SPEECH_RATIO, self.alignment)
            if kind == "face" and self.use_vim:
                x = attend("motion_decoder", motion, 1, self.face_alignment)
        # Reactions start near the mean face. With PyTorch's kernel, ten times larger, they start as noise, and training
        # from scratch then learns to ignore the speaker first.
        return dense(NUM_COEFFICIENTS, jnp.float32, "listener_map", scale=PYTORCH_SCALE / 100)(x.astype(jnp.float32))


def make_synchroniser(config: ModelConfig) -> Synchroniser:
    """SLBS of a configuration."""
    return Synchroniser(
        period=config.bias_unit,
        num_heads=config.num_heads,
        order=config.sync_order,
        alignment=config.alignment,
        use_vim=config.use_vim,
        use_mim=config.use_mim,
        dropout=config.dropout,
        dtype=jnp.dtype(config.dtype),
        face_alignment=config.face_alignment,
    )
