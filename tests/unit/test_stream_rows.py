"""Rows of a stream's state: what names no conversation, or does not fit into its place, is refused."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_model import CONFIG

import reactface_jax as rf
from reactface_jax.errors import UserError
from reactface_jax.online import stream

CAUSAL = dataclasses.replace(CONFIG, causal=True, block=2, max_context=12)
MODEL = rf.build_model(CAUSAL)


def begun(batch_size: int = 3, num_reactions: int = 2, **changes: Any) -> stream.StreamState:
    """Conversations of 4, 8, … frames."""
    model = rf.build_model(dataclasses.replace(CAUSAL, **changes))
    state = stream.start(model, {}, batch_size, num_reactions, image_size=16)
    return state._replace(frame=4 * jnp.arange(1, batch_size + 1, dtype=jnp.int32))


@pytest.mark.parametrize(
    ("rows", "frames"),
    [
        (None, [0, 0, 0]),
        (2, [4, 8, 0]),
        (np.int64(0), [0, 8, 12]),
        ([0, 2], [0, 8, 0]),
        ((1,), [4, 0, 12]),
        (np.array([1, 2]), [4, 0, 0]),
        (jnp.array([0]), [0, 8, 12]),
        ([], [4, 8, 12]),
    ],
)
def test_these_rows_start_anew_and_no_others(rows, frames) -> None:
    np.testing.assert_array_equal(stream.reset(begun(), rows).frame, frames)


def test_rows_may_be_unknown_until_a_program_runs() -> None:
    np.testing.assert_array_equal(jax.jit(stream.reset)(begun(), jnp.array([0, 2])).frame, [0, 8, 0])


@pytest.mark.parametrize("row", [3, -1, 1.0, True, "1", None])
@pytest.mark.usefixtures("as_users_call")
def test_no_row_of_the_state(row) -> None:
    message = rf"row {row} is none of the state's; give whole numbers from 0 to 2"
    state, one = begun(), begun(1)
    if row is not None:
        for rows in (row, [row]):
            with pytest.raises(UserError, match=r"none of the state's; give whole numbers from 0 to 2"):
                stream.reset(state, rows)
    with pytest.raises(UserError, match=message):
        stream.take(MODEL, state, row)
    with pytest.raises(UserError, match=message):
        stream.put(MODEL, state, row, one)


@pytest.mark.usefixtures("as_users_call")
def test_one_conversation_is_taken_and_put() -> None:
    several: Any = [0, 1]
    with pytest.raises(UserError, match=r"row \[0, 1\] is several; give one number"):
        stream.take(MODEL, begun(), several)
    with pytest.raises(UserError, match=r"row \[0, 1\] is several"):
        stream.put(MODEL, begun(), several, begun(1))
    with pytest.raises(UserError, match=r"conversation holds 2 conversations; give one, from rf\.stream\.take"):
        stream.put(MODEL, begun(), 0, begun(2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_reactions": 1}, r"listener/.* has shape \(1, .*\) a row, not \(2, "),
        ({"feature_dim": 32}, r"has shape .* a row, not .*; give one of the same model, num_reactions and image_size"),
        ({"use_video": False}, r"has shape None a row, not "),
    ],
)
def test_a_conversation_that_does_not_fit_is_not_stretched_to_fit(changes, message) -> None:
    with pytest.raises(UserError, match=r"conversation does not fit into the state: .*" + message):
        stream.put(MODEL, begun(), 1, begun(1, **changes))


def test_what_fits_takes_its_place() -> None:
    state, one = begun(), begun(1)
    np.testing.assert_array_equal(stream.put(MODEL, state, 2, one).frame, [4, 8, 4])
    np.testing.assert_array_equal(stream.take(MODEL, state, 1).frame, [8])
