"""A causal ReactFace behind the live server: the numbers of `Conversation`, and what is no such run."""

import json
import re
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from small_model import CONFIG, random_params
from test_server import answers, await_eyes, measured, picture, sound, talk
from websockets.exceptions import ConnectionClosed

import reactface_jax as rf
from reactface_jax.config import load_config
from reactface_jax.errors import UserError
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.live import listening
from reactface_jax.live.clock import SpeakerClock
from reactface_jax.live.eyes import Sight
from reactface_jax.live.listening import load_listener, view_size, warm_up
from reactface_jax.methods import Inputs, StreamingMethod
from reactface_jax.methods.listener.control import Control
from reactface_jax.methods.streamed_reactface import StreamedReactFace
from reactface_jax.online.conversation import Conversation
from reactface_jax.weights.run import Run

SIZE, MEAN = 16, np.linspace(0.1, 0.3, 58).astype(np.float32)


@pytest.fixture(scope="module")
def reactface() -> StreamedReactFace:
    model = rf.build_model(replace(CONFIG, causal=True, block=2, window=2))
    return StreamedReactFace(model, random_params(model), MEAN, SIZE)


def test_it_answers_as_a_conversation_does(reactface):
    """Pictures at 30 a second and sound in blocks, through the live clock."""
    assert isinstance(reactface, StreamingMethod)
    assert (reactface.needs, view_size(reactface)) == (("video", "audio"), SIZE)
    talk = Conversation(
        reactface.model, reactface.params, num_reactions=2, image_size=SIZE, mean_face=MEAN, patience=0.0, seed=3
    )
    clock, state, ours = SpeakerClock(reactface.chunk, patience=0.0), reactface.start(2, jax.random.key(3)), []
    rng = np.random.default_rng(0)
    theirs = []
    for i in range(16):
        view = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        samples = rng.uniform(-0.5, 0.5, 533).astype(np.float32)
        talk.add_frame(view, i / 30)
        talk.add_sound(samples, 16_000, i * 533 / 16_000)
        theirs += talk.react()
        clock.add_sight(Sight(None, view), i / 30)
        clock.add_sound(samples, i * 533 / 16_000)
        while (chunk := clock.next_chunk()) is not None:
            inputs = Inputs(chunk.faces[None], chunk.sound[None], chunk.views[None])
            state, reactions = listening.step(reactface, Control(), state, inputs)
            ours.append(reactions)
    assert len(ours) == len(theirs) >= 3
    np.testing.assert_allclose(np.concatenate(ours, 1), np.concatenate(theirs, 1), atol=1e-6)


def test_several_windows_at_once_are_those_one_by_one(reactface):
    video = np.random.default_rng(1).integers(0, 256, (1, 4, SIZE, SIZE, 3), dtype=np.uint8)
    _, whole = reactface.step(reactface.start(2, jax.random.key(3)), Inputs(video=video))
    state, parts = reactface.start(2, jax.random.key(3)), []
    for first in (0, 2):
        state, part = reactface.step(state, Inputs(video=video[:, first : first + 2]))
        parts.append(part)
    np.testing.assert_allclose(np.concatenate(parts, axis=2), whole, atol=1e-5)


def test_the_same_knobs_act(reactface):
    """At amplitude 0 it shows the mean face, but for blinks."""
    video = np.zeros((1, reactface.chunk, SIZE, SIZE, 3), np.uint8)
    _, still = listening.step(reactface, Control(amplitude=0.0), reactface.start(2), Inputs(video=video))
    no_blinks = [i for i, name in enumerate(COEFFICIENT_NAMES) if "Blink" not in name]
    np.testing.assert_allclose(still[0, :, no_blinks].T, MEAN[None, no_blinks] + np.zeros((2, 1)), atol=1e-6)


def test_channels_of_another_order_are_sorted(reactface):
    turned = replace(reactface, order=tuple(range(57, -1, -1)))
    video = np.zeros((1, reactface.chunk, SIZE, SIZE, 3), np.uint8)
    _, one = reactface.step(reactface.start(2), Inputs(video=video))
    _, other = turned.step(turned.start(2), Inputs(video=video))
    np.testing.assert_array_equal(other, one[..., ::-1])
    np.testing.assert_array_equal(turned.rest, MEAN[::-1])


def test_it_answers_over_the_socket_and_wants_pictures(reactface, serve, speaker_jpegs):
    warm_up(reactface, 2)
    with serve(listener=reactface, most=2) as (port, _), talk(port) as socket:
        await_eyes(socket)
        socket.send(json.dumps({"hears": True}))
        for first in range(0, 6, 2):
            for i in (first, first + 1):
                socket.send(picture(speaker_jpegs[i], i / 25))
                socket.send(sound(i / 25))
            numbers, _, reactions = answers(socket, 1)
            assert numbers == [first]
            assert reactions.shape == (2, 2, 58)
            assert np.isfinite(reactions).all()
        socket.send(measured(None, 1.0))
        with pytest.raises(ConnectionClosed, match="looks at pictures itself"):
            socket.recv(timeout=30)


def test_runs_that_can_not_listen_are_refused(reactface, tmp_path: Path, monkeypatch):
    config = load_config("configs/tiny.py")
    run = Run(config, {}, 1, MEAN, tuple(COEFFICIENT_NAMES), {})
    monkeypatch.setattr(listening, "load_run", lambda path: run)
    with pytest.raises(UserError, match=re.escape(f"{tmp_path} is not causal and can't answer as it goes")):
        load_listener(tmp_path)
    run = replace(run, config=replace(config, method="trans-vae"))
    with pytest.raises(UserError, match="is a run of trans-vae, which answers whole clips only"):
        load_listener(tmp_path)
    causal = replace(config, model=replace(config.model, causal=True, block=4))
    run = replace(run, config=causal, coefficient_names=tuple(f"expression_{i}" for i in range(58)))
    with pytest.raises(UserError, match="coefficients called 'expression_0'"):
        load_listener(tmp_path)
    run = replace(run, coefficient_names=tuple(COEFFICIENT_NAMES[::-1]))
    assert load_listener(tmp_path).order == tuple(range(57, -1, -1))
    with pytest.raises(UserError, match="missing is no folder"):
        load_listener(tmp_path / "missing")


def test_a_listeners_run_listens(tmp_path: Path):
    packaged = Path(rf.__file__).parent / "assets" / "listener.safetensors"
    (tmp_path / "listener.safetensors").write_bytes(packaged.read_bytes())
    assert load_listener(tmp_path).chunk == load_listener(tmp_path / "listener.safetensors").chunk == 5
    assert load_listener(None).name == "Listener"
