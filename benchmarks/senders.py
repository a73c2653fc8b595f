"""How evenly frames leave for avatars.

    python benchmarks/senders.py [--minutes 10] [--video VIDEO]

A socket receives what Live Link, VMC and iFacialMocap are sent. With a video, its first half minute is played again
and again, in real time, to the packaged listener in the same process, MediaPipe included, as `reactface live --source
VIDEO --send …` does; without one, answers of five frames come every 200 ms, up to 60 ms late, and nothing else runs.
Prints how far the times between two frames are from 40 ms, frames that are missing or doubled, and the largest packet;
and the same of a process that only sleeps and sends at 25 a second all the while, which is what the machine can do.
"""

import argparse
import contextlib
import itertools
import multiprocessing
import socket
import struct
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.live.playout import Playout
from reactface_jax.live.senders import open_sender
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL

CHUNK = 5
_LAST = b"/VMC/Ext/Blend/Apply"
"""In the last of a frame's bundles."""
_TIMESTAMP = 35  # Linux's SO_TIMESTAMPNS
_LONGEST = 30.0  # s of a video that are kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--video", type=Path)
    arguments = parser.parse_args()
    schemes = ("livelink", "vmc", "ifacialmocap")
    with contextlib.ExitStack() as stack:
        receivers = {scheme: Receiver(stack) for scheme in (*schemes, "sleeping only")}
        stack.enter_context(process(tick, receivers["sleeping only"].port))
        senders = [open_sender(f"{scheme}://127.0.0.1:{receivers[scheme].port}", 1) for scheme in schemes]
        with Playout(senders, COEFFICIENT_NAMES) as playout:
            if arguments.video is None:
                sent = late_answers(playout, 60 * arguments.minutes)
            else:
                sent = answers_to(arguments.video, playout, 60 * arguments.minutes)
        received = {scheme: receiver.packets() for scheme, receiver in receivers.items()}
    for scheme, packets in received.items():
        times = np.array([moment for moment, _, ends_frame in packets if ends_frame])
        off = np.abs(1000 * np.diff(times) - 40)
        p50, p99 = np.percentile(off, [50, 99])
        of_all = f" of {sent}" if scheme in schemes else ""
        print(f"{scheme}: {len(times)}{of_all} frames; off 40 ms by p50 {p50:.1f}, p99 {p99:.1f} ms", end="")
        print(f", largest {off.max():.1f} ms; largest packet {max(size for _, size, _ in packets)} bytes")


def late_answers(playout: Playout, seconds: float) -> int:
    """Still faces, unevenly; how many."""
    chunks, begin = round(seconds * 25 / CHUNK), time.monotonic()
    rng = np.random.default_rng(0)
    faces = np.tile(NEUTRAL, (1, CHUNK, 1)).astype(np.float32)
    for chunk in range(chunks):
        due = begin + chunk * CHUNK / 25 + rng.uniform(0, 0.06)
        time.sleep(max(0.0, due - time.monotonic()))
        playout.add(faces)
    return chunks * CHUNK


def answers_to(video: Path, playout: Playout, seconds: float) -> int:
    """The listener's faces while a video is played; how many."""
    from reactface_jax.live.command import share_the_interpreter
    from reactface_jax.live.listening import load_listener, warm_up
    from reactface_jax.live.session import Answer, Session, Settings
    from reactface_jax.live.source import play

    share_the_interpreter()
    listener, sent = load_listener(None), 0
    warm_up(listener, 1)

    def answer(answer: Answer) -> None:
        nonlocal sent
        sent += answer.reactions.shape[1]
        playout.add(answer.reactions)

    with Session(listener, 1, Settings(), answer, lambda status: None) as session:
        play(Again(video, seconds), session.add_picture, session.add_sound, real_time=True)
        session.wait_until_idle()
    if session.error is not None:
        raise session.error
    return sent


class Again:
    """A source that begins anew without a gap, whatever opening the file takes."""

    is_file = True

    def __init__(self, video: Path, seconds: float) -> None:
        from reactface_jax.live.source import Source

        with contextlib.closing(Source(str(video))) as source:
            self._pieces = list(itertools.takewhile(lambda piece: piece[0] < _LONGEST, source))
        self._seconds = seconds
        self._length = max(moment for moment, content in self._pieces if content.ndim == 3) + 0.04

    def __iter__(self) -> Iterator:
        for start in np.arange(0, self._seconds, self._length):
            for moment, content in self._pieces:
                if start + moment < self._seconds and (content.ndim == 3 or moment < self._length):
                    yield start + moment, content


class Receiver:
    """A process that listens, as an avatar is one: in this one it would take the interpreter from who sends.

    Times are the kernel's, of when a packet came: whoever reads it may wake later. It ends with `stack`.
    """

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._pipe, end = multiprocessing.Pipe()
        stack.enter_context(process(receive, end))
        self.port = self._pipe.recv()

    def packets(self) -> list[tuple[float, int, bool]]:
        """What came, after half a second for what is still on its way: when, bytes, whether it ends a frame."""
        time.sleep(0.5)
        self._pipe.send("end")
        return self._pipe.recv()


@contextlib.contextmanager
def process(work: Callable[..., None], *arguments: object) -> Iterator[None]:
    """Runs a function of this file in a process of its own, which ends with the block."""
    own = multiprocessing.get_context("spawn").Process(target=work, args=arguments, daemon=True)
    own.start()
    try:
        yield
    finally:
        own.kill()
        own.join()


def tick(port: int) -> None:
    """Sends a byte at each 40 ms of the clock, for ever."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        begin = time.monotonic()
        for number in itertools.count(1):
            time.sleep(max(0.0, begin + number / 25 - time.monotonic()))
            one.sendto(b".", ("127.0.0.1", port))


def receive(pipe: Connection) -> None:
    """Listens at a free port, whose number it sends through the pipe; an answer ends it, and it sends what came."""
    packets: list[tuple[float, int, bool]] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        one.settimeout(0.2)
        one.setsockopt(socket.SOL_SOCKET, _TIMESTAMP, 1)
        pipe.send(one.getsockname()[1])
        while not pipe.poll():
            with contextlib.suppress(TimeoutError):
                packet, extra, _, _ = one.recvmsg(4096, 64)
                seconds, nanoseconds = struct.unpack("qq", extra[0][2])
                last = not packet.startswith(b"#bundle") or _LAST in packet
                packets.append((seconds + 1e-9 * nanoseconds, len(packet), last))
    pipe.send(packets)


if __name__ == "__main__":
    main()
