"""How fast a training is: its steps a second, without compilation and pauses."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import jax


class StepClock:
    """Runs from the end of the first step on, since that one compiles."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._steps = 0
        self._seconds = 0.0

    def count(self, result: Any) -> None:
        """Counts a step, whose result may still be computing; the first one is waited for."""
        if self._since is None:
            jax.block_until_ready(result)
            self._since = time.perf_counter()
        else:
            self._steps += 1

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What happens inside is not training: it does not count as time."""
        self._add()
        yield
        if self._since is not None:  # not before the first step has been made
            self._since = time.perf_counter()

    def steps_per_second(self) -> float | None:
        """Of all steps but the first; None before the second."""
        self._add()
        return self._steps / self._seconds if self._steps else None

    def _add(self) -> None:
        if self._since is not None:
            now = time.perf_counter()
            self._seconds += now - self._since
            self._since = now
