"""The fields of an experiment's configuration: frozen dataclasses, a comment and a range a field.

A value outside its range and contradictions are refused as soon as a configuration is made.
"""

import re
from dataclasses import dataclass, field, fields
from typing import Annotated, Literal, get_args

from reactface_jax.config.belfusion import BelfusionConfig
from reactface_jax.config.lfi import LfiConfig
from reactface_jax.config.ng import NgConfig
from reactface_jax.config.ranges import (
    Count,
    CountOrNone,
    Frames,
    Positive,
    Probability,
    Range,
    Section,
    Seed,
    Share,
    Size,
    Weight,
    require,
)
from reactface_jax.config.trans_ae import TransAeConfig
from reactface_jax.config.trans_vae import TransVaeConfig
from reactface_jax.config.zhou import ZhouConfig
from reactface_jax.errors import UserError


@dataclass(frozen=True)
class AudioConfig(Section, name="model.audio"):
    """Sizes and regularisation of the wav2vec 2.0 encoder; the defaults are wav2vec2-base-960h."""

    hidden_size: Count = 768
    num_layers: Count = 12
    num_heads: Count = 12
    intermediate_size: Count = 3072
    conv_dim: Count = 512  # channels of all seven convolutions
    num_conv_pos_embeddings: Count = 128  # kernel of the positional convolution
    num_conv_pos_groups: Count = 16
    hidden_dropout: Share = 0.1
    attention_dropout: Share = 0.1
    activation_dropout: Share = 0.1
    feature_dropout: Share = 0.0  # after the feature projection
    layer_dropout: Probability = 0.1  # probability of skipping a whole layer ("layerdrop")
    mask_time_prob: Probability = 0.05  # SpecAugment: share of frames covered by masked spans; 0 turns it off
    mask_time_length: Count = 10
    freeze_feature_extractor: bool = True  # no gradient into the seven convolutions

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.hidden_size % self.num_heads == 0,
            f"model.audio.hidden_size {self.hidden_size} must be a multiple of model.audio.num_heads {self.num_heads}",
        )
        require(
            self.hidden_size % self.num_conv_pos_groups == 0,
            f"model.audio.hidden_size {self.hidden_size} must be a multiple of "
            f"model.audio.num_conv_pos_groups {self.num_conv_pos_groups}",
        )


@dataclass(frozen=True)
class ModelConfig(Section, name="model"):
    """ReactFace. The defaults are the authors' public code; configs/paper.py has the paper's text."""

    feature_dim: Count = 128  # D
    window: Count = 8  # w: frames generated at once; 320 ms
    period: Count = 8  # p: of the periodic positions and, unless bias_period says otherwise, of the biases
    bias_period: CountOrNone = 0  # frames in a unit of the temporal and alignment biases; 0: as period, as published
    momentum: Share = 0.9  # share of the previous window's z; 0 turns it off
    num_heads: Count = 8  # of every decoder layer; the interaction encoder has 4
    interaction_layers: Count = 2  # transformer encoder layers of the CIE (paper: 3)
    sync_order: Literal["speech_first", "face_first"] = "speech_first"  # SLBS: MIM then VIM, or the paper's order
    sync_memory: Literal["window", "previous"] = "window"  # SLBS sees the speaker's window, or the one before it, too
    alignment: Literal["reference", "strict", "point_to_point"] = "reference"  # which speech a listener frame sees
    face_alignment: Literal["reference", "point_to_point"] = "reference"  # the same of the speaker's motion, in VIM
    latent_alignment: Literal["reference", "point_to_point"] = "reference"  # and of the window's latents, in LRD
    memory: Literal["all", "past"] = "all"  # frames that attention to the speaker's face sees; causal: the past
    past: Literal["all", "window"] = "all"  # past reactions that the CIE sees in the clip protocol
    causal: bool = False  # every encoder a function of the past only: streams in constant time (docs/streaming.md)
    block: Count = 8  # frames that wav2vec 2.0 reads at once in a causal model; a window is whole blocks
    max_position: CountOrNone = 0  # a causal model's training clips begin at frames drawn up to this one; 0: at 0
    max_context: Count = 750  # frames that attention of a causal model reaches back, its own among them; 30 s
    use_audio: bool = True
    use_video: bool = True
    use_vim: bool = True  # video interaction of the SLBS: attention to the speaker's motion
    use_mim: bool = True  # speech interaction of the SLBS: attention to the speaker's speech
    video_grid: Count = 28  # height and width to which F-Enc resizes its maps after conv2; 28 fits frames of 224
    video_gain: Positive = 1.0  # initial gain of F-Enc's last layer; a short training from scratch wants it larger
    dropout: Share = 0.1
    dtype: Literal["float32", "bfloat16"] = "float32"  # of computation; parameters are float32
    precision: Literal["auto", "default", "highest"] = "auto"  # of products; auto: highest, the backend's in training
    video_start: Literal["first_frame", "zeros"] = "first_frame"  # what a causal F-Enc sees before the first frame
    video_chunk: CountOrNone = 0  # frames F-Enc's convolutions take at once, computed again in training; 0: all, kept
    remat: Literal["none", "dots", "layers"] = "none"  # what training computes again to save memory: docs/training.md
    audio: AudioConfig = field(default_factory=AudioConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.feature_dim % 4 == 0 and self.feature_dim % self.num_heads == 0,
            f"model.feature_dim {self.feature_dim} must be a multiple of 4 and of model.num_heads {self.num_heads}",
        )
        self.check_window("model.window", self.window)
        require(
            self.max_position == 0 or (self.causal and self.past == "all"),
            "model.max_position is for a causal model that sees its whole past; leave it 0, or add --model.causal",
        )
        require(
            self.sync_memory == "window" or {self.alignment, self.face_alignment} != {"point_to_point"},
            "model.sync_memory previous shows nothing where model.alignment and model.face_alignment are both "
            "point_to_point; give one reference",
        )
        require(self.use_audio or self.use_video, "model.use_audio and model.use_video can't both be off")

    @property
    def bias_unit(self) -> int:
        """Frames in a unit of the temporal and alignment biases."""
        return self.bias_period or self.period

    def check_window(self, name: str, window: int) -> None:
        """Raises `UserError` unless this model can react in windows of so many frames; `name` is the field's."""
        unit, frames = ("block", self.block) if self.causal else ("period", self.period)
        require(window % frames == 0, f"{name} {window} must be a multiple of model.{unit} {frames}")


@dataclass(frozen=True)
class DataConfig(Section, name="data"):
    """What is read, and how much of a clip."""

    dir: str = ""  # the shard set that `reactface prepare shards` wrote
    image_size: CountOrNone = 224  # the frames' centre crop of 7/8, resized to this if different; 0: no pictures
    clip_frames: Frames = 256  # random crop of a training clip
    eval_frames: Frames = 750  # frames of a whole clip; longer ones are cut
    max_neighbours: Count = 80  # appropriate reactions that a clip's loss compares with


@dataclass(frozen=True)
class LossConfig(Section, name="loss"):
    """Weights of the five losses; 0 leaves one out."""

    target: Literal["appropriate", "paired"] = "appropriate"  # the nearest appropriate reaction, or the own listener's
    # apart: the appropriate expression and the appropriate pose nearest to the first reaction's, as published;
    # together: one reaction for both; reaction: for each appropriate one the nearest of train.num_reactions.
    nearest: Literal["apart", "together", "reaction"] = "apart"
    # What the diversity loss, and the search of nearest reaction, compare: reaction: whole ones; course: each without
    # its mean over the clip, so that a constant makes no difference.
    diversity_of: Literal["reaction", "course"] = "reaction"
    reconstruction: Weight = 1.0  # weight of the distance to appropriate reactions
    pose: Weight = 10.0  # of rotation and translation within the reconstruction
    kl: Weight = 1e-5  # weight of the latents' divergence from N(0, 1)
    diversity: Weight = 100.0  # weight of the likeness between a clip's reactions
    smooth: Weight = 10.0  # weight of changes of the reaction's velocity
    speaker: Weight = 1.0  # weight of the error in the speaker's own coefficients


@dataclass(frozen=True)
class OptimizerConfig(Section, name="optimizer"):
    """AdamW."""

    learning_rate: Positive = 2e-5
    b1: Share = 0.9
    b2: Share = 0.999
    weight_decay: Weight = 5e-4
    decayed: str = ".*"  # regular expression of the parameter paths that weight decay pulls at; `kernel$`: no biases
    frozen: str = ""  # regular expression of parameter paths that stay as they are, besides the feature extractor's
    warmup_steps: CountOrNone = 0
    schedule: Literal["constant", "cosine"] = "constant"  # after the warm-up, over train.steps
    clip_norm: Weight = 0.0  # of the global gradient; 0 turns it off

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, pattern in {"decayed": self.decayed, "frozen": self.frozen}.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise UserError(f"optimizer.{name} {pattern!r} is no regular expression: {error}") from error


@dataclass(frozen=True)
class TrainConfig(Section, name="train"):
    """One training run."""

    steps: Count = 65_800  # 200 epochs of train.csv's 2634 rows at batch 8
    batch_size: Count = 8
    num_reactions: Count = 3
    accumulate: Count = 1  # parts into which a batch is cut; their gradients are averaged, for a part's memory
    window: Count = 64  # w in training; parameters do not depend on it
    ema: Share = 0.0  # decay of the parameters' moving average, which validation and use then take; 0: none
    seed: Seed = 0
    log_every: Count = 20
    eval_every: CountOrNone = 1000  # steps between validations, of which one comes at the end; 0: none
    eval_clips: CountOrNone = 32  # validation clips that are answered, by the protocol of `eval`; 0: all
    patience: CountOrNone = 0  # validations without a better FRCorr after which the run ends; 0: never
    checkpoint_every: Count = 1000
    keep_checkpoints: Count = 3
    pretrained_audio: str = ""  # folder that `reactface convert wav2vec2` wrote
    video_warmup: CountOrNone = 0  # steps before the first in which F-Enc by itself learns the speaker's coefficients
    profile_steps: str = ""  # FIRST:LAST, steps that JAX's profiler watches, such as 10:15; "": none

    def __post_init__(self) -> None:
        super().__post_init__()
        window = re.fullmatch(r"([1-9]\d*):([1-9]\d*)", self.profile_steps)
        require(
            not self.profile_steps or (window is not None and int(window[1]) <= int(window[2])),
            f"train.profile_steps {self.profile_steps!r} must be FIRST:LAST, such as 10:15",
        )
        require(
            self.batch_size % self.accumulate == 0,
            f"train.batch_size {self.batch_size} must be a multiple of train.accumulate {self.accumulate}",
        )
        require(
            self.eval_every > 0 or not self.patience,
            f"train.patience {self.patience} counts validations, and train.eval_every 0 makes none; change one",
        )


@dataclass(frozen=True)
class MeshConfig(Section, name="mesh"):
    """How the devices are arranged; their product is the number of devices. docs/scaling.md says when to use which."""

    data: Size = -1  # whole parameters on each, clips distributed; -1 on one of the three axes: all devices left
    fsdp: Size = 1  # clips distributed, parameters and optimiser state split
    model: Size = 1  # wav2vec 2.0's heads and hidden units split, the same clips on each

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            (self.data, self.fsdp, self.model).count(-1) <= 1,
            "only one of mesh.data, mesh.fsdp and mesh.model can be -1",
        )


@dataclass(frozen=True)
class HostsConfig(Section, name="hosts"):
    """The processes of a job on several hosts; the defaults ask the environment (docs/scaling.md)."""

    count: CountOrNone = 0  # processes; 0: what JAX_NUM_PROCESSES, SLURM, Open MPI or a TPU pod slice say, else 1
    index: Annotated[int, Range(least=-1)] = -1  # this process's number, from 0; -1: what the environment says
    coordinator: str = ""  # HOST:PORT of process 0; "": what JAX_COORDINATOR_ADDRESS or the cluster says
    timeout: Count = 60  # seconds without a sign of life after which a process counts as dead, and the job ends

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.count == 0 or self.index < self.count,
            f"hosts.index {self.index} must be below hosts.count {self.count}",
        )


@dataclass(frozen=True)
class EvalConfig(Section, name="eval"):
    """What is evaluated, and how reactions are generated for it."""

    split: Literal["train", "val", "test"] = "test"
    protocol: Literal["clip", "prefix", "window", "stream"] = "prefix"  # a causal model streams instead of prefix
    num_reactions: Count = 10
    batch_size: Count = 4
    seed: Seed = 0


_SMALLEST = 8
"""Height and width of frames, of which convolutions with strides leave something."""
MethodName = Literal["reactface", "trans-ae", "lfi", "ng", "zhou", "trans-vae", "belfusion"]


@dataclass(frozen=True)
class Config:
    """An experiment."""

    method: MethodName = "reactface"  # what is trained; configs/methods/ holds the others, with their steps and crops
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    trans_ae: TransAeConfig = field(default_factory=TransAeConfig)
    lfi: LfiConfig = field(default_factory=LfiConfig)
    zhou: ZhouConfig = field(default_factory=ZhouConfig)
    ng: NgConfig = field(default_factory=NgConfig)
    trans_vae: TransVaeConfig = field(default_factory=TransVaeConfig)
    belfusion: BelfusionConfig = field(default_factory=BelfusionConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    hosts: HostsConfig = field(default_factory=HostsConfig)

    @property
    def num_neighbours(self) -> int:
        """Appropriate reactions that are read for each training clip; 1 where the loss sees the own listener only."""
        compares = self.method == "reactface" and self.loss.target == "appropriate"
        return self.data.max_neighbours if compares else 1

    @property
    def uses_optimizer(self) -> bool:
        """Whether the method is trained as `optimizer` says; the others' sections have rates of their own."""
        return self.method in ("reactface", "trans-ae")

    @property
    def steps_shape_rate(self) -> bool:
        """Whether `train.steps` shapes the learning rate, so that a run of fewer steps can't go on to more."""
        return self.uses_optimizer and self.optimizer.schedule == "cosine"

    @property
    def rates(self) -> tuple[str, ...]:
        """The fields that are the method's learning rates, such as "optimizer.learning_rate"."""
        name = "optimizer" if self.uses_optimizer else self.method.replace("-", "_")
        return tuple(
            f"{name}.{each.name}"
            for each in fields(getattr(self, name))
            if each.name.endswith("rate") and each.type is Positive
        )

    def __post_init__(self) -> None:
        methods, size = get_args(MethodName), self.data.image_size
        require(self.method in methods, f"method {self.method!r} must be one of {', '.join(methods)}")
        require(
            self.method != "trans-vae" or size >= _SMALLEST,
            f"data.image_size {size} must be at least {_SMALLEST} for trans-vae, which sees pictures",
        )
        if not self.uses_optimizer:
            return  # the others have no model section to fit
        self.model.check_window("train.window", self.train.window)
        require(
            self.method != "reactface" or self.loss.nearest != "reaction" or self.train.num_reactions > 1,
            f"loss.nearest reaction needs several reactions to choose from, and train.num_reactions is "
            f"{self.train.num_reactions}; give 2 or more",
        )
        require(
            size > 0 or not self.model.use_video,
            f"data.image_size {size} must be positive, or 0 with model.use_video False",
        )
        require(
            size >= _SMALLEST or not self.model.use_video,
            f"data.image_size {size} must be at least {_SMALLEST}, for the strides of F-Enc",
        )
