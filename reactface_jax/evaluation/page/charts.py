"""Charts that stand still, as SVG; their colours are the page's."""

from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import Float

from reactface_jax.evaluation.rows import Row
from reactface_jax.metrics.synchrony import MAX_LAG

RINGS = 6
"""Colours of rings in style.css."""


def lag_histogram(row: Row, reach: int) -> str:
    """How often each lag is a reaction's best one."""
    assert row.measured is not None
    lags = row.measured.synchrony.lag
    lags = lags[~np.isnan(lags)]
    edges = np.arange(-reach - 0.5, reach + 1)
    share = np.histogram(lags, edges)[0] / max(lags.size, 1)
    width, height, left, right, top, bottom = 320, 150, 34, 8, 8, 26
    highest = max(float(share.max()), 0.01)

    def x(lag: float | int) -> float:
        return left + (lag - edges[0]) / (edges[-1] - edges[0]) * (width - left - right)

    def y(value: float | int) -> float:
        return top + (1 - value / highest) * (height - top - bottom)

    bars = "".join(
        f'<rect class="bar" x="{x(low) + 0.25:.2f}" y="{y(value):.1f}" width="{x(high) - x(low) - 0.5:.2f}" '
        f'height="{y(0) - y(value):.1f}"><title>{(low + high) / 2:+.0f} frames: {value:.1%}</title></rect>'
        for low, high, value in zip(edges[:-1], edges[1:], share, strict=True)
        if value > 0
    )
    step = 20 if reach > 30 else 10 if reach > 12 else 5
    ticks = "".join(
        f'<text class="tick" x="{x(lag):.1f}" y="{height - 10}" text-anchor="middle">{lag:+d}</text>'.replace(
            ">+0<", ">0<"
        )
        for lag in range(-(reach // step) * step, reach + 1, step)
    )
    lines = "".join(
        f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        f'<text class="tick" x="{left - 5}" y="{y(value) + 3.5:.1f}" text-anchor="end">{value:.0%}</text>'
        for value in (highest / 2, highest)
    )
    caption = f"{row.name}: {lags.size} reactions" if lags.size else f"{row.name}: no reaction moves with its speaker"
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="lags of {escape(row.name)}">{lines}'
        f'<line class="zero" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{top}" y2="{y(0):.1f}"/>{bars}'
        f'<line class="axis" x1="{left}" x2="{width - right}" y1="{y(0):.1f}" y2="{y(0):.1f}"/>{ticks}</svg>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def lag_histograms(rows: Sequence[Row], num_frames: int) -> str:
    """One a method; those that give nothing are left out."""
    shown = [row for row in rows if row.measured is not None and not np.isnan(row.measured.synchrony.lag).all()]
    return "".join(lag_histogram(row, min(MAX_LAG, num_frames // 2)) for row in shown)


def channel_means(row: Row) -> Float[np.ndarray, " C"]:
    """CCC of each channel, over clips and reactions; NaN where no neighbour ever moves."""
    assert row.measured is not None
    ccc = row.measured.concordance.by_channel
    ccc = ccc.reshape(-1, ccc.shape[-1])
    defined = ~np.isnan(ccc)
    count = defined.sum(0)
    return np.where(count > 0, np.where(defined, ccc, 0).sum(0) / np.maximum(count, 1), np.nan)


def channel_chart(rows: Sequence[Row], reference: Row, names: Sequence[str]) -> str:
    """A bar a channel for the reference, a ring for every other method but GT, highest first."""
    means = {row.name: channel_means(row) for row in rows if row.measured is not None and row.name != "GT"}
    if reference.name not in means:
        return ""
    bars = means.pop(reference.name)
    order = [
        int(c) for c in np.argsort(-np.where(np.isnan(bars), -np.inf, bars), kind="stable") if not np.isnan(bars[c])
    ]
    if not order:
        return "<p>No channel of any appropriate reaction moves.</p>"
    every = np.concatenate([bars[order], *(x[order] for x in means.values()), [0.0]])
    low, high = min(float(np.nanmin(every)), 0.0), max(float(np.nanmax(every)), 0.1)
    columns = 2 if len(order) > 12 else 1
    per_column = -(-len(order) // columns)
    row_height, column_width, label, right = 17, 520, 148, 14
    height = per_column * row_height + 24
    marks = []
    for place, channel in enumerate(order):
        column, line = divmod(place, per_column)
        left = column * column_width
        middle = line * row_height + row_height / 2

        def x(value: float | int, left: int = left) -> float:
            return left + label + (value - low) / (high - low) * (column_width - label - right)

        begin, end = sorted((x(0), x(float(bars[channel]))))
        marks.append(
            f'<text class="tick" x="{left + label - 8}" y="{middle + 3.5:.1f}" text-anchor="end">'
            f'{escape(names[channel])}</text><rect class="bar" x="{begin:.1f}" y="{middle - 5:.1f}" '
            f'width="{max(end - begin, 0.5):.1f}" height="10"><title>{escape(reference.name)}, '
            f"{escape(names[channel])}: {bars[channel]:.3f}</title></rect>"
        )
        for ring, (name, others) in enumerate(means.items()):
            if not np.isnan(others[channel]):
                marks.append(
                    f'<circle class="ring ring-{ring % RINGS}" cx="{x(float(others[channel])):.1f}" '
                    f'cy="{middle:.1f}" r="3.2"><title>'
                    f"{escape(name)}, {escape(names[channel])}: {others[channel]:.3f}</title></circle>"
                )
        if line == 0:
            for value in (0.0, high):
                marks.append(
                    f'<line class="{"zero" if value == 0 else "grid"}" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="0" '
                    f'y2="{height - 20}"/><text class="tick" x="{x(value):.1f}" y="{height - 6}" text-anchor="middle">'
                    f"{value:.2g}</text>"
                )
    still = len(bars) - len(order)
    left_out = f" {still} channels never move in an appropriate reaction and are left out." if still else ""
    keys = [f'<span class="ring-key ring-{ring % RINGS}"></span>{escape(name)}' for ring, name in enumerate(means)]
    rings = f" Rings: {', '.join(keys)}." if keys else ""
    return (
        f'<div class="scroll"><svg class="wide" viewBox="0 0 {columns * column_width} {height}" role="img" '
        f'aria-label="CCC by channel">{"".join(marks)}</svg></div><p class="note">Bars: {escape(reference.name)}.'
        f"{rings} Point at one for its value.{left_out}</p>"
    )
