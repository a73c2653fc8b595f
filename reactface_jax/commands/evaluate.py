"""Evaluates a model: `python eval.py --checkpoint runs/reference [--data SHARDS] [--split test] [--out DIR]`.

Anyone's reactions: `python eval.py --predictions [NAME=]FILE … --speaker S --listener L --neighbours M --out DIR`.
Fields of the run's configuration can be changed, such as `--eval.num-reactions 3`; docs/metrics.md explains the
figures.
"""

import argparse
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track

from reactface_jax.config import Config, apply_overrides, check_names
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.files import make_folder, replacing

_ATTENTIVE_CLIPS = 4  # over which the page's attention maps are averaged


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
        ("coefficient-names", "JSON list of the channels' names, for smiles and the page's heads"),
        ("train-listeners", ".npy of the training split's listeners [M, T, C], for Random, MeanSeq and MeanFr"),
    ):
        parser.add_argument(f"--{name}", type=Path, help=f"with --predictions: {what}")
    parser.add_argument("--step", help="which of the run's checkpoints: its step, or `best`; the newest by default")
    parser.add_argument("--no-average", action="store_true", help="the parameters themselves, not their moving average")
    parser.add_argument("--page-clips", type=int, default=6, help="clips that report.html plays; 0: no page")
    parser.add_argument("--no-recordings", action="store_true", help="keep faces and voices of the data off the page")
    parser.add_argument("--i3d", type=Path, help="converted I3D: FRRea is measured too, of drawn reactions")
    parser.add_argument("--realism-pairs", type=int, default=100, help="clips that FRRea compares")
    parser.add_argument("--renderer", choices=("head", "pirender", "faceverse"), default="head", help="who FRRea sees")
    parser.add_argument("--renderer-weights", type=Path, help="of pirender: a converted or trained renderer")
    parser.add_argument("--portrait", type=Path, help="of pirender: a photo")
    parser.add_argument(
        "--faceverse", type=Path, help="a converted FaceVerse: the page's faces, and --renderer faceverse"
    )
    parser.add_argument("--compare-with", help="the method that others are compared with; the last one by default")
    parser.add_argument("--data", help="the shards; those of the training by default")
    parser.add_argument("--split", help="train, val or test; the configuration's eval.split by default")
    parser.add_argument("--out", type=Path, help="where the report goes; beside the checkpoints by default")
    arguments, overrides = parser.parse_known_args(words)
    if arguments.faceverse and not arguments.faceverse.is_file():
        raise UserError(
            f"--faceverse {arguments.faceverse} does not exist; `reactface_jax.convert faceverse` writes it"
        )
    if arguments.predictions:
        return _evaluate_arrays(arguments, overrides)
    for name in ("speaker", "listener", "neighbours", "clip_ids", "coefficient_names", "train_listeners"):
        if getattr(arguments, name) is not None:
            raise UserError(f"--{name.replace('_', '-')} goes with --predictions; give those, or leave it out")
    if arguments.data:
        overrides += ["--data.dir", arguments.data]
    if arguments.split:
        overrides += ["--eval.split", arguments.split]
    check_names(overrides, Config)  # a mistake is told before anything is read

    # ---- Model and data: imported late, for the same reason
    import jax

    from data_pipeline.loader import open_shards
    from reactface_jax.evaluation import report
    from reactface_jax.evaluation import rows as evaluation
    from reactface_jax.evaluation.measure_rows import measure_rows
    from reactface_jax.evaluation.prediction_files import checksum
    from reactface_jax.models import build_model
    from reactface_jax.online.generation import protocol_of
    from reactface_jax.weights.run import versions

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
    watching = _open_watching(arguments, clips, config.eval.seed)

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
    def real_videos(chosen: Sequence[int]) -> Iterator[np.ndarray]:
        for clip in chosen:
            other = shards.example(split, (clip + num_clips // 2) % num_clips)  # the listener is a speaker there
            yield np.stack(list(itertools.islice(other["frames"], num_frames)))

    seed = config.eval.seed
    baselines = evaluation.baselines(clips, shards.coefficients("train")[1], config.eval.num_reactions, seed)
    methods = itertools.chain(baselines, [("ReactFace", generated.prediction)])
    realism = {} if watching is None else _realism(watching, clips, console, real_videos)
    rows = measure_rows(methods, 6, clips, console, seed, **realism)
    rows[-1] = replace(rows[-1], frames_per_second=generated.frames_per_second)

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

    # ---- Page
    if arguments.page_clips > 0:
        from reactface_jax.evaluation.attention_maps import MAX_FRAMES, attention_maps
        from reactface_jax.evaluation.page import build_page
        from reactface_jax.evaluation.page.recordings import record
        from reactface_jax.ops.pixels import to_unit_range_on_host

        def recording(clip: int) -> bytes:
            speaking, listening = (shards.example(split, (clip + n) % num_clips) for n in (0, num_clips // 2))
            return record(speaking["frames"], listening["frames"], speaking["audio"], num_frames)

        first = next(
            shards.clip_batches(
                split,
                batch_size=min(num_clips, _ATTENTIVE_CLIPS),
                num_frames=min(num_frames, MAX_FRAMES),
                image_size=config.data.image_size,
            )
        )
        video = to_unit_range_on_host(first.video)
        maps = attention_maps(
            build_model(config.model), trained.params, video, first.audio, jax.random.key(config.eval.seed)
        )
        build_page(
            result,
            clips,
            {"ReactFace": generated.prediction},
            out,
            console,
            arguments.page_clips,
            None if arguments.no_recordings else recording,
            maps,
            arguments.faceverse,
        )


def _evaluate_arrays(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Anyone's reactions, without a model."""
    if arguments.step or arguments.no_average:
        raise UserError("--step and --no-average go with --checkpoint; with --predictions leave them out")
    if overrides:
        raise UserError(f"{overrides[0]} goes with --checkpoint or --converted; with --predictions leave it out")
    for name in ("speaker", "listener", "neighbours", "out"):
        if getattr(arguments, name) is None:
            raise UserError(f"--{name} is missing; --predictions needs --speaker, --listener, --neighbours and --out")
    from reactface_jax.evaluation import report
    from reactface_jax.evaluation import rows as evaluation
    from reactface_jax.evaluation.measure_rows import measure_rows
    from reactface_jax.evaluation.page import build_page
    from reactface_jax.evaluation.prediction_files import checksum, read_clips, read_predictions, read_training
    from reactface_jax.weights.run import versions

    clips = read_clips(
        arguments.speaker, arguments.listener, arguments.neighbours, arguments.clip_ids, arguments.coefficient_names
    )
    training = None if arguments.train_listeners is None else read_training(arguments.train_listeners, clips)
    given = read_predictions(arguments.predictions, clips)
    names = [method.name for method in evaluation.baseline_methods(clips, training)]
    if taken := given.keys() & names:
        raise UserError(f"--predictions calls a method {min(taken)}, which is a row of its own; rename it: NAME=PATH")
    names += given
    if arguments.compare_with not in (None, *names):
        raise UserError(f"--compare-with {arguments.compare_with} is none of {', '.join(names)}")
    num_clips, num_frames, num_channels = clips.speaker.shape
    console = Console()
    console.print(f"{len(given)} method(s), {num_clips} clips of {num_frames} frames and {num_channels} channels")
    watching = _open_watching(arguments, clips, seed=0)
    checksums = {name: checksum(array) for name, array in given.items()}
    people = {"speaker": clips.speaker, "listener": clips.listener, "neighbours": clips.neighbours}
    checksums |= {name: checksum(array) for name, array in people.items()}
    realism = {} if watching is None else _realism(watching, clips, console)
    most = max(array.shape[1] for array in given.values())
    methods = itertools.chain(evaluation.baselines(clips, training, most), given.items())
    rows = measure_rows(methods, len(names), clips, console, **realism)
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
    if arguments.page_clips > 0:
        build_page(result, clips, given, arguments.out, console, arguments.page_clips, faceverse=arguments.faceverse)


def _open_watching(arguments: argparse.Namespace, clips: Any, seed: int) -> Any:
    """For FRRea, with --i3d."""
    if arguments.i3d is None:
        return None
    from reactface_jax.evaluation.video_realism import open_watching

    renderer = (arguments.renderer, arguments.renderer_weights, arguments.portrait, arguments.faceverse)
    return open_watching(clips, arguments.i3d, arguments.realism_pairs, seed, *renderer)


def _realism(watching: Any, clips: Any, console: Console, real_videos: Any = None) -> dict[str, Any]:
    """What `measure_rows` needs for FRRea."""
    return {
        "realism": watching.see(clips, console, real_videos).distance,
        "num_videos": len(watching.chosen),
    }


def _finish(result: Any, out: Path, console: Console, also: str = "") -> None:
    from reactface_jax.evaluation import report

    report.write(result, out)
    for table in report.tables(result):
        console.print(table)
    console.print(f"wrote {out}: report.json, report.md, report.tex {also}")


def _load(arguments: argparse.Namespace) -> Trained:
    if arguments.checkpoint:
        from reactface_jax.weights.run import load_run

        run = load_run(arguments.checkpoint, _step(arguments.step), average=not arguments.no_average)
        return Trained(
            run.config, run.params, f"{arguments.checkpoint}, step {run.step}", run.mean_face, run.coefficient_names
        )

    from reactface_jax.config import config_from_json
    from reactface_jax.weights.params_file import load_params

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
