"""How long a live listener takes: plays a video through the real server and reads the real socket.

    python benchmarks/live.py VIDEO [--seconds 60] [--reactions 1] [--talkers 1]

Pictures (JPEG of 480 pixels, as the page sends them) and sound (blocks of 20 ms) are sent at their times; what comes
back is timed by the same clock. Prints, for each talker, how old the newest piece of sound or picture behind a chunk is
when its faces arrive (a browser draws its first frame at the next refresh, 17 ms at most, and the others 40 ms apart),
frames that are missing, and the process's memory.
"""

import argparse
import io
import struct
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import uvicorn
from PIL import Image
from websockets.sync.client import connect

import reactface_jax as rf
from reactface_jax.live.command import warm_up
from reactface_jax.live.server import Live, make_app
from reactface_jax.live.session import Settings
from reactface_jax.media.audio import read_audio_or_none
from reactface_jax.media.video import iterate_video

_BLOCK = 320


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--reactions", type=int, default=1)
    parser.add_argument("--talkers", type=int, default=1)
    arguments = parser.parse_args()

    jpegs = [jpeg(frame) for frame in iterate_video(arguments.video)]
    sound = read_audio_or_none(arguments.video)
    sound = np.zeros(640 * len(jpegs), np.float32) if sound is None else sound
    listener = rf.load_pretrained("listener")
    warm_up(listener, arguments.reactions)
    live = Live(listener, "token", Settings(arguments.reactions), talkers=arguments.talkers)
    options = {"port": 0, "log_level": "error", "ws": "websockets-sansio", "lifespan": "off"}
    server = uvicorn.Server(uvicorn.Config(make_app(live), **options))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    found: list[tuple[np.ndarray, int]] = []
    talkers = [
        threading.Thread(target=lambda: found.append(talk(port, jpegs, sound, arguments.seconds)))
        for _ in range(arguments.talkers)
    ]
    for thread in talkers:
        thread.start()
    process, memory = psutil.Process(), []
    while any(thread.is_alive() for thread in talkers):
        time.sleep(1)
        memory.append(process.memory_info().rss / 2**20)
    for ages, missing in found:
        p50, p99 = np.percentile(1000 * ages, [50, 99])
        print(
            f"{len(ages)} chunks: age p50 {p50:.0f} ms, p99 {p99:.0f} ms, largest {1000 * ages.max():.0f} ms; ", end=""
        )
        print(f"frames missing: {missing}")
    print(f"memory: {memory[min(10, len(memory) - 1)]:.0f} MiB after 10 s, {memory[-1]:.0f} MiB at the end")
    server.should_exit = True


def talk(port: int, jpegs: list[bytes], sound: np.ndarray, seconds: float) -> tuple[np.ndarray, int]:
    """Plays the clip again and again; ages of the answered chunks (s), and how many frames were not answered."""
    ages: list[float] = []
    with connect(f"ws://127.0.0.1:{port}/ws?token=token", max_size=None) as socket:
        while not isinstance(socket.recv(), str):
            pass
        begin = time.monotonic()

        def receive() -> None:
            try:
                for message in socket:
                    if isinstance(message, bytes):
                        _, end = struct.unpack(">Id", message[:12])
                        ages.append(time.monotonic() - end)
            except Exception:
                return

        receiver = threading.Thread(target=receive)
        receiver.start()
        blocks_sent = frames_sent = 0
        while (now := time.monotonic() - begin) < seconds:
            while frames_sent / 25 <= now:
                moment = begin + frames_sent / 25
                socket.send(b"F" + struct.pack(">d", moment) + jpegs[frames_sent % len(jpegs)])
                frames_sent += 1
            while (blocks_sent + 1) * _BLOCK / 16_000 <= now:
                first = blocks_sent * _BLOCK % max(len(sound) - _BLOCK, 1)
                content = (32767 * np.clip(sound[first : first + _BLOCK], -1, 1)).astype("<i2").tobytes()
                socket.send(b"A" + struct.pack(">d", begin + blocks_sent * _BLOCK / 16_000) + content)
                blocks_sent += 1
            time.sleep(0.002)
        time.sleep(0.5)
        socket.close()
        receiver.join(timeout=5)
    return np.array(ages), frames_sent // 5 * 5 - 5 * len(ages)


def jpeg(frame: np.ndarray) -> bytes:
    picture = Image.fromarray(frame)
    picture.thumbnail((480, 480))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()


if __name__ == "__main__":
    main()
