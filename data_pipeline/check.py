"""`prepare check`: what a raw tree holds, and what of it can't be used."""

from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from data_pipeline.react2023 import (
    Split,
    list_splits,
    read_appropriateness,
    read_coefficients,
    read_statistics,
    site_of,
)
from reactface_jax.errors import UserError


def check(raw: Path) -> None:
    """Lists what a raw tree holds for each split and site, and what is left out and why; reads all but the videos.

    Args:
      raw: the tree's folder, with train.csv and Video_files/.
    """
    splits = list_splits(raw)
    Console().print(_table_of_sites(splits))
    for split in splits:
        for reason, count in Counter(row.reason for row in split.left_out).most_common():
            example = next(row for row in split.left_out if row.reason == reason)
            print(
                f"{split.name}: {count} rows left out, because the {reason}; such as row {example.row}, "
                f"{example.speaker} with {example.listener}"
            )
        for speaker, _ in split.directions:
            read_coefficients(speaker.coefficients)
        labels = read_appropriateness(raw, split)
        if labels is None:
            print(f"{split.name}: no matrix; each clip's only appropriate reaction will be its own listener's")
        else:
            degrees = labels[0].sum(axis=1)
            print(
                f"{split.name}: {labels[1].name}, appropriate reactions a clip: mean {degrees.mean():.1f}, "
                f"most {degrees.max()}"
            )
    statistics = "mean_face.npy and std_face.npy" if read_statistics(raw) else "the train split's coefficients"
    print(f"statistics: {statistics}")
    if "train" not in {split.name for split in splits}:
        raise UserError(f"{raw} has no train.csv, so nothing can be trained on it; add it")


def _table_of_sites(splits: list[Split]) -> Table:
    table = Table("split", "site", "csv rows", "usable", "left out")
    for split in splits:
        usable = Counter(site_of(speaker.id) for speaker, _ in split.pairs)
        left_out = Counter(site_of(row.speaker) for row in split.left_out)
        for site in sorted(usable | left_out):
            total = usable[site] + left_out[site]
            table.add_row(split.name, site, str(total), str(usable[site]), str(left_out[site]))
    return table
