"""A split for the tests of labels: its csv, coefficients, and the organisers' full matrix."""

from pathlib import Path

import numpy as np
from unit.raw_tree import write_csv


def write_tree(root: Path, pairs: list[list[str]], length: int = 20, emotion: bool = False) -> None:
    """A train split whose videos and sounds are empty files: labels don't open them."""
    for number, person in enumerate(person for pair in pairs for person in pair):
        for folder, suffix in (("Video_files", ".mp4"), ("Audio_files", ".wav"), ("3D_FV_files", ".npy")):
            path = root / folder / f"{person}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        np.save(path, np.random.default_rng(number).normal(size=(length, 58)).astype(np.float32))
        if emotion:
            path = root / "Emotion" / f"{person}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            table = np.random.default_rng(number).random((length, 25))
            np.savetxt(path, table, "%.4f", ",", header=",".join("a" * 25), comments="")
    write_csv(root / "train.csv", pairs)


NOXI = [
    [f"NoXI/{n:03d}_x_Paris/{role}_video/{c}" for role in ("Expert", "Novice")] for n, c in ((1, 1), (1, 2), (2, 1))
]
OTHERS = [
    ["RECOLA/group-1/P25/1", "RECOLA/group-1/P26/1"],
    ["UDIVA/talk/023102/FC1/8", "UDIVA/talk/023102/FC2/8"],
]
INDICES = ["Recola,group-1,1", "NoXI,002_x_Paris,1", "UDIVA,023102_talk,8", "NoXI,001_x_Paris,1", "NoXI,001_x_Paris,2"]
ROWS = [3, 4, 1, 0, 2]  # of NOXI + OTHERS in these


def write_full(root: Path, indices: list[str] = INDICES) -> np.ndarray:
    (root / "data_indices.csv").write_text("\n".join(["site,chat_index,clip_index", *indices, ""]))
    matrix = (np.random.default_rng(0).random((2 * len(indices),) * 2) < 0.5).astype(np.float32)
    np.fill_diagonal(matrix, 1)
    np.save(root / "Approprirate_facial_reaction.npy", matrix)
    return matrix
