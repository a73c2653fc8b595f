"""What a training run measures on validation clips: losses and measures of reactions by evaluation's protocol."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from reactface_jax import metrics
from reactface_jax.methods.learned import Variables
from reactface_jax.metrics.groups import sessions
from reactface_jax.metrics.reacting import Known, measure_reacting, reacting_figures
from reactface_jax.training.objective import Objective
from reactface_jax.training.sharding import on_mesh, place_batch
from reactface_jax.training.training_log import Metrics
from reactface_jax.types import Batch, Clips

SCORE = "FRCorr"
"""The measure that decides which checkpoint is the best; higher is better."""

ValidationStep = Callable[[Variables, Batch], tuple[Metrics, Array, Array]]


class Validated(NamedTuple):
    """The answers to some validation clips."""

    losses: dict[str, float]
    """Of the first reaction, against the one real listener; a mean over the clips."""
    rows: Int[np.ndarray, " N"]
    """The clips' rows in their split."""
    prediction: Float[np.ndarray, "N K T C"]
    """Relative to mean_face."""


def make_validation_step(objective: Objective, mesh: Mesh) -> Any:
    """`jax.jit` of variables and batch to losses, reactions [B K T C] and rows, which every host gets whole."""

    def validation_step(variables: Variables, batch: Batch) -> tuple[Metrics, Array, Array]:
        return *objective.answer(variables, batch), jnp.asarray(batch.clip)

    everywhere = NamedSharding(mesh, PartitionSpec())
    return jax.jit(on_mesh(validation_step, mesh), out_shardings=everywhere)


def lower_validation(step: Any, shapes: Variables, batches: Iterable[Batch], mesh: Mesh) -> jax.stages.Lowered | None:
    """Traces the validation of one batch, to be compiled: what is wrong with it is found before the first step.

    Args:
      step: what `make_validation_step` returned.
      shapes: of the method's variables.
      batches: of the validation split; one is taken, the others have its shapes.
      mesh: the devices.

    Returns:
      The program; None if there are no clips.

    Raises:
      UserError: the split's clips can't be read.
    """
    batch = next(iter(batches), None)
    lowered: jax.stages.Lowered | None = None if batch is None else step.lower(shapes, place_batch(batch, mesh))
    return lowered


def validate(
    step: ValidationStep, variables: Variables, batches: Iterable[Batch], most: int, mesh: Mesh
) -> Validated | None:
    """Answers validation clips, batch by batch.

    Args:
      step: what `lower_validation` returned, compiled.
      variables: the method's.
      batches: of the validation split, in order; clip = -1 marks padding.
      most: ends after the batch with which there are at least so many clips; 0: all.
      mesh: the devices.

    Returns:
      The answers; None if there are no clips.
    """
    parts: list[dict[str, float]] = []
    rows: list[np.ndarray] = []
    predictions: list[np.ndarray] = []
    for batch in batches:
        found, listener, clip = jax.device_get(step(variables, place_batch(batch, mesh)))
        real = clip >= 0  # the others pad the last batch
        if real.any():
            parts.append(found)
            rows.append(clip[real])
            predictions.append(listener[real])
        if 0 < most <= sum(map(len, rows)):
            break
    if not rows:
        return None
    weights = [len(some) for some in rows]
    means = {name: float(np.average([part[name] for part in parts], weights=weights)) for name in parts[0]}
    return Validated(means, np.concatenate(rows), np.concatenate(predictions))


def score(validated: Validated, clips: Clips, mean_face: Float[np.ndarray, " C"], window: int = 16) -> dict[str, float]:
    """The measures of docs/metrics.md, mode `clean`, of these clips among themselves.

    Appropriate reactions are those of the split that are among the clips; a clip's own listener always is. Of what says
    whether it reacts, those are measured that need neither sound nor a training split, with events that are found in
    the speaker's channels.

    Args:
      validated: the answers.
      clips: their split.
      mean_face: what the answers are relative to.
      window: of the model (frames).
    """
    rows, num_frames = validated.rows, validated.prediction.shape[2]
    prediction = validated.prediction + mean_face
    people = (
        clips.speaker[rows, :num_frames],
        clips.listener[rows, :num_frames],
        clips.neighbours[np.ix_(rows, rows)],
    )
    ids = [clips.clip_ids[row] for row in rows]
    known = Known(groups=sessions(clips.clip_ids)[rows], names=clips.coefficient_names, window=window)
    measured = metrics.measure(prediction, *people, ids, known.groups)
    return metrics.summarise(measured, "clean") | reacting_figures(measure_reacting(prediction, *people, known))
