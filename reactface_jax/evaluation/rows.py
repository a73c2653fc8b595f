"""Reactions for a whole split, and the rows of the table: the model's and those it is compared with."""

import functools
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree

from reactface_jax import metrics
from reactface_jax.config import EvalConfig
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
    RandomDraws,
)
from reactface_jax.metrics import bootstrap
from reactface_jax.metrics.groups import sessions
from reactface_jax.metrics.reacting import Known, Reacting, measure_reacting, reacting_draws, reacting_figures
from reactface_jax.metrics.synchrony import ChannelLag, channel_lag
from reactface_jax.metrics.video_distance import VideoDistance
from reactface_jax.models.reactface import ReactFace
from reactface_jax.online.generation import generate
from reactface_jax.ops.pixels import to_unit_range
from reactface_jax.tree_names import named_leaves
from reactface_jax.types import SAMPLES_PER_FRAME, AnyArray, Batch, Clips

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


def generate_split(
    model: ReactFace,
    params: PyTree,
    batches: Iterable[Batch],
    num_clips: int,
    config: EvalConfig,
    mean_face: Float[np.ndarray, " C"],
) -> Generated:
    """Answers every clip of a split.

    A clip's noise depends only on `config.seed` and the clip's row, so batch size and order change no reaction.

    Args:
      model: from `build_model`.
      params: its parameters.
      batches: whole clips of one length; rows with `clip` -1 are padding.
      num_clips: N.
      config: protocol, number of reactions and seed.
      mean_face: what the model's coefficients are relative to.

    Raises:
      UserError: the parameters are not this model's, or the batches leave a clip out.
    """
    root = jax.random.key(config.seed)
    prediction: np.ndarray | None = None
    seen = np.zeros(num_clips, bool)
    frames, seconds = 0, 0.0
    for batch in batches:
        if prediction is None:
            check_params(model, params, batch)
            _answer(model, params, batch, config, root)  # compiles
        start = time.perf_counter()
        reactions = _answer(model, params, batch, config, root) + mean_face  # B K T C
        seconds += time.perf_counter() - start
        frames += int(np.prod(reactions.shape[:3]))
        if prediction is None:
            prediction = np.empty((num_clips, *reactions.shape[1:]), np.float32)
        real = batch.clip >= 0
        prediction[batch.clip[real]] = reactions[real]
        seen[batch.clip[real]] = True
    if prediction is None or not seen.all():
        raise UserError(f"the data delivered {seen.sum()} of {num_clips} clips; write the shards again")
    return Generated(prediction, frames / seconds)


def check_params(model: ReactFace, params: PyTree, batch: Batch) -> None:
    """Raises `UserError` unless the parameters' names and shapes are the model's."""
    frames, (height, width) = model.config.window, batch.video.shape[2:4]
    video = jax.ShapeDtypeStruct((1, frames, height, width, 3), jnp.float32)
    audio = jax.ShapeDtypeStruct((1, frames * SAMPLES_PER_FRAME), jnp.float32)
    keys = {"params": jax.random.key(0), "sample": jax.random.key(0)}
    expected, found = (
        {name: leaf.shape for name, leaf in named_leaves(tree).items()}
        for tree in (jax.eval_shape(model.init, keys, video, audio)["params"], params)
    )
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise UserError(
                f"the parameters are not of this configuration: {name} has shape {found.get(name)}, the model needs "
                f"{expected.get(name)}; leave the --model fields as they were in training"
            )


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
      known: what else is known of it; by default the channels' names, and who met whom.
      frames_per_second: of its generation.
      advance: called after every clip.

    Raises:
      UserError: as `metrics.compute` does.
    """
    known = known or Known(groups=sessions(clips.clip_ids), names=clips.coefficient_names)
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
    """Methods that need no training to speak of: GT, Mirror, Random, MeanSeq, MeanFr, delayed-mirror, linear. Ready.

    Args:
      clips: the split.
      training: the training split's listeners, raw; None leaves out those that learn from them.
      speakers: whom these listen to; None leaves out those that learn from pairs.
    """
    methods: list[Method] = [GroundTruth(clips.listener), Mirror()]
    if training is not None:
        methods += [method.fit(training) for method in (RandomDraws(), MeanSequence(), MeanFrame())]
    if training is not None and speakers is not None:
        methods += [method.fit_to_pairs(speakers, training) for method in (DelayedMirror(), Linear())]
    return methods


def _answer(
    model: ReactFace, params: PyTree, batch: Batch, config: EvalConfig, root: Key[Array, ""]
) -> Float[np.ndarray, "B K T C"]:
    num_windows = -(-batch.video.shape[1] // model.config.window)
    reactions = generate(
        model,
        params,
        to_unit_range(batch.video),
        batch.audio,
        protocol=config.protocol,
        num_reactions=config.num_reactions,
        noise=clip_noise(root, batch.clip, (config.num_reactions, num_windows, model.config.feature_dim)),
    )
    return np.asarray(reactions, np.float32)


@functools.partial(jax.jit, static_argnums=2)
def clip_noise(root: Key[Array, ""], clip: Int[AnyArray, " B"], shape: tuple[int, ...]) -> Float[Array, "B K N D"]:
    """A clip's own noise."""
    return jax.vmap(lambda row: jax.random.normal(jax.random.fold_in(root, row), shape))(jnp.asarray(clip))
