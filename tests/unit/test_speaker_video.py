"""Video and sound in another unit or shape are refused before anything is computed, and so is no key."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_model import CONFIG

import reactface_jax as rf
from reactface_jax.errors import UserError
from reactface_jax.online.speaker_sound import check_audio
from reactface_jax.online.speaker_video import check_video

VIDEO = np.random.default_rng(0).uniform(-1, 1, (1, 4, 16, 16, 3)).astype(np.float32)
AUDIO = np.zeros((1, 640 * 4), np.float32)


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (np.uint8(127.5 * (VIDEO + 1)), r"video is uint8, but the model takes floating-point frames in \[-1, 1\]"),
        (jnp.int32(127.5 * (VIDEO + 1)), r"video is int32, .* give video / 127.5 - 1"),
        (127.5 * (VIDEO + 1), r"video goes up to 25\d(\.\d)?, but the model takes frames in \[-1, 1\]; give video /"),
        (jnp.bfloat16(127.5 * (VIDEO + 1)), r"video goes up to 25\d, but the model takes frames in"),
        (np.where(VIDEO > 0.9, np.float32(np.nan), VIDEO), "video has NaN or infinite values"),
    ],
)
def test_generate_and_step_refuse_it(video, message) -> None:
    model = rf.build_model(dataclasses.replace(CONFIG, causal=True, block=2, max_context=12))
    state = rf.stream.start(model, {}, image_size=16)
    with pytest.raises(UserError, match=message):
        rf.generate(model, {}, video, AUDIO, protocol="clip", key=jax.random.key(0))
    with pytest.raises(UserError, match=message):
        rf.stream.step(model, {}, state, video, AUDIO, key=jax.random.key(0))


def test_what_fits_passes_and_jit_looks_at_the_type_only() -> None:
    check_video(VIDEO)
    check_video(jnp.asarray(VIDEO, jnp.bfloat16))
    jax.jit(check_video)(200 * VIDEO)
    with pytest.raises(UserError, match="video is uint8"):
        jax.jit(check_video)(np.zeros((1, 1, 8, 8, 3), np.uint8))


CAUSAL = dataclasses.replace(CONFIG, causal=True, block=2, max_context=12)
DEAF = np.where(np.arange(640 * 4) == 7, np.float32(np.nan), AUDIO)
KEYS = jax.random.split(jax.random.key(0), 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"video": VIDEO[0]}, r"video has shape \(4, 16, 16, 3\), .* add the batch's axis, video\[None\]"),
        (
            {"video": rf.Inputs(video=VIDEO)},
            r"video is of type Inputs; give an array \[B, T, H, W, 3\] of NumPy or JAX",
        ),
        ({"video": VIDEO.tolist()}, r"video is of type list; give an array \[B, T, H, W, 3\]"),
        ({"audio": AUDIO.tolist()}, r"audio is of type list; give an array \[B, L\]"),
        ({"video": VIDEO[..., :1]}, r"video has shape .*, but the model takes \[B, T, H, W, 3\]$"),
        ({"audio": DEAF}, "audio has NaN or infinite values; give 0 where nothing is known"),
        ({"audio": jnp.full(AUDIO.shape, jnp.inf)}, "audio has NaN or infinite values"),
        ({"key": 0}, r"key is 0; give one key, such as jax.random.key\(0\)"),
        ({"key": KEYS}, r"key is of shape \(2,\); give one key"),
    ],
)
@pytest.mark.usefixtures("as_users_call")
def test_generate_and_step_refuse_what_is_no_clip(changes, message) -> None:
    model = rf.build_model(CAUSAL)
    given = {"video": VIDEO, "audio": AUDIO, "key": jax.random.key(0)} | changes
    with pytest.raises(UserError, match=message):
        rf.generate(model, {}, **given)
    with pytest.raises(UserError, match=message):
        rf.stream.step(model, {}, rf.stream.start(model, {}, image_size=16), **given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"video": VIDEO[:0], "audio": AUDIO[:0]}, "video holds no clip; give at least one"),
        ({"audio": AUDIO[0]}, r"audio has shape \(2560,\), .* with B = 1; add the batch's axis, audio\[None\]"),
        ({"audio": np.tile(AUDIO, (2, 1))}, r"audio has shape \(2, 2560\), but these clips need \[B, L\] with B = 1$"),
        ({"num_reactions": 0}, "num_reactions is 0; give a whole number from 1 on"),
        ({"num_reactions": -1}, "num_reactions is -1; give"),
        ({"num_reactions": 1.5}, "num_reactions is 1.5; give a whole number"),
    ],
)
@pytest.mark.usefixtures("as_users_call")
def test_generate_refuses_other_batches_and_no_reactions(changes, message) -> None:
    given = {"video": VIDEO, "audio": AUDIO, "key": jax.random.key(0)} | changes
    with pytest.raises(UserError, match=message):
        rf.generate(rf.build_model(CONFIG), {}, **given)


def test_a_stream_has_conversations_and_reactions() -> None:
    model = rf.build_model(CAUSAL)
    for name in ("num_reactions", "batch_size"):
        with pytest.raises(UserError, match=f"{name} is 0; give a whole number from 1 on"):
            rf.stream.start(model, {}, **{name: 0})


def test_sound_that_fits_passes_and_jit_looks_at_the_shape_only() -> None:
    check_audio(AUDIO, 1)
    check_audio(jnp.asarray(AUDIO, jnp.bfloat16), 1)
    jax.jit(check_audio, static_argnums=1)(DEAF, 1)
    with pytest.raises(UserError, match="with B = 2"):
        jax.jit(check_audio, static_argnums=1)(AUDIO, 2)


@pytest.mark.usefixtures("as_users_call")
def test_a_model_is_built_from_the_models_part() -> None:
    config = rf.load_config("tiny")
    with pytest.raises(UserError, match=r"build_model takes a ModelConfig, got a Config; give config\.model"):
        rf.build_model(config)
    assert rf.build_model(config.model).config == config.model
