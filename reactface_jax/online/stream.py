"""Conversations of any length: `rf.stream.start`, then `rf.stream.step` for each window, in constant time and memory.

A state may hold several conversations, each with its own beginning; they advance together. `rf.Conversation` is for
frames and samples as they arrive.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree, Shaped

from reactface_jax.errors import UserError
from reactface_jax.files import replacing
from reactface_jax.models.causal import reactface as causal_reactface
from reactface_jax.models.causal.reactface import CausalReactFace, StreamState
from reactface_jax.models.causal.ring import KeysValues, ring_size
from reactface_jax.models.precision import products
from reactface_jax.models.reactface import ReactFace
from reactface_jax.online.draws import check_draws
from reactface_jax.online.speaker_sound import check_audio
from reactface_jax.online.speaker_video import check_array, check_video
from reactface_jax.tree_names import named_leaves
from reactface_jax.types import SAMPLES_PER_FRAME, AnyArray

Rows = int | np.integer | Sequence[int] | Int[AnyArray, "*n"]
"""Numbers of conversations in a batch."""

__all__ = ["Rows", "StreamState", "load", "put", "reset", "save", "start", "step", "take"]


def start(
    model: ReactFace,
    params: PyTree,
    batch_size: int = 1,
    num_reactions: int = 1,
    *,
    image_size: int | tuple[int, int] = 224,
) -> StreamState:
    """The state of conversations that have not begun.

    Args:
      model: from `build_model`, causal.
      params: its parameters; unused, since all shapes follow from the configuration.
      batch_size: B, conversations that advance together.
      num_reactions: K.
      image_size: of the speaker's frames, a side or (height, width).

    Raises:
      UserError: the model is not causal, or there is no conversation or reaction.
    """
    del params
    check_draws(num_reactions, batch_size=batch_size)
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    return causal_reactface.start(_causal(model).config, batch_size, num_reactions, size)


def step(
    model: ReactFace,
    params: PyTree,
    state: StreamState,
    video: Shaped[AnyArray, "B F H W 3"],
    audio: Float[AnyArray, "B L"],
    *,
    noise: Float[AnyArray, "B K *M D"] | None = None,
    key: Key[Array, ""] | None = None,
    lengths: Int[AnyArray, " B"] | None = None,
) -> tuple[StreamState, Float[Array, "B K F C"]]:
    """Reacts to the next window, or to the next M windows at once.

    Args:
      model: from `build_model`, causal.
      params: its parameters.
      state: from `start` or the step before. Its buffers are donated: go on with the state that is returned.
      video: F = M w frames, floating point in [-1, 1], at 25 fps.
      audio: 640 F samples at 16 kHz, at any level: the model normalises by the conversation so far.
      noise: standard normal, [B, K, D], or [B, K, M, D] for several windows; or
      key: from which it is drawn. Exactly one of the two.
      lengths: frames of each conversation that are not padding; a padded window is a conversation's last.

    Returns:
      The state after the step, and coefficients relative to `mean_face`.

    Raises:
      UserError: the model is not causal, video is of another type or range, sound is not finite, a shape does not fit,
        or the key is none.
    """
    config = _causal(model).config
    check_video(video)
    check_array("audio", audio, "[B, L]")
    batch, frames = video.shape[:2]
    num_reactions, width = state.listener.reaction.shape[1], config.window
    if frames == 0 or frames % width:
        raise UserError(f"video has {frames} frames, but a step takes whole windows of model.window {width}")
    if batch != len(state.frame):
        raise UserError(f"video has {batch} conversations, but the state was started with {len(state.frame)}")
    if audio.shape != (batch, frames * SAMPLES_PER_FRAME):
        raise UserError(
            f"audio has shape {audio.shape}, but {frames} frames need [B, L] = {(batch, frames * SAMPLES_PER_FRAME)}"
        )
    if state.speaker.video is not None and video.shape[2:4] != state.speaker.video.conv1.frames.shape[2:4]:
        size = state.speaker.video.conv1.frames.shape[2:4]
        raise UserError(f"frames are {video.shape[2:4]}, but the state was started with image_size {size}")
    check_audio(audio, batch)
    check_draws(num_reactions, key)
    shape = (batch, num_reactions, frames // width, config.feature_dim)
    if (noise is None) == (key is None):
        raise UserError("step needs either noise= or key=, one of the two")
    if noise is None:
        assert key is not None
        noise = jax.random.normal(key, shape, jnp.float32)
    elif noise.shape == (batch, num_reactions, config.feature_dim) and shape[2] == 1:
        noise = jnp.asarray(noise)[:, :, None]
    elif noise.shape != shape:
        raise UserError(f"noise has shape {noise.shape}, but this step needs [B, K, M, D] = {shape}")
    return _step(model, params, state, video, audio, noise, lengths)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=2)
def _step(
    model: CausalReactFace,
    params: PyTree,
    state: StreamState,
    video: Array,
    audio: Array,
    noise: Array,
    lengths: Array | None,
) -> tuple[StreamState, Array]:
    with products(model.config, training=False):
        after = model.apply({"params": params}, state, video, audio, noise, lengths, method=CausalReactFace.step)
    return cast(tuple[StreamState, Array], after)


def reset(state: StreamState, rows: Rows | None = None) -> StreamState:
    """The conversations in `rows` (None: all) start anew with the next step. Raises `UserError` if it holds no such."""
    if rows is None:
        return state._replace(frame=jnp.zeros_like(state.frame))
    return state._replace(frame=state.frame.at[_rows(state, rows)].set(0))


def take(model: ReactFace, state: StreamState, row: int | np.integer) -> StreamState:
    """One conversation of a batch, as a state of its own. Raises `UserError` if there is no such row."""
    number = _row(state, row)
    slot = int(state.slot)
    one = state._replace(slot=jnp.zeros((1,), jnp.int32))  # has a row, as everything else
    one = jax.tree.map(lambda x: x[:1] if len(x) == 1 else x[number : number + 1], one)
    return _turned(model, one, -slot)._replace(slot=jnp.zeros((), jnp.int32))


def put(model: ReactFace, state: StreamState, row: int | np.integer, conversation: StreamState) -> StreamState:
    """The batch, its conversation in `row` replaced by one from `take` or `load`.

    Raises `UserError` if there is no such row, or the conversation is several, of another model, number of reactions or
    image size.
    """
    number = _row(state, row)
    if len(conversation.frame) != 1:
        raise UserError(f"conversation holds {len(conversation.frame)} conversations; give one, from rf.stream.take")
    ours, theirs = ({name: x.shape[1:] for name, x in named_leaves(s).items()} for s in (state, conversation))
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            raise UserError(
                f"conversation does not fit into the state: {name} has shape {theirs.get(name)} a row, not "
                f"{ours.get(name)}; give one of the same model, num_reactions and image_size"
            )
    turned = _turned(model, conversation, int(state.slot) - int(conversation.slot))
    return jax.tree.map(lambda x, y: x if x.ndim == 0 else x.at[number].set(y[0]), state, turned)


def _rows(state: StreamState, rows: Any) -> Int[AnyArray, "*n"]:
    """Rows of the state. Raises `UserError` unless they are; their values are looked at where they are known."""
    if isinstance(rows, jax.core.Tracer) and jnp.issubdtype(rows.dtype, jnp.integer):
        return rows
    numbers, last = np.asarray(rows), len(state.frame) - 1
    if numbers.size == 0:
        return numbers.astype(np.int32)
    if not np.issubdtype(numbers.dtype, np.integer) or numbers.min() < 0 or numbers.max() > last:
        raise UserError(f"row {rows} is none of the state's; give whole numbers from 0 to {last}")
    return numbers


def _row(state: StreamState, row: Any) -> int:
    if np.ndim(row) != 0:
        raise UserError(f"row {row} is several; give one number")
    return int(_rows(state, row))


def save(path: str | Path, state: StreamState) -> None:
    """Writes a state (.npz): written aside, then renamed. Raises `UserError` if it can't be written."""
    # float32 holds bfloat16 exactly, and numpy has no name for it
    arrays: dict[str, Any] = {name: np.asarray(_wide(leaf)) for name, leaf in named_leaves(state).items()}
    with replacing(path) as file:
        np.savez(file, **arrays)


def load(path: str | Path, like: StreamState) -> StreamState:
    """Reads a state that `save` wrote.

    Args:
      path: the file.
      like: a state of the same model, batch and number of reactions, such as from `start`.

    Raises:
      UserError: the file is missing or damaged, or is of another model.
    """
    path, expected = Path(path), named_leaves(like)
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; give a file that rf.stream.save wrote") from None
    except Exception as error:
        raise UserError(f"{path} is no saved conversation: {error}") from error
    for name in sorted(expected.keys() | found.keys()):
        ours, theirs = (tree[name].shape if name in tree else None for tree in (expected, found))
        if ours != theirs:
            raise UserError(f"{path} is a conversation of another model: {name} has shape {theirs}, not {ours}")
    leaves = [jnp.asarray(found[name], leaf.dtype) for name, leaf in expected.items()]
    return cast(StreamState, jax.tree.unflatten(jax.tree.structure(like), leaves))


def _wide(leaf: Array) -> Array:
    return leaf.astype(jnp.float32) if leaf.dtype == jnp.bfloat16 else leaf


def _turned(model: ReactFace, state: StreamState, frames: int) -> StreamState:
    """The rings' slots moved on by `frames`."""
    size = ring_size(model.config.max_context, model.config.window)

    def turn(node: PyTree) -> PyTree:
        if not isinstance(node, KeysValues):
            return node
        return KeysValues(*(jnp.roll(x, frames * (x.shape[-2] // size), axis=-2) for x in node))

    return cast(StreamState, jax.tree.map(turn, state, is_leaf=lambda node: isinstance(node, KeysValues)))


def _causal(model: ReactFace) -> CausalReactFace:
    if not isinstance(model, CausalReactFace):
        raise UserError("this model is not causal and can't stream; train one with --model.causal")
    return model
