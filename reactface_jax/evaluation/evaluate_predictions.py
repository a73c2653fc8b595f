"""Anyone's reactions, evaluated without a model: arrays of reactions, of real people and of appropriateness."""

import itertools
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from reactface_jax.errors import UserError
from reactface_jax.evaluation.arguments import Arguments
from reactface_jax.evaluation.legend import REALISM, RESAMPLED, resampled
from reactface_jax.evaluation.measuring import measure_methods
from reactface_jax.evaluation.page import head_for
from reactface_jax.evaluation.planted_truth import read_truth
from reactface_jax.evaluation.prediction_files import (
    PEOPLE,
    check_values,
    checksum,
    prediction_paths,
    read_clips,
    read_predictions,
    read_training,
)
from reactface_jax.evaluation.report import Report, mode_differences
from reactface_jax.evaluation.result import Evaluation, check_out
from reactface_jax.evaluation.rows import baseline_methods, baselines, known_of
from reactface_jax.evaluation.split import OWN_ONLY
from reactface_jax.evaluation.video_realism import open_comparison
from reactface_jax.methods import Inputs
from reactface_jax.metrics.reacting import Known
from reactface_jax.types import Clips
from reactface_jax.weights.run import versions


def evaluate_predictions(arguments: Arguments, console: Console) -> tuple[Evaluation, Path]:
    """Measures the methods of `arguments.predictions` beside the baselines.

    Returns:
      What was measured, and the folder for it.

    Raises:
      UserError: an input is unusable, or the folder can't be replaced; before anything is measured.
    """
    # ---- Arrays
    speaker, listener, neighbours, out = arguments.speaker, arguments.listener, arguments.neighbours, arguments.out
    assert speaker is not None
    assert listener is not None
    assert out is not None
    flags = ("speaker", "listener", "neighbours", "clip_ids", "coefficient_names", "train_listeners", "i3d", "truth")
    inputs = {f"--{name.replace('_', '-')}": getattr(arguments, name) for name in flags}
    paths = prediction_paths(arguments.predictions)
    inputs |= {f"--predictions {name}": path for name, path in paths.items()}
    check_out(out, inputs, overwrite=arguments.overwrite)
    clips = read_clips(speaker, listener, neighbours, arguments.clip_ids, arguments.coefficient_names)
    known = _known(clips, arguments.truth, arguments.window)
    training = None if arguments.train_listeners is None else read_training(arguments.train_listeners, clips)
    given = read_predictions(paths, clips)
    ready = baseline_methods(clips, training)
    names = [method.name for method in ready]
    if taken := given.keys() & names:
        raise UserError(f"--predictions calls a method {min(taken)}, which is a row of its own; rename it: NAME=PATH")
    if taken := given.keys() & set(PEOPLE):
        raise UserError(
            f"--predictions calls a method {min(taken)}, as the report calls an array of the real people; rename it: "
            "NAME=PATH"
        )
    names += given
    if arguments.compare_with not in (None, *names):
        raise UserError(f"--compare-with {arguments.compare_with} is none of {', '.join(names)}")
    for name, array in (("speaker", clips.speaker), ("listener", clips.listener)):
        check_values(array, f"--{name} {getattr(arguments, name)}", clips.clip_ids)
    if training is not None:
        check_values(training, f"--train-listeners {arguments.train_listeners}")
    for name, array in given.items():
        check_values(array, f"--predictions {paths[name]}", clips.clip_ids)
    head, no_head = head_for(clips.coefficient_names, clips.speaker.shape[-1], arguments.faceverse_of_page)
    comparison = arguments.i3d and open_comparison(
        clips,
        arguments.i3d,
        arguments.realism_pairs,
        0,
        arguments.renderer,
        arguments.renderer_weights,
        arguments.portrait,
        arguments.faceverse,
    )

    # ---- Figures
    num_clips, num_frames, num_channels = clips.speaker.shape
    console.print(f"{len(given)} method(s), {num_clips} clips of {num_frames} frames and {num_channels} channels")
    people = {name: getattr(clips, name) for name in PEOPLE}
    checksums = {name: checksum(array) for name, array in {**given, **people}.items()}
    most = max(array.shape[1] for array in given.values())
    real = comparison and comparison.real_listeners(clips, console)
    rows = measure_methods(
        itertools.chain(baselines(ready, Inputs(clips.speaker), most), given.items()),
        len(names),
        clips,
        console,
        known,
        realism=real.distance if real else None,
        num_videos=len(comparison.chosen) if comparison else 0,
    )
    report = Report(
        rows=rows,
        config=None,
        source=", ".join(arguments.predictions),
        data={
            "clips": num_clips,
            "frames": num_frames,
            "channels": num_channels,
            "reactions": {name: array.shape[1] for name, array in given.items()},
            RESAMPLED: resampled(known.groups, clips.clip_ids, scripts=arguments.truth is not None),
            "sha256": checksums,
            **({} if clips.knows_others else {"appropriate": OWN_ONLY}),
            **({REALISM: comparison.described(recorded=False)} if comparison else {}),
        },
        versions=versions(),
        compared_with=arguments.compare_with,
    )
    for row in rows[len(names) - len(given) :]:
        for sentence in mode_differences(row):
            console.print(f"{row.name}: {sentence}", highlight=False)
    return Evaluation(report, clips, given, arrays={}, head=head, no_head=no_head), out


def _known(clips: Clips, truth: Path | None, window: int | None) -> Known:
    """What is known of the clips; a truth knows more of made ones than their channels show."""
    known = known_of(clips)
    if window is not None:
        known = replace(known, window=window)
    if truth is None:
        return known
    planted = read_truth(truth, None, clips.clip_ids, clips.speaker.shape[1])
    return replace(
        known,
        groups=planted.groups,
        listening=planted.listening,
        events=planted.events,
        own_events=planted.own_events,
    )
