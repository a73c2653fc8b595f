"""Draws a portrait photo with the faces that coefficients describe, through PIRender, in batches of one size."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PyTree, UInt8

from reactface_jax.errors import UserError
from reactface_jax.models.precision import exact_products
from reactface_jax.ops.pixels import to_bytes
from reactface_jax.rendering.portrait.model import DESCRIPTOR, WINDOW, PIRender, Rendering
from reactface_jax.types import AnyArray

STRIDE = 32  # the hourglass halves five times
_NO_FRAME = "pirender got no frame; give at least one row of coefficients"


def coefficient_windows(coefficients: Float[AnyArray, "T C"]) -> Float[np.ndarray, "T 27 C"]:
    """The 27 frames around every frame, t - 13 … t + 13; the first and the last frame are repeated at the ends.

    Raises:
      UserError: there is no frame.
    """
    if not len(coefficients):
        raise UserError(_NO_FRAME)
    half = WINDOW // 2
    padded = np.pad(np.asarray(coefficients, np.float32), ((half, half), (0, 0)), mode="edge")
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=0).swapaxes(1, 2))


class PortraitRenderer:
    """One portrait, drawn with any coefficients."""

    def __init__(
        self,
        params: PyTree,
        portrait: Float[AnyArray, "H W 3"],
        *,
        dtype: DTypeLike = jnp.float32,
        batch_size: int | None = None,
    ):
        """Moves the portrait to the device.

        Args:
          params: of `convert.pirender`, or of a training.
          portrait: in [-1, 1], the face in the middle as in the training's pictures; height and width multiples of 32,
            224 or 256 as in the training.
          dtype: of the computation; bfloat16 pays on accelerators only.
          batch_size: frames drawn at once; 4 on a CPU and 32 elsewhere by default.

        Raises:
          UserError: the portrait's size does not fit.
        """
        portrait = jnp.asarray(portrait, jnp.float32)
        if portrait.shape[0] % STRIDE or portrait.shape[1] % STRIDE:
            raise UserError(
                f"a portrait of {portrait.shape[0]}x{portrait.shape[1]} pixels can't be drawn: height and width must "
                f"be multiples of {STRIDE}; give one of 224x224 or 256x256"
            )
        narrower = DESCRIPTOR // params["mapping"]["first"]["bias"].shape[0]
        self._model = PIRender("pre" in params["mapping"], narrower, jnp.dtype(dtype))
        self._params = params
        self._portrait = portrait[None]
        self._channels = params["mapping"]["pre" if self._model.project else "first"]["kernel"].shape[1]
        self.batch_size = batch_size or (4 if jax.default_backend() == "cpu" else 32)

    def draw(self, windows: Float[AnyArray, "T 27 C"]) -> Iterator[Float[Array, "b H W 3"]]:
        """Pictures in [-1, 1], a batch at a time.

        Raises:
          UserError: the coefficients are not as many as the renderer was trained on.
        """
        if windows.shape[-1] != self._channels:
            raise UserError(
                f"this renderer was trained on {self._channels} coefficients, not on {windows.shape[-1]}; convert one "
                "that was trained on yours"
            )
        for start in range(0, len(windows), self.batch_size):
            batch = np.asarray(windows[start : start + self.batch_size], np.float32)
            missing = self.batch_size - len(batch)
            padded = np.pad(batch, ((0, missing), (0, 0), (0, 0)), mode="edge")  # one program for every batch
            yield _draw(self._model, self._params, self._portrait, padded)[: len(batch)]

    def frames(self, coefficients: Float[AnyArray, "T C"]) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """One RGB picture after the other; `coefficients` are raw (mean_face added)."""
        for batch in self.draw(coefficient_windows(coefficients)):
            yield from np.asarray(to_bytes(batch))


def pirender(
    params: PyTree,
    portrait: Float[AnyArray, "H W 3"],
    coefficients: Float[AnyArray, "T C"] | None = None,
    *,
    windows: Float[AnyArray, "T C F"] | None = None,
    dtype: DTypeLike = jnp.float32,
    batch_size: int | None = None,
) -> Float[Array, "T H W 3"]:
    """Draws a portrait with the faces that coefficients describe.

    Args:
      params: of `convert.pirender`, or of a training.
      portrait: in [-1, 1].
      coefficients: raw (mean_face added), one row a frame; or
      windows: the 27 frames around each, in the layout of the authors' code. One of the two.
      dtype: of the computation.
      batch_size: frames drawn at once.

    Returns:
      Pictures in [-1, 1]. For long videos, `PortraitRenderer.frames` gives them one by one.

    Raises:
      UserError: both or neither of `coefficients` and `windows`; no frame; windows of other than 27 frames; the
        portrait's size does not fit; other coefficients than the renderer's.
    """
    if (coefficients is None) == (windows is None):
        raise UserError("pirender needs either coefficients or windows=, one of the two")
    if windows is None:
        assert coefficients is not None
        windows = coefficient_windows(coefficients)
    else:
        if not len(windows):
            raise UserError(_NO_FRAME)
        if windows.shape[-1] != WINDOW:
            raise UserError(
                f"windows= has {windows.shape[-1]} frames around each, but the renderer sees {WINDOW}; give "
                "coefficients, from which they are made"
            )
        windows = np.asarray(windows, np.float32).swapaxes(1, 2)
    renderer = PortraitRenderer(params, portrait, dtype=dtype, batch_size=batch_size or min(len(windows), 4))
    return jnp.concatenate(list(renderer.draw(windows)))


@functools.partial(jax.jit, static_argnums=0)
def _draw(
    model: PIRender, params: PyTree, portrait: Float[Array, "1 H W 3"], windows: Float[Array, "B 27 C"]
) -> Float[Array, "B H W 3"]:
    with exact_products():  # as the authors' renderer draws, on every backend
        rendering = model.apply({"params": params}, portrait, windows)
    assert isinstance(rendering, Rendering)
    assert rendering.image is not None
    return rendering.image
