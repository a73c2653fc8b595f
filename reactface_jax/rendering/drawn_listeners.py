"""What draws the listener: the 3-D head, FaceVerse or a portrait photo; K pictures a frame, one frame at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from reactface_jax.errors import UserError
from reactface_jax.media.photo import cut_portrait, read_photo
from reactface_jax.media.picture_grid import CELL
from reactface_jax.rendering.arkit_head.renderer import HeadRenderer
from reactface_jax.rendering.faceverse import FaceVerseRenderer, channel_order, load_faceverse
from reactface_jax.rendering.pirender.portrait import PortraitRenderer
from reactface_jax.types import NUM_COEFFICIENTS, NUM_EXPRESSION
from reactface_jax.weights.params_file import load_params


@runtime_checkable
class Listeners(Protocol):
    """Draws K reactions."""

    def pictures(self, coefficients: Float[np.ndarray, "K T C"]) -> Iterator[list[UInt8[np.ndarray, "H W 3"]]]:
        """K pictures of each frame from raw coefficients."""
        ...

    def close(self) -> None:
        """Frees what drawing holds."""
        ...


class HeadListeners:
    """The 3-D ARKit head. Raises `UserError` if the data's names are not ARKit's, or nothing here can draw."""

    def __init__(self, names: Sequence[str]):
        self._renderer = HeadRenderer((CELL, CELL), names=names[:NUM_EXPRESSION])

    def pictures(self, coefficients: Float[np.ndarray, "K T C"]) -> Iterator[list[UInt8[np.ndarray, "H W 3"]]]:
        for frame in coefficients.swapaxes(0, 1):
            yield [self._renderer.render(face) for face in frame]

    def close(self) -> None:
        self._renderer.close()


class FaceVerseListeners:
    """The FaceVerse model. Raises `UserError` if the data's expressions are not FaceVerse's."""

    def __init__(self, model_file: Path, names: Sequence[str]):
        model = load_faceverse(model_file)
        expressions = channel_order(model, names[:NUM_EXPRESSION], str(model_file))
        self._order = [*expressions, *range(NUM_EXPRESSION, NUM_COEFFICIENTS)]
        self._renderer = FaceVerseRenderer(model)

    def pictures(self, coefficients: Float[np.ndarray, "K T C"]) -> Iterator[list[UInt8[np.ndarray, "H W 3"]]]:
        for frame in coefficients[..., self._order].swapaxes(0, 1):
            yield [self._renderer.render(face) for face in frame]

    def close(self) -> None:
        self._renderer.close()


class PortraitListeners:
    """A photo, drawn by PIRender.

    Raises:
      UserError: the photo or the renderer's folder is unusable, or was made for other coefficients.
    """

    def __init__(self, photo: Path, weights: Path, size: int):
        picture = cut_portrait(read_photo(photo), size, str(photo))
        params, about = load_params(weights)
        if "pirender" not in about:
            raise UserError(f"{weights} is no portrait renderer; convert one with `reactface_jax.convert pirender`")
        if about["pirender"]["coefficients"] != NUM_COEFFICIENTS:
            raise UserError(
                f"{weights} was trained on {about['pirender']['coefficients']} coefficients, reactions have "
                f"{NUM_COEFFICIENTS}; give the retrained one"
            )
        self._renderer = PortraitRenderer(params, picture.astype(np.float32) / 127.5 - 1.0)

    def pictures(self, coefficients: Float[np.ndarray, "K T C"]) -> Iterator[list[UInt8[np.ndarray, "H W 3"]]]:
        for pictures in zip(*map(self._renderer.frames, coefficients), strict=True):
            yield list(pictures)

    def close(self) -> None:
        pass
