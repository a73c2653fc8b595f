"""Frames to avatars at 25 a second, each once and in order, however unevenly answers come.

A thread with deadlines on the machine's clock: the first frame goes out `_AHEAD` after it came, the others 40 ms apart.
Where answers fall behind, the last face stays and the clock waits; where more than half a second waits, two frames go
out for one until it has caught up: none is lost, blinks among them.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from reactface_jax.export.motion import motion
from reactface_jax.live.senders import Sender
from reactface_jax.live.senders.pose import pose_of
from reactface_jax.types import FRAME_RATE

_AHEAD = 0.06
"""Seconds that the first frame waits, so that answers may come a little late without a pause."""
_MOST = FRAME_RATE // 2
"""Frames that wait before it hurries."""
_STORED = 10 * FRAME_RATE
_PATIENCE = 15.0  # s that leaving waits for frames that go by the clock


class Playout:
    """Sends reactions. A context manager: leaving it sends what waits, closes the senders, and raises what failed.

    Args:
      senders: to whom.
      names: of the channels.
      real_time: by the machine's clock; otherwise each frame goes out as it comes.
      on_sent: called after each frame with its number, for measurements.
    """

    def __init__(
        self,
        senders: Sequence[Sender],
        names: Sequence[str],
        *,
        real_time: bool = True,
        on_sent: Callable[[int], None] = lambda number: None,
    ) -> None:
        self._senders, self._names, self._real_time, self._on_sent = senders, names, real_time, on_sent
        self._frames: deque[tuple[int, Float[np.ndarray, "K C"]]] = deque(maxlen=_STORED)
        self._wake = threading.Condition()
        self._number = 0
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="senders", daemon=True)
        self.error: Exception | None = None
        """What ended the sending early."""

    def __enter__(self) -> "Playout":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._wake:
            self._ending = True
            self._wake.notify_all()
        self._thread.join(timeout=_PATIENCE if self._real_time else None)  # each sender has its own limit
        for sender in self._senders:
            sender.close()
        if kind is None and self.error is not None:
            raise self.error

    def add(self, reactions: Float[np.ndarray, "K w C"]) -> None:
        """Takes the answers to the next chunk. Frames are counted from the first one on, whatever begins anew.

        Where they don't go by the clock, it returns once there is room for them. What ended the sending is raised.
        """
        with self._wake:
            if self.error is not None:
                raise self.error
            if not self._real_time:
                room = _STORED - reactions.shape[1]
                self._wake.wait_for(lambda: len(self._frames) <= room or self._ending or self.error is not None)
            self._frames.extend((self._number + t, reactions[:, t]) for t in range(reactions.shape[1]))
            self._number += reactions.shape[1]
            self._wake.notify_all()

    def _run(self) -> None:
        try:
            self._send_until_end()
        except Exception as error:
            with self._wake:
                self.error = error
                self._wake.notify_all()

    def _send_until_end(self) -> None:
        due = -np.inf
        while True:
            with self._wake:
                ran_dry = not self._frames
                self._wake.wait_for(lambda: self._frames or self._ending)
                if not self._frames:
                    return
                number, faces = self._frames.popleft()
                self._wake.notify_all()
                hurried = len(self._frames) > _MOST
            poses = [pose_of(motion(face[None], self._names), 0, number) for face in faces]
            packets = [sender.packets(poses) for sender in self._senders]
            if self._real_time:
                now = time.monotonic()
                if ran_dry and now > due:
                    due = now + _AHEAD
                if due > now:
                    time.sleep(due - now)
                due = max(due, now - 1 / FRAME_RATE) + (0.5 if hurried else 1.0) / FRAME_RATE
            for sender, of_one in zip(self._senders, packets, strict=True):
                sender.send(of_one)
            self._on_sent(number)
