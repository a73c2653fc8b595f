"""An evaluation as tables on the console, as JSON and as Markdown."""

import dataclasses
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from reactface_jax.config import Config
from reactface_jax.errors import UserError
from reactface_jax.evaluation import Row
from reactface_jax.metrics import Mode

JSON_NAME = "report.json"
MARKDOWN_NAME = "report.md"


@dataclass(frozen=True)
class Report:
    """Everything that a reader needs to judge the rows."""

    rows: Sequence[Row]
    config: Config
    source: str
    """Which parameters."""
    data: Mapping[str, Any]
    """Which clips: folder, split, counts."""
    versions: Mapping[str, str]


@dataclass(frozen=True)
class _Column:
    heading: str
    value: Callable[[Row, Mode], float | None]
    form: str

    def cell(self, row: Row, mode: Mode) -> str:
        value = self.value(row, mode)
        return "-" if value is None or math.isnan(value) else format(value, self.form)


def _score(name: str, form: str, heading: str | None = None) -> _Column:
    return _Column(heading or name, lambda row, mode: row.scores[mode][name], form)


# The paper's Table II has this order.
_SCORES = (
    _score("FRDvs", ".4f"),
    _score("FRVar", ".4f"),
    _score("FRDiv", ".4f"),
    _score("FRCorr", ".3f"),
    _score("FRDist", ".2f"),
    _score("FRSyn", ".2f"),
    _Column("FPS", lambda row, mode: row.frames_per_second, ".1f"),
)
_CONTROLS = (
    _score("FRCorr", ".3f"),
    _score("FRCorr_random_neighbours", ".3f", "by chance"),
    _score("conditioning_share", ".0%", "speaker share"),
    _score("peak_correlation", ".2f", "peak r"),
    _score("FRSyn_NaN_share", ".0%", "NaN"),
    _Column("smile lag", lambda row, mode: row.smile and row.smile.lag, ".0f"),
    _Column("smile r", lambda row, mode: row.smile and row.smile.correlation, ".2f"),
)
_TABLES: tuple[tuple[str, Mode, tuple[_Column, ...]], ...] = (
    ("Clean mode: the figures to quote", "clean", _SCORES),
    ("Clean mode: controls", "clean", _CONTROLS),
    ("Paper mode: what the released code computes, flaws included", "paper", _SCORES),
)
_LEGEND = (
    "by chance: FRCorr against as many random reactions as there are appropriate ones, what the best of many gives for "
    "free. speaker share: 1 - FRDiv / FRDvs, how much of the diversity depends on the speaker. peak r: the correlation "
    "at FRSyn's offset. NaN: share of reactions in which a constant channel makes paper mode's offset 49. smile lag: "
    "frames (25 a second) by which smiles follow the speaker's, and their correlation there. FPS: reaction frames a "
    "second, those of all reactions counted, without rendering."
)


def tables(report: Report) -> list[Table]:
    """For the console; each fits 80 columns."""
    made = []
    for title, mode, columns in _TABLES:
        table = Table(title=title, title_justify="left")
        table.add_column("method", no_wrap=True)
        for column in columns:
            table.add_column(column.heading, justify="right")
        for row in report.rows:
            table.add_row(row.name, *(column.cell(row, mode) for column in columns))
        made.append(table)
    return made


def to_json(report: Report) -> str:
    """Machine-readable: all figures of both modes; undefined ones are null."""
    rows = [
        {
            "method": row.name,
            "scores": {mode: dict(scores) for mode, scores in row.scores.items()},
            "smile": row.smile and row.smile._asdict(),
            "frames_per_second": row.frames_per_second,
        }
        for row in report.rows
    ]
    content = {
        "rows": rows,
        "source": report.source,
        "data": dict(report.data),
        "config": dataclasses.asdict(report.config),
        "versions": dict(report.versions),
    }
    return json.dumps(_without_nan(content), indent=2, allow_nan=False) + "\n"


def to_markdown(report: Report) -> str:
    """A page with the tables and what one needs to read them."""
    facts = {"parameters": report.source, **report.data, "protocol": report.config.eval.protocol}
    lines = ["# Evaluation", "", *(f"- {name}: {value}" for name, value in facts.items()), ""]
    for title, mode, columns in _TABLES:
        lines += [f"## {title}", ""]
        lines.append("| method | " + " | ".join(column.heading for column in columns) + " |")
        lines.append("|---|" + "---:|" * len(columns))
        for row in report.rows:
            lines.append(f"| {row.name} | " + " | ".join(column.cell(row, mode) for column in columns) + " |")
        lines.append("")
    lines += [_LEGEND, "", "Versions: " + ", ".join(f"{name} {version}" for name, version in report.versions.items())]
    return "\n".join(lines) + "\n"


def write(report: Report, folder: str | Path) -> None:
    """Writes report.json and report.md, each aside first and then renamed.

    Raises:
      UserError: the folder can't be written.
    """
    folder = Path(folder)
    for name, text in ((JSON_NAME, to_json(report)), (MARKDOWN_NAME, to_markdown(report))):
        aside = folder / f".{name}.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            aside.write_text(text, encoding="utf-8")
            aside.replace(folder / name)
        except OSError as error:
            raise UserError(f"{folder / name} can't be written: {error.strerror or error}") from error


def _without_nan(value: Any) -> Any:
    """JSON knows no NaN."""
    if isinstance(value, Mapping):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
