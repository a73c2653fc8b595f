"""The method behind a live listener: which one, made ready, and the same knobs for all."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from reactface_jax.errors import UserError
from reactface_jax.methods.listener import find_weights
from reactface_jax.methods.listener.control import Control, gains, show
from reactface_jax.methods.listener.listener import Listener
from reactface_jax.methods.measured_speaker import own_listener
from reactface_jax.methods.method import Inputs, StreamingMethod
from reactface_jax.methods.pretrained import load_pretrained
from reactface_jax.methods.streamed_reactface import StreamedReactFace, streamed_reactface
from reactface_jax.methods.streamed_row import StreamedRow, streamed_row
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL
from reactface_jax.types import NUM_COEFFICIENTS, SAMPLES_PER_FRAME
from reactface_jax.weights.run import load_run


def load_listener(checkpoint: Path | None) -> StreamingMethod:
    """Who listens.

    Args:
      checkpoint: the run of a causal ReactFace, of a row that streams, or of a listener (or its weights); None: the
        one in the package.

    Raises:
      UserError: there is none, or it can't answer as it goes.
    """
    if checkpoint is None:
        return load_pretrained("listener")
    if (weights := find_weights(checkpoint)) is not None:
        return own_listener(weights)
    if not checkpoint.is_dir():
        raise UserError(
            f"--checkpoint {checkpoint} is no folder; give the --workdir of a training, or leave it out for the "
            "listener that comes with the package"
        )
    run = load_run(checkpoint)
    if run.config.method == "reactface":
        return streamed_reactface(run, checkpoint)
    return streamed_row(run, checkpoint)


def view_size(method: StreamingMethod) -> int | None:
    """Side of the pictures that the method looks at; None if it does not."""
    return method.image_size if isinstance(method, StreamedReactFace) and "video" in method.needs else None


def warm_up(method: StreamingMethod, num_reactions: int) -> None:
    """Compiles a step with sound and one without, so that the first answer does not wait."""
    frames, side = method.chunk, view_size(method)
    silence = np.zeros((1, frames * SAMPLES_PER_FRAME), np.float32)
    faces = np.tile(NEUTRAL.astype(np.float32), (1, frames, 1))
    video = None if side is None else np.zeros((1, frames, side, side, 3), np.uint8)
    for audio in (silence, None):
        state = method.start(num_reactions, jax.random.key(0))
        jax.block_until_ready(step(method, Control(), state, Inputs(faces, audio, video)))


def step(
    method: StreamingMethod, control: Control, state: Any, inputs: Inputs
) -> tuple[Any, Float[np.ndarray, "K F C"]]:
    """Answers one speaker's next frames under a viewer's knobs."""
    if isinstance(method, Listener):
        state, reactions = dataclasses.replace(method, control=control).step(state, inputs)
        return state, np.asarray(reactions[0], np.float32)
    state, answered = method.step(state, inputs)
    answers = np.asarray(answered[0], np.float32)
    if control == Control():
        return state, answers
    rest = method.rest if isinstance(method, StreamedReactFace | StreamedRow) else NEUTRAL
    rest = np.broadcast_to(np.asarray(rest, np.float32), (len(answers), NUM_COEFFICIENTS))
    shown = show(jnp.asarray(answers - rest[:, None]), jnp.asarray(rest), jnp.asarray(gains(control)))
    return state, np.asarray(shown)
