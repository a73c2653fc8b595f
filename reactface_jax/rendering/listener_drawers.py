"""Who draws the listener: the 3-D head, FaceVerse or a portrait photo; K pictures a frame, one frame at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from reactface_jax.errors import UserError
from reactface_jax.media.photo import cut_portrait, read_photo
from reactface_jax.media.picture_grid import CELL
from reactface_jax.ops.pixels import to_unit_range_on_host
from reactface_jax.rendering.arkit_head.renderer import HeadRenderer
from reactface_jax.rendering.faceverse import FaceVerseRenderer, channel_order, load_faceverse
from reactface_jax.rendering.portrait.portrait import STRIDE, PortraitRenderer
from reactface_jax.rendering.portrait.run import load_renderer
from reactface_jax.types import NUM_COEFFICIENTS, NUM_EXPRESSION

Renderer = Literal["head", "pirender", "faceverse"]
_PORTRAIT_SIZE = 224  # of the authors' retrained renderer, whose config.json may be older than this field


@runtime_checkable
class ListenerDrawer(Protocol):
    """Draws K reactions to one speaker."""

    def pictures(self, coefficients: Float[np.ndarray, "K T C"]) -> Iterator[list[UInt8[np.ndarray, "H W 3"]]]:
        """K pictures of each frame from raw coefficients."""
        ...

    def close(self) -> None:
        """Frees the window that it draws in, if any."""
        ...


class HeadDrawer:
    """The 3-D ARKit head. Raises `UserError` if the data's names are not ARKit's, or nothing here can draw."""

    def __init__(self, names: Sequence[str]):
        self._renderer = HeadRenderer((CELL, CELL), names=names[:NUM_EXPRESSION], samples=4)

    def pictures(self, coefficients: Float[np.ndarray, "K T C"]) -> Iterator[list[UInt8[np.ndarray, "H W 3"]]]:
        for frame in coefficients.swapaxes(0, 1):
            yield [self._renderer.render(face) for face in frame]

    def close(self) -> None:
        self._renderer.close()


class FaceVerseDrawer:
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


class PortraitDrawer:
    """A photo, drawn by PIRender.

    Raises:
      UserError: the photo or the renderer's folder is unusable, or was made for other coefficients.
    """

    def __init__(self, photo: Path, weights: Path, size: int | None):
        taken = read_photo(photo)
        params, about = load_renderer(weights)
        if "pirender" not in about:
            raise UserError(f"{weights} is no portrait renderer; convert one with `reactface convert pirender`")
        if about["pirender"]["coefficients"] != NUM_COEFFICIENTS:
            raise UserError(
                f"{weights} was trained on {about['pirender']['coefficients']} coefficients, reactions have "
                f"{NUM_COEFFICIENTS}; give the retrained one"
            )
        size = about["pirender"].get("image_size", _PORTRAIT_SIZE) if size is None else size
        picture = cut_portrait(taken, size, str(photo))
        self._renderer = PortraitRenderer(params, to_unit_range_on_host(picture))

    def pictures(self, coefficients: Float[np.ndarray, "K T C"]) -> Iterator[list[UInt8[np.ndarray, "H W 3"]]]:
        for pictures in zip(*map(self._renderer.frames, coefficients), strict=True):
            yield list(pictures)

    def close(self) -> None:
        pass


def check_options(
    renderer: str,
    *,
    portrait: Path | None,
    renderer_weights: Path | None,
    faceverse: Path | None,
    portrait_size: int | None = None,
) -> None:
    """Raises `UserError` if a flag that the renderer needs is missing or does not fit, or one that it ignores is given.

    Call it before long work. `faceverse` may be given beside any renderer: it also draws for others than this one.
    """
    _require_options(renderer, portrait, renderer_weights, portrait_size, faceverse)
    of_portraits = {"--portrait": portrait, "--renderer-weights": renderer_weights, "--portrait-size": portrait_size}
    for flag, given in of_portraits.items():
        if given is not None and renderer != "pirender":
            raise UserError(f"{flag} is for --renderer pirender; add that, or leave {flag} out")


def _require_options(
    renderer: str,
    portrait: Path | None,
    renderer_weights: Path | None,
    portrait_size: int | None,
    faceverse: Path | None,
) -> None:
    if renderer == "pirender" and (portrait is None or renderer_weights is None):
        missing = "--portrait" if portrait is None else "--renderer-weights"
        raise UserError(f"--renderer pirender needs {missing}; give a photo and a converted or trained renderer")
    if renderer == "pirender" and portrait_size is not None and (portrait_size <= 0 or portrait_size % STRIDE):
        raise UserError(f"--portrait-size {portrait_size} does not fit; give a positive multiple of {STRIDE}")
    if renderer == "faceverse" and faceverse is None:
        raise UserError("--renderer faceverse needs --faceverse, the .npz that `reactface convert faceverse` wrote")


def open_drawer(
    renderer: Renderer,
    names: Sequence[str],
    *,
    portrait: Path | None = None,
    renderer_weights: Path | None = None,
    portrait_size: int | None = None,
    faceverse: Path | None = None,
) -> ListenerDrawer:
    """Opens the drawer of a renderer's name.

    Args:
      renderer: who draws.
      names: what the data calls its coefficients; the first 52 are expressions.
      portrait: the photo, of `pirender`.
      renderer_weights: the folder of a converted or trained renderer, of `pirender`.
      portrait_size: height and width of the portrait, of `pirender`; by default those of its training.
      faceverse: the converted model, of `faceverse`.

    Raises:
      UserError: a file that the renderer needs is missing or unusable, the size is no multiple of 32, or nothing here
        can draw.
    """
    _require_options(renderer, portrait, renderer_weights, portrait_size, faceverse)
    if renderer == "head":
        return HeadDrawer(names)
    if renderer == "faceverse":
        assert faceverse is not None
        return FaceVerseDrawer(faceverse, names)
    assert portrait is not None
    assert renderer_weights is not None
    return PortraitDrawer(portrait, renderer_weights, portrait_size)
