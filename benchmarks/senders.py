"""How evenly frames leave for avatars: `python benchmarks/senders.py [--minutes 10]`.

Answers of five frames come every 200 ms, up to 60 ms late, as from a listener on a busy machine; a socket receives what
Live Link, VMC and iFacialMocap are sent. Prints how far the times between two frames are from 40 ms, frames that are
missing or doubled, and the largest packet.
"""

import argparse
import socket
import threading
import time

import numpy as np

from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.live.playout import Playout
from reactface_jax.live.senders import open_sender
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL

CHUNK = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    chunks = round(parser.parse_args().minutes * 60 * 25 / CHUNK)
    received: dict[str, list[tuple[float, int]]] = {}
    addresses, threads, sockets = [], [], []
    for scheme in ("livelink", "vmc", "ifacialmocap"):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind(("127.0.0.1", 0))
        one.settimeout(3)
        sockets.append(one)
        addresses.append(f"{scheme}://127.0.0.1:{one.getsockname()[1]}")
        received[scheme] = []
        threads.append(threading.Thread(target=receive, args=(one, received[scheme])))
        threads[-1].start()
    rng = np.random.default_rng(0)
    faces = np.tile(NEUTRAL, (1, CHUNK, 1)).astype(np.float32)
    with Playout([open_sender(address, 1) for address in addresses], COEFFICIENT_NAMES) as playout:
        begin = time.monotonic()
        for chunk in range(chunks):
            due = begin + chunk * CHUNK / 25 + rng.uniform(0, 0.06)
            time.sleep(max(0.0, due - time.monotonic()))
            playout.add(chunk * CHUNK, faces)
    for thread in threads:
        thread.join()
    for scheme, packets in received.items():
        times = np.array([moment for moment, _ in packets])
        if scheme == "vmc":  # several bundles a frame
            times = times[np.diff(times, prepend=-1) > 0.005]
        off = np.abs(1000 * np.diff(times) - 40)
        p50, p99 = np.percentile(off, [50, 99])
        print(
            f"{scheme}: {len(times)} of {chunks * CHUNK} frames; off 40 ms by p50 {p50:.1f}, p99 {p99:.1f} ms", end=""
        )
        print(f", largest {off.max():.1f} ms; largest packet {max(size for _, size in packets)} bytes")


def receive(one: socket.socket, packets: list[tuple[float, int]]) -> None:
    while True:
        try:
            packet = one.recv(4096)
        except TimeoutError:
            return
        packets.append((time.monotonic(), len(packet)))


if __name__ == "__main__":
    main()
