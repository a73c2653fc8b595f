"""What a caller of the packaged listener may get wrong, and what is shown of objects that hold weights."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest
from small_model import CONFIG, random_params

import reactface_jax as rf
from reactface_jax.methods.method import seen_speaker
from reactface_jax.methods.ready import Ready
from reactface_jax.methods.rows import learned_method
from reactface_jax.methods.streamed_reactface import StreamedReactFace
from reactface_jax.methods.trained_reactface import TrainedReactFace
from reactface_jax.models.causal.reactface import CausalReactFace
from reactface_jax.weights.run import Run

KEY = jax.random.key(0)
FACE = np.zeros((1, 10, 58), np.float32)
SOUND = np.zeros((1, 6400), np.float32)
DEAF = np.where(np.arange(6400) == 7, np.float32(np.nan), SOUND)


@pytest.fixture(scope="module")
def listener() -> rf.Listener:
    return rf.load_pretrained("listener")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speaker": FACE[..., :52]}, r"have shape \(1, 10, 52\), but the listener takes \[N, T, 58\], N and T"),
        ({"speaker": FACE[..., :25]}, r"have shape \(1, 10, 25\), but the listener takes"),
        ({"speaker": FACE[0]}, r"have shape \(10, 58\), .*; add the axis of the clips, speaker\[None\] and"),
        ({"speaker": FACE[0], "audio": SOUND[0]}, r"have shape \(10, 58\), .*; add the axis of the clips"),
        ({"speaker": FACE[:0], "audio": SOUND[:0]}, r"have shape \(0, 10, 58\), .* N and T at least 1$"),
        ({"speaker": FACE[:, :0], "audio": SOUND[:, :0]}, r"have shape \(1, 0, 58\), .* N and T at least 1$"),
        ({"audio": SOUND[0]}, r"audio has shape \(6400,\), but 10 frames need \(1, 6400\)"),
        ({"audio": DEAF}, "audio has NaN or infinite values; give 0 where nothing is known"),
        ({"num_reactions": 0}, "num_reactions is 0; give a whole number from 1 on"),
        ({"num_reactions": -2}, "num_reactions is -2; give"),
        ({"key": 0}, r"key is 0; give one key, such as jax.random.key\(0\)"),
        ({"key": None}, r"key is None; give one key, such as jax.random.key\(0\)"),
        ({"key": jax.random.split(KEY)}, r"key is of shape \(2,\); give one key"),
        ({"style": np.zeros((3, 8))}, r"style has shape \(3, 8\); give one row a reaction, \(1, 8\)"),
        ({"rest": np.zeros((1, 25))}, r"rest has shape \(1, 25\); give one row a reaction, \(1, 58\)"),
    ],
)
@pytest.mark.usefixtures("as_users_call")
def test_generate_names_what_does_not_fit(listener: rf.Listener, changes: dict[str, Any], message: str) -> None:
    given = {"num_reactions": 1, "key": KEY} | {k: v for k, v in changes.items() if k not in rf.Inputs._fields}
    inputs = rf.Inputs(changes.get("speaker", FACE), changes.get("audio", SOUND))
    with pytest.raises(rf.UserError, match=message):
        listener.generate(inputs, **given)


@pytest.mark.usefixtures("as_users_call")
def test_a_stream_names_what_does_not_fit(listener: rf.Listener) -> None:
    two = rf.Inputs(np.tile(FACE, (2, 1, 1)))
    with pytest.raises(rf.UserError, match="inputs are of 2 speakers, but the state was started with batch_size 1"):
        listener.step(listener.start(), two)
    with pytest.raises(rf.UserError, match=r"audio has NaN"):
        listener.step(listener.start(), rf.Inputs(FACE, DEAF))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"key": 3}, "key is 3; give one key"),
        ({"num_reactions": 0}, "num_reactions is 0"),
        ({"batch_size": 0}, "batch_size is 0; give a whole number from 1 on"),
    ]
    for given, message in wrong:
        with pytest.raises(rf.UserError, match=message):
            listener.start(**given)
    for clip in (FACE[0, :, :25], FACE, np.full((10, 58), np.nan, np.float32)):
        with pytest.raises(rf.UserError, match=r"a style needs coefficients \[T, 58\] without NaN"):
            listener.style_of(clip)


@pytest.mark.usefixtures("as_users_call")
def test_an_array_is_no_inputs(listener: rf.Listener) -> None:
    array: Any = FACE
    for call in (
        lambda: listener.generate(array, key=KEY),
        lambda: listener.step(listener.start(), array),
        lambda: seen_speaker(array, "Mirror"),
    ):
        with pytest.raises(rf.UserError, match=r"inputs is of type ndarray; give rf\.Inputs\(speaker=…, audio=…\)"):
            call()


@pytest.mark.usefixtures("as_users_call")
def test_trained_methods_name_what_does_not_fit() -> None:
    nothing: Any = None
    array: Any = FACE
    model, mean_face = rf.build_model(CONFIG), np.zeros(58, np.float32)
    row = learned_method(rf.load_config("methods/zhou"))
    shapes = jax.eval_shape(row.init, KEY)
    ready = Ready(row, jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes), mean_face)
    wrong: list[tuple[Any, dict[str, Any], str]] = [
        (array, {"key": KEY}, "inputs is of type ndarray"),
        (rf.Inputs(FACE, SOUND), {"key": nothing}, r"key is None; give one key"),
        (rf.Inputs(FACE, SOUND), {"key": KEY, "num_reactions": 0}, r"num_reactions is 0; give a whole number"),
    ]
    for inputs, how, message in wrong:
        with pytest.raises(rf.UserError, match=message):
            ready.generate(inputs, **how)
    causal = rf.build_model(dataclasses.replace(CONFIG, causal=True, block=2))
    assert isinstance(causal, CausalReactFace)
    for method in (
        TrainedReactFace(model, random_params(model), mean_face, 16, "clip"),
        StreamedReactFace(causal, random_params(causal), mean_face, 16),
    ):
        with pytest.raises(rf.UserError, match="inputs is of type ndarray"):
            method.generate(array, key=KEY)


@pytest.mark.usefixtures("as_users_call")
def test_keys_of_either_kind_are_keys(listener: rf.Listener) -> None:
    old, new = (listener.start(9, key).style for key in (jax.random.PRNGKey(5), jax.random.key(5)))
    np.testing.assert_array_equal(old, new)


def test_a_listener_is_shown_and_compared_without_its_weights(listener: rf.Listener) -> None:
    assert len(repr(listener)) < 500
    other = dataclasses.replace(listener, control=rf.Control(smiles=0.5))
    assert "smiles=0.5" in repr(other)
    assert (listener == listener, listener == other, len({listener, other})) == (True, False, 2)


def test_what_holds_arrays_is_shown_without_them() -> None:
    mean_face = np.zeros(58, np.float32)
    model = rf.build_model(CONFIG)
    trained = TrainedReactFace(model, random_params(model), mean_face, 16, "clip")
    causal = rf.build_model(dataclasses.replace(CONFIG, causal=True, block=2))
    assert isinstance(causal, CausalReactFace)
    streamed = StreamedReactFace(causal, random_params(model), mean_face, 16)
    run = Run(rf.load_config("tiny"), random_params(model), 7, mean_face, (), {}, {"table": mean_face})
    for held in (trained, streamed, run):
        assert "array" not in repr(held)
    assert "step=7" in repr(run)
    assert not {field.name for field in dataclasses.fields(Ready) if field.repr} & {"variables", "mean_face"}
    assert (streamed == streamed, hash(streamed) == hash(streamed)) == (True, True)
