"""Writes appropriateness matrices beside a raw tree: `prepare labels`. Each with how it was made, and a picture."""

import io
import json
import os
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from data_pipeline.labels.appropriateness import Labels, build, cut
from data_pipeline.raw_tree.react2023 import SPLITS, Split, list_splits
from reactface_jax.errors import UserError
from reactface_jax.files import make_folder, replacing

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
    workers: int = os.cpu_count() or 1,
    overwrite: bool = False,
) -> None:
    """Writes neighbour_emotion_<split>.npy, with a .json that says how it was made and a .png that shows it.

    Args:
      raw: the tree's folder.
      source: full cuts the splits out of Approprirate_facial_reaction.npy by data_indices.csv; attributes or
        coefficients builds the matrices of the splits' usable rows: the closest speakers by dynamic time warping.
      mean_degree: appropriate reactions a clip on average, its own counted; to be given unless source is full.
      audio_weight: how much the voices count in the distance; 1: as much as the faces.
      average: frames that are averaged before warping; 5 takes about a 15th of the time.
      splits: some of train, val, test; all that the tree has by default.
      out: another folder than the tree's for the files.
      workers: threads.
      overwrite: replace matrices that are there.
    """
    if source != "full" and mean_degree is None:
        raise UserError(f"--source {source} needs --mean-degree, how many appropriate reactions a clip has on average")
    if source == "full" and (mean_degree is not None or audio_weight or average != 1):
        raise UserError("--source full cuts a finished matrix: leave out --mean-degree, --audio-weight and --average")
    if audio_weight < 0 or average < 1 or workers < 1:
        raise UserError("--audio-weight must be 0 or more, --average and --workers 1 or more")
    found = {split.name: split for split in list_splits(raw)}
    if unknown := [name for name in splits if name not in found]:
        raise UserError(f"--splits {unknown[0]}: {raw} has {', '.join(found)}; give some of these")
    folder = out or raw
    chosen = [found[name] for name in SPLITS if name in (splits or found)]
    for split in chosen:
        _check_free(folder, split.name, overwrite)
    made = {}
    for split in chosen:  # all are made before the first is written, so that a wrong split leaves all as they were
        if source == "full":
            made[split.name] = cut(raw, split)
        else:
            assert mean_degree is not None
            with _progress() as bar:
                advance = partial(bar.advance, bar.add_task(split.name, total=len(split.directions)))
                made[split.name] = build(split, source, mean_degree, audio_weight, average, workers, on_row=advance)
    make_folder(folder)
    settings = {} if source == "full" else {"audio_weight": audio_weight, "average": average}
    for split in chosen:
        write_labels(folder, split, made[split.name], {"source": source, **settings})


def _check_free(folder: Path, split: str, overwrite: bool) -> None:
    matrix, preferred = folder / f"neighbour_emotion_{split}.npy", folder / f"neighbour_emotion_new_{split}.npy"
    if preferred.is_file():
        raise UserError(f"{preferred} is there and would be read instead; move it away, or write elsewhere with --out")
    if matrix.is_file() and not overwrite:
        raise UserError(f"{matrix} is there; give --overwrite to replace it, or another folder with --out")


def write_labels(folder: Path, split: Split, made: Labels, settings: dict[str, Any]) -> None:
    """Writes a matrix, its description and its picture; the matrix last."""
    degrees = made.degrees
    path = folder / f"neighbour_emotion_{split.name}.npy"
    description = {
        **settings,
        "threshold": made.threshold,
        "clips": len(degrees),
        "mean_degree": float(degrees.mean()),
        # Entry d: how many clips have d appropriate reactions, their own counted.
        "histogram_of_degrees": np.bincount(degrees).tolist(),
    }
    with replacing(path.with_suffix(".json")) as file:
        file.write(json.dumps(description, indent=1).encode() + b"\n")
    with replacing(path.with_suffix(".png")) as file:
        file.write(_picture(split.name, made))
    with replacing(path) as file:
        np.save(file, made.matrix.astype(np.float32), allow_pickle=False)
    alone = int((degrees == 1).sum())
    print(
        f"{path}: {len(degrees)} clips, appropriate reactions a clip: mean {degrees.mean():.1f}, most {degrees.max()}; "
        f"{alone} have none but their own"
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
    return Progress(TextColumn("{task.description}"), *columns, console=Console(stderr=True))
