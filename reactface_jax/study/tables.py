"""A study's results as tables: in the form of the paper's Table VIII, and all of them."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from reactface_jax.evaluation.escaping import latex, markdown
from reactface_jax.files import replacing_folder
from reactface_jax.study.analysis import Analysis
from reactface_jax.study.choices import Share

NAMES = ("table.md", "table.tex", "table.csv", "analysis.md", "analysis.csv", "analysis.json")
SIGNIFICANT = 0.05

Plain = Callable[[object], str]


def write_tables(analysis: Analysis, method: str, out: Path) -> None:
    """Writes all of `NAMES` into a folder, which is replaced as a whole.

    Args:
      analysis: what was found.
      method: whose preference over the others the table shows.
      out: folder; may hold an older analysis.

    Raises:
      UserError: it holds other things, or can't be written.
    """
    contents = {
        "table.md": to_markdown(analysis, method),
        "table.tex": to_latex(analysis, method),
        "table.csv": to_csv(_preference_rows(analysis, method)),
        "analysis.md": everything(analysis, method),
        "analysis.csv": to_csv(_tidy_rows(analysis)),
        "analysis.json": json.dumps(_plain(analysis), ensure_ascii=False, indent=1, allow_nan=False) + "\n",
    }
    with replacing_folder(out, is_analysis, "an analysis") as folder:
        for name, text in contents.items():
            (folder / name).write_text(text, encoding="utf-8")


def is_analysis(folder: Path) -> bool:
    """Whether all that a folder holds has the names that are written here."""
    return all(path.name in NAMES and path.is_file() and not path.is_symlink() for path in folder.iterdir())


# ---- Table VIII's form: one method against each other one, a column a question


def _against(analysis: Analysis, method: str) -> Iterator[tuple[str, list[tuple[Share, float]]]]:
    """Each other method, and for each question how often `method` was preferred, with Holm's p."""
    for other in analysis.methods:
        if other == method:
            continue
        cells = []
        for question in analysis.questions:
            for each in analysis.compared:
                if each.question == question and {each.method, each.against} == {method, other}:
                    cells.append((each.share if each.method == method else _turned(each.share), each.corrected))
        if cells:
            yield other, cells


def _turned(share: Share) -> Share:
    return Share(share.total - share.chosen, share.total, 1 - share.share, 1 - share.high, 1 - share.low, share.p)


def _percent(share: Share, corrected: float, star: str) -> str:
    if share.total == 0:
        return "-"
    mark = star if corrected < SIGNIFICANT else ""
    return f"{100 * share.share:.1f}{mark} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def to_markdown(analysis: Analysis, method: str) -> str:
    """The table as Markdown."""
    heads = ["", *(question.replace("_", " ") for question in analysis.questions)]
    rows = [
        [f"{method} preferred to {other}", *(_percent(share, p, "*") for share, p in cells)]
        for other, cells in _against(analysis, method)
    ]
    return "\n".join([*_table(heads, rows), "", _caption(analysis, markdown("*")), ""])


def to_latex(analysis: Analysis, method: str) -> str:
    """The table as LaTeX, for booktabs."""
    heads = ["", *(latex(question.replace("_", " ")) for question in analysis.questions)]
    lines = [
        "% " + _caption(analysis, "*"),
        rf"\begin{{tabular}}{{l{'c' * len(analysis.questions)}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
    ]
    for other, cells in _against(analysis, method):
        values = [_percent(share, p, "$^{*}$") for share, p in cells]
        lines.append(" & ".join([f"{latex(method)} vs. {latex(other)}", *values]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _caption(analysis: Analysis, star: str) -> str:
    return (
        f"Share of choices in %, with Wilson's 95 % interval, of {len(analysis.participants)} participants; "
        "chance is 50. "
        f"{star}: p < {SIGNIFICANT:g} in the binomial test, after Holm's correction for all pairs and questions."
    )


def _preference_rows(analysis: Analysis, method: str) -> list[dict[str, Any]]:
    rows = []
    for other, cells in _against(analysis, method):
        row: dict[str, Any] = {"method": method, "against": other}
        for question, (share, p) in zip(analysis.questions, cells, strict=True):
            row |= {
                question: _number(share.share),
                f"{question}_low": _number(share.low),
                f"{question}_high": _number(share.high),
                f"{question}_n": share.total,
                f"{question}_p_holm": _number(p),
            }
        rows.append(row)
    return rows


# ---- Everything


def everything(analysis: Analysis, method: str) -> str:
    """All tables as Markdown."""
    lines = ["# Results", "", f"{len(analysis.participants)} participants count, {len(analysis.excluded)} do not.", ""]
    if analysis.excluded:
        lines += [f"- {markdown(name)}: {reason}" for name, reason in analysis.excluded.items()] + [""]
    if analysis.compared:
        lines += ["## Preference", "", to_markdown(analysis, method)]
        rows = [
            [
                each.question,
                each.method,
                each.against,
                f"{each.share.chosen} of {each.share.total}",
                _percent(each.share, 1.0, ""),
                f"{each.share.p:.2g}",
                f"{each.corrected:.2g}",
            ]
            for each in analysis.compared
        ]
        heads = ["question", "method", "against", "chosen", "% [95 % interval]", "p", "p (Holm)"]
        lines += ["## All pairs", "", *_table(heads, rows), ""]
        lines += ["## Bradley-Terry scores", "", *_table(["method", *analysis.questions], _score_rows(analysis)), ""]
        lines += [
            "Log-strengths around a mean of 0: between two methods whose scores differ by d, the higher one is chosen "
            "with probability 1 / (1 + exp(-d)). In brackets the 95 % interval over resampled participants.",
            "",
        ]
    if analysis.heard:
        rows = [
            [
                each.method,
                f"{each.share.chosen} of {each.share.total}",
                _percent(each.share, 1.0, ""),
                f"{each.corrected:.2g}",
            ]
            for each in analysis.heard
        ]
        lines += ["## Right or wrong speaker", "", *_table(["method", "right", "% [95 % interval]", "p (Holm)"], rows)]
        lines += ["", "Chance is 50 %: at it, nobody sees to whom the listener reacts.", ""]
    if analysis.rated:
        by_cell = {(each.method, each.question): each for each in analysis.rated}
        rows = []
        for name in analysis.methods:
            cells = [by_cell.get((name, question)) for question in analysis.questions]
            rows.append([name, *("-" if x is None else _interval(x.mean, x.low, x.high) for x in cells)])
        lines += ["## Ratings (1 to 5)", "", *_table(["method", *analysis.questions], rows), ""]
    return "\n".join(lines)


def _score_rows(analysis: Analysis) -> list[list[str]]:
    return [
        [name, *(_interval(*(float(values[m]) for values in analysis.scores[q])) for q in analysis.questions)]
        for m, name in enumerate(analysis.methods)
    ]


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.2f}" + ("" if math.isnan(low) else f" [{low:.2f}, {high:.2f}]")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines]


def _cell(text: str) -> str:
    return markdown(text) if not set(text) <= set("-") else text


def _tidy_rows(analysis: Analysis) -> list[dict[str, Any]]:
    """A row a figure."""
    rows: list[dict[str, Any]] = []

    def add(table: str, question: str, method: str, against: str, n: int | None, *values: float | None) -> None:
        value, low, high, p, corrected = [None if x is None else _number(x) for x in values]
        rows.append(
            {"table": table, "question": question, "method": method, "against": against, "n": n}
            | {"value": value, "low": low, "high": high, "p": p, "p_holm": corrected}
        )

    for each in analysis.compared:
        share = each.share
        add("preference", each.question, each.method, each.against, share.total, *share[2:], each.corrected)
    for question, scores in analysis.scores.items():
        for m, name in enumerate(analysis.methods):
            add("bradley_terry", question, name, "", None, *(float(x[m]) for x in scores), None, None)
    for heard in analysis.heard:
        add("speaker", "speaker", heard.method, "", heard.share.total, *heard.share[2:], heard.corrected)
    for rated in analysis.rated:
        add("rating", rated.question, rated.method, "", rated.answers, *rated[3:], None, None)
    return rows


def to_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of the same columns as csv; None is empty."""
    out = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return out.getvalue()


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)


def _plain(analysis: Analysis) -> dict[str, Any]:
    return {
        "participants": list(analysis.participants),
        "excluded": dict(analysis.excluded),
        "methods": list(analysis.methods),
        "questions": list(analysis.questions),
        "figures": _tidy_rows(analysis),
    }
