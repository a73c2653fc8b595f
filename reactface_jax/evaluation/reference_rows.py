"""The rows that are not trained in steps, fitted and ready to answer a split."""

from collections.abc import Callable, Mapping, Sequence
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
    names: Sequence[str],
    listener: Float[np.ndarray, "N T C"],
    training: Training | None,
    search: Search = DEFAULT_SEARCH,
) -> list[Method]:
    """The rows of these names that the training data allow, in the names' order.

    Args:
      names: as the table has them; one that stands twice counts once.
      listener: of the split that is answered.
      training: of the training split; None leaves out those that learn.
      search: of nearest neighbours.
    """
    makers = {row.name: row.make for row in _ROWS.values()}
    made = (makers[name](listener, training, search) for name in dict.fromkeys(names))
    return [method for method in made if method is not None]


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


class _Row(NamedTuple):
    name: str
    """In the table."""
    make: _Make


_ROWS: Mapping[str, _Row] = {
    "gt": _Row("GT", lambda listener, training, search: GroundTruth(listener)),
    "mirror": _Row("Mirror", _alone(Mirror())),
    "delayed-mirror": _Row("delayed-mirror", _of_pairs(DelayedMirror())),
    "random": _Row("Random", _of_listeners(RandomDraws())),
    "random-uniform": _Row("Random uniform", _of_listeners(RandomUniform())),
    "random-segment": _Row("Random segment", _of_listeners(RandomSegment())),
    "mean-seq": _Row("MeanSeq", _of_listeners(MeanSequence())),
    "mean-fr": _Row("MeanFr", _of_listeners(MeanFrame())),
    "linear": _Row("linear", _of_pairs(Linear())),
    "nn-motion": _Row("NN motion", _nearest("speaker")),
    "nn-audio": _Row("NN audio", _nearest("audio")),
    "listener": _Row("Listener", lambda listener, training, search: load_pretrained("listener", _TALKING)),
}
"""By their words on the command line."""

REFERENCES: Mapping[str, str] = {word: row.name for word, row in _ROWS.items()}
"""What the table calls the rows without a run, by their words. `listener` is the one that comes with the package."""
