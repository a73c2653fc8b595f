"""Every field of a configuration has its range, and what lies outside is refused with the field's name."""

import dataclasses
import math
import subprocess
import sys
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest

from reactface_jax.config import Config
from reactface_jax.config.ranges import Range
from reactface_jax.errors import UserError
from reactface_jax.methods.listener.config import ListenerConfig
from reactface_jax.rendering.portrait.config import RendererConfig

# fmt: off
AT_LEAST_1 = (
    "model.feature_dim", "model.window", "model.period", "model.num_heads", "model.interaction_layers",
    "model.block", "model.max_context", "model.video_grid", "model.audio.hidden_size", "model.audio.num_layers",
    "model.audio.num_heads", "model.audio.intermediate_size", "model.audio.conv_dim",
    "model.audio.num_conv_pos_embeddings", "model.audio.num_conv_pos_groups", "model.audio.mask_time_length",
    "data.max_neighbours", "train.steps", "train.batch_size", "train.num_reactions",
    "train.accumulate", "train.window", "train.log_every", "train.checkpoint_every",
    "train.keep_checkpoints", "eval.num_reactions", "eval.batch_size", "hosts.timeout",
)
AT_LEAST_0 = (
    "model.video_chunk", "model.bias_period", "model.max_position", "optimizer.warmup_steps", "train.eval_clips",
    "train.patience", "train.eval_every", "train.video_warmup",
    "hosts.count", "loss.reconstruction", "loss.pose", "loss.kl", "loss.diversity", "loss.smooth", "loss.speaker",
    "optimizer.weight_decay", "optimizer.clip_norm", "train.seed", "eval.seed", "model.momentum", "model.dropout",
    "optimizer.b1", "optimizer.b2", "train.ema", "model.audio.hidden_dropout", "model.audio.attention_dropout",
    "model.audio.activation_dropout", "model.audio.feature_dropout", "model.audio.layer_dropout",
    "model.audio.mask_time_prob",
)
BELOW_1 = (
    "model.momentum", "model.dropout", "optimizer.b1", "optimizer.b2", "train.ema", "model.audio.hidden_dropout",
    "model.audio.attention_dropout", "model.audio.activation_dropout", "model.audio.feature_dropout",
)
ROWS = {
    (-1, "at least 0"): (
        "belfusion.decoded", "belfusion.kl", "belfusion.latent", "belfusion.weight_decay", "lfi.mismatched_weight",
        "lfi.noise", "ng.kept_draws", "ng.weight_decay", "trans_vae.diversity", "trans_vae.kl", "trans_vae.pose",
        "trans_vae.video_chunk", "trans_vae.weight_decay", "zhou.weight_decay",
    ),
    (0, "at least 1"): (
        "belfusion.denoiser_layers", "belfusion.denoiser_width", "belfusion.diffusion_steps", "belfusion.draws",
        "belfusion.mlp_width", "belfusion.statistics_batches", "belfusion.time_width", "belfusion.vae_steps",
        "belfusion.width", "belfusion.window", "lfi.channels", "lfi.condition_width", "lfi.decay_steps",
        "lfi.face_width", "lfi.face_window", "lfi.flow_steps", "lfi.hidden_width", "lfi.history", "lfi.speech_width",
        "lfi.speech_window", "lfi.statistics_batches", "lfi.window", "ng.channels", "ng.feed_forward", "ng.num_codes",
        "ng.num_heads", "ng.num_layers", "ng.predictor_feed_forward", "ng.predictor_heads", "ng.predictor_layers",
        "ng.speaker_layers", "ng.speaker_width", "ng.statistics_batches", "ng.token_width", "ng.vqvae_steps",
        "ng.warmup_steps", "ng.width", "trans_ae.num_layers", "trans_vae.eval_window", "trans_vae.feature_dim",
        "trans_vae.window", "zhou.audio_features", "zhou.channels", "zhou.epoch_steps", "zhou.halving",
        "zhou.input_width", "zhou.statistics_batches", "zhou.width",
    ),
    (0.0, "above 0"): (
        "belfusion.denoiser_rate", "belfusion.vae_rate", "lfi.clip_norm", "lfi.learning_rate", "ng.predictor_rate",
        "ng.temperature", "ng.vqvae_rate", "trans_vae.learning_rate", "zhou.learning_rate",
    ),
    (1.0, "at least 0 and below 1"): (
        "lfi.b1", "lfi.b2", "lfi.decay", "lfi.face_dropout", "lfi.speech_dropout", "zhou.b1", "zhou.b2", "zhou.dropout",
    ),
    (1.01, "at least 0 and at most 1"): (
        "lfi.mismatched_rate", "ng.nucleus",
    ),
    (2, "at least 3"): (
        "zhou.shortest", "zhou.window",
    ),
}
"""Fields of the methods that ReactFace is compared with: a value outside the range, and the range."""
# fmt: on
Row = tuple[str, int | float, str]
TABLE: list[Row] = [
    *((name, 0, "at least 1") for name in AT_LEAST_1),
    *((name, -1, "at least 0") for name in AT_LEAST_0),
    *((name, 1.0, "at least 0 and below 1") for name in BELOW_1),
    *((f"model.audio.{name}", 1.01, "at least 0 and at most 1") for name in ("mask_time_prob", "layer_dropout")),
    ("optimizer.learning_rate", 0.0, "above 0"),
    ("model.video_gain", -2.0, "above 0"),
    ("data.image_size", -1, "at least 0"),
    ("data.image_size", 0, "positive, or 0 with model.use_video False"),
    ("data.clip_frames", 2, "at least 3"),
    ("data.eval_frames", -8, "at least 3"),
    ("train.seed", 2**70, "at least 0 and at most 4.29497e"),
    *((f"mesh.{axis}", size, "at least 1, or -1") for axis in ("data", "fsdp", "model") for size in (0, -2)),
    ("hosts.index", -2, "at least -1"),
    ("hosts.index", 3, "below hosts.count 1"),
    *((name, value, range_of_it) for (value, range_of_it), names in ROWS.items() for name in names),
]
RENDERER: list[Row] = [
    *((f"train.{name}", 0, "at least 1") for name in ("steps", "clips", "frames", "log_every", "eval_every")),
    *((f"train.{name}", -1, "at least 0") for name in ("warp", "pixels", "perceptual", "style", "seed", "warp_steps")),
    ("train.learning_rate", math.nan, "above 0"),
    *(("train.narrower", value, message) for value, message in ((0, "at least 1"), (3, "1, 2, 4, 8 or 16"))),
    ("data.image_size", 0, "at least 1"),
    ("data.clip_frames", -27, "at least 27"),
    ("data.eval_clips", 0, "at least 1"),
]

LISTENER: list[Row] = [
    ("model.chunk", 9, "at least 1 and at most 8"),
    *(
        (f"model.{name}", 0, "at least 1")
        for name in ("components", "speaker_width", "own_width", "style_width", "head_width", "head_blocks")
    ),
    *((f"model.{name}", 0, "at least 1") for name in ("mixtures", "num_styles")),
    *((f"train.{name}", 0, "at least 1") for name in ("steps", "batch_size", "cycles", "draws")),
    *(
        (f"train.{name}", -1, "at least 0")
        for name in ("warmup_steps", "weight_decay", "past_noise", "change_weight", "seed")
    ),
    *((f"train.{name}", 1.01, "at least 0 and at most 1") for name in ("drop_speaker", "drop_sound")),
    ("train.learning_rate", 0.0, "above 0"),
    ("train.average", 1.0, "at least 0 and below 1"),
    *((f"data.{name}", 0, "at least 1") for name in ("neighbours", "scripts", "workers")),
    ("data.seconds", 0.0, "above 0"),
    ("data.seed", -1, "at least 0"),
]


def changed(config: Any, name: str, value: object) -> Any:
    """The configuration with another value in one field."""
    part, _, rest = name.partition(".")
    return dataclasses.replace(config, **{part: changed(getattr(config, part), rest, value) if rest else value})


def fields(part: Any, prefix: str = "") -> list[str]:
    """Dotted names of all fields."""
    values = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
    inside = [
        fields(v, f"{prefix}{n}.") if dataclasses.is_dataclass(v) else [f"{prefix}{n}"] for n, v in values.items()
    ]
    return [name for names in inside for name in names]


def numbers(kind: type[Any], prefix: str = "") -> dict[str, Any]:
    """The hints of all fields that are numbers."""
    found: dict[str, Any] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if dataclasses.is_dataclass(hint):
            found |= numbers(hint, f"{prefix}{name}.")  # type: ignore[arg-type]
        elif (get_args(hint)[0] if get_origin(hint) is Annotated else hint) in (int, float):
            found[f"{prefix}{name}"] = hint
    return found


@pytest.mark.parametrize(("kind", "table"), [(Config, TABLE), (RendererConfig, RENDERER), (ListenerConfig, LISTENER)])
def test_what_lies_outside_a_range_is_refused(kind: type[Any], table: list[Row]) -> None:
    hints = numbers(kind)
    assert {name for name, hint in hints.items() if get_origin(hint) is not Annotated} == set()
    assert {name for name, _, _ in table} == hints.keys()  # none is missing
    config = kind()
    if kind is Config:
        config = changed(config, "hosts.count", 1)
    for name, value, range_of_it in table:
        value = float(value) if get_args(hints[name])[:1] == (float,) else value
        with pytest.raises(UserError, match=rf"^{name} {value} must be {range_of_it}"):
            changed(config, name, value)


def test_numbers_are_finite() -> None:
    for name, hint in numbers(Config).items():
        for value in (math.nan, math.inf, -math.inf) if get_args(hint)[0] is float else ():
            with pytest.raises(UserError, match=rf"^{name} {value} must be"):
                changed(Config(), name, value)


def test_the_bounds_themselves_are_taken() -> None:
    for name, value in {"train.ema": 0.0, "train.log_every": 1, "train.seed": 2**32 - 1, "mesh.fsdp": 1}.items():
        changed(Config(), name, value)


OTHER_TYPES = """
import functools
from unit.test_config_ranges import Config, UserError, changed
from unit.test_config_ranges import fields
for name in fields(Config()):
    *parts, last = name.split(".")
    is_flag = isinstance(getattr(functools.reduce(getattr, parts, Config()), last), bool)
    for value in ({"a": 1}, 0 if is_flag else True):
        try:
            changed(Config(), name, value)
        except UserError as error:
            assert str(error).startswith(f"{name} {value!r} must be"), error
        else:
            raise AssertionError(name)
"""


def test_values_of_another_type_are_refused(request: pytest.FixtureRequest) -> None:
    """In a process of its own, without the tests' checks of types."""
    subprocess.run([sys.executable, "-c", OTHER_TYPES], check=True, cwd=request.path.parents[1], timeout=600)


def test_what_a_range_says_of_itself() -> None:
    assert str(Range(least=0, below=1)) == "at least 0 and below 1"
    assert str(Range(least=1, besides=(-1,))) == "at least 1, or -1"
    assert str(Range()) == "a finite number"
    assert 0 in Range(least=0)
    assert math.inf not in Range(least=0)
    assert -1 in Range(least=1, besides=(-1,))
    assert 0 not in Range(above=0)
