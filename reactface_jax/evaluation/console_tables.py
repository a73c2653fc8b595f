"""An evaluation's tables for the console."""

from rich.box import SIMPLE_HEAD
from rich.table import Table

from reactface_jax.evaluation.report import INTERVALS_TITLE, Report, figures, with_intervals


def tables(report: Report) -> list[Table]:
    """What the console shows; each fits 80 columns, and where it can't, headings are broken and figures stay whole."""
    made = []
    for title, headings, rows in figures(report):
        table = _table(title)
        table.add_column("method", no_wrap=True, min_width=max(len(name) for name, _ in rows))
        for place, heading in enumerate(headings):
            width = max(len(cells[place].text) for _, cells in rows)
            table.add_column(heading, justify="right", overflow="fold", min_width=width)
        for name, cells in rows:
            table.add_row(name, *(cell.text for cell in cells))
        made.append(table)
    if found := with_intervals(report):
        table = _table(INTERVALS_TITLE)
        table.add_column("figure", no_wrap=True)
        table.add_column("method", no_wrap=True)
        table.add_column("value", justify="right")
        table.add_column("interval", justify="right", no_wrap=True)
        for heading, measured_rows in found:
            for name, cell in measured_rows:
                table.add_row(heading if name == measured_rows[0][0] else "", name, cell.text, cell.interval)
            table.add_section()
        made.append(table)
    return made


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.show_edge = table.pad_edge = False
    return table
