"""A window of steps under JAX's profiler: `--train.profile-steps 10:15` writes what every device did in steps 10 to 15.

`tensorboard --logdir WORKDIR` shows it, with the plugin of the package xprof. Steps before it warm up; the first one
compiles.
"""

import logging
from pathlib import Path
from types import TracebackType
from typing import Any

import jax

log = logging.getLogger(__name__)


def step_window(words: str) -> tuple[int, int] | None:
    """`10:15`, which the configuration has checked, as (10, 15), both included; None for ""."""
    if not words:
        return None
    first, last = map(int, words.split(":"))
    return first, last


class ProfiledSteps:
    """Starts and ends the trace. A context manager: a run that ends early leaves the steps that it made."""

    def __init__(self, words: str, folder: Path) -> None:
        """Takes `train.profile_steps`, and the folder in which TensorBoard looks."""
        self._window = step_window(words)
        self._folder = folder
        self._running = False

    def __enter__(self) -> "ProfiledSteps":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def before(self, step: int) -> None:
        """To be called before a step is dispatched."""
        if self._window is not None and step == self._window[0]:
            jax.profiler.start_trace(self._folder)
            self._running = True

    def after(self, step: int, result: Any) -> None:
        """To be called with what the step returned, which may still be computing."""
        if self._running and self._window is not None and step == self._window[1]:
            jax.block_until_ready(result)
            self._end()

    def _end(self) -> None:
        if self._running:
            self._running = False
            jax.profiler.stop_trace()
            log.info("profile of the steps up to here: %s", self._folder)
