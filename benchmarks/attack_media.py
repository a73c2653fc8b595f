"""Damages small videos and sounds at random, reads them as `react` does, and counts what must not happen.

python benchmarks/attack_media.py [--files 500] [--seed 0] [--keep DIR]

A traceback is any exception but `UserError`; a hang, a file that takes more than `--patience` seconds; a crash, a
reader that dies; a silent error, a file that is read without a word though a picture or a click lies at another time
than it was recorded at, or though it ends earlier than its header says.

Pictures say their number and are looked at only where damage left them whole; sounds are clicks, found by correlation.
A picture that is lost leaves the one before standing, a lost sound is silence: no errors, since everything else
stays in its time. Pictures may begin with a later one; then the sound must begin with it, too. In a transport stream a
repeated piece is played again, as in joined ones; there, what counts is that each click is heard with its picture. avi,
mp3, wav and flac store no times: bytes that are missing in them shorten them, and nobody can know.
"""

import multiprocessing
import sys
import tempfile
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit"))

from odd_media import FPS, WIDTH, clicks, numbered, write

from reactface_jax.errors import UserError
from reactface_jax.media.audio import read_audio_or_none
from reactface_jax.media.video import iterate_video

FRAMES = 75
CLICKS = (0.4, 1.2, 2.0, 2.6)
LATEST = 0.08
"""How far a picture or a click may be from its time (s): two frames."""
SHORTEST = 0.6
"""How much of the end may be missing without a word (s)."""
FORMS = {
    "mp4": ("libx264", "aac"),
    "mov": ("libx264", "pcm_s16le"),
    "mkv": ("libx264", "pcm_s16le"),
    "webm": ("libvpx", "libopus"),
    "ts": ("libx264", "aac"),
    "avi": ("mpeg4", "libmp3lame"),
    "m4a": ("", "aac"),
    "mp3": ("", "libmp3lame"),
    "wav": ("", "pcm_s16le"),
    "flac": ("", "flac"),
}
TIMELESS = ("avi", "mp3", "wav", "flac")
"""Those that store no times."""
PROMISING = ("mp4", "mov", "mkv", "webm", "m4a")
"""Those whose headers say how long they are."""


def originals(folder: Path) -> dict[str, bytes]:
    """One whole file of each form."""
    sound = clicks(CLICKS, FRAMES / FPS)
    pictures = [numbered(i) for i in range(FRAMES)]
    return {
        form: write(folder / f"whole.{form}", pictures if codecs[0] else [], sound, codecs=codecs).read_bytes()
        for form, codecs in FORMS.items()
    }


def damage(content: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """One of several kinds of damage, anywhere or near the beginning or the end, where headers are."""
    data = bytearray(content)
    size = len(data)
    region = {"anywhere": (0, size), "head": (0, min(size, 600)), "tail": (max(0, size - 1200), size)}
    low, high = region[str(rng.choice(list(region)))]
    at = int(rng.integers(low, high))
    length = int(min(size - at, rng.integers(1, 1 + size // 8)))
    kind = str(rng.choice(["bits", "bytes", "zeros", "noise", "cut", "removed", "inserted", "repeated", "swapped"]))
    if kind == "bits":
        for place in rng.integers(low, high, rng.integers(1, 20)):
            data[place] ^= 1 << int(rng.integers(8))
    elif kind == "bytes":
        for place in rng.integers(low, high, rng.integers(1, 20)):
            data[place] = int(rng.integers(256))
    elif kind == "zeros":
        data[at : at + length] = bytes(length)
    elif kind == "noise":
        data[at : at + length] = rng.bytes(length)
    elif kind == "cut":
        del data[at:]
    elif kind == "removed":
        del data[at : at + length]
    elif kind == "inserted":
        data[at:at] = rng.bytes(length)
    elif kind == "repeated":
        data[at:at] = data[at : at + length]
    else:
        other = int(rng.integers(0, size - length + 1))
        first, second = data[at : at + length], data[other : other + length]
        data[at : at + length], data[other : other + length] = second, first
        del data[size:]
    return kind, bytes(data)


def number(picture: np.ndarray) -> int | None:
    """The number that a picture says, if it is whole."""
    row = picture[picture.shape[0] // 2].mean(axis=1)
    found = round(float((row > 135).sum()) * WIDTH / picture.shape[1])
    if picture.shape[:2] != numbered(0).shape[:2]:
        return None
    difference = np.abs(picture.astype(int) - numbered(found)).mean(axis=2)
    near = np.abs(np.arange(WIDTH) - found) < 6  # the bar's end is soft
    return found if difference[:, ~near].max() < 40 else None


def heard(sound: np.ndarray) -> list[float]:
    """Moments of the clicks (s)."""
    click = clicks([0.0], 0.004, 16_000)
    match = np.correlate(sound, click, "valid")
    energy = np.convolve(np.square(sound), np.ones(len(click)), "valid")
    likeness = match / np.sqrt(np.maximum(energy, 0.05) * np.square(click).sum())
    places = np.flatnonzero(likeness > 0.9)
    return (places[np.diff(places, prepend=-9999) > 800] / 16_000).tolist()


def outcome(path: Path) -> str:
    """What reading the file comes to: "said", "read", or what is wrong."""
    has_picture = bool(FORMS[path.suffix[1:]][0])
    try:
        numbers = [number(picture) for picture in iterate_video(path)] if has_picture else []
        sound = read_audio_or_none(path)
    except UserError as error:
        return "said" if "\n" not in str(error) else "silent: several lines"
    except Exception as error:
        return f"traceback: {type(error).__name__}: {error}"
    return silent_error(path.suffix[1:], numbers, sound, has_picture) or "read"


def silent_error(form: str, numbers: list[int | None], sound: np.ndarray | None, has_picture: bool) -> str:
    """What is at another time than it was recorded at; empty if nothing is."""
    fresh = [(i, n) for i, n in enumerate(numbers) if n is not None and (i == 0 or numbers[i - 1] != n)]
    moments = heard(sound) if sound is not None else []
    if form in TIMELESS or (has_picture and not fresh):
        return ""
    if form == "ts":
        return _out_of_step(dict(fresh), moments)
    offset = fresh[0][1] - fresh[0][0] if fresh else 0
    late = max((abs(n - i - offset) / FPS for i, n in fresh), default=0)
    if late > LATEST:
        return f"silent: a picture {late:.2f} s from its time"
    missing = FRAMES - offset - len(numbers) if has_picture else 0
    if (form in PROMISING and missing > SHORTEST * FPS) or missing < -SHORTEST * FPS:
        return f"silent: {len(numbers)} pictures"
    for moment in moments:
        nearest = min(abs(moment - (click - offset / FPS)) for click in CLICKS)
        if nearest > LATEST:
            return f"silent: a click {nearest:.2f} s from its time"
    return ""


def _out_of_step(fresh: dict[int, int], moments: list[float]) -> str:
    for moment in moments:
        shown = fresh.get(int(moment * FPS))
        if shown is not None and min(abs(shown / FPS - click) for click in CLICKS) > LATEST:
            return f"silent: a click is heard with picture {shown}"
    return ""


def reader(pipe: Connection) -> None:
    """Reads files whose names come, in a process of its own."""
    while path := pipe.recv():
        pipe.send(outcome(Path(path)))


def attack(files: int, seed: int, patience: float, folder: Path) -> dict[Path, tuple[str, str]]:
    """Kind of damage and outcome of every file."""
    rng = np.random.default_rng(seed)
    whole, results = originals(folder), {}
    context = multiprocessing.get_context("spawn")
    process, pipe = None, None
    for index in range(files):
        form = str(rng.choice(list(FORMS)))
        kind, content = damage(whole[form], rng)
        path = folder / f"{index:04}_{kind}.{form}"
        path.write_bytes(content)
        if process is None:
            pipe, end = context.Pipe()
            process = context.Process(target=reader, args=(end,), daemon=True)
            process.start()
            end.close()
        pipe.send(str(path))
        try:
            result = pipe.recv() if pipe.poll(patience) else "hang"
        except EOFError:
            result = "crash"
        if result in ("hang", "crash"):
            process.kill()
            process.join()
            process = None
        results[path] = (kind, result)
    if process is not None:
        pipe.send("")
        process.join()
    return results


def main(files: int = 500, seed: int = 0, patience: float = 60.0, keep: Path | None = None) -> None:
    """Runs the attack and prints the counts.

    Args:
      files: how many.
      seed: of the damage.
      patience: seconds for one file.
      keep: where the damaged files stay.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        results = attack(files, seed, patience, folder)
    counts = Counter(result.partition(":")[0] for _, result in results.values())
    for path, (_, result) in results.items():
        if result not in ("said", "read"):
            print(f"{path.name}: {result}")
    kinds = ("said", "read", "traceback", "silent", "hang", "crash")
    print(f"{files} files: " + ", ".join(f"{kind} {counts[kind]}" for kind in kinds))
    if counts["said"] + counts["read"] != files:
        raise SystemExit(1)


if __name__ == "__main__":
    import tyro

    tyro.cli(main, description=__doc__)
