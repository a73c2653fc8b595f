"""Writes made conversations as a raw tree: in parallel, and resumable, since every file is whole or absent."""

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal
from wave import open as open_wave

import numpy as np
from jaxtyping import Float, Shaped
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data_pipeline.dyads.arrays import to_16_khz
from data_pipeline.dyads.attributes import HEADER, attributes
from data_pipeline.dyads.conversations import VERSION, Conversation, Recipe, neighbours, plan, truth, version_of
from data_pipeline.dyads.scripts import ROLES
from data_pipeline.dyads.voice import RATE
from data_pipeline.dyads.workers import single_threads
from reactface_jax.errors import UserError
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.files import make_folder, replacing
from reactface_jax.media.video import VideoWriter
from reactface_jax.rendering import HeadRenderer
from reactface_jax.text_reading import json_from_text, read_text
from reactface_jax.types import SAMPLE_RATE
from reactface_jax.worker_pool import check_workers, num_cores, worker_pool

TRUTH_FILE = "dyads.json"

Job = tuple[Path, Conversation, int, tuple[int, int] | None]
"""Arguments of `_write_clip`."""


def make(
    root: Path | str,
    *,
    num_clips: int = 48,
    seconds: float = 10.0,
    seed: int = 0,
    workers: int | None = None,
    takes: int = 3,
    size: tuple[int, int] = (256, 256),
    test_scripts: int | None = None,
    pictures: bool = True,
    people: Literal["plain", "varied"] = "plain",
    show_progress: bool = False,
) -> dict[str, list[Conversation]]:
    """Makes a data set of conversations, or completes one whose making was interrupted. Returns its plan, by split.

    Args:
        root: folder of the tree.
        num_clips: conversations of train, val and test together; each is two clips, and two directions.
        seconds: length of each.
        seed: the data are a function of the arguments above and of this one, not of workers or interruptions.
        workers: processes; one for each processor if not given.
        takes: conversations that share a script, and so are each other's appropriate neighbours.
        size: height and width of the videos.
        test_scripts: of the test split; a fifth of all if None.
        pictures: False leaves out the videos, which are nearly all the work, and writes sound at 16 kHz.
        people: plain, or varied as recorded ones (variation.py).
        show_progress: draws a progress bar.

    With several workers, a script that calls this needs Python's usual `if __name__ == "__main__":`.

    Raises:
        UserError: too few or too short clips, no workers, or the folder holds something else, or a part of what another
            version makes, or can't be written.
    """
    workers = num_cores() if workers is None else workers
    check_workers(workers)
    root = Path(root)
    recipe = Recipe(num_clips, seconds, seed, takes, size, test_scripts, pictures, people)
    conversations = plan(recipe)
    version = _claim(root, json.loads(json.dumps(truth(recipe, conversations))))
    everyone = [(c, role) for of_split in conversations.values() for c in of_split for role in ROLES]
    todo = [(root, *who, size if pictures else None) for who in everyone if not _is_complete(root, *who, pictures)]
    if todo and version != VERSION:
        raise UserError(
            f"{root} holds a part of what version {version} of made conversations makes, which version {VERSION} can't "
            "complete: make all of them elsewhere"
        )
    with _progress(len(everyone), show_progress) as advance:
        advance(len(everyone) - len(todo))
        for _ in _write_clips(todo, workers):
            advance(1)
    _write_tables(root, conversations)
    return conversations


def _claim(root: Path, plan_of_root: dict[str, Any]) -> object:
    """Makes the folder ours, or checks that it is ours and of the same recipe. Returns the version of what it holds."""
    path = root / TRUTH_FILE
    if path.is_file():
        truth_of_root = _truth(path)
        # Trees of before a field was there have its default.
        there = json.loads(json.dumps(asdict(Recipe()))) | truth_of_root["recipe"]
        if different := [key for key, value in plan_of_root["recipe"].items() if there[key] != value]:
            values = ", ".join(f"{key} {there[key]}" for key in different)
            raise UserError(f"{root} holds conversations made with {values}: make these elsewhere, or with the same")
        return version_of(truth_of_root)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(f"{root} is not empty and holds no made conversations: choose an empty folder")
    make_folder(root)
    _write_text(path, json.dumps(plan_of_root, indent=1))
    return VERSION


def _truth(path: Path) -> dict[str, Any]:
    """The plan of conversations that are there. Raises `UserError` when their file can't be read."""
    advice = "choose an empty folder, or remove these conversations"
    truth_of_root = json_from_text(read_text(path, advice=advice), name=str(path), advice=advice)
    if not isinstance(truth_of_root, dict) or not isinstance(truth_of_root.get("recipe"), dict):
        raise UserError(f"{path} is not of made conversations; {advice}")
    return truth_of_root


def _files(root: Path, path: str) -> tuple[Path, Path, Path, Path]:
    """Video, audio, coefficients and attributes of one person in one conversation."""
    return (
        root / "Video_files" / f"{path}.mp4",
        root / "Audio_files" / f"{path}.wav",
        root / "3D_FV_files" / f"{path}.npy",
        root / "Emotion" / f"{path}.csv",
    )


def _is_complete(root: Path, conversation: Conversation, role: int, pictures: bool) -> bool:
    return all(path.is_file() for path in _files(root, conversation.path(role))[0 if pictures else 1 :])


def _write_clip(root: Path, conversation: Conversation, role: int, size: tuple[int, int] | None) -> None:
    """Everything of one person in one conversation, each file whole or absent; `size` None leaves out the video."""
    video, audio, coefficient_file, attribute_file = _files(root, conversation.path(role))
    for file in (audio, coefficient_file, attribute_file, *([] if size is None else [video])):
        make_folder(file.parent)
    coefficients, sound = conversation.play(role)
    _write_array(coefficient_file, coefficients[:, None])  # REACT2023 has an axis of length 1 there
    if size is None:
        _write_wave(audio, to_16_khz(sound), SAMPLE_RATE)
    else:
        _write_wave(audio, np.round(sound * 32767), RATE)
    table = io.StringIO()
    np.savetxt(table, attributes(coefficients), fmt="%.5g", delimiter=",", header=",".join(HEADER), comments="")
    _write_text(attribute_file, table.getvalue())
    if size is None:
        return
    renderer = HeadRenderer(size, conversation.people[role].look)
    with VideoWriter(video, size=size) as writer:
        for frame in coefficients:
            writer.write(renderer.render(frame))
    renderer.close()


def _write_tables(root: Path, conversations: dict[str, list[Conversation]]) -> None:
    """What describes the whole set. The csvs come last: where they are, the tree is complete."""
    mean, std = _statistics(root, conversations["train"])
    _write_array(root / "mean_face.npy", mean)
    _write_array(root / "std_face.npy", std)
    _write_text(root / "coefficient_names.json", json.dumps(COEFFICIENT_NAMES, indent=1))
    everyone = [c for of_split in conversations.values() for c in of_split]
    rows = [("NoXI", c.session, c.number) for c in everyone]
    _write_text(root / "data_indices.csv", _table(("site", "chat_index", "clip_index"), rows))
    # Scripts are not shared between splits, so the full matrix has the splits' blocks and zeros.
    _write_array(root / "Approprirate_facial_reaction.npy", neighbours(everyone))
    for split, of_split in conversations.items():
        for name in ("neighbour_emotion", "neighbour_emotion_new"):
            _write_array(root / f"{name}_{split}.npy", neighbours(of_split))
        pairs = [(index, c.path(0), c.path(1)) for index, c in enumerate(of_split)]
        _write_text(root / f"{split}.csv", _table(("", "speaker_path", "listener_path"), pairs))


def _statistics(
    root: Path, conversations: list[Conversation]
) -> tuple[Float[np.ndarray, "58"], Float[np.ndarray, "58"]]:
    """Mean and standard deviation of the coefficients over all frames."""
    frames = np.concatenate(
        [np.load(_files(root, c.path(role))[2], allow_pickle=False)[:, 0] for c in conversations for role in ROLES]
    ).astype(np.float64)
    return frames.mean(axis=0).astype(np.float32), frames.std(axis=0).astype(np.float32)


def _table(header: tuple[str, ...], rows: list[tuple]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())


def _write_array(path: Path, array: np.ndarray) -> None:
    with replacing(path) as file:
        np.save(file, array, allow_pickle=False)


def _write_wave(path: Path, samples: Shaped[np.ndarray, " L"], rate: int) -> None:
    """Whole numbers of 16 bits as a wav."""
    with replacing(path) as file, open_wave(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(samples.astype("<i2").tobytes())


def _write_clips(jobs: list[Job], workers: int) -> Iterator[None]:
    """Writes clips, in this process or in several, and yields after each."""
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            _write_clip(*job)
            yield
        return
    with single_threads(), worker_pool(workers) as pool:
        for done in as_completed([pool.submit(_write_clip, *job) for job in jobs]):
            done.result()
            yield


@contextlib.contextmanager
def _progress(total: int, show: bool) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("made conversations"), BarColumn(), MofNCompleteColumn(), TextColumn("clips"))
    with Progress(*columns, TimeRemainingColumn(), disable=not show) as bar:
        task = bar.add_task("clips", total=total)
        yield lambda count: bar.advance(task, count)
