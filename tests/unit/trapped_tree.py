"""A raw tree of 140 whole clips with every trap of the public data in it, in both forms."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from unit import raw_tree

LENGTH = 8  # frames of most clips
LONG = 151  # of a few; as 751 in the public data, where others have 750 or 752
PAIRS = {"train": 50, "val": 12, "test": 8}  # whole ones: 140 clips
NUM_DAMAGED = 3


@dataclass
class Trapped:
    """The tree, and what a reader should find in it."""

    root: Path
    whole: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # ids, in the csv's order
    missing: dict[str, list[int]] = field(default_factory=dict)  # csv rows
    damaged: dict[str, list[int]] = field(default_factory=dict)
    labels: dict[str, np.ndarray] = field(default_factory=dict)  # of the whole directions


def write(root: Path, *, per_split: bool) -> Trapped:
    """Writes the tree: flat with mp4 files, or a folder a split with folders of png files."""
    tree = Trapped(root)
    raw_tree.SIZE, size = 32, raw_tree.SIZE
    try:
        for number, split in enumerate(PAIRS):
            _write_split(tree, split, per_split, first=1000 * number)
    finally:
        raw_tree.SIZE = size
    return tree


def _write_split(tree: Trapped, split: str, per_split: bool, first: int) -> None:
    base = tree.root / split if per_split else tree.root
    base.mkdir(parents=True, exist_ok=True)
    rows, kinds = [], []
    whole = iter(range(PAIRS[split]))
    # Each row's kind; unusable ones lie between the others.
    plan = ["whole"] * PAIRS[split]
    if split == "train":
        traps = ["udiva"] * 6 + ["no video", "no audio", "no coefficients", "text as video", "57 channels", "other wav"]
        for number, trap in enumerate(traps):
            plan.insert(5 * number + 2, trap)
    else:
        plan.insert(0, "udiva")
    for row, kind in enumerate(plan):
        session = first // 10 + row
        site = f"RECOLA/group-{session}" if row % 7 == 3 else f"NoXI/{session:03d}_2016-04-14_Nottingham"
        pair = [f"{site}/{role}_video/1.{row}" for role in ("Expert", "Novice")]  # a dot within the name
        if kind == "udiva":
            pair = [f"UDIVA/talk/{row:06d}/{role}/8" for role in ("FC1", "FC2")]
            tree.missing.setdefault(split, []).append(row)
        else:
            number = next(whole) if kind == "whole" else 500 + row
            for side, person in enumerate(pair):
                length = 60 if kind == "other wav" else LENGTH
                raw_tree.write_person(base, person, first + 2 * number + side, length, png=per_split)
            if kind == "whole":
                tree.whole.setdefault(split, []).append((pair[0], pair[1]))
                if split == "train":
                    _plant_lengths(base, pair, number, first, per_split)
            else:
                _spoil(base, pair, kind)
                of_kind = tree.missing if kind.startswith("no ") else tree.damaged
                of_kind.setdefault(split, []).append(row)
        # The csvs spell the site in another case than the folders.
        rows.append([person.replace("RECOLA", "Recola") for person in pair])
        kinds.append(kind)
    raw_tree.write_csv(tree.root / f"{split}.csv", rows, index=split != "val")
    if split == "val":  # as Excel writes it
        path = tree.root / "val.csv"
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    matrix = np.random.default_rng(first).random((2 * len(rows), 2 * len(rows))) < 0.05
    kept = np.flatnonzero([kind == "whole" for kind in kinds])
    kept = np.concatenate([kept, kept + len(rows)])
    tree.labels[split] = matrix[np.ix_(kept, kept)] | np.eye(len(kept), dtype=bool)
    if split != "test":
        np.save(base / f"neighbour_emotion_{split}.npy", matrix.astype(np.float64))
    else:
        tree.labels[split] = np.eye(len(kept), dtype=bool)


def _plant_lengths(base: Path, pair: list[str], number: int, first: int, png: bool) -> None:
    """Clips of `LONG` frames, one less and one more; sound that ends a little early; a clip without attributes."""
    if number in (3, 4, 5):
        for side, person in enumerate(pair):
            _remove(base, person)
            raw_tree.write_person(base, person, first + 2 * number + side, LONG, png=png)
        length = LONG + number - 4
        track = raw_tree.coefficients(first + 2 * number, length)
        np.save(base / "3D_FV_files" / f"{pair[0]}.npy", track[:, None])
    if number == 4:
        raw_tree.write_wav(base / "Audio_files" / f"{pair[0]}.wav", LONG / 25 - 0.3, seed=4)
    if number == 6:
        (base / "Emotion" / f"{pair[1]}.csv").unlink()


def _spoil(base: Path, pair: list[str], kind: str) -> None:
    video = base / "Video_files" / f"{pair[0]}.mp4"
    frames = base / "Video_files" / pair[0]
    audio = base / "Audio_files" / f"{pair[1]}.wav"
    coefficients = base / "3D_FV_files" / f"{pair[0]}.npy"
    match kind:
        case "no video":
            video.unlink(missing_ok=True)
            for path in frames.glob("*.png"):
                path.unlink()
            if frames.is_dir():
                frames.rmdir()
        case "no audio":
            audio.unlink()
        case "no coefficients":
            coefficients.unlink()
        case "text as video":
            (frames / "1.png" if frames.is_dir() else video).write_text("404: not found")
        case "57 channels":
            np.save(coefficients, np.ones((LENGTH, 57)))
        case "other wav":
            raw_tree.write_wav(audio, 0.4)


def _remove(base: Path, person: str) -> None:
    folder = base / "Video_files" / person
    for path in folder.glob("*.png"):
        path.unlink()
    if folder.is_dir():
        folder.rmdir()
