"""How evenly frames leave for avatars.

    python benchmarks/senders.py [--minutes 10] [--video VIDEO]

A socket receives what Live Link, VMC and iFacialMocap are sent. With a video, it is played in real time to the packaged
listener in the same process, MediaPipe included, as `reactface live --source VIDEO --send …` does, again and again;
without one, answers of five frames come every 200 ms, up to 60 ms late, and nothing else runs. Prints how far the times
between two frames are from 40 ms, frames that are missing or doubled, and the largest packet.
"""

import argparse
import contextlib
import socket
import threading
import time
from pathlib import Path

import numpy as np

from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.live.playout import Playout
from reactface_jax.live.senders import open_sender
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL

CHUNK = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--video", type=Path)
    arguments = parser.parse_args()
    received: dict[str, list[tuple[float, int]]] = {}
    addresses, threads = [], []
    ended = threading.Event()
    for scheme in ("livelink", "vmc", "ifacialmocap"):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind(("127.0.0.1", 0))
        one.settimeout(0.5)
        addresses.append(f"{scheme}://127.0.0.1:{one.getsockname()[1]}")
        received[scheme] = []
        threads.append(threading.Thread(target=receive, args=(one, received[scheme], ended)))
        threads[-1].start()
    with Playout([open_sender(address, 1) for address in addresses], COEFFICIENT_NAMES) as playout:
        if arguments.video is None:
            sent = late_answers(playout, 60 * arguments.minutes)
        else:
            sent = answers_to(arguments.video, playout, 60 * arguments.minutes)
    time.sleep(0.5)
    ended.set()
    for thread in threads:
        thread.join()
    for scheme, packets in received.items():
        times = np.array([moment for moment, _ in packets])
        if scheme == "vmc":  # several bundles a frame
            times = times[np.diff(times, prepend=-1) > 0.005]
        off = np.abs(1000 * np.diff(times) - 40)
        p50, p99 = np.percentile(off, [50, 99])
        print(f"{scheme}: {len(times)} of {sent} frames; off 40 ms by p50 {p50:.1f}, p99 {p99:.1f} ms", end="")
        print(f", largest {off.max():.1f} ms; largest packet {max(size for _, size in packets)} bytes")


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
    from reactface_jax.live.source import Source, play

    share_the_interpreter()
    listener, sent = load_listener(None), 0
    warm_up(listener, 1)

    def answer(answer: Answer) -> None:
        nonlocal sent
        sent += answer.reactions.shape[1]
        playout.add(answer.reactions)

    with Session(listener, 1, Settings(), answer, lambda status: None) as session:
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            source, start = Source(str(video)), time.monotonic()
            with contextlib.closing(source):
                play(
                    source,
                    lambda picture, moment, start=start: session.add_picture(picture, start + moment),
                    lambda sound, moment, start=start: session.add_sound(sound, start + moment),
                    real_time=True,
                )
        session.wait_until_idle()
    return sent


def receive(one: socket.socket, packets: list[tuple[float, int]], ended: threading.Event) -> None:
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            packet = one.recv(4096)
            packets.append((time.monotonic(), len(packet)))
    one.close()


if __name__ == "__main__":
    main()
