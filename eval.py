"""Evaluates a model: `python eval.py --checkpoint runs/reference [--data SHARDS] [--split test] [--out DIR]`.

Anyone's reactions: `python eval.py --predictions [NAME=]FILE … --speaker S --listener L --neighbours M --out DIR`.
Fields of the run's configuration can be changed, such as `--eval.num-reactions 3`; docs/metrics.md explains the
figures.
"""

import argparse
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    track,
)

from reactface_jax.config import Config, apply_overrides
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.files import make_folder, replacing


class Trained(NamedTuple):
    """A model to evaluate. A converted checkpoint does not say which data it belongs to."""

    config: Config
    params: Any
    source: str
    mean_face: np.ndarray | None = None
    coefficient_names: tuple[str, ...] | None = None


@reports_user_errors
def main(words: list[str] | None = None) -> None:
    """Runs the command line `words`, the program's own by default."""
    # ---- Command line
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--checkpoint", type=Path, help="the --workdir of a training run")
    which.add_argument("--converted", type=Path, help="a folder that `python -m reactface_jax.convert reactface` wrote")
    which.add_argument("--predictions", nargs="+", metavar="[NAME=]FILE", help=".npy of reactions [N, K, T, C], raw")
    for name, what in (
        ("speaker", ".npy of real speakers [N, T, C]"),
        ("listener", ".npy of real listeners [N, T, C], in the same order"),
        ("neighbours", ".npy of the appropriateness matrix [N, N]"),
        ("clip-ids", "text file with a clip's name a line"),
    ):
        parser.add_argument(f"--{name}", type=Path, help=f"with --predictions: {what}")
    parser.add_argument("--step", help="which of the run's checkpoints: its step, or `best`; the newest by default")
    parser.add_argument("--no-average", action="store_true", help="the parameters themselves, not their moving average")
    parser.add_argument("--compare-with", help="the method that others are compared with; the last one by default")
    parser.add_argument("--data", help="the shards; those of the training by default")
    parser.add_argument("--split", help="train, val or test; the configuration's eval.split by default")
    parser.add_argument("--out", type=Path, help="where the report goes; beside the checkpoints by default")
    arguments, overrides = parser.parse_known_args(words)
    if arguments.predictions:
        return _evaluate_arrays(arguments, overrides)
    for name in ("speaker", "listener", "neighbours", "clip_ids"):
        if getattr(arguments, name) is not None:
            raise UserError(f"--{name.replace('_', '-')} goes with --predictions; give those, or leave it out")
    if arguments.data:
        overrides += ["--data.dir", arguments.data]
    if arguments.split:
        overrides += ["--eval.split", arguments.split]
    apply_overrides(Config(), overrides)  # a mistake is told before anything is read

    # ---- Model and data: imported late, for the same reason
    from data_pipeline.loader import open_shards
    from reactface_jax import evaluation, report
    from reactface_jax.array_files import checksum
    from reactface_jax.checkpoint import versions
    from reactface_jax.generation import protocol_of
    from reactface_jax.models import build_model

    trained = _load(arguments)
    config = apply_overrides(trained.config, overrides)
    config = replace(config, eval=replace(config.eval, protocol=protocol_of(config)))
    split = config.eval.split
    out = arguments.out or (arguments.checkpoint or arguments.converted) / f"evaluation-{split}"
    if not config.data.dir:
        raise UserError("--data is missing; give the shards that `python -m data_pipeline.prepare shards` wrote")
    shards = open_shards(config.data.dir)
    names = tuple(shards.description["coefficient_names"])
    if trained.coefficient_names not in (None, names):
        raise UserError(f"{config.data.dir} names its coefficients differently than the training's data; give --data")
    num_clips = shards.num_clips(split)
    num_frames = min(config.data.eval_frames, int(shards.num_frames(split).min()))
    speaker, listener = (np.ascontiguousarray(people[:, :num_frames]) for people in shards.coefficients(split))
    clips = evaluation.Clips(speaker, listener, shards.appropriateness(split), shards.clip_ids(split), names)

    # ---- Reactions
    console = Console()
    console.print(
        f"{trained.source} on {config.data.dir}, split {split}: {num_clips} clips of {num_frames} frames, "
        f"{config.eval.num_reactions} reactions each, protocol {config.eval.protocol}"
    )
    batch_size = config.eval.batch_size
    batches = shards.clip_batches(
        split, batch_size=batch_size, num_frames=num_frames, image_size=config.data.image_size
    )
    generated = evaluation.generate_split(
        build_model(config.model),
        trained.params,
        track(batches, "generating", total=-(-num_clips // batch_size), console=console, transient=True),
        num_clips,
        config.eval,
        shards.mean_face if trained.mean_face is None else trained.mean_face,
    )
    _save(out, prediction=generated.prediction, speaker=speaker, listener=listener, neighbours=clips.neighbours)

    # ---- Measures
    seed, rows = config.eval.seed, []
    with _progress("measuring", 6 * num_clips, console) as advance:
        training = shards.coefficients("train")[1]
        for row in evaluation.evaluate_baselines(clips, training, config.eval.num_reactions, seed, advance):
            rows.append(row)
        speed = generated.frames_per_second
        rows.append(evaluation.evaluate("ReactFace", generated.prediction, clips, seed, speed, advance))

    # ---- Report
    result = report.Report(
        rows=rows,
        config=config,
        source=trained.source,
        data={
            "data": config.data.dir,
            "split": split,
            "clips": num_clips,
            "frames": num_frames,
            "reactions": config.eval.num_reactions,
            "sha256": {
                name: checksum(array)
                for name, array in {
                    "prediction": generated.prediction,
                    "speaker": speaker,
                    "listener": listener,
                    "neighbours": clips.neighbours,
                }.items()
            },
        },
        versions=versions(),
        compared_with=arguments.compare_with,
    )
    _finish(result, out, console, "and the arrays that were measured")


def _evaluate_arrays(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Anyone's reactions, without a model."""
    if arguments.step or arguments.no_average:
        raise UserError("--step and --no-average go with --checkpoint; with --predictions leave them out")
    if overrides:
        raise UserError(f"{overrides[0]} goes with --checkpoint or --converted; with --predictions leave it out")
    for name in ("speaker", "listener", "neighbours", "out"):
        if getattr(arguments, name) is None:
            raise UserError(f"--{name} is missing; --predictions needs --speaker, --listener, --neighbours and --out")
    from reactface_jax import evaluation, report
    from reactface_jax.array_files import checksum, read_clips, read_predictions
    from reactface_jax.checkpoint import versions
    from reactface_jax.methods import repeat

    clips = read_clips(arguments.speaker, arguments.listener, arguments.neighbours, arguments.clip_ids)
    methods = {"GT": repeat(clips.listener, 1), "Mirror": repeat(clips.speaker, 1)}
    given = read_predictions(arguments.predictions, clips)
    if taken := methods.keys() & given.keys():
        raise UserError(f"--predictions calls a method {min(taken)}, which is a row of its own; rename it: NAME=PATH")
    methods |= given
    if arguments.compare_with not in (None, *methods):
        raise UserError(f"--compare-with {arguments.compare_with} is none of {', '.join(methods)}")
    num_clips, num_frames, num_channels = clips.speaker.shape
    console = Console()
    console.print(f"{len(given)} method(s), {num_clips} clips of {num_frames} frames and {num_channels} channels")
    checksums = {name: checksum(array) for name, array in given.items()}
    people = {"speaker": clips.speaker, "listener": clips.listener, "neighbours": clips.neighbours}
    checksums |= {name: checksum(array) for name, array in people.items()}
    with _progress("measuring", num_clips * len(methods), console) as advance:
        rows = [evaluation.evaluate(name, array, clips, advance=advance) for name, array in methods.items()]
    data = {"clips": num_clips, "frames": num_frames, "channels": num_channels}
    data["reactions"] = {name: array.shape[1] for name, array in given.items()}
    result = report.Report(
        rows=rows,
        config=None,
        source=", ".join(arguments.predictions),
        data=data | {"sha256": checksums},
        versions=versions(),
        compared_with=arguments.compare_with,
    )
    _finish(result, arguments.out, console)
    for name in given:
        row = next(row for row in rows if row.name == name)
        for sentence in report.mode_differences(row):
            console.print(f"{name}: {sentence}", highlight=False)


def _finish(result: Any, out: Path, console: Console, also: str = "") -> None:
    from reactface_jax import report

    report.write(result, out)
    for table in report.tables(result):
        console.print(table)
    console.print(f"wrote {out}: report.json, report.md, report.tex {also}")


@contextlib.contextmanager
def _progress(what: str, total: int, console: Console) -> Iterator[Callable[[], None]]:
    """A bar with an estimate of the time left; gives the function that advances it by one."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def _load(arguments: argparse.Namespace) -> Trained:
    if arguments.checkpoint:
        from reactface_jax.checkpoint import load_run

        run = load_run(arguments.checkpoint, _step(arguments.step), average=not arguments.no_average)
        return Trained(
            run.config, run.params, f"{arguments.checkpoint}, step {run.step}", run.mean_face, run.coefficient_names
        )

    from reactface_jax.checkpoint import config_from_json
    from reactface_jax.params_file import load_params

    params, values = load_params(arguments.converted)
    if "model" not in values:
        raise UserError(f"{arguments.converted} holds no ReactFace; convert one with `python -m reactface_jax.convert`")
    return Trained(config_from_json({"model": values["model"]}), params, str(arguments.converted))


def _step(word: str | None) -> int | Literal["best"] | None:
    if word is None:
        return None
    if word == "best":
        return "best"
    if not word.isdecimal():
        raise UserError(f"--step {word} is no step; give a number or `best`")
    return int(word)


def _save(folder: Path, **arrays: np.ndarray) -> None:
    """Writes name.npy of each array, aside first and then renamed."""
    make_folder(folder)
    for name, array in arrays.items():
        with replacing(folder / f"{name}.npy") as file:
            np.save(file, array)


if __name__ == "__main__":
    main()
