"""The rows that are not trained in steps, fitted and ready to answer a split."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from reactface_jax.errors import UserError
from reactface_jax.methods import (
    DelayedMirror,
    GroundTruth,
    Inputs,
    Linear,
    MeanFrame,
    MeanSequence,
    Method,
    Mirror,
    NearestSegment,
    RandomDraws,
    RandomSegment,
    RandomUniform,
)
from reactface_jax.methods.frozen_wav2vec2 import Embedding
from reactface_jax.methods.listener import Control, Listener, load_weights
from reactface_jax.methods.pretrained import load_pretrained


class Training(NamedTuple):
    """Clips of the training split from which rows learn."""

    listeners: Float[np.ndarray, "M T C"]
    speakers: Inputs | None
    """Whom they listen to; None leaves out rows that learn from pairs."""


class Search(NamedTuple):
    """How nearest neighbours are sought."""

    same_split: bool = False
    """The training split itself is answered: the clip itself is left out."""
    embed: Embedding | None = None
    """Of voices; None: log-mel energies."""


DEFAULT_SEARCH = Search()


def fitted(
    names: Collection[str],
    listener: Float[np.ndarray, "N T C"],
    training: Training | None,
    search: Search = DEFAULT_SEARCH,
) -> list[Method]:
    """The rows of these names that the training data allow, in the table's order.

    Args:
      names: as the table has them.
      listener: of the split that is answered.
      training: of the training split; None leaves out those that learn.
      search: of nearest neighbours.
    """
    made: list[Method] = []
    for name, make in _ROWS.items():
        if name in names and (method := make(listener, training, search)) is not None:
            made.append(method)
    return made


def listener_row(weights: Path, name: str, coefficient_names: tuple[str, ...]) -> Listener:
    """A listener of the user's own training, as a row.

    Raises:
      UserError: these are no such weights, or they know other coefficients than the data's.
    """
    loaded = load_weights(weights)
    if loaded.names != coefficient_names:
        raise UserError(f"--data names its coefficients differently than the data of the listener {weights}")
    return Listener(loaded, _TALKING, name=name)


_TALKING = Control(talks=True)
_Make = Callable[[np.ndarray, Training | None, Search], Method | None]


def _alone(method: Method) -> _Make:
    return lambda listener, training, search: method


def _of_listeners(method: object) -> _Make:
    return lambda listener, training, search: None if training is None else method.fit(training.listeners)  # type: ignore[attr-defined]


def _of_pairs(method: object) -> _Make:
    def make(listener: np.ndarray, training: Training | None, search: Search) -> Method | None:
        if training is None or training.speakers is None:
            return None
        made: Method = method.fit_to_pairs(training.speakers, training.listeners)  # type: ignore[attr-defined]
        return made

    return make


def _nearest(by: Literal["speaker", "audio"]) -> _Make:
    def make(listener: np.ndarray, training: Training | None, search: Search) -> Method | None:
        own = np.arange(len(listener)) if search.same_split else None
        method = NearestSegment(by=by, embed=search.embed, own=own)
        return _of_pairs(method)(listener, training, search)

    return make


_ROWS: Mapping[str, _Make] = {
    "GT": lambda listener, training, search: GroundTruth(listener),
    "Mirror": _alone(Mirror()),
    "Random": _of_listeners(RandomDraws()),
    "MeanSeq": _of_listeners(MeanSequence()),
    "MeanFr": _of_listeners(MeanFrame()),
    "delayed-mirror": _of_pairs(DelayedMirror()),
    "linear": _of_pairs(Linear()),
    "Random uniform": _of_listeners(RandomUniform()),
    "Random segment": _of_listeners(RandomSegment()),
    "NN motion": _nearest("speaker"),
    "NN audio": _nearest("audio"),
    "Listener": lambda listener, training, search: load_pretrained("listener", _TALKING),
}
