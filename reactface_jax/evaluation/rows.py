"""Reactions for a whole split, and the rows of the table: trained methods and those they are compared with."""

import contextlib
import functools
import math
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from reactface_jax import metrics
from reactface_jax.all_devices import AllDevices, fetched
from reactface_jax.config import EvalConfig
from reactface_jax.errors import UserError
from reactface_jax.evaluation.reference_rows import Training, fitted
from reactface_jax.methods import Inputs, Method
from reactface_jax.methods.learned import seen
from reactface_jax.methods.trained import TrainedMethod
from reactface_jax.metrics import bootstrap
from reactface_jax.metrics.groups import sessions
from reactface_jax.metrics.reacting import Known, Reacting, measure_reacting, reacting_draws, reacting_figures
from reactface_jax.metrics.synchrony import ChannelLag, channel_lag
from reactface_jax.metrics.video_distance import VideoDistance
from reactface_jax.types import AnyArray, Batch, Clips

DEFAULT = ("GT", "Mirror", "Random", "MeanSeq", "MeanFr", "delayed-mirror", "linear")
"""Reference rows beside a model that is evaluated by itself."""
_WRITTEN_AT_ONCE = 1 << 24
"""Bytes."""
_SMILE = re.compile("smile", re.IGNORECASE)


@dataclass(frozen=True)
class Generated:
    """A model's reactions to a split."""

    prediction: Float[np.ndarray, "N K T C"]
    """Raw."""
    frames_per_second: float
    """Reaction frames, those of all K counted, by the time that generation took without compilation and rendering."""


@dataclass(frozen=True)
class Row:
    """One method in the table."""

    name: str
    scores: Mapping[metrics.Mode, Mapping[str, float]]
    smile: ChannelLag | None
    """When its smiles follow the speaker's; None if the data does not say which channels are smiles."""
    frames_per_second: float | None = None
    realism: Mapping[metrics.Mode, VideoDistance] | None = None
    """FRRea; None where no videos were compared."""
    draws: Mapping[metrics.Mode, Mapping[str, Float[np.ndarray, " R"]]] = field(default_factory=dict)
    """The figures of resampled clips, the same ones for all rows: intervals, and differences between rows."""
    measured: metrics.Measurements | None = None
    """Clip by clip."""
    reacting: Reacting | None = None
    """Likewise, of whether it reacts; its figures are among those of clean mode."""
    window: int | None = None
    """Frames of the windows in whose insides and borders its movement was looked at."""


def generate_split(
    method: TrainedMethod,
    batches: Iterable[Batch],
    num_clips: int,
    config: EvalConfig,
    mean_face: Float[np.ndarray, " C"],
    *,
    in_memory: bool = True,
    devices: AllDevices | None = None,
) -> Generated:
    """Answers every clip of a split.

    A clip's randomness depends only on `config.seed` and the clip's row, so batch size and order change no reaction.

    Args:
      method: ready to answer.
      batches: whole clips of one length; rows with `clip` -1 are padding.
      num_clips: N.
      config: number of reactions and seed.
      mean_face: what the batches' coefficients are relative to.
      in_memory: hold the reactions in memory, and not in a file that is gone when they are.
      devices: that answer together, with parameters of the method on all; None: one does. On several hosts each reads
        its `own_rows`, and gets the whole split's reactions.

    Raises:
      UserError: the batches leave a clip out, or lack what the method needs.
    """
    root = jax.random.key(config.seed)

    def answer(batch: Batch) -> tuple[Float[np.ndarray, "B K T C"], Int[np.ndarray, " B"]]:
        """Reactions, and rows of the split."""
        inputs, clip = seen(batch, method.needs), jnp.asarray(batch.clip)
        if inputs.speaker is not None:
            inputs = inputs._replace(speaker=inputs.speaker + mean_face)
        where: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        if devices is not None:
            where = jax.set_mesh(devices.mesh)
        with where:
            if devices is not None:
                inputs, clip = devices.spread((inputs, batch.clip))
            keys = jax.vmap(lambda row: jax.random.fold_in(root, row))(clip)
            return method.answer(inputs, config.num_reactions, keys=keys), fetched(clip)

    prediction: np.ndarray | None = None
    delivered = np.zeros(num_clips, bool)
    frames, seconds = 0, 0.0
    for batch in batches:
        if prediction is None:
            answer(batch)  # compiles
        start = time.perf_counter()
        reactions, clip = answer(batch)  # B K T C
        seconds += time.perf_counter() - start
        frames += int((clip >= 0).sum() * np.prod(reactions.shape[1:3]))
        if prediction is None:
            shape = (num_clips, *reactions.shape[1:])
            prediction = np.empty(shape, np.float32) if in_memory else _empty_in_a_file(shape)
        prediction[clip[clip >= 0]] = reactions[clip >= 0]
        delivered[clip[clip >= 0]] = True
    if prediction is None or not delivered.all():
        raise UserError(f"the data delivered {delivered.sum()} of {num_clips} clips; write the shards again")
    return Generated(prediction, frames / seconds)


def _empty_in_a_file(shape: tuple[int, ...]) -> np.ndarray:
    """Raises `UserError` where there is no room: a mapping without it would end the process at the first writing."""
    size = math.prod(shape) * np.dtype(np.float32).itemsize
    try:
        with tempfile.TemporaryFile() as file:  # the mapping keeps it until it goes
            _reserve(file, size)
            return np.memmap(file, np.float32, "r+", shape=shape)
    except OSError as error:
        folder = tempfile.tempdir or "the folder of temporary files"  # where none can be written, none is known
        raise UserError(
            f"{folder} has no room for {size / 2**30:.1f} GiB of reactions ({error.strerror or error}); make room "
            "there, or set TMPDIR to another folder"
        ) from error


def _reserve(file: IO[bytes], size: int) -> None:
    """Takes a file's bytes on the disk at once. Raises `OSError` where there are too few."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for start in range(0, size, _WRITTEN_AT_ONCE):
        file.write(bytes(min(_WRITTEN_AT_ONCE, size - start)))
    file.flush()


def in_a_file(array: Float[np.ndarray, "N K T C"]) -> Float[np.ndarray, "N K T C"]:
    """The same, held in a file that is gone when it is."""
    held = _empty_in_a_file(array.shape)
    held[:] = array
    return held


def known_of(clips: Clips) -> Known:
    """What clips say by themselves: the channels' names, and who met whom."""
    return Known(groups=sessions(clips.clip_ids), names=clips.coefficient_names)


def evaluate(
    name: str,
    prediction: Float[np.ndarray, "N K T C"],
    clips: Clips,
    known: Known | None = None,
    frames_per_second: float | None = None,
    advance: Callable[[], None] | None = None,
) -> Row:
    """Measures one method.

    Args:
      name: in the table.
      prediction: raw.
      clips: the split.
      known: what else is known of it; by default what `known_of` says.
      frames_per_second: of its generation.
      advance: called after every clip.

    Raises:
      UserError: as `metrics.compute` does.
    """
    known = known or known_of(clips)
    people = (clips.speaker, clips.listener, clips.neighbours)
    measured = metrics.measure(prediction, *people, clips.clip_ids, known.groups, advance)
    reacting = measure_reacting(prediction, *people, known)
    counts = bootstrap.resamplings(known.groups)
    smiles = [i for i, channel in enumerate(clips.coefficient_names) if _SMILE.search(channel)]
    return Row(
        name=name,
        scores={
            "clean": metrics.summarise(measured, "clean") | reacting_figures(reacting),
            "paper": metrics.summarise(measured, "paper"),
        },
        smile=channel_lag(prediction, clips.speaker, smiles) if smiles else None,
        frames_per_second=frames_per_second,
        draws={
            "clean": bootstrap.draws(measured, "clean", counts) | reacting_draws(reacting, counts),
            "paper": bootstrap.draws(measured, "paper", counts),
        },
        measured=measured,
        reacting=reacting,
        window=known.window,
    )


def baselines(
    methods: Iterable[Method], inputs: Inputs, num_reactions: int, seed: int = 0
) -> Iterator[tuple[str, Float[np.ndarray, "N K T C"]]]:
    """Names and reactions of `baseline_methods`; `num_reactions` is K, `seed` Random's."""
    for method in methods:
        yield method.name, method.generate(inputs, num_reactions, key=jax.random.key(seed))


def baseline_methods(
    clips: Clips, training: Float[np.ndarray, "M T2 C"] | None, speakers: Inputs | None = None
) -> list[Method]:
    """Methods that need no training to speak of, those of `DEFAULT`. Ready.

    Args:
      clips: the split.
      training: the training split's listeners, raw; None leaves out those that learn from them.
      speakers: whom these listen to; None leaves out those that learn from pairs.
    """
    return fitted(DEFAULT, clips.listener, None if training is None else Training(training, speakers))


@functools.partial(jax.jit, static_argnums=2)
def clip_noise(root: Key[Array, ""], clip: Int[AnyArray, " B"], shape: tuple[int, ...]) -> Float[Array, "B K N D"]:
    """A clip's own noise."""
    return jax.vmap(lambda row: jax.random.normal(jax.random.fold_in(root, row), shape))(jnp.asarray(clip))
