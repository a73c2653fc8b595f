"""Recordings of one's own as a tree of REACT2023's form: `prepare import`, and single people: `prepare extract`."""

import json
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from data_pipeline.conversation_video import OnFrame, read_conversation
from data_pipeline.own_recordings.clip_files import COEFFICIENT_NAMES, Places, Recorded, write_clips
from data_pipeline.own_recordings.pairs import SILENT, Pair, read_pairs
from data_pipeline.own_recordings.preview import check_previews
from data_pipeline.own_recordings.recorded_tree import (
    FOLDERS,
    PARTIAL,
    PREVIEWS,
    RECORDS,
    SITE,
    Cut,
    Record,
    Settings,
    claimed,
    is_there,
    recipe_of,
    records,
    write_tables,
)
from reactface_jax.errors import UserError
from reactface_jax.extraction.people import find_people, measure, segments
from reactface_jax.files import make_folder, replacing, replacing_folder, require_replaceable
from reactface_jax.media.audio import read_audio_or_none
from reactface_jax.media.face import check_choice, choose
from reactface_jax.media.video import expected_frames
from reactface_jax.types import FRAME_RATE
from reactface_jax.worker_pool import check_workers, worker_pool

_SHORT_SOUND = 0.5  # s
_UNSURE = 0.2  # a speaker's mouth that follows the sound less than this is worth a word


def import_pairs(
    pairs: Path,
    out: Path,
    clip_seconds: float = 30.0,
    min_seconds: float = 5.0,
    previews: bool = True,
    workers: int = 1,
    overwrite: bool = False,
) -> None:
    """Makes a raw tree of recorded conversations, or adds to one; what is there already is not made again.

    Lines of the csv that can't be used are named, and the others go on; the exit code is 2 then.

    Args:
      pairs: a csv with the columns speaker and listener: videos; both in one where listener is empty. See
        docs/own_recordings.md for more columns.
      out: the tree's folder.
      clip_seconds: length of the clips that recordings are cut into.
      min_seconds: shorter ones are left out.
      previews: --no-previews leaves out a video and a figure of every clip, to look at.
      workers: processes.
      overwrite: make recordings again that are there with other settings.
    """
    check_workers(workers)
    settings = Settings(clip_seconds, min_seconds, previews)
    listed, failed = read_pairs(pairs)
    number = len(listed) + len(failed)
    if number == 1 and failed:
        raise next(iter(failed.values()))
    todo: list[Pair] = []
    there = 0
    with claimed(out):
        for pair in listed:
            try:
                if is_there(out, pair, settings, overwrite):
                    there += 1
                else:
                    todo.append(pair)
            except UserError as error:
                failed[pair.line] = error
        if todo and previews:
            check_previews()
        if there:
            print(f"{out}: {there} of {number} recordings are there already")
        try:
            for pair, result in _run(out, todo, settings, workers):
                if isinstance(result, UserError):
                    failed[pair.line] = result
                else:
                    print(_report(pair, result))
        finally:
            write_tables(out)
    if failed:
        for line in sorted(failed):
            print(f"not imported: line {line} of {pairs}: {_without_place(failed[line], pairs, line)}")
        line = min(failed)
        if number == 1:
            raise failed[line]
        raise UserError(
            f"{len(failed)} of {number} recordings could not be imported, such as line {line} of {pairs}: "
            f"{_without_place(failed[line], pairs, line)}"
        )
    clips = sum(len(record["clips"]) for record in records(out))
    print(f"{out}: {len(records(out))} recordings, {clips} clips; next: prepare check --raw {out}")


def _without_place(error: UserError, pairs: Path, line: int) -> str:
    """The sentence without the line of the csv, where it begins with that."""
    return str(error).removeprefix(f"--pairs {pairs}, line {line}").lstrip(":, ")


def _run(
    out: Path, todo: Sequence[Pair], settings: Settings, workers: int
) -> Iterator[tuple[Pair, Record | UserError]]:
    """Imports pairs, in this process or in several, with a bar over the frames of all."""
    # Each video is gone through to find faces, to measure them and to write crops.
    steps = {
        pair.name: 3 * sum(expected_frames(v) or 0 for v in {s.video for s in pair.sides.values()}) for pair in todo
    }
    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}", markup=False), *columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"{len(todo)} recordings", total=sum(steps.values()), visible=bool(todo))
        if workers == 1 or len(todo) < 2:
            for pair in todo:
                yield pair, _import_or_error(out, pair, settings, lambda: bar.advance(task))
            return
        with worker_pool(workers) as pool:
            jobs = {pool.submit(_import_or_error, out, pair, settings): pair for pair in todo}
            for done in as_completed(jobs):
                bar.advance(task, steps[jobs[done].name])
                yield jobs[done], done.result()


def _import_or_error(out: Path, pair: Pair, settings: Settings, on_frame: OnFrame = lambda: None) -> Record | UserError:
    """Imports a pair; one that is unusable does not stop the others."""
    try:
        return _import(out, pair, settings, on_frame)
    except UserError as error:
        return error


def _import(out: Path, pair: Pair, settings: Settings, on_frame: OnFrame) -> Record:
    recipe = recipe_of(pair, settings)
    conversation = read_conversation(pair, settings.clip_seconds, settings.min_seconds, on_frame)
    stage = out / f"{PARTIAL}{pair.name}"
    own = Path(SITE) / pair.name

    def place(role: str, number: int) -> Places:
        return Places(**{kind: stage / folder / own / role / str(number) for kind, folder in FOLDERS.items()})

    def preview(number: int) -> Path:
        return stage / PREVIEWS / pair.name / str(number)

    try:
        write_clips(conversation.people, conversation.clips, place, preview if settings.previews else None, on_frame)
        (out / RECORDS / f"{pair.name}.json").unlink(missing_ok=True)  # what it stood for goes now
        for part in [Path(folder) / own for folder in FOLDERS.values()] + [Path(PREVIEWS) / pair.name]:
            shutil.rmtree(out / part, ignore_errors=True)
            if (stage / part).is_dir():
                make_folder((out / part).parent)
                (stage / part).rename(out / part)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    clips: list[Cut] = [{"start": start / FRAME_RATE, "frames": stop - start} for start, stop in conversation.clips]
    record: Record = {"recipe": recipe, "name": pair.name, "clips": clips, **conversation.facts}
    with replacing(out / RECORDS / f"{pair.name}.json") as file:
        file.write(json.dumps(record, indent=1).encode() + b"\n")
    return record


def _report(pair: Pair, record: Record) -> str:
    """A line about a recording that was imported."""
    std, sound = record["jaw_open_std"], record["jaw_open_follows_speaker_sound"]
    lost = record["frames_without_face"]
    lines = [
        f"{pair.name}: {len(record['clips'])} clips, {record['cut_seconds']:.1f} of "
        f"{min(record['seconds'].values()):.1f} s; jawOpen: speaker std {std['speaker']:.3f}, follows the sound by "
        f"{sound['speaker']:.2f}; listener {std['listener']:.3f}, {sound['listener']:.2f}; frames without face: "
        f"{lost['speaker']}, {lost['listener']}"
    ]
    for role, seconds in record["sound_seconds"].items():
        silent = record["seconds"][role] - seconds
        side = record["recipe"][role]
        if isinstance(side, dict) and side["audio"] != SILENT and silent > _SHORT_SOUND:
            lines.append(f"{pair.name}: the {role}'s sound ends {silent:.1f} s before the picture: silence from there")
    if sound["speaker"] < max(_UNSURE, sound["listener"]):
        lines.append(
            f"{pair.name}: the speaker's mouth hardly follows the sound: see the preview; is it the other face?"
        )
    return "\n".join(lines)


def extract(
    video: tyro.conf.Positional[Path],
    out: Path,
    face: str = "largest",
    clip_seconds: float = 30.0,
    min_seconds: float = 1.0,
    previews: bool = True,
) -> None:
    """Crops one person of a video and measures 58 coefficients a frame.

    Writes OUT/<clip>.mp4 (256x256, 25 fps), .wav (16 kHz), .npy ([T, 1, 58]), preview_<clip>.mp4 and .png, and
    coefficient_names.json.

    Args:
      video: any video that FFmpeg decodes.
      out: a new folder.
      face: largest, left, right, or a number counted from the left.
      clip_seconds: length of the clips that the video is cut into.
      min_seconds: shorter ones are left out.
      previews: --no-previews leaves out a video and a figure of every clip, to look at.
    """
    settings = Settings(clip_seconds, min_seconds, previews)
    check_choice(face)
    if previews:
        check_previews()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out} already exists; remove it or give another folder")
    require_replaceable(out, lambda _: False, "an empty one")
    sound = read_audio_or_none(video)
    if sound is None:
        print(f"{video} has no sound track: no wav is written")
    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}", markup=False), *columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(video.name, total=3 * (expected_frames(video) or 0))

        def on_frame() -> None:
            bar.advance(task)

        tracks, num_frames = find_people(video, on_frame)
        (person,) = measure(video, [choose(tracks, face, str(video))], num_frames, on_frame)
        clips = segments(person.usable, round(clip_seconds * FRAME_RATE), round(min_seconds * FRAME_RATE))
        if not clips:
            raise UserError(
                f"the face is not seen for {min_seconds:g} s on end in {video}; give a smaller --min-seconds, or "
                "another video"
            )
        with replacing_folder(out, lambda _: False, "an empty one") as stage:
            write_clips(
                {"face": Recorded(video, person, sound)},
                clips,
                lambda role, number: Places(*[stage / str(number)] * 3),
                (lambda number: stage / f"preview_{number}") if settings.previews else None,
                on_frame,
            )
            (stage / "coefficient_names.json").write_text(json.dumps(COEFFICIENT_NAMES, indent=1))
    for number, (start, stop) in enumerate(clips, 1):
        print(f"{out}/{number}.npy: {stop - start} frames from {start / FRAME_RATE:.2f} s on")
    lost = int((~person.measured).sum())
    print(f"{lost} of {num_frames} frames are without the face; {int(person.usable.sum())} can be used")
