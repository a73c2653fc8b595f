"""Products of float32 numbers are exact where parity is promised, whatever a backend's default, and statistics too."""

import dataclasses
import functools
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr
from jax.lax import Precision
from small_model import CONFIG, clip, random_params

from reactface_jax.config import Config, DataConfig, EvalConfig, ModelConfig, TrainConfig
from reactface_jax.media.log_mel import NUM_BANDS
from reactface_jax.methods.frozen_wav2vec2 import frozen_wav2vec2
from reactface_jax.methods.learned import Variables
from reactface_jax.methods.listener import Control
from reactface_jax.methods.pretrained import load_pretrained
from reactface_jax.models import build_model
from reactface_jax.models.causal.reactface import start
from reactface_jax.models.causal.running_statistics import Statistics, accumulate
from reactface_jax.models.precision import described
from reactface_jax.models.video_encoder import ConvolutionAndMoments, instance_norm
from reactface_jax.models.wav2vec2 import Wav2Vec2Encoder
from reactface_jax.online import stream
from reactface_jax.online.generation import react
from reactface_jax.training.dry_run import batch_shapes
from reactface_jax.training.methods import make_objective
from reactface_jax.training.reactface_objective import make_gradient
from reactface_jax.training.sharding import make_mesh
from reactface_jax.weights.params_file import save_params

CAUSAL = dataclasses.replace(CONFIG, causal=True, block=4, max_context=8)


def precisions(jaxpr: Jaxpr) -> Iterator[Any]:
    """Of all products and convolutions, in whatever is nested."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            yield equation.params["precision"]
        for value in jax.tree.leaves(equation.params, is_leaf=lambda x: isinstance(x, (Jaxpr, ClosedJaxpr))):
            if isinstance(value, (Jaxpr, ClosedJaxpr)):
                yield from precisions(value.jaxpr if isinstance(value, ClosedJaxpr) else value)


def of_generation(config: ModelConfig, protocol: str) -> set[Any]:
    model = build_model(config)
    video, audio = clip(2 * config.window)
    noise = np.zeros((1, 1, 2, config.feature_dim), np.float32)
    traced = jax.make_jaxpr(functools.partial(react, model, protocol))(random_params(model), video, audio, noise)
    return set(precisions(traced.jaxpr))


def of_training(config: ModelConfig) -> set[Any]:
    whole = Config(
        model=config, data=DataConfig(image_size=16, clip_frames=8), train=TrainConfig(batch_size=1, window=4)
    )
    model = build_model(config)
    batch = batch_shapes(whole, make_mesh(jax.devices()[:1]))
    gradient = make_gradient(model, whole)
    variables = Variables(random_params(model), {})
    traced = jax.make_jaxpr(gradient)(variables, batch, jax.random.key(0), jnp.zeros((), jnp.int32))
    return set(precisions(traced.jaxpr))


HIGHEST = {(Precision.HIGHEST, Precision.HIGHEST)}


@pytest.mark.parametrize("protocol", ["clip", "prefix", "window"])
def test_reactions_are_exact(protocol: str) -> None:
    assert of_generation(CONFIG, protocol) == HIGHEST


def test_who_asks_for_speed_gets_the_default() -> None:
    assert of_generation(dataclasses.replace(CONFIG, precision="default"), "clip") == {None}


def test_a_stream_is_exact() -> None:
    model = build_model(CAUSAL)
    video, audio = clip(4)
    state = start(CAUSAL, 1, 1, (16, 16))
    step = functools.partial(stream._step.__wrapped__, model)
    traced = jax.make_jaxpr(step)(random_params(model), state, video, audio, np.zeros((1, 1, 1, 16)), None)
    assert set(precisions(traced.jaxpr)) == HIGHEST


@pytest.mark.parametrize("causal", [False, True])
def test_training_rounds_as_the_backend_does_unless_it_must_not(causal: bool) -> None:
    """The gradient's products too, those of operations with a gradient of their own included."""
    config = CAUSAL if causal else CONFIG
    assert of_training(config) == {None}
    assert of_training(dataclasses.replace(config, precision="highest")) == HIGHEST


@pytest.mark.parametrize(
    "method", ["trans-ae", "lfi", "zhou", "trans-vae", "belfusion", pytest.param("ng", marks=pytest.mark.long)]
)
def test_a_rows_validation_is_exact_and_its_training_as_asked(method: Any) -> None:
    for precision in ("auto", "highest"):
        config = row(method, precision)
        objective = make_objective(config)
        variables = jax.eval_shape(objective.init, jax.random.key(0))
        batch = batch_shapes(config, make_mesh(jax.devices()[:1]))
        answered = jax.make_jaxpr(objective.answer)(variables, batch)
        assert set(precisions(answered.jaxpr)) == HIGHEST
        trained = jax.make_jaxpr(objective.gradient)(variables, batch, jax.random.key(0), jnp.zeros((), jnp.int32))
        # Features of speech are exact in any case.
        assert set(precisions(trained.jaxpr)) - {None} <= HIGHEST
        assert (None in set(precisions(trained.jaxpr))) == (precision == "auto")


def row(method: Any, precision: Any) -> Config:
    return Config(
        method=method,
        model=dataclasses.replace(CONFIG, precision=precision),
        data=DataConfig(image_size=16, clip_frames=64, eval_frames=64),
        train=TrainConfig(batch_size=1, window=4),
        eval=EvalConfig(num_reactions=1),
    )


@pytest.mark.parametrize("control", [Control(), Control(temperature=0)], ids=["draws", "the mean"])
def test_the_listener_is_exact(control: Control) -> None:
    listener = dataclasses.replace(load_pretrained("listener"), control=control)
    seen = (np.zeros((1, 5, 58), np.float32), np.zeros((1, 5, NUM_BANDS), np.float32), np.ones(1, np.float32))
    answered = jax.make_jaxpr(listener._run)(listener.start(2), *seen)
    assert set(precisions(answered.jaxpr)) == HIGHEST
    style = jax.make_jaxpr(lambda _: listener.style_of(np.zeros((10, 58), np.float32)))(0.0)
    assert set(precisions(style.jaxpr)) == HIGHEST


def test_frozen_features_of_a_voice_are_exact(tmp_path: Path) -> None:
    audio = CONFIG.audio
    voices = np.zeros((16, 16 * 640), np.float32)
    params = jax.eval_shape(Wav2Vec2Encoder(audio).init, jax.random.key(0), voices)["params"]
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), params)
    save_params(tmp_path / "audio", params, {"audio": dataclasses.asdict(audio)})
    encode = inspect.getclosurevars(inspect.unwrap(frozen_wav2vec2(tmp_path / "audio"))).nonlocals["encode"]
    assert set(precisions(jax.make_jaxpr(encode)(voices).jaxpr)) == HIGHEST


def test_the_log_says_how_training_rounds() -> None:
    assert described(CONFIG, "tpu") == "factors of float32 products rounded to bfloat16, the default of tpu"
    assert described(CONFIG, "gpu") == "factors of float32 products rounded to TF32, the default of gpu"
    assert described(dataclasses.replace(CONFIG, precision="highest"), "gpu") == "float32 products exact"
    assert described(CONFIG, "cpu") == "float32 products exact"


# ---- bfloat16: what stays float32


def test_instance_norm_of_bfloat16_maps_has_float32_statistics() -> None:
    """Maps far from zero: bfloat16 sums of 20,000 values would not even have the mean's second digit."""
    rng = np.random.default_rng(0)
    maps = (100 + rng.standard_normal((1, 5, 64, 64, 2))).astype(jnp.bfloat16)
    params = {"params": {"kernel": jnp.eye(2)[None, None, None]}}
    layer = ConvolutionAndMoments(2, (1, 1, 1), 1, dtype=jnp.bfloat16)
    y, mean, variance = layer.apply(params, jnp.asarray(maps))
    exact = maps.astype(np.float64)
    assert (y.dtype, mean.dtype, variance.dtype) == (jnp.bfloat16, jnp.float32, jnp.float32)
    np.testing.assert_allclose(mean, exact.mean((2, 3)), rtol=1e-6)
    np.testing.assert_allclose(variance, exact.var((2, 3)), rtol=1e-4)
    normed = instance_norm(y, mean, variance)
    over = (1, 2, 3)
    expected = (exact - exact.mean(over, keepdims=True)) / exact.std(over, keepdims=True)
    np.testing.assert_allclose(np.asarray(normed, np.float64), expected, atol=2**-7)


def test_running_statistics_stay_exact_for_13_minutes() -> None:
    """20,000 frames in windows of 8: mean and variance of bfloat16 maps whose mean is 30 times their deviation."""
    rng = np.random.default_rng(1)
    frames, values = 20_000, 16
    x = (30 + rng.standard_normal((frames, values, 3))).astype(jnp.bfloat16).astype(np.float32)
    mean, variance = (part.reshape(-1, 1, 8, 3) for part in (x.mean(1), x.var(1)))

    def step(carry: tuple[Statistics, jax.Array], window: tuple[jax.Array, jax.Array]) -> Any:
        before, count = carry
        running_mean, running_variance, after = accumulate(*window, before, count)
        return (after, count + 8), (running_mean[0], running_variance[0])

    start_at = (Statistics.empty(1, 3), jnp.zeros((1,), jnp.int32))
    _, found = jax.jit(lambda *windows: jax.lax.scan(step, start_at, windows))(mean, variance)
    wide = x.astype(np.float64)
    total = np.arange(1, frames + 1)[:, None]
    first = np.cumsum(wide.mean(1), axis=0) / total
    second = np.cumsum(np.square(wide - 30).mean(1), axis=0) / total - np.square(first - 30)
    np.testing.assert_allclose(np.asarray(found[0]).reshape(frames, 3), first, rtol=2e-6)
    np.testing.assert_allclose(np.asarray(found[1]).reshape(frames, 3), second, rtol=2e-4)
