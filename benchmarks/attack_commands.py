"""Attacks what the commands read: random and changed .npy headers, archives, JSON. Prints what is not one sentence.

python benchmarks/attack_commands.py [--headers 3000] [--archives 500] [--texts 500] [--seed 0]
"""

import argparse
import collections
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from reactface_jax.errors import UserError
from reactface_jax.evaluation.prediction_files import read_array, read_names
from reactface_jax.export.motion import read_names as read_export_names
from reactface_jax.export.motion import read_reactions
from reactface_jax.methods.measured_speaker import read_style
from reactface_jax.rendering.faceverse import load_faceverse

Reader = Callable[[Path], object]
ARRAYS: dict[str, Reader] = {
    "export": read_reactions,
    "eval": lambda path: read_array(path, "--predictions"),
    "react --style-clip": read_style,
}
ARCHIVES: dict[str, Reader] = {"--faceverse": load_faceverse}
TEXTS: dict[str, Reader] = {
    "eval": lambda path: read_names(path, 58),
    "export": lambda path: read_export_names(path, path),
}
LONGEST = 5.0  # seconds that one file may take


def changed(content: bytes, generator: np.random.Generator, within: int) -> bytes:
    """Some of the first bytes replaced, removed or repeated."""
    data = bytearray(content)
    for _ in range(generator.integers(1, 6)):
        place, length = int(generator.integers(0, within)), int(generator.integers(1, 9))
        match generator.integers(0, 3):
            case 0:
                data[place % len(data)] = generator.integers(0, 256)
            case 1:
                del data[place : place + length]
            case _:
                data[place:place] = data[place : place + length]
    return bytes(data)


def headers(count: int, generator: np.random.Generator, folder: Path) -> Iterator[bytes]:
    """Half of them changed ones, half random bytes behind the right beginning."""
    np.save(folder / "seed.npy", np.zeros((2, 58), np.float32))
    content = (folder / "seed.npy").read_bytes()
    for index in range(count):
        if index % 2:
            yield changed(content, generator, 128)
        else:
            length = int(generator.integers(0, 200))
            yield b"\x93NUMPY\x01\x00" + length.to_bytes(2, "little") + generator.bytes(length)


def archives(count: int, generator: np.random.Generator, folder: Path) -> Iterator[bytes]:
    """Archives with arrays, changed anywhere."""
    np.savez_compressed(folder / "seed.npz", format="faceverse 1", vertices=np.zeros((9, 3)), names=np.array(["a"]))
    content = (folder / "seed.npz").read_bytes()
    for _ in range(count):
        yield changed(content, generator, len(content))


def texts(count: int, generator: np.random.Generator) -> Iterator[bytes]:
    """Lists of names, changed anywhere, and two that are nested deep."""
    content = json.dumps([f"name {i}" for i in range(58)]).encode()
    yield b"[" * 200_000
    yield b'{"a":' * 200_000
    for _ in range(count - 2):
        yield changed(content, generator, len(content))


def main() -> None:
    """Runs the attacks and prints their counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, count in (("headers", 3000), ("archives", 500), ("texts", 500), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=count)
    given = parser.parse_args()
    generator = np.random.default_rng(given.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what, contents, readers in (
            ("headers", headers(given.headers, generator, folder), ARRAYS),
            ("archives", archives(given.archives, generator, folder), ARCHIVES),
            ("texts", texts(given.texts, generator), TEXTS),
        ):
            found: collections.Counter[str] = collections.Counter()
            for content in contents:
                path = folder / "attacked"
                path.write_bytes(content)
                for reader, read in readers.items():
                    found[outcome(reader, read, path)] += 1
            print(f"{what}: {', '.join(f'{number} {kind}' for kind, number in found.most_common())}")


def outcome(reader: str, read: Reader, path: Path) -> str:
    """What became of a file: read, refused in one sentence, or what should not happen."""
    start = time.perf_counter()
    try:
        read(path)
        kind = "read"
    except UserError as error:
        kind = "refused" if len(str(error).splitlines()) == 1 else "REFUSED IN SEVERAL LINES"
    except Exception as error:
        kind = f"TRACEBACK of {reader}: {type(error).__name__}"
    return f"SLOW in {reader}" if time.perf_counter() - start > LONGEST else kind


if __name__ == "__main__":
    main()
