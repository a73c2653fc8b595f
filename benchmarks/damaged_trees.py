"""Small raw trees, damage at random places of their files, and the count of what came of it."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_pipeline.raw_tree.clip_arrays import (
    NUM_ATTRIBUTES,
)
from reactface_jax.media.video import VideoWriter

KINDS = ("tracebacks", "hangs", "silent", "lost")
LENGTH, SIZE = 6, 32  # frames, pixels


@dataclass
class Arguments:
    """How many of each attack."""

    headers: int = 300
    """.npy and .npz files with damaged bytes, read as coefficients."""
    tables: int = 100
    """csv and JSON files of a raw tree with damaged text, read."""
    trees: int = 20
    """Raw trees with one damaged file, given to `check` and `shards`."""
    sets: int = 20
    """Shard sets with one damaged file, given to `verify`."""
    disks: int = 8
    """Disks that are full at a random byte, under `shards` and `labels`."""
    kills: int = 8
    """SIGKILLs at a random moment of `shards`, `labels`, `verify` and `check`."""
    seed: int = 0
    patience: float = 60.0
    """Seconds after which a command counts as hanging."""


@dataclass
class Tally:
    """What happened; and the first cases of what must not happen."""

    runs: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def fault(self, kind: str, attack: str, what: str) -> None:
        """Counts a fault."""
        self.faults[kind] += 1
        self.examples.append(f"{kind}: {attack}: {what}")


@dataclass(frozen=True)
class Ending:
    """How a command ended."""

    code: int  # negative: the signal
    errors: str
    hung: bool
    seconds: float


def judge(tally: Tally, attack: str, ending: Ending) -> bool:
    """Counts an ending; whether it was a success."""
    tally.runs[attack] += 1
    last = (ending.errors.strip().splitlines() or [""])[-1]
    if ending.hung:
        tally.fault("hangs", attack, f"more than {ending.seconds:.0f} s")
    elif ending.code == 2 and "error: " in last and "Traceback" not in ending.errors:
        tally.refused[attack] += 1
    elif ending.code != 0:
        tally.fault("tracebacks", attack, f"code {ending.code}: {ending.errors[-600:]}")
    return ending.code == 0


def write_tree(root: Path) -> None:
    """A small raw tree of exactly REACT2023's form, of noise: two pairs to train on, one to validate."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 2), ("val", 1)):
        rows = ["index,speaker_path,listener_path"]
        for number in range(count):
            pair = [f"NoXI/{split}_{number}/{role}_video/1" for role in ("Expert", "Novice")]
            rows.append(",".join([str(number), *pair]))
            for person in pair:
                _write_person(root, person, rng)
        (root / f"{split}.csv").write_text("\n".join([*rows, ""]))
    np.save(root / "mean_face.npy", rng.normal(size=58))
    np.save(root / "std_face.npy", rng.random(58))
    np.save(root / "Approprirate_facial_reaction.npy", np.eye(6))
    (root / "data_indices.csv").write_text("site,chat_index,clip_index\nNoXI,train_0,1\nNoXI,train_1,1\nNoXI,val_0,1\n")
    (root / "coefficient_names.json").write_text(json.dumps([f"n{i}" for i in range(58)]))


def _write_person(root: Path, person: str, rng: np.random.Generator) -> None:
    import wave

    for folder in ("Video_files", "Audio_files", "3D_FV_files", "Emotion"):
        (root / folder / person).parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(root / "Video_files" / f"{person}.mp4", size=(SIZE, SIZE)) as video:
        for _ in range(LENGTH):
            video.write(rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8))
    with wave.open(str(root / "Audio_files" / f"{person}.wav"), "wb") as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", ""))
        sound.writeframes(rng.integers(-3000, 3000, 640 * LENGTH).astype("<i2").tobytes())
    np.save(root / "3D_FV_files" / f"{person}.npy", rng.normal(size=(LENGTH, 1, 58)).astype(np.float32))
    header = ",".join(f"a{i}" for i in range(NUM_ATTRIBUTES))
    table = rng.random((LENGTH, NUM_ATTRIBUTES))
    np.savetxt(root / "Emotion" / f"{person}.csv", table, "%.4f", ",", header=header, comments="")


def damaged(content: bytes, rng: np.random.Generator, first: int = 10**9) -> bytes:
    """Bytes changed, cut off, added or doubled; those in the first `first` bytes only."""
    changed, end = bytearray(content), max(1, min(first, len(content)))
    match rng.integers(8):
        case 0:
            return bytes(changed[: rng.integers(len(changed) + 1)])
        case 1:
            place = int(rng.integers(end))
            return bytes(changed[:place] + rng.bytes(int(rng.integers(1, 9))) + changed[place:])
        case 2:
            return rng.bytes(int(rng.integers(200)))
        case 3:
            place, size = int(rng.integers(end)), int(rng.integers(1, 40))
            changed[place : place + size] = bytes(size)
        case _:
            for _ in range(int(rng.choice([1, 1, 2, 6]))):
                letters = list(b"{}()[],:;'\"\n #0123456789eLTF<>|nai-.")
                changed[rng.integers(end)] = rng.choice(letters) if rng.random() < 0.6 else rng.integers(256)
    return bytes(changed)


def damaged_text(content: bytes, rng: np.random.Generator) -> bytes:
    """As `damaged`, or another encoding, delimiter, number or depth."""
    text = content.decode()
    match rng.integers(10):
        case 0:
            return text.encode("utf-16")
        case 1:
            return b"\xef\xbb\xbf" + content
        case 2:
            return text.replace(",", str(rng.choice([";", "\t", "|"]))).encode()
        case 3:
            words = ["nan", "inf", "-inf", "1e300", "", "x", "9" * 5000, "[" * 200_000, "{}", "null", "../../x", "\0"]
            cells = text.split(",")
            cells[rng.integers(len(cells))] = str(rng.choice(words))
            return ",".join(cells).encode()
        case 4:
            lines = text.splitlines()
            del lines[rng.integers(len(lines))]
            return "\n".join(lines).encode()
        case 5:
            return b"[" * int(rng.integers(1, 200_000))
        case _:
            return damaged(content, rng)
