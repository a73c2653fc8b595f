"""Trained or converted methods, evaluated on a split of shards."""

import importlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.progress import track

from reactface_jax.all_devices import AllDevices
from reactface_jax.config import Config, apply_overrides
from reactface_jax.errors import UserError
from reactface_jax.evaluation import rows as evaluation
from reactface_jax.evaluation.arguments import Arguments
from reactface_jax.evaluation.asked_methods import Asked, place, read_methods, row_of
from reactface_jax.evaluation.attention_maps import MAX_FRAMES, AttentionMap, attention_maps
from reactface_jax.evaluation.known_split import KnownSplit, all_pairs, know_split
from reactface_jax.evaluation.legend import RESAMPLED, resampled
from reactface_jax.evaluation.measuring import measure_methods
from reactface_jax.evaluation.prediction_files import checksum
from reactface_jax.evaluation.reference_rows import Search, Training, fitted, listener_row
from reactface_jax.evaluation.report import Report
from reactface_jax.evaluation.result import Evaluation, check_out
from reactface_jax.evaluation.split import OWN_ONLY, SplitPeople
from reactface_jax.evaluation.video_realism import open_comparison
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.methods import Inputs, Method
from reactface_jax.methods.frozen_wav2vec2 import frozen_wav2vec2
from reactface_jax.methods.listener import find_weights
from reactface_jax.methods.ready import Ready
from reactface_jax.methods.trained import Stored, TrainedMethod, make_trained, stored_folder, stored_run
from reactface_jax.methods.trained_reactface import TrainedReactFace
from reactface_jax.online.generation import protocol_of
from reactface_jax.ops.pixels import to_unit_range_on_host
from reactface_jax.shard_set import open_shards
from reactface_jax.weights.run import load_run, versions

_ATTENTIVE_CLIPS = 4  # over which the page's attention maps are averaged


class _Planned(NamedTuple):
    """A method with the configuration that it is evaluated by; without both, where it is a reference row."""

    name: str
    row: str
    config: Config | None = None
    method: TrainedMethod | None = None


def evaluate_run(arguments: Arguments, fields: list[str], console: Console) -> tuple[Evaluation, Path] | None:
    """Generates reactions to a split, and measures them beside the baselines.

    Args:
      arguments: with `checkpoint`, `converted` or `methods`.
      fields: words that change fields of the methods' configurations.
      console: of messages and bars.

    Returns:
      What was measured, and the folder for it; None in all processes of a job but the first, which only generate.

    Raises:
      UserError: an input is unusable, or the folder can't be replaced; before anything is generated.
    """
    # ---- Methods and data
    asked = asked_methods(arguments)
    stored = [one.stored for one in asked if one.stored is not None]
    configs = _configs(stored, fields)
    config = configs[0]
    if not config.data.dir:
        raise UserError("--data is missing; give the shards that `reactface prepare shards` wrote")
    out = arguments.out or _folder(arguments) / f"evaluation-{config.eval.split}"
    inputs = {
        "--checkpoint": arguments.checkpoint,
        "--converted": arguments.converted,
        **{f"--methods {one.name}": one.stored.folder for one in asked if one.stored is not None},
        **{f"--methods {one.name}": one.listener for one in asked if one.listener is not None},
        "--data": Path(config.data.dir),
        "--i3d": arguments.i3d,
        "--truth": arguments.truth,
    }
    check_out(out, inputs)
    people = SplitPeople(open_shards(config.data.dir), config.eval.split, config.data.eval_frames)
    clips, seed = people.clips, config.eval.seed
    for one in stored:
        if one.coefficient_names not in (None, clips.coefficient_names):
            raise UserError(
                f"{config.data.dir} names its coefficients differently than the data of {one.source}; give --data"
            )
    if arguments.i3d and not people.shards.has_pictures:
        raise UserError(f"{config.data.dir} has no pictures of real listeners to compare with; leave --i3d out")
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
    planned = _planned(asked, configs, people)
    windows = {
        one.name: one.config.model.window
        for one in planned
        if one.config is not None and one.config.method == "reactface"
    }
    window = next(iter(windows.values()), config.model.window)  # of rows that have none
    split = know_split(people.shards, people.split, clips, window, arguments.truth)

    ready = _references(asked if arguments.methods else None, people, split, arguments.wav2vec2)
    places = {one.name: one.row for one in asked}
    planned = [*(_Planned(each.name, places.get(each.name, each.name)) for each in ready), *planned]
    if arguments.methods:
        planned.sort(key=_place)
    names = [one.name for one in planned]
    if arguments.compare_with not in (None, *names):
        raise UserError(f"--compare-with {arguments.compare_with} is none of {', '.join(names)}")

    # ---- Reactions
    generated = {
        one.name: _generate(one, people, console, in_memory=len(stored) == 1)
        for one in planned
        if one.method is not None
    }
    if jax.process_index() > 0:
        return None
    reactions = {name: found.prediction for name, found in generated.items()}
    answers = _answers(names, ready, reactions, split.inputs, config, keep=bool(arguments.methods))

    # ---- Figures
    ceilings = _ceilings(arguments, people, config) if arguments.ceilings else []
    real = comparison and comparison.real_listeners(clips, console, people.listener_videos)
    last = len(stored) if not arguments.methods else len(planned)
    rows = measure_methods(
        itertools.chain(itertools.islice(answers, len(names) - last), ceilings, answers),
        len(planned) + len(ceilings),
        clips,
        console,
        split.known,
        own_only=("other-take",),
        realism=real.distance if real else None,
        num_videos=len(comparison.chosen) if comparison else 0,
        windows=windows,
    )
    rows = [
        replace(row, frames_per_second=generated[row.name].frames_per_second) if row.name in generated else row
        for row in rows
    ]
    reactions = {name: reactions[name] for name in names if name in reactions}
    arrays = dict(speaker=clips.speaker, listener=clips.listener, neighbours=clips.neighbours)
    if not arguments.methods:
        arrays = {"prediction": reactions[names[-1]], **arrays}
    sums = {name: checksum(array) for name, array in (arrays if not arguments.methods else reactions | arrays).items()}
    warm_ups = {
        one.name: one.method.method.warm_up
        for one in planned
        if isinstance(one.method, Ready) and one.method.method.warm_up
    }
    sources = [one.source for one in stored] + [str(one.listener) for one in asked if one.listener is not None]
    report = Report(
        rows=rows,
        config=config,
        source="; ".join(sources) or "reference rows only",
        data={
            "data": config.data.dir,
            "split": config.eval.split,
            "clips": people.num_clips,
            "frames": people.num_frames,
            "reactions": config.eval.num_reactions,
            RESAMPLED: resampled(split.known.groups, clips.clip_ids, scripts=arguments.truth is not None),
            "sha256": sums,
            **({} if clips.knows_others else {"appropriate": OWN_ONLY}),
            **({"frames put before each clip": warm_ups} if warm_ups else {}),
        },
        versions=versions(),
        compared_with=arguments.compare_with,
    )
    recording = people.recording if arguments.recordings and people.shards.has_pictures else None
    attention = itertools.chain.from_iterable(_attention(one, people) for one in planned)
    return Evaluation(report, clips, reactions, {} if arguments.methods else arrays, recording, attention), out


def asked_methods(arguments: Arguments) -> list[Asked]:
    """The methods of a command line. Raises `UserError` if one can't be read."""
    if arguments.methods:
        return read_methods(arguments.methods, arguments.step, arguments.average)
    if arguments.checkpoint is not None:
        if find_weights(arguments.checkpoint) is not None:
            raise UserError(
                f"--checkpoint {arguments.checkpoint} is a listener's training; give --methods {arguments.checkpoint}"
            )
        run = load_run(arguments.checkpoint, arguments.step, average=arguments.average)
        stored = stored_run(run, arguments.checkpoint)
    else:
        stored = stored_folder(_folder(arguments))
    row = row_of(stored.config)
    return [Asked(row, row, stored)]


def _folder(arguments: Arguments) -> Path:
    folder = arguments.checkpoint or arguments.converted
    assert folder is not None
    return folder


def _configs(stored: list[Stored], fields: list[str]) -> list[Config]:
    """Of each method, with what the fields change; what is evaluated, and of which data, is the first one's for all."""
    configs = [apply_overrides(one.config, fields) for one in stored] or [apply_overrides(Config(), fields)]
    first = configs[0]
    shared = {name: getattr(first.eval, name) for name in ("split", "num_reactions", "seed")}
    read = {name: getattr(first.data, name) for name in ("dir", "eval_frames")}
    made = []
    for config in configs:
        protocol = protocol_of(config)
        made.append(
            replace(
                config,
                eval=replace(config.eval, protocol=protocol, **shared),
                data=replace(config.data, **read),
            )
        )
    return made


def _planned(asked: list[Asked], configs: list[Config], people: SplitPeople) -> list[_Planned]:
    """The methods, ready; reference rows are fitted later. Raises `UserError` if variables fit no configuration."""
    planned, remaining = [], iter(configs)
    for one in asked:
        if one.stored is not None:
            config = next(remaining)
            mean_face = people.shards.mean_face if one.stored.mean_face is None else one.stored.mean_face
            method = make_trained(config, one.stored.variables, mean_face)
            planned.append(_Planned(one.name, one.row, config, method))
    return planned


def _references(
    asked: list[Asked] | None, people: SplitPeople, split: KnownSplit, wav2vec2: Path | None
) -> list[Method]:
    """The rows without a run, ready.

    Args:
      asked: for which; None: those of every report of a single method.
      people: of the split.
      split: and of training clips.
      wav2vec2: a converted one, for NN audio.
    """
    training, listener = Training(split.training_listeners, split.training_speakers), people.clips.listener
    if asked is None:
        return fitted(evaluation.DEFAULT, listener, training)
    names = ["GT", *(one.name for one in asked if one.stored is None and one.listener is None)]
    if "Listener" in names and people.clips.coefficient_names != COEFFICIENT_NAMES:
        raise UserError(
            "--data has other coefficients than the packaged listener, which knows MediaPipe's 52 weights and the "
            "pose; leave listener out of --methods"
        )
    searching = [name for name in names if name.startswith("NN ")]
    ready = fitted([name for name in names if name not in searching], listener, training)
    coefficients = tuple(people.clips.coefficient_names)
    ready += [listener_row(one.listener, one.name, coefficients) for one in asked if one.listener is not None]
    if searching:
        everyone = all_pairs(people.shards, people.num_frames, with_sound="NN audio" in searching)
        embed = frozen_wav2vec2(wav2vec2) if wav2vec2 is not None else None
        ready += fitted(searching, listener, everyone, Search(people.split == "train", embed))
    return ready


def _answers(
    names: Iterable[str],
    ready: Iterable[Method],
    reactions: dict[str, Float[np.ndarray, "N K T C"]],
    inputs: Inputs,
    config: Config,
    *,
    keep: bool,
) -> Iterator[tuple[str, Float[np.ndarray, "N K T C"]]]:
    """Reactions of every row, one at a time.

    Args:
      names: in order.
      ready: reference rows.
      reactions: of the others.
      inputs: what reference rows see.
      config: number of reactions, and the seed of reference rows.
      keep: add those of reference rows to `reactions`, but for GT's, for the page to play.
    """
    references = {method.name: method for method in ready}
    for name in names:
        if name in references:
            key = jax.random.key(config.eval.seed)
            found = references[name].generate(inputs, config.eval.num_reactions, key=key)
            if keep and name != "GT":
                reactions[name] = found if found.strides[1] == 0 else evaluation.in_a_file(found)
            yield name, found
        else:
            yield name, reactions[name]


def _place(one: _Planned) -> int:
    return place(one.row)


def _generate(one: _Planned, people: SplitPeople, console: Console, *, in_memory: bool) -> evaluation.Generated:
    assert one.config is not None
    assert one.method is not None
    config = one.config.eval
    how = f", protocol {config.protocol}" if one.config.method == "reactface" else ""
    console.print(
        f"{one.name} on {one.config.data.dir}, split {config.split}: {people.num_clips} clips of "
        f"{people.num_frames} frames, {config.num_reactions} reactions each{how}"
    )
    method, batch_size = one.method, config.batch_size
    devices: AllDevices | None = None
    rows: list[int] | None = None
    if isinstance(method, TrainedReactFace):  # the others are small
        devices = AllDevices(people.num_clips)
        method, batch_size = method.on(devices), devices.batch_size(batch_size)
        rows = devices.own_rows(batch_size)
    batches = people.batches(batch_size, method.image_size, rows=rows)
    total = -(-people.num_clips // batch_size)
    return evaluation.generate_split(
        method,
        track(batches, "generating", total=total, console=console, transient=True),
        people.num_clips,
        config,
        people.shards.mean_face,
        in_memory=in_memory,
        devices=devices,
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


def _attention(one: _Planned, people: SplitPeople) -> Iterator[AttentionMap]:
    """Of ReactFace; other methods have none to show."""
    if not isinstance(one.method, TrainedReactFace) or one.config is None:
        return
    size = one.method.image_size
    batch = next(people.batches(min(people.num_clips, _ATTENTIVE_CLIPS), size, MAX_FRAMES))
    video, key = to_unit_range_on_host(batch.video), jax.random.key(one.config.eval.seed)
    yield from attention_maps(one.method.model, one.method.params, video, batch.audio, key, method=one.name)
