"""`prepare look`: a shard set as a page."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from data_pipeline.look import drawn as drawing
from data_pipeline.look.drawn import Points
from data_pipeline.look.figures import blinks_a_minute, duplicates, lag_of_smiles, share_lost, shared_people
from data_pipeline.look.page import ShownPerson, ShownPiece, Table, page
from data_pipeline.shards.description import Description
from reactface_jax.array_reading import read_npy
from reactface_jax.errors import UserError
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.files import replacing
from reactface_jax.output_files import check_outputs
from reactface_jax.types import FRAME_RATE, SAMPLE_RATE

if TYPE_CHECKING:
    from data_pipeline.loader import ShardSet

_STEP = 2
"""Of the frames of a piece, every so many is shown."""
_LISTED = 20
"""Clips or people that a list names."""


def look(
    data: Path,
    out: Path,
    pieces: int = 4,
    seconds: float = 6.0,
    seed: int = 0,
    drawn: bool = True,
    overwrite: bool = False,
) -> None:
    """Writes a page to judge a shard set by: pieces with sound, and figures of each split's people.

    Args:
      data: the folder that holds the shards.
      out: the .html file to write.
      pieces: how many of each split, chosen at random.
      seconds: how much of each.
      seed: of the choice.
      drawn: --no-drawn leaves out landmarks, which are measured, and the coefficients' heads: about 5 s a piece.
      overwrite: replace a page at --out.
    """
    if pieces < 0 or not 0 < seconds <= 60:
        raise UserError("--pieces must be 0 or more, --seconds above 0 and at most 60")
    check_outputs([out], {"--data": data}, overwrite=overwrite)
    from data_pipeline.loader import open_shards  # TensorFlow takes seconds to import

    shards = open_shards(data)
    description = shards.description
    tables = {split: read_npy(data / f"coefficients_{split}.npy", mapped=True) for split in description["splits"]}
    shown = []
    for split, content in description["splits"].items():
        if any(description["frame_size"]):
            chosen = np.random.default_rng(seed).permutation(content["clips"])[:pieces]
            shown += [_piece(shards, split, tables[split], clip, seconds, drawn) for clip in sorted(chosen.tolist())]
    text = page(f"{data.resolve().name}: what is in it", _tables(data, description, tables), shown)
    with replacing(out) as file:
        file.write(text.encode())
    print(f"{out}: pieces {len(shown)}, {len(text) / 1e6:.1f} MB")


def _tables(data: Path, description: Description, tables: dict[str, Float[np.ndarray, "N T 58"]]) -> list[Table]:
    names = description["coefficient_names"]
    splits = description["splits"]
    rows = [_row(data, description, split, tables[split]) for split in splits]
    head = ["split", "clips", "hours", "appropriate a clip", "frames without a face", "blinks a minute", "smile's lag"]
    figures = Table("Splits", head, rows)
    rules = Table(
        "Appropriate reactions", ["split", "rule"], [[n, s["appropriateness_from"]] for n, s in splits.items()]
    )
    same = duplicates({name: (tables[name], s["frames"], s["clip_ids"]) for name, s in splits.items()})
    people = shared_people({name: s["clip_ids"] for name, s in splits.items()})
    shared = Table(
        "In more than one split",
        ["what", "how many", "such as"],
        [
            ["clips", str(len(same)), "; ".join(same[:_LISTED])],
            ["people", str(len(people)), "; ".join(people[:_LISTED])],
        ],
    )
    train = next(iter(splits))
    moving = np.concatenate([t[:n] for t, n in zip(tables[train], splits[train]["frames"], strict=True)])
    low, middle, high = np.quantile(moving, (0.05, 0.5, 0.95), axis=0)
    std = moving.std(axis=0)
    channels = Table(
        f"Coefficients of {train}",
        ["coefficient", "5 %", "median", "95 %", "standard deviation"],
        [
            [
                name,
                f"{low[i]:.3f}",
                f"{middle[i]:.3f}",
                f"{high[i]:.3f}",
                f"{std[i]:.3f}\t{std[i] / max(std.max(), 1e-9)}",
            ]
            for i, name in enumerate(names)
        ],
    )
    return [figures, rules, shared, channels]


def _row(data: Path, description: Description, split: str, table: Float[np.ndarray, "N T 58"]) -> list[str]:
    content, names = description["splits"][split], description["coefficient_names"]
    lengths, half = content["frames"], content["clips"] // 2
    tracks = [track[:length] for track, length in zip(table, lengths, strict=True)]
    labels = read_npy(data / f"appropriateness_{split}.npy", kinds="b")
    lost, blinks, smiles = "not known", "not known", "not known"
    if f"confidence_{split}.npy" in description["files"]:
        lost = f"{share_lost(read_npy(data / f'confidence_{split}.npy'), lengths):.1%}"
    if {"eyeBlinkLeft", "mouthSmileLeft"} <= set(names):
        blink, smile = (
            [names.index(f"{kind}{side}") for side in ("Left", "Right")] for kind in ("eyeBlink", "mouthSmile")
        )
        counts = [blinks_a_minute(*track[:, blink].T) for track in tracks]
        blinks = f"{np.median(counts):.0f} ({np.quantile(counts, 0.1):.0f} to {np.quantile(counts, 0.9):.0f})"
        smiling = [track[:, smile].mean(axis=1) for track in tracks]
        lag = lag_of_smiles(smiling[:half], smiling[half:])
        smiles = (
            "no clip of 6 s in which both smile"
            if lag is None
            else f"{lag.seconds:+.2f} s (correlation {lag.correlation:.2f})"
        )
    hours = f"{sum(lengths) / FRAME_RATE / 3600:.3g}"
    return [split, str(content["clips"]), hours, f"{labels.sum() / len(labels):.1f}", lost, blinks, smiles]


def _piece(
    shards: "ShardSet", split: str, table: Float[np.ndarray, "N T 58"], clip: int, seconds: float, drawn: bool
) -> ShownPiece:
    """The beginning of a clip, and of its listener's clip.

    Args:
      shards: the set.
      split: of the clip.
      table: the split's coefficients.
      clip: its row.
      seconds: of it.
      drawn: with landmarks and heads.
    """
    from data_pipeline.host_tensorflow import tf

    content = shards.description["splits"][split]
    rows = (clip, (clip + content["clips"] // 2) % content["clips"])
    count = min(round(seconds * FRAME_RATE), *(content["frames"][row] for row in rows))
    examples = [tf.train.Example.FromString(shards.record(split, row)).features.feature for row in rows]
    faces = [example["frames"].bytes_list.value[:count:_STEP] for example in examples]
    points: list[list[Points]] = [[], []]
    heads: list[list[bytes]] = [[], []]
    if drawn:
        points = [drawing.landmarks(face) for face in faces]
        if tuple(shards.description["coefficient_names"]) == COEFFICIENT_NAMES:
            heads = drawing.heads(*(table[row, :count:_STEP] for row in rows))
    ids = [content["clip_ids"][row] for row in rows]
    speaker, listener = (ShownPerson(*person) for person in zip(ids, faces, points, heads, strict=True))
    # `encoding="bytes"` of TFDS: the samples' own bytes.
    sound = np.frombuffer(examples[0]["audio"].bytes_list.value[0], np.int16)
    return ShownPiece(speaker, listener, FRAME_RATE / _STEP, sound[: round(count / FRAME_RATE * SAMPLE_RATE)])
