"""A trained or converted model, evaluated on a split of shards."""

import importlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, PyTree
from rich.console import Console
from rich.progress import track

from reactface_jax.config import Config, apply_overrides, config_from_json
from reactface_jax.errors import UserError
from reactface_jax.evaluation import rows as evaluation
from reactface_jax.evaluation.arguments import Arguments
from reactface_jax.evaluation.attention_maps import MAX_FRAMES, AttentionMap, attention_maps
from reactface_jax.evaluation.known_split import know_split
from reactface_jax.evaluation.measuring import measure_methods
from reactface_jax.evaluation.prediction_files import checksum
from reactface_jax.evaluation.report import Report
from reactface_jax.evaluation.result import ARRAYS, Evaluation, check_out
from reactface_jax.evaluation.split import SplitPeople
from reactface_jax.evaluation.video_realism import open_comparison
from reactface_jax.models import ReactFace, build_model
from reactface_jax.online.generation import protocol_of
from reactface_jax.ops.pixels import to_unit_range_on_host
from reactface_jax.shard_set import open_shards
from reactface_jax.weights.params_file import load_params
from reactface_jax.weights.run import load_run, versions

NAME = "ReactFace"
_ATTENTIVE_CLIPS = 4  # over which the page's attention maps are averaged


class Trained(NamedTuple):
    """A model to evaluate. A converted checkpoint does not say which data it belongs to."""

    config: Config
    params: PyTree
    source: str
    mean_face: Float[np.ndarray, " C"] | None = None
    coefficient_names: tuple[str, ...] | None = None


def evaluate_run(arguments: Arguments, fields: list[str], console: Console) -> tuple[Evaluation, Path]:
    """Generates reactions to a split, and measures them beside the baselines.

    Args:
      arguments: with `checkpoint` or `converted`.
      fields: words that change fields of the model's configuration.
      console: of messages and bars.

    Returns:
      What was measured, and the folder for it.

    Raises:
      UserError: an input is unusable, or the folder can't be replaced; before anything is generated.
    """
    # ---- Model and data
    trained = load_trained(arguments)
    config = apply_overrides(trained.config, fields)
    config = replace(config, eval=replace(config.eval, protocol=protocol_of(config)))
    if not config.data.dir:
        raise UserError("--data is missing; give the shards that `reactface prepare shards` wrote")
    out = arguments.out or _folder(arguments) / f"evaluation-{config.eval.split}"
    inputs = {
        "--checkpoint": arguments.checkpoint,
        "--converted": arguments.converted,
        "--data": Path(config.data.dir),
        "--i3d": arguments.i3d,
        "--truth": arguments.truth,
    }
    check_out(out, inputs)
    people = SplitPeople(open_shards(config.data.dir), config.eval.split, config.data.eval_frames)
    clips, seed = people.clips, config.eval.seed
    if trained.coefficient_names not in (None, clips.coefficient_names):
        raise UserError(f"{config.data.dir} names its coefficients differently than the training's data; give --data")
    comparison = arguments.i3d and open_comparison(
        clips,
        arguments.i3d,
        arguments.realism_pairs,
        seed,
        arguments.renderer,
        arguments.renderer_weights,
        arguments.portrait,
        arguments.faceverse,
    )

    split = know_split(people.shards, people.split, clips, config.model.window, arguments.truth)

    # ---- Reactions
    model = build_model(config.model)
    generated = _generate(model, trained, config, people, console)
    prediction = generated.prediction

    # ---- Figures
    ready = evaluation.baseline_methods(clips, split.training_listeners, split.training_speakers)
    baselines = evaluation.baselines(ready, split.inputs, config.eval.num_reactions, seed)
    planted = _ceilings(arguments, people, config) if arguments.ceilings else []
    real = comparison and comparison.real_listeners(clips, console, people.listener_videos)
    rows = measure_methods(
        itertools.chain(baselines, planted, [(NAME, prediction)]),
        len(ready) + len(planted) + 1,
        clips,
        console,
        split.known,
        own_only=("other-take",),
        realism=real.distance if real else None,
        num_videos=len(comparison.chosen) if comparison else 0,
    )
    rows[-1] = replace(rows[-1], frames_per_second=generated.frames_per_second)
    arrays = dict(zip(ARRAYS, (prediction, clips.speaker, clips.listener, clips.neighbours), strict=True))
    report = Report(
        rows=rows,
        config=config,
        source=trained.source,
        data={
            "data": config.data.dir,
            "split": config.eval.split,
            "clips": people.num_clips,
            "frames": people.num_frames,
            "reactions": config.eval.num_reactions,
            "sha256": {name: checksum(array) for name, array in arrays.items()},
        },
        versions=versions(),
        compared_with=arguments.compare_with,
    )
    recording = people.recording if arguments.recordings else None
    attention = _attention(model, trained.params, config, people)
    return Evaluation(report, clips, {NAME: prediction}, arrays, recording, attention), out


def load_trained(arguments: Arguments) -> Trained:
    """Reads the model of `checkpoint` or `converted`. Raises `UserError` if it can't be read."""
    if arguments.checkpoint is not None:
        run = load_run(arguments.checkpoint, arguments.step, average=arguments.average)
        source = f"{arguments.checkpoint}, step {run.step}"
        return Trained(run.config, run.params, source, run.mean_face, run.coefficient_names)
    folder = _folder(arguments)
    params, values = load_params(folder)
    if "model" not in values:
        raise UserError(f"{folder} holds no ReactFace; convert one with `reactface convert reactface`")
    return Trained(config_from_json({"model": values["model"]}), params, str(folder))


def _folder(arguments: Arguments) -> Path:
    folder = arguments.checkpoint or arguments.converted
    assert folder is not None
    return folder


def _generate(
    model: ReactFace, trained: Trained, config: Config, people: SplitPeople, console: Console
) -> evaluation.Generated:
    console.print(
        f"{trained.source} on {config.data.dir}, split {config.eval.split}: {people.num_clips} clips of "
        f"{people.num_frames} frames, {config.eval.num_reactions} reactions each, protocol {config.eval.protocol}"
    )
    batches = people.batches(config.eval.batch_size, config.data.image_size)
    total = -(-people.num_clips // config.eval.batch_size)
    return evaluation.generate_split(
        model,
        trained.params,
        track(batches, "generating", total=total, console=console, transient=True),
        people.num_clips,
        config.eval,
        people.shards.mean_face if trained.mean_face is None else trained.mean_face,
    )


def _ceilings(
    arguments: Arguments, people: SplitPeople, config: Config
) -> list[tuple[str, Float[np.ndarray, "N K T C"]]]:
    """Rows of what the rule of made conversations reaches on the clips' own scripts."""
    rule = importlib.import_module("data_pipeline.dyads.ceilings")  # by name: as with shards, it lives on another floor
    clips, reactions = people.clips, config.eval.num_reactions
    made: list[tuple[str, np.ndarray]] = rule.ceiling_rows(
        arguments.truth, people.split, reactions, clips.clip_ids, people.num_frames
    )
    return made


def _attention(model: ReactFace, params: PyTree, config: Config, people: SplitPeople) -> Iterator[AttentionMap]:
    batch = next(people.batches(min(people.num_clips, _ATTENTIVE_CLIPS), config.data.image_size, MAX_FRAMES))
    video = to_unit_range_on_host(batch.video)
    yield from attention_maps(model, params, video, batch.audio, jax.random.key(config.eval.seed))
