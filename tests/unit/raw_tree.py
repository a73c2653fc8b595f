"""A small raw tree of exactly REACT2023's form, of noise, for the tests of the data pipeline."""

import json
import wave
from pathlib import Path

import numpy as np
from PIL import Image

from reactface_jax.media.video import VideoWriter

SIZE = 64


def person(split: str, number: int, role: str) -> str:
    return f"NoXI/{split}_{number:03d}/{role}_video/1"


def frame(identity: int, t: int) -> np.ndarray:
    """A picture whose colour says whose it is, and whose brightness which frame."""
    picture = np.full((SIZE, SIZE, 3), (40 + 4 * t) % 256, np.uint8)
    picture[..., identity % 3] = (20 + 20 * (identity // 3)) % 256
    return picture


def coefficients(identity: int, length: int) -> np.ndarray:
    return np.random.default_rng(identity).normal(size=(length, 58)).astype(np.float32)


def write_person(base: Path, path: str, identity: int, length: int, png: bool = False) -> None:
    for folder in ("Video_files", "Audio_files", "3D_FV_files", "Emotion"):
        (base / folder / path).parent.mkdir(parents=True, exist_ok=True)
    video = base / "Video_files" / path
    if png:
        video.mkdir()
        for t in range(length):
            Image.fromarray(frame(identity, t)).save(video / f"{t + 1}.png")
    else:
        with VideoWriter(video.with_name(video.name + ".mp4"), size=(SIZE, SIZE), crf=10) as writer:
            for t in range(length):
                writer.write(frame(identity, t))
    write_wav(base / "Audio_files" / f"{path}.wav", length / 25, seed=identity)
    np.save(base / "3D_FV_files" / f"{path}.npy", coefficients(identity, length)[:, None])
    header = ",".join(f"a{i}" for i in range(25))
    np.savetxt(base / "Emotion" / f"{path}.csv", np.full((length, 25), identity), "%g", ",", header=header, comments="")


def write_wav(path: Path, seconds: float, seed: int = 0) -> None:
    noise = np.random.default_rng(seed).normal(size=round(44100 * seconds)) * 3000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(44100)
        file.writeframes(noise.astype("<i2").tobytes())


def write_split(root: Path, split: str, lengths: list[int], *, per_split: bool = False, png: bool = False) -> None:
    """One pair a length; identities count from 0: the speakers of the csv, then their listeners."""
    base = root / split if per_split else root
    rows = []
    for number, length in enumerate(lengths):
        pair = [person(split, number, role) for role in ("Expert", "Novice")]
        for side, path in enumerate(pair):
            write_person(base, path, number + side * len(lengths), length, png)
        rows.append(pair)
    write_csv(root / f"{split}.csv", rows)


def write_csv(path: Path, rows: list[list[str]], index: bool = True) -> None:
    header = [[""] * index + ["speaker_path", "listener_path"]]
    numbered = [[str(number)] * index + row for number, row in enumerate(rows)]
    path.write_text("".join(",".join(row) + "\n" for row in header + numbered))


def write_labels(path: Path, matrix: np.ndarray) -> np.ndarray:
    np.save(path, matrix.astype(np.float32))
    return matrix.astype(bool)


def write_names(root: Path, names: list[str]) -> None:
    (root / "coefficient_names.json").write_text(json.dumps(names))
