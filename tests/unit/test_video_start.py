"""What a causal F-Enc sees before a conversation: its first frame, held, so that a still face stays still."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_model import CONFIG

from reactface_jax.config import Config, config_from_json
from reactface_jax.models.causal.ring import Place
from reactface_jax.models.causal.video_encoder import CausalVideoEncoder, Start

FRAMES, SIZE = 12, 32


def encoder(start: Start) -> CausalVideoEncoder:
    return CausalVideoEncoder(8, 8, start=start)


def still(seed: int) -> np.ndarray:
    """A picture, held."""
    picture = np.random.default_rng(seed).uniform(-1, 1, (1, 1, SIZE, SIZE, 3)).astype(np.float32)
    return np.repeat(picture, FRAMES, axis=1)


@pytest.fixture(scope="module")
def variables() -> Any:
    return jax.jit(encoder("first_frame").init)(jax.random.key(0), still(0))


def test_a_still_face_has_the_same_features_in_every_frame(variables: Any) -> None:
    held, _ = jax.jit(encoder("first_frame").apply)(variables, still(0))
    grey, _ = jax.jit(encoder("zeros").apply)(variables, still(0))
    np.testing.assert_allclose(held, np.broadcast_to(held[:, :1], held.shape), atol=1e-5)
    assert np.abs(grey - grey[:, :1]).max() > 0.01


def test_a_conversation_that_starts_in_a_stream_starts_as_a_clip_does(variables: Any) -> None:
    """Beside another one that goes on."""
    moving = np.random.default_rng(2).uniform(-1, 1, (2, 8, SIZE, SIZE, 3)).astype(np.float32)
    run = jax.jit(encoder("first_frame").apply)
    whole, _ = run(variables, moving)
    first, state = run(variables, moving[:, :4])
    place = Place(jnp.array([0, 4]), jnp.zeros((), jnp.int32), 8, 4)
    again = np.stack([moving[0, :4], moving[1, 4:]])
    features, _ = run(variables, again, state, place)
    np.testing.assert_allclose(features[0], first[0], atol=1e-5)
    np.testing.assert_allclose(features[1], whole[1, 4:], atol=1e-5)


@pytest.mark.parametrize(("causal", "start"), [(True, "zeros"), (False, "first_frame")])
def test_models_from_before_there_was_a_choice_mean_what_they_meant(causal: bool, start: Start) -> None:
    config = Config(model=dataclasses.replace(CONFIG, causal=causal, block=2))
    values = dataclasses.asdict(config)
    assert config_from_json(values) == config
    del values["model"]["video_start"]
    assert config_from_json(values).model.video_start == start
