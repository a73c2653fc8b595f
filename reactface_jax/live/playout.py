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


class Playout:
    """Sends reactions. A context manager: leaving it sends what waits, then closes the senders.

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

    def __enter__(self) -> "Playout":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._wake:
            self._ending = True
            self._wake.notify()
        self._thread.join(timeout=15)
        for sender in self._senders:
            sender.close()

    def add(self, reactions: Float[np.ndarray, "K w C"]) -> None:
        """Takes the answers to the next chunk. Frames are counted from the first one on, whatever begins anew."""
        with self._wake:
            self._frames.extend((self._number + t, reactions[:, t]) for t in range(reactions.shape[1]))
            self._number += reactions.shape[1]
            self._wake.notify()

    def _run(self) -> None:
        due = -np.inf
        while True:
            with self._wake:
                ran_dry = not self._frames
                self._wake.wait_for(lambda: self._frames or self._ending)
                if not self._frames:
                    return
                number, faces = self._frames.popleft()
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
