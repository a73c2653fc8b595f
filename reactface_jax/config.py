"""The configuration of an experiment: frozen dataclasses, a comment a field, contradictions refused at once.

A file in configs/ defines `config = Config(...)`; `load_config` reads it and applies command-line overrides.
"""

import dataclasses
import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

from reactface_jax import arguments
from reactface_jax.config_files import read_config_file
from reactface_jax.errors import UserError

C = TypeVar("C")
FIELD = "field of the configuration"


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)


@dataclass(frozen=True)
class AudioConfig:
    """Sizes and regularisation of the wav2vec 2.0 encoder; the defaults are wav2vec2-base-960h."""

    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    intermediate_size: int = 3072
    conv_dim: int = 512  # channels of all seven convolutions
    num_conv_pos_embeddings: int = 128  # kernel of the positional convolution
    num_conv_pos_groups: int = 16
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.1
    feature_dropout: float = 0.0  # after the feature projection
    layer_dropout: float = 0.1  # probability of skipping a whole layer ("layerdrop")
    mask_time_prob: float = 0.05  # SpecAugment: share of frames covered by masked spans; 0 turns it off
    mask_time_length: int = 10
    freeze_feature_extractor: bool = True  # no gradient into the seven convolutions

    def __post_init__(self) -> None:
        _require(
            self.hidden_size % self.num_heads == 0,
            f"model.audio.hidden_size {self.hidden_size} must be a multiple of model.audio.num_heads {self.num_heads}",
        )
        _require(
            self.hidden_size % self.num_conv_pos_groups == 0,
            f"model.audio.hidden_size {self.hidden_size} must be a multiple of "
            f"model.audio.num_conv_pos_groups {self.num_conv_pos_groups}",
        )


@dataclass(frozen=True)
class ModelConfig:
    """ReactFace. The defaults are the authors' public code; configs/paper.py has the paper's text."""

    feature_dim: int = 128  # D
    window: int = 8  # w: frames generated at once; 320 ms
    period: int = 8  # p: of the periodic positions and of the temporal bias
    momentum: float = 0.9  # share of the previous window's z; 0 turns it off
    num_heads: int = 8  # of every decoder layer; the interaction encoder has 4
    interaction_layers: int = 2  # transformer encoder layers of the CIE (paper: 3)
    sync_order: Literal["speech_first", "face_first"] = "speech_first"  # SLBS: MIM then VIM, or the paper's order
    alignment: Literal["reference", "strict", "point_to_point"] = "reference"  # which speech a listener frame sees
    past: Literal["all", "window"] = "all"  # past reactions that the CIE sees in the clip protocol
    causal: bool = False  # every encoder a function of the past alone: streams in constant time (docs/streaming.md)
    block: int = 8  # frames that wav2vec 2.0 reads at once in a causal model; a window is whole blocks
    max_context: int = 750  # frames that attention of a causal model reaches back, its own among them; 30 s
    use_audio: bool = True
    use_video: bool = True
    use_vim: bool = True  # video interaction of the SLBS: attention to the speaker's motion
    use_mim: bool = True  # speech interaction of the SLBS: attention to the speaker's speech
    video_grid: int = 28  # height and width to which F-Enc resizes its maps after conv2; 28 fits frames of 224
    video_gain: float = 1.0  # initial gain of F-Enc's last layer; a short training from scratch wants it larger
    dropout: float = 0.1
    dtype: Literal["float32", "bfloat16"] = "float32"  # of computation; parameters are float32
    video_chunk: int = 0  # frames that F-Enc's convolutions take at once, computed again in training; 0: all, kept
    remat: Literal["none", "dots", "layers"] = "none"  # what training computes again to save memory: docs/training.md
    audio: AudioConfig = field(default_factory=AudioConfig)

    def __post_init__(self) -> None:
        _require(
            self.feature_dim % 4 == 0 and self.feature_dim % self.num_heads == 0,
            f"model.feature_dim {self.feature_dim} must be a multiple of 4 and of model.num_heads {self.num_heads}",
        )
        _require(self.window > 0, f"model.window {self.window} must be positive")
        _require(self.block > 0, f"model.block {self.block} must be positive")
        _require(self.video_chunk >= 0, f"model.video_chunk {self.video_chunk} must be positive, or 0")
        _require(self.max_context > 0, f"model.max_context {self.max_context} must be positive")
        self.check_window("model.window", self.window)
        _require(
            not self.causal or (self.video_chunk == 0 and self.remat == "none"),
            "model.video_chunk and model.remat are not for a causal model; use --train.accumulate",
        )
        _require(0 <= self.momentum < 1, f"model.momentum {self.momentum} must be in [0, 1)")
        _require(self.use_audio or self.use_video, "model.use_audio and model.use_video can't both be off")

    def check_window(self, name: str, window: int) -> None:
        """Raises `UserError` unless this model can react in windows of so many frames; `name` is the field's."""
        unit, frames = ("block", self.block) if self.causal else ("period", self.period)
        _require(window % frames == 0, f"{name} {window} must be a multiple of model.{unit} {frames}")


@dataclass(frozen=True)
class DataConfig:
    """What is read, and how much of a clip."""

    dir: str = ""  # the shard set that `python -m data_pipeline.prepare shards` wrote
    image_size: int = 224  # the frames' centre crop of 7/8, resized to this if different from 224; 0: no pictures
    clip_frames: int = 256  # random crop of a training clip
    eval_frames: int = 750  # frames of a whole clip; longer ones are cut
    max_neighbours: int = 80  # appropriate reactions that a clip's loss compares with


@dataclass(frozen=True)
class LossConfig:
    """Weights of the five losses; 0 leaves one out."""

    reconstruction: float = 1.0
    pose: float = 10.0  # of rotation and translation within the reconstruction
    kl: float = 1e-5
    diversity: float = 100.0
    smooth: float = 10.0
    speaker: float = 1.0


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW."""

    learning_rate: float = 2e-5
    b1: float = 0.9
    b2: float = 0.999
    weight_decay: float = 5e-4
    decayed: str = ".*"  # regular expression of the parameter paths that weight decay pulls at; `kernel$`: no biases
    frozen: str = ""  # regular expression of parameter paths that stay as they are, besides the feature extractor's
    warmup_steps: int = 0
    schedule: Literal["constant", "cosine"] = "constant"  # after the warm-up, over train.steps
    clip_norm: float = 0.0  # of the global gradient; 0 turns it off

    def __post_init__(self) -> None:
        for name, pattern in {"decayed": self.decayed, "frozen": self.frozen}.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise UserError(f"optimizer.{name} {pattern!r} is no regular expression: {error}") from error


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    steps: int = 65_800  # 200 epochs of 2634 clips at batch 8
    batch_size: int = 8
    num_reactions: int = 3
    accumulate: int = 1  # parts into which a batch is cut; their gradients are averaged, for a part's memory
    window: int = 64  # w in training; parameters do not depend on it
    ema: float = 0.0  # decay of the parameters' moving average, which validation and use then take; 0: none
    seed: int = 0
    log_every: int = 20
    eval_every: int = 1000
    eval_clips: int = 32  # validation clips that are answered, by the protocol of `eval`; 0: all
    patience: int = 0  # validations without a better FRCorr after which the run ends; 0: never
    checkpoint_every: int = 1000
    keep_checkpoints: int = 3
    pretrained_audio: str = ""  # folder that `python -m reactface_jax.convert wav2vec2` wrote

    def __post_init__(self) -> None:
        _require(self.steps > 0, f"train.steps {self.steps} must be positive")
        _require(self.batch_size > 0, f"train.batch_size {self.batch_size} must be positive")
        _require(
            self.accumulate > 0 and self.batch_size % self.accumulate == 0,
            f"train.batch_size {self.batch_size} must be a multiple of train.accumulate {self.accumulate}",
        )
        _require(0 <= self.ema < 1, f"train.ema {self.ema} must be in [0, 1)")


@dataclass(frozen=True)
class MeshConfig:
    """How the devices are arranged; their product is the number of devices. docs/scaling.md says when to use which."""

    data: int = -1  # whole parameters on each, clips dealt; -1 on one of the three axes: all devices that are left
    fsdp: int = 1  # clips dealt, parameters and optimiser state split
    model: int = 1  # wav2vec 2.0's heads and hidden units split, the same clips on each

    def __post_init__(self) -> None:
        sizes = {"data": self.data, "fsdp": self.fsdp, "model": self.model}
        for name, size in sizes.items():
            _require(
                size > 0 or size == -1, f"mesh.{name} {size} must be positive, or -1 for the devices that are left"
            )
        _require(list(sizes.values()).count(-1) <= 1, "only one of mesh.data, mesh.fsdp and mesh.model can be -1")


@dataclass(frozen=True)
class HostsConfig:
    """The processes of a job on several hosts; the defaults ask the environment (docs/scaling.md)."""

    count: int = 0  # processes; 0: what JAX_NUM_PROCESSES, SLURM, Open MPI or a TPU pod slice say, else this one alone
    index: int = -1  # this process's number, from 0; -1: what the environment says
    coordinator: str = ""  # HOST:PORT of process 0; "": what JAX_COORDINATOR_ADDRESS or the cluster says
    timeout: int = 60  # seconds without a sign of life after which a process counts as dead, and the job ends

    def __post_init__(self) -> None:
        _require(self.count >= 0, f"hosts.count {self.count} must be positive, or 0 to ask the environment")
        _require(self.timeout > 0, f"hosts.timeout {self.timeout} must be positive")


@dataclass(frozen=True)
class EvalConfig:
    """What is evaluated, and how reactions are generated for it."""

    split: Literal["train", "val", "test"] = "test"
    protocol: Literal["clip", "prefix", "window", "stream"] = "prefix"  # a causal model streams instead of prefix
    num_reactions: int = 10
    batch_size: int = 4
    seed: int = 0


@dataclass(frozen=True)
class Config:
    """An experiment."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    hosts: HostsConfig = field(default_factory=HostsConfig)

    def __post_init__(self) -> None:
        self.model.check_window("train.window", self.train.window)
        _require(
            self.data.image_size > 0 or (self.data.image_size == 0 and not self.model.use_video),
            f"data.image_size {self.data.image_size} must be positive, or 0 with model.use_video False",
        )


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a configuration file and applies overrides.

    Args:
      path: a Python file that defines `config = Config(...)`, or the name of one that comes with the package, such as
        `reference`.
      overrides: command-line words, such as `["--model.feature-dim", "64"]`.

    Raises:
      UserError: the file is missing or defines no config, a field is unknown (the nearest name is suggested), or a
        value does not fit.
    """
    config = read_config_file(path)
    if not isinstance(config, Config):
        raise UserError(f"configuration {path} must define `config = Config(...)` of reactface_jax.config")
    return apply_overrides(config, overrides)


def apply_overrides(config: C, overrides: Sequence[str]) -> C:
    """Replaces fields by command-line words. Raises `UserError` for an unknown field or a value that does not fit."""
    see = "`reactface train --help` and reactface_jax/config.py"
    return arguments.parse(type(config), overrides, default=config, what=FIELD, see=see)


def check_names(overrides: Sequence[str], kind: type[Any]) -> None:
    """Raises `UserError` if a command-line word names no field of such a configuration."""
    arguments.check_flags(overrides, arguments.parameters_of(kind), FIELD)


def config_from_json(values: Mapping[str, Any]) -> Config:
    """The configuration that `dataclasses.asdict` made `values` of. Raises `UserError` for a field unknown here."""
    return _dataclass_from(Config, values)


def _dataclass_from(kind: type[Any], values: Mapping[str, Any], prefix: str = "") -> Any:
    hints = get_type_hints(kind)
    for name in values:
        if name not in hints:
            nearest = difflib.get_close_matches(name, hints, n=1, cutoff=0.0)[0]
            raise UserError(
                f"the configuration has the unknown field {prefix}{name} (the nearest here is {prefix}{nearest}); "
                "use the version of reactface_jax that wrote it"
            )
    return kind(
        **{
            name: _dataclass_from(hints[name], value, f"{prefix}{name}.")
            if dataclasses.is_dataclass(hints[name])
            else value
            for name, value in values.items()
        }
    )


def differences(saved: Any, current: Any, prefix: str = "") -> list[str]:
    """Lines such as `model.momentum: 0.9 there, 0.999 here` for the fields in which two configurations differ."""
    lines: list[str] = []
    for part in dataclasses.fields(saved):
        name, there, here = f"{prefix}{part.name}", getattr(saved, part.name), getattr(current, part.name)
        if dataclasses.is_dataclass(there):
            lines += differences(there, here, f"{name}.")
        elif there != here:
            lines.append(f"{name}: {there!r} there, {here!r} here")
    return lines
