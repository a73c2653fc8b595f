"""An evaluation as JSON, as Markdown and as rows of a LaTeX table."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from reactface_jax.config import Config
from reactface_jax.evaluation import published_table as published
from reactface_jax.evaluation.escaping import latex, markdown
from reactface_jax.evaluation.legend import REALISM, RESAMPLED, legend_of
from reactface_jax.evaluation.rows import Row
from reactface_jax.evaluation.verdict import verdict
from reactface_jax.files import make_folder, replacing
from reactface_jax.metrics import MODES, Mode
from reactface_jax.metrics.bootstrap import Interval, differ, interval
from reactface_jax.metrics.synchrony import SHORTEST

JSON_NAME = "report.json"
MARKDOWN_NAME = "report.md"
LATEX_NAME = "report.tex"
SAME = "≈"
"""Marks a figure that does not differ significantly from that of the row which the others are compared with."""


@dataclass(frozen=True)
class Report:
    """Everything that a reader needs to judge the rows."""

    rows: Sequence[Row]
    config: Config | None
    """None where reactions came as arrays."""
    source: str
    """Which parameters."""
    data: Mapping[str, Any]
    """Which clips: folder, split, counts."""
    versions: Mapping[str, str]
    compared_with: str | None = None
    """The row from which differences are tested; the last one if None."""

    @property
    def reference(self) -> Row:
        name = self.compared_with
        return next((row for row in self.rows if row.name == name), self.rows[-1])


@dataclass(frozen=True)
class _Column:
    heading: str
    value: Callable[[Row, Mode], float | None]
    form: str
    name: str = ""
    """Of the score, where it is one."""

    def cell(self, row: Row, mode: Mode, reference: Row | None = None) -> str:
        value = self.value(row, mode)
        if value is None or math.isnan(value):
            return "-"
        mark = SAME if reference is not None and same(row, reference, mode, self.name) else ""
        return format(value, self.form) + mark

    def interval_cell(self, row: Row, mode: Mode) -> str:
        ends = _realism_interval(row, mode) if self is _REALISM else _interval(row, mode, self.name)
        return "-" if ends is None or math.isnan(ends[0]) else " to ".join(format(end, self.form) for end in ends)


def _score(name: str, form: str, heading: str | None = None) -> _Column:
    return _Column(heading or name, lambda row, mode: row.scores[mode].get(name), form, name)


def _interval(row: Row, mode: Mode, name: str) -> Interval | None:
    drawn = row.draws.get(mode, {}).get(name)
    return None if drawn is None else interval(drawn)


def _realism_interval(row: Row, mode: Mode) -> Interval | None:
    return None if row.realism is None else row.realism[mode].interval


def another(row: Row, reference: Row, mode: Mode, name: str) -> bool | None:
    """Whether a row's figure is significantly another than the reference's: 95 %, paired over resampled clips.

    None where that can't be tested: for the reference itself, for figures without draws, undefined ones, and too few
    groups of clips.
    """
    one, other = (r.draws.get(mode, {}).get(name) for r in (row, reference))
    return None if row is reference or one is None or other is None else differ(one, other)


def same(row: Row, reference: Row, mode: Mode, name: str) -> bool:
    """Whether a row's figure was tested against the reference's, and is not significantly another."""
    return another(row, reference, mode, name) is False


_REALISM = _Column("FRRea", lambda row, mode: None if row.realism is None else row.realism[mode].distance, ".2f")
"""Left out where no videos were compared."""
# The paper's Table II has this order.
_SCORES = (
    _score("FRDvs", ".4f"),
    _score("FRVar", ".4f"),
    _score("FRDiv", ".4f"),
    _REALISM,
    _score("FRCorr", ".3f"),
    _score("FRDist", ".2f"),
    _score("FRSyn", ".2f"),
    _Column("FPS", lambda row, mode: row.frames_per_second, ".1f"),
)
_APPROPRIATE = (
    _score("FRCorr", ".2f"),
    _score("FRCorr_listening", ".2f", "listening"),
    _score("FRCorr_random_neighbours", ".2f", "by chance"),
    _score("smile_answered", ".0%", "smiles"),
    _score("brow_raise_answered", ".0%", "brows"),
    _score("frown_answered", ".0%", "frowns"),
    _score("turn_answered", ".0%", "turns"),
)
_DIVERSE = (
    _score("FRDiv", ".4f"),
    _score("offset_share", ".0%", "offset"),
    _score("FRDvs", ".4f"),
    _score("conditioning_share", "z.0%", "speaker share"),
    _score("FRVar", ".4f"),
)
_IN_TIME = (
    _score("answer_delay", ".1f", "delay"),
    _score("answer_delay_deviation", ".1f", "sd"),
    _score("uncalled_per_second", ".2f", "uncalled"),
    _score("reaction_gain", ".3f", "gain"),
    _score("reaction_gain_p", ".3f", "p"),
    _Column("smile lag", lambda row, mode: row.smile and row.smile.lag, ".0f"),
    _Column("r", lambda row, mode: row.smile and row.smile.correlation, ".2f"),
    _score("FRSyn_NaN_share", ".0%", "NaN"),
)
_SMOOTH = (
    _score("inside_windows", ".0%", "inside"),
    _score("border_step", ".2f", "border"),
    _score("stillness", ".4f", "stillness"),
    _score("motion_distance", ".2f", "motion"),
    _score("motion_distance_floor", ".2f", "floor"),
    _REALISM,
    _Column("FPS", lambda row, mode: row.frames_per_second, ".1f"),
)
_TABLES: tuple[tuple[str, Mode, tuple[_Column, ...]], ...] = (
    ("Clean mode: the figures to quote", "clean", _SCORES),
    ("Clean mode: appropriate", "clean", _APPROPRIATE),
    ("Clean mode: diverse", "clean", _DIVERSE),
    ("Clean mode: in time", "clean", _IN_TIME),
    ("Clean mode: smooth", "clean", _SMOOTH),
    ("Paper mode: what the released code computes, flaws included", "paper", _SCORES),
)
INTERVALS_TITLE = "Clean mode: 95 % intervals"


class Cell(NamedTuple):
    """A figure of a row."""

    text: str
    """With `SAME` where it does not differ significantly from the reference's."""
    value: float | None
    interval: str
    """`-` where there is none."""


class Figures(NamedTuple):
    """One table."""

    title: str
    headings: list[str]
    rows: list[tuple[str, list[Cell]]]
    """Names of methods, and a cell a heading."""


def figures(report: Report) -> list[Figures]:
    """The tables that every form of the report shows."""
    measured = any(row.realism is not None for row in report.rows)
    made = []
    for title, mode, all_columns in _TABLES:
        columns = [column for column in all_columns if column is not _REALISM or measured]
        rows = []
        for row in report.rows:
            cells = []
            for column in columns:
                value = column.value(row, mode)
                value = None if value is None or math.isnan(value) else value
                cells.append(Cell(column.cell(row, mode, report.reference), value, column.interval_cell(row, mode)))
            rows.append((row.name, cells))
        made.append(Figures(title, [column.heading for column in columns], rows))
    return made


def with_intervals(report: Report) -> list[tuple[str, list[tuple[str, Cell]]]]:
    """Clean mode's figures that have intervals, each once, with a cell a method."""
    found: dict[str, list[tuple[str, Cell]]] = {}
    for title, headings, rows in figures(report):
        for place, heading in enumerate(headings if title.startswith("Clean") else ()):
            cells = [(name, cells[place]) for name, cells in rows]
            if any(cell.interval != "-" for _, cell in cells):
                found.setdefault(heading, cells)
    return list(found.items())


def mode_differences(row: Row) -> list[str]:
    """What of a method's figures depends on the mode, and why: a sentence a figure."""
    clean, paper = row.scores["clean"], row.scores["paper"]
    sentences = []
    if abs(clean["FRCorr"] - paper["FRCorr"]) > 5e-4:
        sentences.append(
            f"FRCorr is {clean['FRCorr']:.3f}, {paper['FRCorr']:.3f} in paper mode, which counts channels in which the "
            "real listener is constant as 0"
        )
    if clean["FRSyn_NaN_share"] > 0:
        offset = "undefined" if math.isnan(clean["FRSyn"]) else f"{clean['FRSyn']:.2f}"
        sentences.append(
            f"FRSyn is {offset}, {paper['FRSyn']:.2f} in paper mode, which takes the first lag without a correlation, "
            f"mostly 49; {clean['FRSyn_NaN_share']:.0%} of the reactions have one, since a channel is constant or the "
            f"clip is shorter than {SHORTEST} frames"
        )
    elif abs(clean["FRSyn"] - paper["FRSyn"]) > 5e-3:
        sentences.append(f"FRSyn is {clean['FRSyn']:.2f}, {paper['FRSyn']:.2f} in paper mode: clips shorter than 4 s")
    if abs(clean["FRDist"] - paper["FRDist"]) > 5e-3:
        sentences.append(
            f"FRDist is {clean['FRDist']:.2f}, {paper['FRDist']:.2f} in paper mode, which sums over reactions"
        )
    if abs(paper["FRCorr_multiprocess"] - paper["FRCorr"]) > 5e-4:
        sentences.append(
            f"the released evaluate.py in several processes prints FRCorr {paper['FRCorr_multiprocess']:.3f}, FRDist "
            f"{paper['FRDist_multiprocess']:.2f} and FRSyn {paper['FRSyn_multiprocess']:.2f}: sums over reactions, and "
            "the first reaction only"
        )
    return sentences


def is_published_split(report: Report) -> bool:
    """Whether the clips have the number and length of REACT2023's test split, of which Table II is."""
    size = (report.data.get("clips"), report.data.get("frames"))
    return size == (published.NUM_CLIPS, published.NUM_FRAMES)


def to_latex(report: Report) -> str:
    """Rows of a table with Table II's columns: clean, then paper mode; and published rows where the data is theirs."""

    def line(name: str, cells: Sequence[str]) -> str:
        return " & ".join([latex(name), *(cell.replace(SAME, r"$^{\approx}$") for cell in cells)]) + r" \\"

    columns = {column.heading: column for column in _SCORES}
    lines = ["% method & " + " & ".join(published.COLUMNS) + r" \\"]
    if REALISM in report.data:
        lines.append(f"% {REALISM}: {report.data[REALISM]}")
    for mode in MODES:
        lines.append(f"% {mode} mode")
        for row in report.rows:
            cells = [columns[name].cell(row, mode, report.reference) for name in published.COLUMNS]
            lines.append(line(row.name, cells))
        if mode == "paper" and is_published_split(report):
            lines.append("% published, Table II")
            lines += [
                line(f"{name} (published)", ["-" if v is None else f"{v:g}" for v in values])
                for name, values in published.TABLE_II.items()
            ]
    return "\n".join(lines) + "\n"


def to_json(report: Report) -> str:
    """Machine-readable: all figures of both modes; undefined ones are null."""
    rows = [
        {
            "method": row.name,
            "scores": {mode: dict(scores) for mode, scores in row.scores.items()},
            "smile": row.smile and row.smile._asdict(),
            "frames_per_second": row.frames_per_second,
            "window": row.window,
            "realism": row.realism and {mode: found._asdict() for mode, found in row.realism.items()},
            "intervals": {
                mode: {name: list(interval(drawn)) for name, drawn in drawn_of_mode.items()}
                for mode, drawn_of_mode in row.draws.items()
            },
            # A figure that is in neither list was not tested.
            **{
                key: {
                    mode: [name for name in drawn if another(row, report.reference, mode, name) is answer]
                    for mode, drawn in row.draws.items()
                }
                for key, answer in (("different", True), ("not_different", False))
            },
            "between_modes": mode_differences(row),
        }
        for row in report.rows
    ]
    content = {
        "rows": rows,
        "source": report.source,
        "data": dict(report.data),
        "compared_with": report.reference.name,
        "config": None if report.config is None else dataclasses.asdict(report.config),
        "versions": dict(report.versions),
    }
    return json.dumps(without_nan(content), indent=2, allow_nan=False) + "\n"


def to_markdown(report: Report) -> str:
    """A page with the tables and what one needs to read them."""
    facts = {"source": report.source, **report.data}
    if report.config is not None:
        facts["protocol"] = report.config.eval.protocol
    lines = ["# Evaluation", "", markdown(verdict(report.rows, report.reference)), ""]
    made = figures(report)
    for title, headings, rows in made:
        lines += [
            f"## {title}",
            "",
            *_markdown(headings, [(name, [cell.text for cell in cells]) for name, cells in rows]),
        ]
    if found := with_intervals(report):
        lines += [f"## {INTERVALS_TITLE}", ""]
        names = [name for name, _ in found[0][1]]
        cells = [[rows[place][1].interval for _, rows in found] for place in range(len(names))]
        lines += _markdown([heading for heading, _ in found], list(zip(names, cells, strict=True)))
    if is_published_split(report):
        lines += ["## Published: Table II of the paper", ""]
        rows_of_paper = [
            (name, ["-" if v is None else f"{v:g}" for v in row]) for name, row in published.TABLE_II.items()
        ]
        lines += _markdown(published.COLUMNS, rows_of_paper)
    sentences = [f"- {markdown(row.name)}: {each}." for row in report.rows for each in mode_differences(row)]
    if sentences:
        lines += ["## What depends on the mode", "", *sentences, ""]
    lines += [
        markdown(legend(report)),
        "",
        *(f"- {name}: {markdown(value)}" for name, value in facts.items()),
        "",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in report.versions.items()),
    ]
    return "\n".join(lines) + "\n"


def _markdown(headings: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    lines = ["| method | " + " | ".join(headings) + " |", "|---|" + "---:|" * len(headings)]
    return [*lines, *(f"| {markdown(name)} | " + " | ".join(cells) + " |" for name, cells in rows), ""]


def legend(report: Report) -> str:
    """What headings and marks mean."""
    windows = {row.name: row.window for row in report.rows}
    return legend_of(report.reference.name, SAME, windows, report.data.get(RESAMPLED))


def write(report: Report, folder: str | Path) -> None:
    """Writes report.json, report.md and report.tex, each aside first and then renamed.

    Raises:
      UserError: the folder can't be written.
    """
    folder = Path(folder)
    make_folder(folder)
    for name, text in (
        (JSON_NAME, to_json(report)),
        (MARKDOWN_NAME, to_markdown(report)),
        (LATEX_NAME, to_latex(report)),
    ):
        with replacing(folder / name) as file:
            file.write(text.encode())


def without_nan(value: Any) -> Any:
    """The same with null for what JSON knows no number of."""
    if isinstance(value, Mapping):
        return {name: without_nan(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
