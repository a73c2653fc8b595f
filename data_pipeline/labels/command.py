"""Writes appropriateness matrices beside a raw tree: `prepare labels`. Each with how it was made, and a picture."""

import hashlib
import io
import json
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from data_pipeline.labels.appropriateness import Labels, build, cut
from data_pipeline.raw_tree.react2023 import (
    SPLITS,
    Split,
    digest_of_rows,
    find_matrices,
    list_splits,
    warning_of_repeated_rows,
)
from data_pipeline.shards.remote import any_path
from reactface_jax.errors import UserError
from reactface_jax.files import make_folder, replacing
from reactface_jax.text_reading import Json, json_from_text, read_text
from reactface_jax.worker_pool import num_cores

Source = Literal["full", "attributes", "coefficients"]
_PIXELS = 600  # sides of the picture of a matrix, at most


def labels(
    raw: Path,
    source: Source,
    mean_degree: float | None = None,
    audio_weight: float = 0.0,
    average: int = 1,
    splits: tuple[str, ...] = (),
    out: Path | None = None,
    workers: int = num_cores(),
    overwrite: bool = False,
) -> None:
    """Writes neighbour_emotion_<split>.npy, with a .json that says how it was made and a .png that shows it.

    Args:
      raw: the tree's folder.
      source: full cuts the splits out of Approprirate_facial_reaction.npy by data_indices.csv; attributes or
        coefficients builds the matrices of the splits' usable rows: the closest speakers by dynamic time warping.
      mean_degree: appropriate reactions a clip on average, its own counted; needed unless source is full.
      audio_weight: how much the voices count in the distance; 1: as much as the faces.
      average: frames that are averaged before warping; 5 takes about a 15th of the time.
      splits: some of train, val, test; all that the tree has by default.
      out: another folder than the tree's for the files.
      workers: threads.
      overwrite: replace matrices that this command made.
    """
    if source != "full" and mean_degree is None:
        raise UserError(f"--source {source} needs --mean-degree, how many appropriate reactions a clip has on average")
    if source == "full" and (mean_degree is not None or audio_weight or average != 1):
        raise UserError("--source full cuts a finished matrix: leave out --mean-degree, --audio-weight and --average")
    if not (0 <= audio_weight < float("inf")) or average < 1 or workers < 1:  # NaN is not either
        raise UserError(
            "--audio-weight must be a finite number of 0 or more, --average and --workers must be 1 or more"
        )
    any_path(raw), any_path(out or raw)  # a name that no file can have is reported in words
    found = {split.name: split for split in list_splits(raw)}
    if unknown := [name for name in splits if name not in found]:
        raise UserError(f"--splits {unknown[0]}: {raw} has {', '.join(found)}; give some of these")
    root = raw if out is None or out.resolve() == raw.resolve() else out
    chosen = [found[name] for name in SPLITS if name in (splits or found)]
    if source != "full" and (warning := warning_of_repeated_rows(chosen)):
        print(warning)  # a matrix that is cut refuses them
    matrices = {split.name: _matrix_file(root, split.name) for split in chosen}
    for split in chosen:
        _check_free(root, matrices[split.name], split.name, overwrite)
    make_folder(root)  # before the work, so that a wrong --out is reported now
    made = {}
    for split in chosen:  # all are made before the first is written, so that a wrong split leaves all as they were
        if source == "full":
            made[split.name] = cut(raw, split)
        else:
            assert mean_degree is not None
            with _progress() as bar:
                advance = partial(bar.advance, bar.add_task(split.name, total=len(split.directions)))
                made[split.name] = build(split, source, mean_degree, audio_weight, average, workers, on_row=advance)
    settings: dict[str, Json] = {} if source == "full" else {"audio_weight": audio_weight, "average": average}
    for split in chosen:
        write_labels(matrices[split.name], split, made[split.name], {"source": source, **settings})


def _check_free(root: Path, matrix: Path, split: str, overwrite: bool) -> None:
    """Raises `UserError` when files of a split would replace something, unless it is ours and is to be replaced.

    Also when the folder has another matrix of the split, since one of them would silently not be read.
    """
    if others := [path for path in find_matrices(root, split) if path != matrix]:
        why = "would be read instead" if "_new_" in others[0].name else f"is not read beside {matrix}"
        raise UserError(f"{others[0]} is there and {why}; move it away, or write elsewhere with --out")
    there = [path for path in _files(matrix) if path.exists()]
    if there and not overwrite:
        raise UserError(f"{there[0]} is there; give --overwrite to replace it, or another folder with --out")
    if there and not _is_ours(matrix):
        raise UserError(
            f"{there[0]} was not made by this command, so it is not replaced; move it away, or write elsewhere with "
            "--out"
        )


def _matrix_file(root: Path, split: str) -> Path:
    """Where a split's matrix lies, in the root or in the challenge's folder of the split; without one, in the root."""
    name = f"neighbour_emotion_{split}.npy"
    return next((Path(path) for path in find_matrices(root, split) if path.name == name), root / name)


def _files(matrix: Path) -> list[Path]:
    """The matrix, its description, its picture."""
    return [matrix, matrix.with_suffix(".json"), matrix.with_suffix(".png")]


def _is_ours(matrix: Path) -> bool:
    """Whether the description beside a matrix is ours and of that very matrix, or of its successor after a kill."""
    try:
        description = json_from_text(read_text(matrix.with_suffix(".json")), name="", advice="")
    except UserError:
        return False
    if not isinstance(description, dict) or "sha256" not in description:
        return False
    return not matrix.exists() or _sha256(matrix.read_bytes()) in (description["sha256"], description.get("replaces"))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_labels(matrix: Path, split: Split, made: Labels, settings: dict[str, Json]) -> None:
    """Writes a matrix, its description and its picture.

    The matrix comes last, and the description names its checksum and that of the matrix it replaces: after a kill in
    between, the matrix that is there is still known as ours.
    """
    degrees = made.degrees
    _, description_file, picture = _files(matrix)
    buffer = io.BytesIO()
    np.save(buffer, made.matrix.astype(np.float32), allow_pickle=False)
    description = {
        **settings,
        "threshold": made.threshold,
        "clips": len(degrees),
        "mean_degree": float(degrees.mean()),
        # Entry d: how many clips have d appropriate reactions, their own counted.
        "histogram_of_degrees": np.bincount(degrees).tolist(),
        "sha256": _sha256(buffer.getvalue()),  # of the matrix's file
        "sha256_of_rows": digest_of_rows(split, len(degrees)),  # a matrix of others is not taken for one of these
        "replaces": _sha256(matrix.read_bytes()) if matrix.is_file() else None,
    }
    with replacing(description_file) as file:
        file.write(json.dumps(description, indent=1).encode() + b"\n")
    with replacing(picture) as file:
        file.write(_picture(split.name, made))
    with replacing(matrix) as file:
        file.write(buffer.getbuffer())
    without = int((degrees == 1).sum())
    print(
        f"{matrix}: {len(degrees)} clips, appropriate reactions a clip: mean {degrees.mean():.1f}, most "
        f"{degrees.max()}; {without} have none but their own"
    )


def _picture(name: str, made: Labels) -> bytes:
    """A PNG: the matrix, and the histogram of its degrees."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    degrees = made.degrees
    figure = Figure(figsize=(11, 5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.imshow(_shrunk(made.matrix), cmap="Greys", vmin=0, vmax=1, extent=(0, len(degrees), len(degrees), 0))
    left.set(title=f"{name}: appropriate reactions", xlabel="listener of clip", ylabel="speaker of clip")
    right.hist(degrees, bins=np.arange(0.5, degrees.max() + 1.5, max(1, round(degrees.max() / 60))), color="0.4")
    right.axvline(degrees.mean(), color="C3", label=f"mean {degrees.mean():.1f}")
    right.set(title="how many a clip has, its own counted", xlabel="appropriate reactions", ylabel="clips")
    right.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _shrunk(matrix: Bool[np.ndarray, "N N"]) -> Float[np.ndarray, "n n"]:
    """The largest of each block: single neighbours would vanish between the pixels."""
    block = -(-len(matrix) // _PIXELS)
    padded = np.pad(matrix, (0, -len(matrix) % block))
    count = len(padded) // block
    return padded.reshape(count, block, count, block).max(axis=(1, 3)).astype(np.float32)


def _progress() -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("clips"), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}", markup=False), *columns, console=Console(stderr=True))
