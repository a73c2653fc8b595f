"""TensorBoard files of a run, written at once.

tensorboardX's own writer works in a thread behind a queue. Where the disk is full the thread dies, and the training
hangs a few steps later; here the error comes where it belongs.
"""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import UInt8

from reactface_jax.files import make_folder
from reactface_jax.hidden_package import hidden

with hidden("torch"):  # whose arrays tensorboardX also takes: two seconds of importing it
    from tensorboardX import summary
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary


class Curves:
    """An event file in a folder. A context manager: leaving it closes the file."""

    def __init__(self, folder: Path | None):
        """With None, nothing is written: another process of the job does."""
        self._writer: EventsWriter | None = None
        if folder is not None:
            make_folder(folder)
            self._writer = EventsWriter(str(folder / "events"))

    def __enter__(self) -> "Curves":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to each of the named curves, but for what is not finite, such as a figure that is not known."""
        for name, value in values.items():
            if math.isfinite(value):
                self._write(step, summary.scalar(name, value))
        self._flush()

    def show(self, step: int, name: str, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """Adds a picture."""
        self._write(step, summary.image(name, picture, dataformats="HWC"))
        self._flush()

    def _write(self, step: int, content: Summary) -> None:
        if self._writer is not None:
            self._writer.write_event(Event(summary=content, step=step, wall_time=time.time()))

    def _flush(self) -> None:
        if self._writer is not None:
            self._writer.flush()
