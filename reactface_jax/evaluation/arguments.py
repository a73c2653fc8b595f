"""The flags of `reactface eval`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from reactface_jax.errors import UserError
from reactface_jax.rendering.listener_drawers import Renderer

_OF_ARRAYS = ("speaker", "listener", "neighbours", "clip_ids", "coefficient_names", "train_listeners")


@tyro.conf.configure(tyro.conf.FlagCreatePairsOff)
@dataclass(frozen=True)
class Arguments:
    """Measures a model, or anyone's reactions, and writes a report.

    Give --checkpoint, --converted or --predictions. With the first two, every field of the configuration is a flag.
    """

    checkpoint: Path | None = None
    """The --workdir of a training run."""
    converted: Path | None = None
    """A folder that `reactface convert reactface` wrote."""
    predictions: tuple[str, ...] = ()
    """[NAME=]FILE of each method: .npy of its reactions [N, K, T, C], raw."""
    speaker: Path | None = None
    """With --predictions: .npy of the real speakers [N, T, C]."""
    listener: Path | None = None
    """With --predictions: .npy of the real listeners [N, T, C], in the same order."""
    neighbours: Path | None = None
    """With --predictions: .npy of the appropriateness matrix [N, N]."""
    clip_ids: Path | None = None
    """With --predictions: text file with a clip's name a line."""
    coefficient_names: Path | None = None
    """With --predictions: JSON list of the channels' names, for smiles and the page's heads."""
    train_listeners: Path | None = None
    """With --predictions: .npy of the training split's listeners [M, T, C], for Random, MeanSeq and MeanFr."""
    step: int | Literal["best"] | None = None
    """Which of the run's checkpoints: its step, or `best`; the newest by default."""
    average: bool = True
    """Take the moving average of the parameters, if the run has one."""
    data: str | None = None
    """The shards; those of the training by default."""
    split: Literal["train", "val", "test"] | None = None
    """The configuration's eval.split by default."""
    out: Path | None = None
    """Folder of the report; evaluation-SPLIT inside the checkpoint's by default."""
    compare_with: str | None = None
    """The method with which the others are compared; the last one by default."""
    page_clips: int = 6
    """Clips that report.html plays; 0: no page."""
    recordings: bool = True
    """Show faces and voices of the data's people on the page."""
    i3d: Path | None = None
    """A converted I3D: FRRea is measured too, of drawn reactions."""
    realism_pairs: int = 100
    """Clips that FRRea compares."""
    renderer: Renderer = "head"
    """Who is drawn for FRRea."""
    renderer_weights: Path | None = None
    """Of pirender: a converted or trained renderer."""
    portrait: Path | None = None
    """Of pirender: a photo."""
    faceverse: Path | None = None
    """A converted FaceVerse: the page's faces, and --renderer faceverse."""

    def __post_init__(self) -> None:
        given = [name for name in ("checkpoint", "converted", "predictions") if getattr(self, name)]
        if not given:
            raise UserError("give --checkpoint, --converted or --predictions: what is to be measured")
        if len(given) > 1:
            raise UserError(f"--{given[0]} and --{given[1]} exclude each other; give one of them")
        if self.page_clips < 0:
            raise UserError(f"--page-clips {self.page_clips} is negative; give 0 for no page")
        if self.faceverse is not None and not self.faceverse.is_file():
            raise UserError(f"--faceverse {self.faceverse} does not exist; `reactface convert faceverse` writes it")
        if self.predictions:
            self._check_predictions()
            return
        for name in _OF_ARRAYS:
            if getattr(self, name) is not None:
                raise UserError(f"--{name.replace('_', '-')} goes with --predictions; give those, or leave it out")

    def _check_predictions(self) -> None:
        if self.step is not None or not self.average:
            raise UserError("--step and --no-average go with --checkpoint; with --predictions leave them out")
        if self.data is not None or self.split is not None:
            raise UserError("--data and --split go with --checkpoint or --converted; with --predictions leave them out")
        for name in ("speaker", "listener", "neighbours", "out"):
            if getattr(self, name) is None:
                raise UserError(
                    f"--{name} is missing; --predictions needs --speaker, --listener, --neighbours and --out"
                )
