"""Trained or converted methods, evaluated on a split of shards."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from reactface_jax.evaluation.arguments import Arguments
from reactface_jax.evaluation.asked_methods import Asked, asked_methods, place
from reactface_jax.evaluation.attention_maps import MAX_FRAMES, AttentionMap, attention_maps
from reactface_jax.evaluation.ceilings import CEILINGS, OTHER_TAKE, ceilings
from reactface_jax.evaluation.known_split import KnownSplit, all_pairs, know_split
from reactface_jax.evaluation.legend import REALISM, RESAMPLED, resampled
from reactface_jax.evaluation.measuring import measure_methods
from reactface_jax.evaluation.page import PageHead, head_for
from reactface_jax.evaluation.prediction_files import PEOPLE, checksum
from reactface_jax.evaluation.reference_rows import Search, Training, fitted, listener_row
from reactface_jax.evaluation.report import Report
from reactface_jax.evaluation.result import Evaluation, check_out
from reactface_jax.evaluation.rows import DEFAULT, Generated, Row, generate_split, in_a_file
from reactface_jax.evaluation.split import OWN_ONLY, SplitPeople
from reactface_jax.evaluation.video_realism import VideoComparison, open_comparison
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.methods import Method
from reactface_jax.methods.frozen_wav2vec2 import frozen_wav2vec2
from reactface_jax.methods.ready import Ready
from reactface_jax.methods.trained import Stored, TrainedMethod, make_trained
from reactface_jax.methods.trained_reactface import TrainedReactFace
from reactface_jax.online.generation import protocol_of
from reactface_jax.ops.pixels import to_unit_range_on_host
from reactface_jax.shard_set import open_shards
from reactface_jax.weights.run import versions

_ATTENTIVE_CLIPS = 4  # over which the page's attention maps are averaged


class _Planned(NamedTuple):
    """A method with the configuration that it is evaluated by; without both, where it is a reference row."""

    name: str
    row: str
    config: Config | None = None
    method: TrainedMethod | None = None


@dataclass(frozen=True)
class _Prepared:
    """What is read and checked before anything is generated."""

    asked: list[Asked]
    config: Config
    """Of the first method, whose split and data are everybody's."""
    out: Path
    people: SplitPeople
    split: KnownSplit
    comparison: VideoComparison | None
    planned: list[_Planned]
    """All rows in order, but for the ceilings."""
    ready: list[Method]
    """The reference rows among them."""
    windows: dict[str, int]
    """Of the methods that have their own (frames)."""
    head: tuple[PageHead | None, str]
    """Of the page; without one, and the reason."""

    @property
    def sources(self) -> str:
        """Where the methods came from."""
        stored = [one.stored.source for one in self.asked if one.stored is not None]
        listeners = [str(one.listener) for one in self.asked if one.listener is not None]
        return "; ".join(stored + listeners) or "reference rows only"

    @property
    def warm_ups(self) -> dict[str, int]:
        """Frames that methods get before each clip."""
        learned = {one.name: one.method.method for one in self.planned if isinstance(one.method, Ready)}
        return {name: method.warm_up for name, method in learned.items() if method.warm_up}


def evaluate_run(arguments: Arguments, fields: list[str], console: Console) -> tuple[Evaluation, Path] | None:
    """Generates reactions to a split, and measures them beside the baselines.

    Args:
      arguments: with `checkpoint`, `converted` or a `table`.
      fields: words that change fields of the methods' configurations.
      console: of messages and bars.

    Returns:
      What was measured, and the folder for it; None in all processes of a job but the first, which only generate.

    Raises:
      UserError: an input is unusable, or the folder can't be replaced; before anything is generated.
    """
    prepared = _prepare(arguments, fields, console)
    in_memory = sum(one.method is not None for one in prepared.planned) == 1
    generated = {
        one.name: _generate(one, prepared.people, console, in_memory=in_memory)
        for one in prepared.planned
        if one.method is not None
    }
    if jax.process_index() > 0:
        return None
    reactions = {name: found.prediction for name, found in generated.items()}  # those of reference rows come to them
    speeds = {name: found.frames_per_second for name, found in generated.items()}
    rows = [
        replace(row, frames_per_second=speeds.get(row.name, row.frames_per_second))
        for row in _measure(arguments, prepared, reactions, console)
    ]
    return _evaluation(arguments, prepared, rows, reactions), prepared.out


def _prepare(arguments: Arguments, fields: list[str], console: Console) -> _Prepared:
    """Methods and data. Raises `UserError` as `evaluate_run` does."""
    asked = asked_methods(arguments)
    stored = [one.stored for one in asked if one.stored is not None]
    configs = _configs(stored, fields)
    config = configs[0]
    if not config.data.dir:
        raise UserError("--data is missing; give the shards that `reactface prepare shards` wrote")
    out = arguments.out or _default_out(arguments, config.eval.split)
    inputs = {
        "--checkpoint": arguments.checkpoint,
        "--converted": arguments.converted,
        **{f"--methods {one.name}": one.stored.folder for one in asked if one.stored is not None},
        **{f"--methods {one.name}": one.listener for one in asked if one.listener is not None},
        "--data": Path(config.data.dir),
        "--i3d": arguments.i3d,
        "--truth": arguments.truth,
    }
    check_out(out, inputs, overwrite=arguments.overwrite)
    people = SplitPeople(open_shards(config.data.dir), config.eval.split, config.data.eval_frames)
    clips = people.clips
    for one in stored:
        if one.coefficient_names not in (None, clips.coefficient_names):
            raise UserError(
                f"{config.data.dir} names its coefficients differently than the data of {one.source}; give --data"
            )
    head = head_for(clips.coefficient_names, clips.speaker.shape[-1], arguments.faceverse_of_page)
    comparison = _comparison(arguments, people, config)
    trained = _planned(asked, configs, people)
    windows = {
        one.name: one.config.model.window
        for one in trained
        if one.config is not None and one.config.method == "reactface"
    }
    window = next(iter(windows.values()), config.model.window)  # of rows that have none
    split = know_split(people.shards, people.split, clips, window, arguments.truth)

    ready = _references(asked if arguments.table else None, people, split, arguments.wav2vec2)
    places = {one.name: one.row for one in asked}
    planned = [*(_Planned(each.name, places.get(each.name, each.name)) for each in ready), *trained]
    if arguments.table:
        planned.sort(key=_place)
    _check_compared(arguments, [one.name for one in planned])
    return _Prepared(asked, config, out, people, split, comparison, planned, ready, windows, head)


def _check_compared(arguments: Arguments, names: Sequence[str]) -> None:
    """Raises `UserError` unless --compare-with is one of the rows, to which --ceilings adds."""
    rows = (*names, *(CEILINGS if arguments.ceilings else ()))
    if arguments.compare_with not in (None, *rows):
        raise UserError(f"--compare-with {arguments.compare_with} is none of {', '.join(rows)}")


def _comparison(arguments: Arguments, people: SplitPeople, config: Config) -> VideoComparison | None:
    """Of FRRea, which --i3d asks for. Raises `UserError` if it can't be measured."""
    if arguments.i3d is None:
        return None
    if not people.shards.has_pictures:
        raise UserError(f"{config.data.dir} has no pictures of real listeners to compare with; leave --i3d out")
    return open_comparison(
        people.clips,
        arguments.i3d,
        arguments.realism_pairs,
        config.eval.seed,
        arguments.renderer,
        arguments.renderer_weights,
        arguments.portrait,
        arguments.faceverse,
    )


def _measure(
    arguments: Arguments, prepared: _Prepared, reactions: dict[str, Float[np.ndarray, "N K T C"]], console: Console
) -> list[Row]:
    """All rows with their figures; a table's reference rows add their reactions to `reactions`."""
    people, comparison = prepared.people, prepared.comparison
    reached: dict[str, np.ndarray] = {}
    if arguments.ceilings:
        assert arguments.truth is not None
        reached = ceilings(arguments.truth, people, prepared.config.eval.num_reactions, arguments.compare_with)
    names = [one.name for one in prepared.planned]
    place = 0 if arguments.table else len(names) - 1  # of the ceilings: a single method's row stays the last
    names[place:place] = reached
    real = comparison and comparison.real_listeners(people.clips, console, people.listener_videos)
    return measure_methods(
        _answers(names, prepared, reactions, reached, keep=bool(arguments.table)),
        len(names),
        people.clips,
        console,
        prepared.split.known,
        own_only=(OTHER_TAKE,),
        realism=real.distance if real else None,
        num_videos=len(comparison.chosen) if comparison else 0,
        windows=prepared.windows,
    )


def _evaluation(
    arguments: Arguments, prepared: _Prepared, rows: list[Row], reactions: dict[str, Float[np.ndarray, "N K T C"]]
) -> Evaluation:
    """What was measured, ready to be written."""
    people, config = prepared.people, prepared.config
    clips, names = people.clips, [one.name for one in prepared.planned]
    reactions = {name: reactions[name] for name in names if name in reactions}
    arrays = {name: getattr(clips, name) for name in PEOPLE}
    if not arguments.table:
        arrays = {"prediction": reactions[names[-1]], **arrays}
    sums = {name: checksum(array) for name, array in (reactions | arrays if arguments.table else arrays).items()}
    warm_ups = prepared.warm_ups
    report = Report(
        rows=rows,
        config=config,
        source=prepared.sources,
        data={
            "data": config.data.dir,
            "split": config.eval.split,
            "clips": people.num_clips,
            "frames": people.num_frames,
            "reactions": config.eval.num_reactions,
            RESAMPLED: resampled(prepared.split.known.groups, clips.clip_ids, scripts=arguments.truth is not None),
            "sha256": sums,
            **({} if clips.knows_others else {"appropriate": OWN_ONLY}),
            **({"frames put before each clip": warm_ups} if warm_ups else {}),
            **({REALISM: prepared.comparison.described(recorded=True)} if prepared.comparison else {}),
        },
        versions=versions(),
        compared_with=arguments.compare_with,
    )
    recording = people.recording if arguments.recordings and people.shards.has_pictures else None
    attention = itertools.chain.from_iterable(_attention(one, people) for one in prepared.planned)
    arrays = {} if arguments.table else arrays
    return Evaluation(report, clips, reactions, arrays, recording, attention, *prepared.head)


def _default_out(arguments: Arguments, split: str) -> Path:
    """In the method's own folder; another checkpoint than the newest has a folder of its own."""
    folder = arguments.checkpoint or arguments.converted
    assert folder is not None
    step = "" if arguments.step is None else f"-step-{arguments.step}"
    return folder / f"evaluation-{split}{step}"


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
        return fitted(DEFAULT, listener, training)
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
    prepared: _Prepared,
    reactions: dict[str, Float[np.ndarray, "N K T C"]],
    reached: Mapping[str, Float[np.ndarray, "N K T C"]],
    *,
    keep: bool,
) -> Iterator[tuple[str, Float[np.ndarray, "N K T C"]]]:
    """Reactions of every row, one at a time.

    Args:
      names: in order.
      prepared: with the reference rows.
      reactions: of trained methods.
      reached: of the ceilings.
      keep: add those of reference rows to `reactions`, but for GT's, for the page to play.
    """
    references, config = {method.name: method for method in prepared.ready}, prepared.config.eval
    for name in names:
        if name in references:
            key = jax.random.key(config.seed)
            found = references[name].generate(prepared.split.inputs, config.num_reactions, key=key)
            if keep and name != "GT":
                reactions[name] = found if found.strides[1] == 0 else in_a_file(found)
            yield name, found
        else:
            yield name, reached[name] if name in reached else reactions[name]


def _place(one: _Planned) -> int:
    return place(one.row)


def _generate(one: _Planned, people: SplitPeople, console: Console, *, in_memory: bool) -> Generated:
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
    return generate_split(
        method,
        track(batches, "generating", total=total, console=console, transient=True),
        people.num_clips,
        config,
        people.shards.mean_face,
        in_memory=in_memory,
        devices=devices,
    )


def _attention(one: _Planned, people: SplitPeople) -> Iterator[AttentionMap]:
    """Of ReactFace; other methods have none to show."""
    if not isinstance(one.method, TrainedReactFace) or one.config is None:
        return
    size = one.method.image_size
    batch = next(people.batches(min(people.num_clips, _ATTENTIVE_CLIPS), size, MAX_FRAMES))
    video, key = to_unit_range_on_host(batch.video), jax.random.key(one.config.eval.seed)
    yield from attention_maps(one.method.model, one.method.params, video, batch.audio, key, method=one.name)
