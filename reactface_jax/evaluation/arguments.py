"""The flags of `reactface eval`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from reactface_jax.errors import UserError
from reactface_jax.rendering.listener_drawers import Renderer

PACKAGED = ("listener", "mirror", "random", "mean-seq", "mean-fr", "delayed-mirror", "linear")
"""The methods where none are given: the listener in the package, and what it is compared with."""
_OF_ARRAYS = ("speaker", "listener", "neighbours", "clip_ids", "coefficient_names", "train_listeners", "window")


@tyro.conf.configure(tyro.conf.FlagCreatePairsOff)
@dataclass(frozen=True)
class Arguments:
    """Measures a model, or anyone's reactions, and writes a report.

    Give --checkpoint, --converted, --methods or --predictions; with none of them the listener in the package is
    measured on --data. But for --predictions, every field of the configuration is a flag.
    """

    checkpoint: Path | None = None
    """The --workdir of a training run."""
    converted: Path | None = None
    """A folder that `reactface convert reactface` wrote."""
    methods: tuple[str, ...] = ()
    """Several of one table: [NAME=]RUN of trained ones, also of a listener, and rows without a run such as listener,
    mirror, delayed-mirror, nn-motion; or a text file with one a line."""
    wav2vec2: Path | None = None
    """With --methods nn-audio: a converted wav2vec 2.0, whose features it compares; log-mel energies by default."""
    predictions: tuple[str, ...] = ()
    """[NAME=]FILE of each method: .npy of its reactions [N, K, T, C], raw."""
    speaker: Path | None = None
    """With --predictions: .npy of the real speakers [N, T, C]."""
    listener: Path | None = None
    """With --predictions: .npy of the real listeners [N, T, C], in the same order."""
    neighbours: Path | None = None
    """With --predictions: .npy of the appropriateness matrix [N, N]; without it only a clip's own listener is
    appropriate."""
    clip_ids: Path | None = None
    """With --predictions: text file with a clip's name a line; intervals are over the conversations that it names."""
    coefficient_names: Path | None = None
    """With --predictions: JSON list of the channels' names, for smiles and the page's heads."""
    train_listeners: Path | None = None
    """With --predictions: .npy of the training split's listeners [M, T, C], for Random, MeanSeq and MeanFr."""
    window: int | None = None
    """With --predictions: frames of a model's windows, in whose insides and borders movement is looked at; 16 by
    default."""
    truth: Path | None = None
    """Of made conversations, their dyads.json: planted events are counted instead of those that are found, and
    intervals are over scripts; with --predictions it needs --clip-ids."""
    ceilings: bool = False
    """With --truth: rows of what the planted rule reaches; minutes."""
    step: int | Literal["best"] | None = None
    """Which of the run's checkpoints: its step, or `best`; the newest by default."""
    average: bool = True
    """--no-average takes the parameters themselves, not their moving average."""
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
    """--no-recordings leaves faces and voices of the data's people out of the page."""
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
        given = [name for name in ("checkpoint", "converted", "methods", "predictions") if getattr(self, name)]
        if not given and (self.data is None or self.out is None):
            raise UserError(
                "give --checkpoint, --converted, --methods or --predictions: what is to be measured; or --data and "
                "--out for the listener in the package"
            )
        if not given:
            object.__setattr__(self, "methods", PACKAGED)
        if len(given) > 1:
            raise UserError(f"--{given[0]} and --{given[1]} exclude each other; give one of them")
        if self.page_clips < 0:
            raise UserError(f"--page-clips {self.page_clips} is negative; give 0 for no page")
        if self.faceverse is not None and not self.faceverse.is_file():
            raise UserError(f"--faceverse {self.faceverse} does not exist; `reactface convert faceverse` writes it")
        if self.ceilings and self.truth is None:
            raise UserError("--ceilings needs --truth; give the dyads.json of the made conversations")
        if self.predictions:
            self._check_predictions()
            return
        if self.wav2vec2 is not None and not self.methods:
            raise UserError("--wav2vec2 goes with --methods; leave it out")
        if self.methods and self.out is None:
            raise UserError("--out is missing; --methods needs a folder for the report")
        for name in _OF_ARRAYS:
            if getattr(self, name) is not None:
                raise UserError(f"--{name.replace('_', '-')} goes with --predictions; give those, or leave it out")

    def _check_predictions(self) -> None:
        if self.step is not None or not self.average:
            raise UserError("--step and --no-average go with runs; with --predictions leave them out")
        if self.ceilings:
            raise UserError("--ceilings goes with --checkpoint or --converted; with --predictions leave it out")
        if self.truth is not None and self.clip_ids is None:
            raise UserError("--truth needs --clip-ids; give the paths of the made conversations' speakers")
        if self.window is not None and self.window < 1:
            raise UserError(f"--window {self.window} is below 1; give a model's frames, such as 16")
        if self.data is not None or self.split is not None:
            raise UserError("--data and --split go with --checkpoint or --converted; with --predictions leave them out")
        for name in ("speaker", "listener", "out"):
            if getattr(self, name) is None:
                raise UserError(f"--{name} is missing; --predictions needs --speaker, --listener and --out")
