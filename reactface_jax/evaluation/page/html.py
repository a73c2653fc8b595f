"""The page's text: tables and charts as HTML, data inlined, template/ around them."""

import base64
import dataclasses
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from reactface_jax.evaluation import published_table as published
from reactface_jax.evaluation import report
from reactface_jax.evaluation.attention_maps import AttentionMap
from reactface_jax.evaluation.page.charts import channel_chart, lag_histograms
from reactface_jax.evaluation.page.contents import Contents, tracks_of
from reactface_jax.evaluation.page.head import pack_head
from reactface_jax.evaluation.page.packing import pack_tracks, text
from reactface_jax.evaluation.rows import Row
from reactface_jax.evaluation.verdict import verdict
from reactface_jax.files import make_folder, replacing
from reactface_jax.types import FRAME_RATE

PAGE_NAME = "report.html"
_TEMPLATE = Path(__file__).parent / "template"
_SCRIPTS = ("data.js", "head.js", "curves.js", "player.js", "tables.js")
_WHY = {"best": "highest FRCorr", "worst": "lowest FRCorr", "drawn": "drawn at random"}


def write_page(content: report.Report, contents: Contents, folder: str | Path) -> int:
    """Writes report.html, aside first and then renamed, and returns its size in bytes.

    Raises:
      UserError: the folder can't be written.
    """
    make_folder(folder)
    page = to_html(content, contents).encode()
    with replacing(Path(folder) / PAGE_NAME) as file:
        file.write(page)
    return len(page)


def to_html(content: report.Report, contents: Contents) -> str:
    """The whole page."""
    reference = content.reference
    names = contents.clips.coefficient_names or [f"channel {i}" for i in range(contents.clips.speaker.shape[-1])]
    slots = {
        "title": escape(f"{reference.name}: evaluation"),
        "style": _read("style.css"),
        "verdict": escape(verdict(content.rows, reference)),
        "facts": _facts(content),
        "figures": "".join(_figures(content)),
        "picker": _picker(content.reference, contents),
        "clips": _clip_table(content.reference, contents),
        "channels": channel_chart(content.rows, reference, names),
        "lags": lag_histograms(content.rows, contents.clips.speaker.shape[1]),
        "attention": _attention(contents),
        "legend": escape(report.legend(content)),
        "about": _about(content),
        "data": "\n".join(_data(contents, names, reference.name)),
        "script": "\n".join(_read(name) for name in _SCRIPTS),
    }
    # One pass, so that nothing inside the data is taken for a slot.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: slots[match[1]], _read("page.html"))


def _read(name: str) -> str:
    return (_TEMPLATE / name).read_text(encoding="utf-8")


def _facts(content: report.Report) -> str:
    facts: dict[str, Any] = {"source": content.source}
    facts |= {name: value for name, value in content.data.items() if not isinstance(value, Mapping)}
    if content.config is not None:
        facts["protocol"] = content.config.eval.protocol
    return "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>" for name, value in facts.items())


def _figures(content: report.Report) -> Iterator[str]:
    for title, headings, rows in report.figures(content):
        lines = [(name, [_cell(cell) for cell in cells]) for name, cells in rows]
        yield _table(title, "method", headings, lines, marked=content.reference.name)
    if report.is_published_split(content):
        lines = [
            (name, [(value, "-" if value is None else f"{value:g}") for value in values])
            for name, values in published.TABLE_II.items()
        ]
        yield _table("Published: Table II of the paper", "method", published.COLUMNS, lines)
    sentences = [f"{row.name}: {each}." for row in content.rows for each in report.mode_differences(row)]
    if sentences:
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
        yield f"<details><summary>What depends on the mode</summary><ul>{items}</ul></details>"


def _cell(cell: report.Cell) -> tuple[float | None, str]:
    interval = "" if cell.interval == "-" else f"<small>{escape(cell.interval)}</small>"
    return cell.value, escape(cell.text) + interval


def _table(
    caption: str,
    first: str,
    headings: Sequence[str],
    rows: Sequence[tuple[str, Sequence[tuple[float | None, str]]]],
    marked: str = "",
) -> str:
    """Sortable; a cell is a number and HTML."""
    head = "".join(
        f'<th scope="col" aria-sort="none"><button type="button">{escape(name)}</button></th>'
        for name in (first, *headings)
    )
    body = "".join(
        f"<tr{' class=marked' if name == marked else ''}><th scope=row>{escape(name)}</th>"
        + "".join(
            f"<td{'' if value is None or math.isnan(value) else f' data-value={value:.9g}'}>{html}</td>"
            for value, html in cells
        )
        + "</tr>"
        for name, cells in rows
    )
    return (
        f'<div class="scroll"><table class="sortable"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _picker(reference: Row, contents: Contents) -> str:
    """A button a clip that is played."""
    corr = _clip_figures(reference)["FRCorr"]
    return "".join(
        f'<button type="button" class="clip" data-clip="{shown.index}" aria-pressed="false">'
        f"<b>{escape(_short(str(contents.clips.clip_ids[shown.index])))}</b>"
        f"<small>{_WHY[shown.why]}: {corr[shown.index]:.3f}</small></button>"
        for shown in contents.shown
    )


def _clip_table(reference: Row, contents: Contents) -> str:
    figures = _clip_figures(reference)
    rows = [
        (
            str(name),
            [(float(x[i]), "-" if np.isnan(x[i]) else f"{x[i]:.{_DIGITS[key]}f}") for key, x in figures.items()],
        )
        for i, name in enumerate(contents.clips.clip_ids)
    ]
    return _table(f"{reference.name}, clip by clip", "clip", list(figures), rows)


_DIGITS = {"FRCorr": 3, "by chance": 3, "FRDist": 1, "FRVar": 4, "FRDiv": 4, "FRSyn": 1, "peak r": 2}


def _clip_figures(row: Row) -> dict[str, np.ndarray]:
    """Clean mode's, by the clip."""
    measured = row.measured
    assert measured is not None

    def mean(x: np.ndarray) -> np.ndarray:
        defined = ~np.isnan(x)
        return np.where(defined.any(1), np.where(defined, x, 0).sum(1) / np.maximum(defined.sum(1), 1), np.nan)

    return {
        "FRCorr": 10 * mean(measured.concordance.varying_channels),
        "by chance": 10 * mean(measured.by_chance),
        "FRDist": (1 if measured.challenge else 10) * mean(measured.distance),
        "FRVar": measured.variance,
        "FRDiv": measured.diversity,
        "FRSyn": mean(measured.synchrony.offset),
        "peak r": mean(measured.synchrony.peak),
    }


def _attention(contents: Contents) -> str:
    if not contents.attention:
        return ""
    several = len({each.method for each in contents.attention}) > 1
    figures = "".join(
        f'<figure class="{each.interaction}"><canvas class="map" data-map="{i}" role="img" '
        f'aria-label="{escape(_of(each, several))}, window of {each.window} frames"></canvas>'
        f"<figcaption><b>{escape(_of(each, several))}</b>, window of {each.window} frames. Down: the "
        f"listener's frame; across: the speaker's {_MEMORY[each.interaction]}.</figcaption></figure>"
        for i, each in enumerate(contents.attention)
    )
    return (
        '<section id="attention"><h2>Attention</h2><p>Where the listener looks within a window: the weights of VIM '
        "(the speaker's face) and MIM (his speech), averaged over heads, windows and clips. Time runs to the right and "
        "downwards; a row's weights sum to 1, and the strongest colour is a map's highest weight.</p>"
        f'<div class="maps">{figures}</div></section>'
    )


def _of(attention: AttentionMap, several: bool) -> str:
    """VIM or MIM, and whose where several methods have maps."""
    return f"{attention.interaction} of {attention.method}" if several else attention.interaction


_MEMORY = {"VIM": "face, a column a frame", "MIM": "speech, two columns a frame"}


def _about(content: report.Report) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in content.versions.items())
    sums = content.data.get("sha256", {})
    lines = "".join(
        f"<tr><th scope=row>{escape(n)}</th><td><code>{escape(v)}</code></td></tr>" for n, v in sums.items()
    )
    config = ""
    if content.config is not None:
        values = escape(json.dumps(dataclasses.asdict(content.config), indent=1))
        config = f"<details><summary>Configuration</summary><pre>{values}</pre></details>"
    return (
        f"<p>Versions: {escape(versions)}</p>{config}<details><summary>SHA-256 of the arrays</summary>"
        f'<div class="scroll"><table>{lines}</table></div></details>'
    )


def _data(contents: Contents, names: Sequence[str], reference: str) -> Iterator[str]:
    """Scripts that hold data; a player reads its clip's when it is first chosen, and begins with the reference."""
    clips, about = contents.clips, []
    for shown in contents.shown:
        description, content = pack_tracks(list(tracks_of(contents, shown.index)))
        about.append(
            {"clip": shown.index, "name": str(clips.clip_ids[shown.index]), "recorded": shown.recording is not None}
            | description
        )
        yield _blob(f"tracks-{shown.index}", text(content))
        if shown.recording is not None:
            yield _blob(f"recording-{shown.index}", base64.b64encode(shown.recording).decode())
    if contents.head is not None:
        description_of_head, arrays = pack_head(contents.head)
        yield f'<script type="application/json" id="head-about">{description_of_head}</script>'
        yield _blob("head", arrays)
    page = {
        "frame_rate": FRAME_RATE,
        "frames": clips.speaker.shape[1],
        "channels": list(names),
        "methods": list(contents.reactions),
        "method": reference if reference in contents.reactions else next(iter(contents.reactions), ""),
        "clips": about,
        "no_head": contents.no_head,
        "maps": [
            {
                "shape": list(each.weights.shape),
                "weights": base64.b64encode(
                    np.round(255 * each.weights / each.weights.max()).astype(np.uint8).tobytes()
                ).decode(),
            }
            for each in contents.attention
        ],
    }
    # "<" can't end the script early.
    yield '<script type="application/json" id="page">' + json.dumps(page).replace("<", "\\u003c") + "</script>"


def _blob(name: str, content: str) -> str:
    return f'<script type="text/plain" id="{name}">{content}</script>'


def _short(name: str) -> str:
    """The last parts of a path."""
    return name if len(name) <= 34 else "…" + name[-33:]
