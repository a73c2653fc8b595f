"""The interface of rows that learn by steps: what the training loop, evaluation and `react` know of them.

A method is a frozen dataclass of its sizes; all that is learned or measured travels beside it as `Variables`. Here
coefficients are relative to the data's mean face, as in `Batch`; `Ready` in ready.py makes a `Method` of both.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import optax
from jaxtyping import Array, Float, Int, Key

from reactface_jax.methods.method import Inputs
from reactface_jax.types import Batch

Metrics = Mapping[str, Float[Array, ""]]


class Variables(NamedTuple):
    """All arrays of a method; no keys among them."""

    params: Mapping[str, Any]
    """What the optimiser changes."""
    state: Mapping[str, Any]
    """What it does not: statistics of the training split, running means, flags. May be empty."""


@runtime_checkable
class LearnedMethod(Protocol):
    """Something that learns to answer speakers.

    One may also have `frozen`, regular expressions of the parameter paths that its optimiser does not change, and
    `learning_rate`, a schedule; training logs them.
    """

    @property
    def name(self) -> str:
        """In the table."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """Fields of `Inputs`; one without "video" is trained on batches of no pictures, [B, T, 0, 0, 3]."""
        ...

    @property
    def warm_up(self) -> int:
        """Frames that `answer` itself puts before a clip so that its first frame is answered; 0 for most."""
        ...

    @property
    def stages(self) -> tuple[int, ...]:
        """Steps at which a stage begins, ascending from 0: (0,) for all that is trained at once."""
        ...

    def init(self, key: Key[Array, ""]) -> Variables:
        """Fresh variables; under `jax.jit`."""
        ...

    def begin(self, stage: int, variables: Variables, batches: Iterable[Batch]) -> Variables:
        """Variables as a stage starts with them: what it measures on training clips, such as means and deviations.

        Args:
          stage: index in `stages`.
          variables: as `init` or the stage before left them.
          batches: training clips without end, of `data.clip_frames` frames; take a fixed number.
        """
        ...

    def optimizer(self) -> optax.GradientTransformation:
        """Of `params`. With several stages it changes only what the stage trains, its own state included."""
        ...

    def loss(
        self, variables: Variables, batch: Batch, *, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[Metrics, Mapping[str, Any]]]:
        """The loss of update number `step` (from 0), figures for the log, and the next `state`; under `jax.jit`.

        `batch.listener` is the real one; `batch.neighbours` need not hold more than him.
        """
        ...

    def answer(
        self, variables: Variables, inputs: Inputs, num_reactions: int, *, keys: Key[Array, " B"]
    ) -> Float[Array, "B K T C"]:
        """K reactions to each of B speakers, of their length; under `jax.jit`, with `num_reactions` fixed.

        Args:
          variables: trained.
          inputs: what `needs` names; the speaker's coefficients relative to the mean face, without NaN; his voice
            normalised over its file, as in `Batch`.
          num_reactions: K. One that draws nothing repeats its reaction.
          keys: a clip's own: its reactions depend on no other clip.
        """
        ...


def seen(batch: Batch, needs: tuple[str, ...]) -> Inputs:
    """What a method that needs these fields sees of a batch's speakers."""
    return Inputs(**{name: getattr(batch, name) for name in needs})
