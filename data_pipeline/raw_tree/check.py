"""`prepare check`: what a raw tree holds, what of it can't be used and why, and whether one can train on the rest."""

import csv
import io
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from data_pipeline.open_data.command import check_form
from data_pipeline.own_recordings.probing import Probe, probe
from data_pipeline.progress import progress
from data_pipeline.raw_tree.clip_arrays import read_coefficient_names, read_statistics
from data_pipeline.raw_tree.clips import common_length
from data_pipeline.raw_tree.react2023 import (
    LeftOut,
    Person,
    Split,
    list_splits,
    read_appropriateness,
    site_of,
    warning_of_repeated_rows,
    warning_of_shared_people,
)
from data_pipeline.shards.remote import AnyPath, any_path
from reactface_jax.errors import UserError
from reactface_jax.files import replacing

FormName = Literal["react2023", "seamless", "mars", "vico", "realtalk", "responsenet", "dualtalk"]
_READERS = 8
_COLUMNS = ("split", "row", "speaker_path", "listener_path", "why", "reason")
_LENGTHS = 6  # numbers of frames that a line names


@dataclass(frozen=True)
class Finding:
    """A split, and what its files say."""

    split: Split
    probes: dict[Person, Probe]  # of everyone in its pairs
    damaged: list[LeftOut]

    @property
    def left_out(self) -> list[LeftOut]:
        """All rows that can't be used, in the csv's order."""
        return sorted(self.split.left_out + self.damaged, key=lambda row: row.row)


def check(raw: str, rows: str = "left_out.csv", max_bad: int = 0, form: FormName = "react2023") -> None:
    """Lists what a raw tree holds for each split and site, and what is left out and why.

    Reads all but the insides of videos and sounds, of which it reads the headers; `shards` finds damage there.

    Args:
      raw: the tree's folder, with train.csv and Video_files/; or gs://bucket/folder.
      rows: csv file to write, with every row that can't be used and the reason; it replaces an earlier one of its kind.
      max_bad: pairs whose files are damaged that `shards` may leave out; with more, the tree counts as not usable. Not
        for other data sets.
      form: of another data set: its pairs, sounds and videos' headers are read, and pieces are cut as by default.
    """
    if max_bad < 0:
        raise UserError(f"--max-bad {max_bad} is negative; give the number of damaged pairs that may be left out")
    if max_bad and form != "react2023":
        raise UserError(f"--max-bad is for REACT2023's tree; leave it out here, and give it to `prepare {form}`")
    _require_replaceable(Path(rows))
    if form != "react2023":
        left_out = check_form(form, Path(raw))
        _write_rows(Path(rows), left_out)
        print(f"{rows}: " + (f"{_rows(len(left_out))} left out, and why" if left_out else "no row is left out"))
        return
    root = any_path(raw)
    splits = list_splits(root)
    with progress() as bar:
        findings = [_look_at(split, bar) for split in splits]
    _write_rows(Path(rows), [(finding.split.name, row) for finding in findings for row in finding.left_out])
    Console(markup=False, emoji=False).print(_table_of_sites(findings))
    for finding in findings:
        _print_split(root, finding)
    for warning in filter(None, (warning_of_shared_people(splits), warning_of_repeated_rows(splits))):
        print(warning)
    count = sum(len(finding.left_out) for finding in findings)
    print(f"{rows}: " + (f"{_rows(count)} left out, and why" if count else "no row is left out"))
    read_coefficient_names(root)
    statistics = "mean_face.npy and std_face.npy" if read_statistics(root) else "the train split's coefficients"
    print(f"statistics: {statistics}")
    _refuse(root, findings, max_bad)


def _look_at(split: Split, bar: Progress) -> Finding:
    """Probes the files of a split's pairs."""
    people = list(dict.fromkeys(person for pair in split.pairs for person in pair))
    with ThreadPoolExecutor(_READERS) as pool:
        found = bar.track(pool.map(probe, people), total=len(people), description=split.name)
        probes = dict(zip(people, found, strict=True))
    damaged = []
    for row, (speaker, listener) in zip(split.rows, split.pairs, strict=True):
        if damage := _damage(probes[speaker], probes[listener]):
            damaged.append(LeftOut(row, speaker.id, listener.id, damage, damaged=True))
    return Finding(split, probes, damaged)


def _damage(speaker: Probe, listener: Probe) -> str:
    """What is wrong with a pair's files, in a sentence; empty when nothing is."""
    if damage := speaker.damage or listener.damage:
        return damage
    try:
        common_length({**speaker.lengths, **listener.lengths})
    except UserError as error:
        return str(error)
    return ""


def _require_replaceable(path: Path) -> None:
    """Raises `UserError` when a list can't be written there, or would replace something that is none."""
    any_path(path)  # a name that no file can have is reported in words
    if not path.parent.is_dir():
        raise UserError(f"--rows {path} can't be written: there is no folder {path.parent}; make it, or give another")
    if path.is_dir():
        raise UserError(f"--rows {path} is a folder; give a file")
    if path.exists() and not path.read_bytes().startswith(",".join(_COLUMNS).encode()):
        raise UserError(f"--rows {path} exists and is no list of left out rows; give another file")


def _write_rows(path: Path, rows: list[tuple[str, LeftOut]]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for split, row in rows:
        why = "damaged" if row.damaged else "missing"
        table.writerow((split, row.row, row.speaker, row.listener, why, row.reason))
    with replacing(path) as file:
        file.write(text.getvalue().encode())


def _table_of_sites(findings: list[Finding]) -> Table:
    table = Table("split", "site", "csv rows", "usable", "files missing", "damaged")
    for finding in findings:
        missing = Counter(site_of(row.speaker) for row in finding.split.left_out)
        damaged = Counter(site_of(row.speaker) for row in finding.damaged)
        there = Counter(site_of(speaker.id) for speaker, _ in finding.split.pairs)
        for site in sorted(there | missing):
            counts = (there[site] + missing[site], there[site] - damaged[site], missing[site], damaged[site])
            table.add_row(finding.split.name, site, *map(str, counts))
    return table


def _print_split(root: AnyPath, finding: Finding) -> None:
    name = finding.split.name
    for reason, count in Counter(row.reason for row in finding.split.left_out).most_common():
        example = next(row for row in finding.split.left_out if row.reason == reason)
        print(
            f"{name}: {_rows(count)} left out, because the {reason}; such as row {example.row}, {example.speaker} with "
            f"{example.listener}"
        )
    for row in finding.damaged:
        print(f"{name}: row {row.row} is damaged: {row.reason}")
    whole = {person: probe for person, probe in finding.probes.items() if not probe.damage}
    forms = Counter(probe.form for probe in whole.values())
    if "no videos" in forms:
        print(f"{name}: the tree has no folder Video_files, so shards of it have no pictures")
    else:
        print(f"{name}: {', '.join(f'{count} videos as {form}' for form, count in forms.most_common())}")
    frames = Counter(min(probe.lengths.values()) for probe in whole.values())
    print(f"{name}: frames of a clip: {_most_common(frames)}")
    if uneven := sum(len(set(probe.lengths.values())) > 1 for probe in whole.values()):
        print(f"{name}: {uneven} clips whose files differ by a few frames; they are cut to the shortest")
    if short := sum(probe.is_short for probe in whole.values()):
        print(f"{name}: {short} clips whose sound is a little shorter than the video; they end in silence")
    labels = read_appropriateness(root, finding.split)
    if labels is None:
        print(f"{name}: no matrix; each clip's only appropriate reaction will be its own listener's")
    else:
        degrees = labels[0].sum(axis=1)
        print(
            f"{name}: {labels[1].name}, appropriate reactions a clip: mean {degrees.mean():.1f}, most {degrees.max()}"
        )


def _rows(count: int) -> str:
    return "one row" if count == 1 else f"{count} rows"


def _most_common(lengths: Counter[int]) -> str:
    """Such as "751 (1500 clips), 750 (12)"."""
    (first, count), *others = lengths.most_common()
    named = [f"{first} ({count} clips)", *(f"{length} ({count})" for length, count in others[: _LENGTHS - 1])]
    rest = sum(count for _, count in others[_LENGTHS - 1 :])
    return ", ".join(named) + (f", others ({rest})" if rest else "")


def _refuse(root: AnyPath, findings: list[Finding], max_bad: int) -> None:
    """Raises `UserError` when training can't work."""
    if "train" not in {finding.split.name for finding in findings}:
        raise UserError(f"{root} has no train.csv, so nothing can be trained on it; add it")
    for finding in findings:
        if len(finding.damaged) == len(finding.split.pairs):
            raise UserError(f"every pair of {finding.split.name} is damaged; the first: {finding.damaged[0].reason}")
    sizes: dict[tuple[int, int], AnyPath] = {}
    for finding in findings:
        for person, found in finding.probes.items():
            if found.size and not found.damage and person.video is not None:
                sizes.setdefault(found.size, person.video)
    if len(sizes) > 1:
        (first, one), (other, two), *_ = sizes.items()
        raise UserError(f"{two} is {other[0]}x{other[1]}, but {one} {first[0]}x{first[1]}; convert one of them")
    damaged = [(finding.split.name, row) for finding in findings for row in finding.damaged]
    if len(damaged) > max_bad:
        split, row = damaged[0]
        raise UserError(
            f"{len(damaged)} pairs of {root} are damaged, the first in row {row.row} of {split}.csv: {row.reason} (or "
            f"leave them out: --max-bad {len(damaged)}, here and for `shards`)"
        )
