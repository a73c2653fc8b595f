"""A listener that has come off its rest is led back, and one that has not is left as it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import reactface_jax as rf
from reactface_jax.methods import Inputs
from reactface_jax.methods.listener import Control
from reactface_jax.methods.listener.uprightness import upright
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL
from reactface_jax.types import FRAME_RATE, SAMPLES_PER_FRAME


def test_a_chunk_is_led_back_frame_by_frame() -> None:
    """By hand: 4 frames, 5 components."""
    lean = np.array([[[3.0, -3.0, 3.0, 0.9, 3.0]]], np.float32)
    frames = np.array([5.0, -4.0, -4.0, 4.0, 0.5], np.float32)  # each component's value in all frames
    chunk = np.tile(frames, 4)[None, None]
    led, after = upright(jnp.asarray(chunk), jnp.asarray(lean), 4)
    # Both far on one side: .3 of what is beyond 1, a quarter of it in the first frame. The other side, a mean that is
    # not far yet (.9 becomes .925), and a face that has come back: nothing.
    pulls = np.array([0.3 * 4, -0.3 * 3, 0, 0, 0], np.float32)
    expected = frames - np.array([[0.25], [0.5], [0.75], [1.0]], np.float32) * pulls
    np.testing.assert_allclose(np.asarray(led).reshape(4, 5), expected, atol=1e-6)
    np.testing.assert_allclose(np.asarray(after)[0, 0], lean[0, 0] + 4 / 500 * (frames - lean[0, 0]), atol=1e-6)


@pytest.mark.parametrize("end", ["lowest", "highest"])
def test_the_packaged_listener_comes_back_from_its_limits(end: str) -> None:
    """There it stayed before: minutes later these heads sat askew."""
    listener = rf.load_pretrained("listener")
    weights, frames = listener.weights, 20 * FRAME_RATE
    slow = [int(i) for i in np.argsort(weights.space.weight)[:4]]  # the head's angles and places
    limit = np.zeros(weights.sizes.components, np.float32)
    limit[slow] = getattr(weights.space, end)[slow]
    state = listener.start(8, jax.random.key(0))
    past = np.broadcast_to(np.tile(limit, weights.sizes.chunk), state.past.shape)
    quiet = Inputs(
        np.tile(NEUTRAL, (1, frames, 1)).astype(np.float32), np.zeros((1, frames * SAMPLES_PER_FRAME), np.float32)
    )
    _, reactions = listener.step(state._replace(past=jnp.asarray(past)), quiet)
    motion = (np.asarray(reactions) - np.asarray(state.rest)[:, :, None]) @ weights.space.encode
    last = np.median(motion[:, :, -5 * FRAME_RATE :, slow], axis=2)
    assert np.abs(last).max() < 1.5 < np.abs(limit[slow]).min()
    steps = np.abs(np.diff(np.asarray(reactions)[..., 52:55], axis=2))
    assert steps.max() < 0.03  # radians a frame: nothing jumps on the way


@pytest.mark.long
def test_four_minutes_leave_no_head_askew() -> None:
    """A speaker of whom nothing is seen or heard but noise; of 16 reactions 6 ended askew before."""
    listener = rf.load_pretrained("listener", Control(talks=True))
    rng, minute = np.random.default_rng(0), 60 * FRAME_RATE
    state = listener.start(16, jax.random.key(0))
    for _ in range(4):
        face = (NEUTRAL + rng.normal(0, 0.003, (1, minute, len(NEUTRAL)))).astype(np.float32)
        sound = rng.normal(0, 1e-3, (1, minute * SAMPLES_PER_FRAME)).astype(np.float32)
        state, reactions = listener.step(state, Inputs(face, sound))
    off = np.asarray(reactions)[0] - np.asarray(state.rest)[0][:, None]
    assert np.abs(np.median(off[..., 52:55], axis=1)).max() < 0.02
