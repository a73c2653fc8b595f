"""A method to test with: the listener smiles as the speaker did ten frames before, each reaction a little less."""

from typing import Any, NamedTuple

import numpy as np

from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.methods.method import Inputs
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL

SMILES = [i for i, name in enumerate(COEFFICIENT_NAMES) if name.startswith("mouthSmile")]
DELAY = 10
CHUNK = 3
"""As many pictures as wait at most, so that a test that waits for each answer loses none."""


class State(NamedTuple):
    """K, and the speaker's last ten frames."""

    num_reactions: int
    seen: np.ndarray


class DelayedSmile:
    """Deterministic, without weights."""

    name = "delayed smile"
    needs = ("speaker",)
    chunk = CHUNK

    def start(self, num_reactions: int = 1, key: Any = None, *, batch_size: int = 1) -> State:
        return State(num_reactions, np.tile(NEUTRAL, (DELAY, 1)).astype(np.float32))

    def step(self, state: State, inputs: Inputs) -> tuple[State, np.ndarray]:
        assert inputs.speaker is not None
        frames = np.nan_to_num(np.asarray(inputs.speaker[0], np.float32))
        seen = np.concatenate([state.seen, frames])
        answers = np.tile(NEUTRAL, (state.num_reactions, len(frames), 1)).astype(np.float32)
        shares = np.linspace(1, 0.5, state.num_reactions)[:, None, None]
        answers[..., SMILES] = shares * seen[: len(frames), SMILES]
        return State(state.num_reactions, seen[-DELAY:]), answers[None]

    def generate(self, inputs: Inputs, num_reactions: int = 1, *, key: Any) -> np.ndarray:
        return self.step(self.start(num_reactions), inputs)[1]
