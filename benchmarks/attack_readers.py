"""The part of attack_raw_tree.py that reads damaged files in its own process."""

import contextlib
import io
import signal
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from damaged_trees import Arguments, Tally, damaged, damaged_text, write_tree

from data_pipeline.raw_tree.clip_arrays import (
    NUM_ATTRIBUTES,
    read_attributes,
    read_coefficient_names,
    read_coefficients,
)
from data_pipeline.raw_tree.react2023 import list_splits
from reactface_jax.array_reading import read_npz
from reactface_jax.errors import UserError


@contextlib.contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Raises `TimeoutError` in what takes longer."""

    def end(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def read(tally: Tally, attack: str, seconds: float, reader: Callable[[], str]) -> None:
    """Counts what a reader does; it returns what is silently wrong, or an empty string."""
    tally.runs[attack] += 1
    try:
        with patience(seconds):
            wrong = reader()
    except UserError:
        tally.refused[attack] += 1
    except TimeoutError:
        tally.fault("hangs", attack, f"more than {seconds} s")
    except BaseException as error:
        tally.fault("tracebacks", attack, f"{type(error).__name__}: {error}"[:300])
    else:
        if wrong:
            tally.fault("silent", attack, wrong)


def attack_headers(tally: Tally, arguments: Arguments, home: Path, rng: np.random.Generator) -> None:
    """Coefficients whose header is damaged; what is accepted must be what NumPy reads, and finite."""
    path, packed = home / "1.npy", home / "1.npz"
    for number in range(arguments.headers):
        file = io.BytesIO()
        kind = str(rng.choice(["<f4", ">f8", "<f2", "<i4"]))
        array = (rng.normal(size=(7, 58)) * 3).astype(kind)
        if number % 4 == 3:
            np.savez_compressed(file, x=array) if number % 8 == 3 else np.savez(file, x=array)
            packed.write_bytes(damaged(file.getvalue(), rng))
            read(tally, "npz", arguments.patience, lambda: _same_npz(packed))
        else:
            np.save(file, array)
            path.write_bytes(damaged(file.getvalue(), rng, 128 if rng.random() < 0.9 else 10**9))
            read(tally, "npy", arguments.patience, lambda: _same_npy(path))


def _same_npy(path: Path) -> str:
    found = read_coefficients(path)
    if not np.isfinite(found).all():
        return "not finite"
    try:
        expected = np.load(path, allow_pickle=False)
    except Exception as error:  # NumPy's own reader raises all that this attack is about
        return f"NumPy refuses it: {type(error).__name__}"
    same = np.array_equal(found, np.atleast_2d(expected.squeeze()).astype(np.float32))
    return "" if same else "another array than NumPy's"


def _same_npz(path: Path) -> str:
    found = read_npz(path, most_bytes=10**6)
    with zipfile.ZipFile(path) as archive:
        names = {name.removesuffix(".npy") for name in archive.namelist()}
    return "" if set(found) == names else f"{set(found)} instead of {names}"


def attack_tables(tally: Tally, arguments: Arguments, home: Path, rng: np.random.Generator) -> None:
    """The texts of a tree, one at a time."""
    root = home / "tables"
    write_tree(root)
    names = ["train.csv", "data_indices.csv", "coefficient_names.json"]
    texts = [root / name for name in names] + sorted(root.glob("Emotion/**/*.csv"))[:1] * 2
    for _ in range(arguments.tables):
        path = texts[rng.integers(len(texts))]
        whole = path.read_bytes()
        path.write_bytes(damaged_text(whole, rng))
        read(tally, path.name if path.parent == root else "Emotion csv", arguments.patience, lambda: _read(root, path))  # noqa: B023
        path.write_bytes(whole)


def _read(root: Path, path: Path) -> str:
    """Reads all that a command would read of a text."""
    from data_pipeline.labels.appropriateness import cut

    if path.name == "coefficient_names.json":
        names = read_coefficient_names(root)
        return "" if len(set(names)) == 58 else "not 58 names"
    if path.parent != root:
        array = read_attributes(path)
        numbers = [_numbers(line) for line in path.read_text("utf-8-sig").splitlines()]
        rows = [row for row in numbers if row is not None and row != list(range(NUM_ATTRIBUTES))]
        with np.errstate(over="ignore"):
            same = np.isfinite(array).all() and np.array_equal(array, np.array(rows, np.float64).astype(np.float32))
        return "" if same else "another table than the text's lines of numbers"
    splits = list_splits(root)
    for split in splits:
        cut(root, split)
    return ""


def _numbers(line: str) -> list[float] | None:
    try:
        return [float(cell) for cell in line.split(",")]
    except ValueError:
        return None
