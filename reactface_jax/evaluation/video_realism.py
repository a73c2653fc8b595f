"""FRRea of a table's rows: real listeners against drawn reactions, one video at a time."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, PyTree, UInt8
from rich.console import Console
from rich.progress import track

from reactface_jax.errors import UserError
from reactface_jax.metrics import MODES, Mode
from reactface_jax.metrics.video_distance import MIN_FRAMES, VideoDistance, activations, distance_between, layer_of
from reactface_jax.rendering.listener_drawers import ListenerDrawer, Renderer, open_drawer
from reactface_jax.types import NUM_COEFFICIENTS, Clips
from reactface_jax.weights.params_file import load_params

RealVideos = Callable[[Sequence[int]], Iterator[UInt8[np.ndarray, "T H W 3"]]]
"""The real listeners' videos of some clips, RGB."""


@dataclass(frozen=True)
class VideoComparison:
    """What FRRea needs: I3D, who draws the reactions, and which clips are compared."""

    params: PyTree
    drawer: ListenerDrawer
    chosen: Sequence[int]
    seed: int
    renderer: Renderer = "head"

    def described(self, *, recorded: bool) -> str:
        """How FRRea was measured, for the report: only values that agree in this compare.

        Args:
          recorded: the real listeners' own videos are compared, and not drawings of them.
        """
        real = "recorded" if recorded else "drawn too"
        return f"{len(self.chosen)} clips, reactions drawn by {self.renderer}, real listeners {real}"

    def real_listeners(self, clips: Clips, console: Console, real_videos: RealVideos | None = None) -> "RealListeners":
        """I3D's activations of the real listeners; without videos of them, they are drawn as the reactions are."""
        drawn = (draw(self.drawer, clips.listener[clip]) for clip in self.chosen)
        videos = drawn if real_videos is None else real_videos(self.chosen)
        shown = track(videos, "comparing videos", total=len(self.chosen), console=console, transient=True)
        return RealListeners(self, _activations_of(self.params, shown))


@dataclass(frozen=True)
class RealListeners:
    """I3D's activations of real listeners, to compare any method's reactions to the same clips with."""

    comparison: VideoComparison
    real: Mapping[Mode, Float[np.ndarray, "P _"]]

    def distance(
        self, prediction: Float[np.ndarray, "N K T C"], advance: Callable[[], None] | None = None
    ) -> dict[Mode, VideoDistance]:
        """FRRea of every clip's first reaction, in both modes. `advance` is called after every video."""
        drawn = _activations_of(self.comparison.params, self._drawn(prediction, advance))
        return {mode: distance_between(self.real[mode], drawn[mode], mode, self.comparison.seed) for mode in MODES}

    def _drawn(
        self, prediction: Float[np.ndarray, "N K T C"], advance: Callable[[], None] | None
    ) -> Iterator[UInt8[np.ndarray, "T H W 3"]]:
        for clip in self.comparison.chosen:
            yield draw(self.comparison.drawer, prediction[clip, 0])
            if advance is not None:
                advance()


def open_comparison(
    clips: Clips,
    i3d: Path,
    pairs: int,
    seed: int,
    renderer: Renderer = "head",
    renderer_weights: Path | None = None,
    portrait: Path | None = None,
    faceverse: Path | None = None,
) -> VideoComparison:
    """Reads and checks everything before anything is generated or measured.

    Args:
      clips: the split.
      i3d: folder of converted weights.
      pairs: clips that are compared, drawn by the seed. Compare only values of the same number.
      seed: of that choice and of the interval.
      renderer: who draws.
      renderer_weights: of pirender.
      portrait: of pirender, a photo.
      faceverse: of faceverse, the converted model.

    Raises:
      UserError: a file can't be used, the clips are too few or too short, or nothing here can draw.
    """
    params, about = load_params(i3d)
    if "i3d" not in about:
        raise UserError(f"--i3d {i3d} holds no I3D; convert one with `reactface convert i3d`")
    num_clips, num_frames, _ = clips.speaker.shape
    if num_frames < MIN_FRAMES:
        raise UserError(f"FRRea needs clips of at least {MIN_FRAMES} frames, these have {num_frames}; leave --i3d out")
    if min(pairs, num_clips) < 2:
        raise UserError(f"FRRea needs at least 2 clips; --realism-pairs is {pairs} and the data have {num_clips}")
    chosen = sorted(np.random.default_rng(seed).permutation(num_clips)[:pairs].tolist())
    names = clips.coefficient_names or [f"expression_{i:02}" for i in range(NUM_COEFFICIENTS)]
    drawer = open_drawer(renderer, names, portrait=portrait, renderer_weights=renderer_weights, faceverse=faceverse)
    return VideoComparison(params, drawer, chosen, seed, renderer)


def draw(drawer: ListenerDrawer, coefficients: Float[np.ndarray, "T C"]) -> UInt8[np.ndarray, "T H W 3"]:
    """One listener's video."""
    return np.stack([pictures[0] for pictures in drawer.pictures(coefficients[None])])


def _activations_of(
    params: PyTree, videos: Iterable[UInt8[np.ndarray, "T H W 3"]]
) -> dict[Mode, Float[np.ndarray, "P _"]]:
    """Both modes' activations."""
    found: dict[Mode, list[np.ndarray]] = {mode: [] for mode in MODES}
    for video in videos:
        for mode, kept in found.items():
            kept.append(activations(params, [video], *layer_of(mode)))
    return {mode: np.concatenate(kept) for mode, kept in found.items()}
