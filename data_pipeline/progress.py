"""The bar that long commands draw: what, how far, since when, for how long still."""

from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def progress() -> Progress:
    """A bar on stderr, so that stdout holds only results."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}", markup=False), *columns, console=Console(stderr=True))


def reporter(bar: Progress) -> Callable[[str, int, int], None]:
    """Takes a task's name, how much of it is done and its total; what is done at its first call counts as no speed."""
    tasks: dict[str, TaskID] = {}

    def report(task: str, done: int, total: int) -> None:
        if task not in tasks:
            tasks[task] = bar.add_task(task, total=total, completed=done)
        bar.update(tasks[task], completed=done)

    return report
