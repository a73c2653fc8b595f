"""The flags of `reactface eval`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reactface_jax.errors import UserError
from reactface_jax.rendering.listener_drawers import Renderer, check_options

PACKAGED = ("listener", "mirror", "random", "mean-seq", "mean-fr", "delayed-mirror", "linear")
"""The methods where none are given: the listener in the package, and what it is compared with."""
_REALISM_PAIRS = 100
_OF_ARRAYS = ("speaker", "listener", "neighbours", "clip_ids", "coefficient_names", "train_listeners", "window")


@dataclass(frozen=True)
class Arguments:
    """Measures a model, or anyone's reactions, and writes a report.

    Give --checkpoint, --converted, --methods or --predictions; with none of them the listener in the package is
    measured on --data. But for --predictions, every field of the configuration is a flag.
    """

    checkpoint: Path | None = None
    """The --workdir of a training run."""
    converted: Path | None = None
    """A folder that `reactface convert reactface`, or `convert` of another row of the table, wrote."""
    methods: tuple[str, ...] = ()
    """Of one table: [NAME=]RUN of trained ones, rows such as listener, mirror, nn-motion; or a file with one a line."""
    wav2vec2: Path | None = None
    """With nn-audio among --methods: a converted wav2vec 2.0, whose features it compares; else log-mel energies."""
    predictions: tuple[str, ...] = ()
    """[NAME=]FILE of each method: .npy of its reactions [N, K, T, C], raw."""
    speaker: Path | None = None
    """With --predictions: .npy of the real speakers [N, T, C]."""
    listener: Path | None = None
    """With --predictions: .npy of the real listeners [N, T, C], in the same order."""
    neighbours: Path | None = None
    """With --predictions: .npy of the appropriateness matrix [N, N]; without it a clip has its own listener only."""
    clip_ids: Path | None = None
    """With --predictions: text file with a clip's name a line; intervals are over the conversations that it names."""
    coefficient_names: Path | None = None
    """With --predictions: JSON list of the channels' names, for smiles and the page's heads."""
    train_listeners: Path | None = None
    """With --predictions: .npy of the training split's listeners [M, T, C], for Random, MeanSeq and MeanFr."""
    window: int | None = None
    """With --predictions: frames in the model's windows, for the figures `inside` and `border`; 16 by default."""
    truth: Path | None = None
    """dyads.json of made conversations: planted events count, intervals are over scripts; arrays need --clip-ids."""
    ceilings: bool = False
    """With --truth: rows of what the planted rule reaches; minutes."""
    step: int | Literal["best"] | None = None
    """Which of a run's checkpoints: its step, or `best`; the newest by default."""
    average: bool = True
    """--no-average takes the parameters themselves, not their moving average."""
    data: str | None = None
    """The shards; those of the training by default."""
    split: Literal["train", "val", "test"] | None = None
    """The configuration's eval.split by default."""
    out: Path | None = None
    """Folder of the report; by default evaluation-SPLIT in the checkpoint's, with --step evaluation-SPLIT-step-STEP."""
    overwrite: bool = False
    """Replace an evaluation that is there."""
    compare_with: str | None = None
    """The method with which the others are compared; the last one by default."""
    page_clips: int = 6
    """Clips that report.html plays; 0: no page."""
    recordings: bool = True
    """--no-recordings leaves faces and voices of the data's people out of the page."""
    i3d: Path | None = None
    """A converted I3D: FRRea is measured too, of drawn reactions."""
    realism_pairs: int = _REALISM_PAIRS
    """With --i3d: clips that FRRea compares."""
    renderer: Renderer = "head"
    """With --i3d: who is drawn for FRRea."""
    renderer_weights: Path | None = None
    """Of pirender: a converted or trained renderer."""
    portrait: Path | None = None
    """Of pirender: a photo."""
    faceverse: Path | None = None
    """A converted FaceVerse: the page's faces, and --renderer faceverse."""

    @property
    def table(self) -> tuple[str, ...]:
        """The methods of a table: those of --methods, or the packaged listener's where nothing is named."""
        nothing = not (self.checkpoint or self.converted or self.predictions)
        return self.methods or (PACKAGED if nothing else ())

    @property
    def faceverse_of_page(self) -> Path | None:
        """The page's; None where there is no page, and --faceverse is the renderer's only."""
        return self.faceverse if self.page_clips > 0 else None

    def __post_init__(self) -> None:
        self._check_measured()
        self._check_drawn()
        if self.ceilings and self.truth is None:
            raise UserError("--ceilings needs --truth; give the dyads.json of the made conversations")
        if self.predictions:
            self._check_predictions()
        else:
            self._check_runs()

    def _check_measured(self) -> None:
        """What is measured is named once."""
        given = [name for name in ("checkpoint", "converted", "methods", "predictions") if getattr(self, name)]
        if not given and (self.data is None or self.out is None):
            raise UserError(
                "give --checkpoint, --converted, --methods or --predictions: what is to be measured; or --data and "
                "--out for the listener in the package"
            )
        if len(given) > 1:
            raise UserError(f"--{given[0]} and --{given[1]} exclude each other; give one of them")

    def _check_drawn(self) -> None:
        """Flags of the page and of FRRea."""
        if self.page_clips < 0:
            raise UserError(f"--page-clips {self.page_clips} is negative; give 0 for no page")
        if self.faceverse is not None and not self.faceverse.is_file():
            raise UserError(f"--faceverse {self.faceverse} does not exist; `reactface convert faceverse` writes it")
        if self.faceverse is not None and self.page_clips == 0 and self.renderer != "faceverse":
            raise UserError(
                "--faceverse is for the page, which --page-clips 0 leaves out, or --renderer faceverse; leave "
                "--faceverse out"
            )
        of_realism = {
            "--realism-pairs": self.realism_pairs != _REALISM_PAIRS,
            "--renderer": self.renderer != "head",
            "--renderer-weights": self.renderer_weights is not None,
            "--portrait": self.portrait is not None,
        }
        for flag, given in of_realism.items():
            if given and self.i3d is None:
                raise UserError(f"{flag} is for FRRea, which needs --i3d; give a converted I3D, or leave {flag} out")
        check_options(
            self.renderer, portrait=self.portrait, renderer_weights=self.renderer_weights, faceverse=self.faceverse
        )

    def _check_runs(self) -> None:
        if self.wav2vec2 is not None and not self.table:
            raise UserError("--wav2vec2 goes with --methods; leave it out")
        if self.converted is not None and (self.step is not None or not self.average):
            raise UserError("--step and --no-average are for a training's checkpoints; with --converted leave them out")
        if self.methods and self.out is None:
            raise UserError("--out is missing; --methods needs a folder for the report")
        for name in _OF_ARRAYS:
            if getattr(self, name) is not None:
                raise UserError(f"--{name.replace('_', '-')} goes with --predictions; give those, or leave it out")

    def _check_predictions(self) -> None:
        if self.wav2vec2 is not None:
            raise UserError("--wav2vec2 goes with --methods; with --predictions leave it out")
        if self.step is not None or not self.average:
            raise UserError("--step and --no-average go with runs; with --predictions leave them out")
        if self.ceilings:
            raise UserError("--ceilings goes with --checkpoint, --converted or --methods; leave it out")
        if self.truth is not None and self.clip_ids is None:
            raise UserError("--truth needs --clip-ids; give the paths of the made conversations' speakers")
        if self.window is not None and self.window < 1:
            raise UserError(f"--window {self.window} is below 1; give a model's frames, such as 16")
        if self.data is not None or self.split is not None:
            raise UserError("--data and --split go with --checkpoint, --converted or --methods; leave them out")
        for name in ("speaker", "listener", "out"):
            if getattr(self, name) is None:
                raise UserError(f"--{name} is missing; --predictions needs --speaker, --listener and --out")
