"""FRRea: the Fréchet distance between real and generated videos in the activations of I3D.

Unterthiner et al., "Towards accurate generative models of video", 2018. Videos are read one at a time.
"""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, Shaped, UInt8

from reactface_jax.errors import UserError
from reactface_jax.metrics.bootstrap import Interval
from reactface_jax.metrics.frechet import frechet, standard_error, without_bias
from reactface_jax.models.i3d import I3D, SIZE, I3DOutput
from reactface_jax.models.precision import exact_products
from reactface_jax.types import AnyArray

Layer = Literal["logits", "pooled"]
MIN_FRAMES = 16
_DEVIATIONS = 1.96
"""Of a normal distribution, that 95 % lie within."""
_SUFFIXES = (".mp4", ".avi")


class VideoDistance(NamedTuple):
    """A distance and how it was measured."""

    distance: float
    interval: Interval
    """95 %, of the distance at this number of pairs: 1.96 standard errors to either side. NaN for 2 pairs."""
    without_bias: float | None
    """The distance at infinitely many pairs, extrapolated; may be below 0. None for fewer than 8 pairs."""
    pairs: int
    layer: str
    colours: str


def i3d(params: PyTree, video: Shaped[AnyArray, "B T H W 3"]) -> Float[Array, "B 400 T2"]:
    """Logits of videos in 0..255, resized to 224x224 (bilinear, half-pixel centres, no antialiasing), time kept."""
    return _activations(params, jnp.asarray(video)).logits


@jax.jit
def _activations(params: PyTree, video: Shaped[Array, "B T H W 3"]) -> I3DOutput:
    batch, frames = video.shape[:2]
    resized = jax.image.resize(video.astype(jnp.float32), (batch, frames, SIZE, SIZE, 3), "bilinear", antialias=False)
    with exact_products():  # as the authors measured, on every backend
        return cast(I3DOutput, I3D().apply({"params": params}, 2 * resized / 255 - 1))


def activations(
    params: PyTree, videos: Iterable[Shaped[np.ndarray, "T H W 3"]], layer: Layer = "logits", bgr: bool = False
) -> Float[np.ndarray, "N D"]:
    """One vector a video: the layer's mean over time.

    Args:
      params: from `convert.i3d`.
      videos: RGB in 0..255; each new length or size is compiled once.
      layer: logits, as in the paper, or the 1024 numbers in front of them.
      bgr: swap red and blue, as the released code reads its frames.
    """
    found = []
    for video in videos:
        output = _activations(params, jnp.asarray(video[..., ::-1] if bgr else video)[None])
        found.append(np.asarray(getattr(output, layer)[0].mean(-1), np.float64))
    return np.stack(found)


def compare_folders(
    real: str | Path,
    generated: str | Path,
    params: PyTree,
    mode: Literal["clean", "paper"] = "clean",
    pairs: int | None = None,
    seed: int = 0,
    num_frames: int = 750,
) -> VideoDistance:
    """FRRea of two folders of mp4 or avi files whose names correspond.

    Args:
      real: folder of real listeners.
      generated: folder of generated ones; a file is the answer to the real one of the same name.
      params: from `convert.i3d`.
      mode: `paper` feeds BGR frames and takes logits; `clean` RGB and the pooled layer. Values of the two don't
        compare, nor do values of different numbers of pairs.
      pairs: as many pairs, drawn by `seed`; all by default.
      seed: of that choice and of the interval.
      num_frames: longer videos are cut to it.

    Raises:
      UserError: a folder is missing or shares fewer than two names with the other; a video is too short or damaged.
    """
    folders = [_videos(Path(folder)) for folder in (real, generated)]
    names: Sequence[str] = sorted(folders[0].keys() & folders[1].keys())
    if len(names) < 2:
        raise UserError(f"{real} and {generated} share {len(names)} video names; at least 2 are needed")
    if pairs is not None:
        if not 2 <= pairs <= len(names):
            raise UserError(f"{pairs} pairs are asked for, but the folders share {len(names)}; ask for 2 to that many")
        names = [names[i] for i in np.sort(np.random.default_rng(seed).permutation(len(names))[:pairs])]
    read = functools.partial(_read, num_frames=num_frames)
    first, second = (activations(params, (read(folder[name]) for name in names), *layer_of(mode)) for folder in folders)
    return distance_between(first, second, mode, seed)


def layer_of(mode: Literal["clean", "paper"]) -> tuple[Layer, bool]:
    """The layer that a mode reads, and whether it swaps red and blue."""
    return ("logits", True) if mode == "paper" else ("pooled", False)


def distance_between(
    real: Float[np.ndarray, "N D"], generated: Float[np.ndarray, "N D"], mode: Literal["clean", "paper"], seed: int = 0
) -> VideoDistance:
    """The distance of two sets of activations of a mode, pair by pair."""
    layer, bgr = layer_of(mode)
    distance, error = frechet(real, generated), _DEVIATIONS * standard_error(real, generated, seed)
    interval = Interval(max(distance - error, 0.0), distance + error)  # the maximum of NaN and 0 is NaN in this order
    unbiased = without_bias(real, generated, seed)
    return VideoDistance(distance, interval, unbiased, len(real), layer, "BGR" if bgr else "RGB")


def _videos(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give one of mp4 or avi files")
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in _SUFFIXES}


def _read(path: Path, num_frames: int) -> UInt8[np.ndarray, "T H W 3"]:
    from reactface_jax.media.video import iterate_video

    frames = []
    for frame in iterate_video(path):
        frames.append(frame)
        if len(frames) == num_frames:
            break
    if len(frames) < MIN_FRAMES:
        raise UserError(f"{path} has {len(frames)} frames; I3D needs at least {MIN_FRAMES}")
    return np.stack(frames)
