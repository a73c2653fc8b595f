"""How long a live listener takes: plays a video through the real server and reads the real socket.

    python benchmarks/live.py VIDEO [--minutes 1] [--talkers 1] [--send-as pictures|faces] [--checkpoint RUN]

One process is the server, another one the talkers. Pictures (JPEG of 480 pixels, as the page sends them, 25 a second;
with `--send-as faces` what MediaPipe measured in them, by name) and sound (blocks of 20 ms) are sent at their times,
the video again and again. Prints, for each tenth of the time:

- drawn: the age of the newest sample or picture behind a chunk when a page draws its first face: on the first of 60
  refreshes a second after it has arrived and the faces before it have been shown, for 40 ms each, or 32 where they pile
  up (p50, p99, ms);
- arrived: the same when the chunk arrives;
- left out: pictures that came too fast to be measured; missing: frames that were not answered;
- moves: standard deviation of the first reaction's coefficients over time, mean over the channels: the listener of
  minute 60 moves as that of minute 1 does;
- memory and CPU of the server (MiB; cores).
"""

import argparse
import io
import itertools
import json
import multiprocessing
import struct
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_BLOCK = 320
_REFRESH = 1 / 60
_PARTS = 10
_WAITING, _SPARE, _EVERY, _HURRIED = 4, 1, 0.040, 0.032  # as in the page


class Chunk(NamedTuple):
    """One answer, as it arrived."""

    arrived: float
    seen: float
    frames: int
    left_out: int
    face: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--talkers", type=int, default=1)
    parser.add_argument("--reactions", type=int, default=4, help="that are generated; 4 is what the page gets")
    parser.add_argument("--send-as", choices=("pictures", "faces"), default="pictures")
    parser.add_argument("--checkpoint", type=Path)
    arguments = parser.parse_args()
    seconds = 60 * arguments.minutes

    import psutil

    pictures, sound = prepare(arguments.video, arguments.send_as)
    server, port = serve(arguments)
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    talkers = context.Process(target=talk_all, args=(port, pictures, sound, seconds, arguments.talkers, results))
    talkers.start()
    process, samples = psutil.Process(), []
    found: list[list[Chunk]] | None = None
    while found is None:
        if not talkers.is_alive() and results.empty():
            raise SystemExit("the talkers ended early")
        cpu = process.cpu_times()
        samples.append((time.monotonic(), process.memory_info().rss / 2**20, cpu.user + cpu.system))
        time.sleep(0.5)
        if not results.empty():
            begin, found = results.get()
    talkers.join()
    server.should_exit = True
    print(f"{arguments.video}, {arguments.send_as}, {arguments.talkers} talker(s), {arguments.minutes:g} minute(s)")
    report(begin, seconds, found, samples)


def prepare(video: Path, send_as: str) -> tuple[list[bytes | str], np.ndarray]:
    """What is sent of each frame, without its time, and the sound at 16 kHz."""
    from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
    from reactface_jax.live.eyes import Eyes
    from reactface_jax.media.audio import read_audio_or_none
    from reactface_jax.media.video import iterate_video

    if send_as == "pictures":
        sent: list[bytes | str] = [jpeg(frame) for frame in iterate_video(video)]
    else:
        with Eyes() as eyes:
            faces = [eyes.look(frame).face for frame in iterate_video(video)]
        named = [None if face is None else dict(zip(COEFFICIENT_NAMES, face.tolist(), strict=True)) for face in faces]
        sent = [json.dumps({"face": face})[:-1] + ', "time": ' for face in named]
    sound = read_audio_or_none(video)
    return sent, np.zeros(640 * len(sent), np.float32) if sound is None else sound


def serve(arguments: argparse.Namespace) -> tuple[Any, int]:
    """The server in a thread, and its port."""
    import uvicorn

    from reactface_jax.compiled_programs import keep_compiled_programs
    from reactface_jax.live.command import share_the_interpreter
    from reactface_jax.live.listening import load_listener, warm_up
    from reactface_jax.live.server import Live, make_app

    keep_compiled_programs()
    share_the_interpreter()
    listener = load_listener(arguments.checkpoint)
    warm_up(listener, arguments.reactions)
    live = Live(listener, "token", most=arguments.reactions, talkers=arguments.talkers)
    options: dict[str, Any] = {"port": 0, "log_level": "error", "ws": "websockets-sansio", "lifespan": "off"}
    server = uvicorn.Server(uvicorn.Config(make_app(live), **options))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    return server, server.servers[0].sockets[0].getsockname()[1]


def talk_all(port: int, pictures: list, sound: np.ndarray, seconds: float, count: int, results: Any) -> None:
    """All talkers, a thread each; begun together, once the server is ready to look at each of them."""
    ready = threading.Barrier(count)
    found: list[list[Chunk]] = []
    begun: list[float] = []

    def one() -> None:
        begin, chunks = talk(port, pictures, sound, seconds, ready)
        begun.append(begin)
        found.append(chunks)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put((min(begun), found))


def talk(
    port: int, pictures: list, sound: np.ndarray, seconds: float, ready: threading.Barrier
) -> tuple[float, list[Chunk]]:
    """Plays the clip again and again: when it began, and what was answered."""
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    chunks: list[Chunk] = []
    sound = np.pad(sound, (0, -len(sound) % _BLOCK))
    with connect(f"ws://127.0.0.1:{port}/ws?token=token", max_size=None, open_timeout=60) as socket:
        while not isinstance(socket.recv(), str):
            pass
        ready.wait()

        def receive() -> None:
            try:
                for message in socket:
                    if isinstance(message, bytes):
                        _, seen, reactions, width, left_out = struct.unpack(">IdBBH", message[:16])
                        values = np.frombuffer(message[16:], "<f4").reshape(reactions + 1, width, -1)
                        chunks.append(Chunk(time.monotonic(), seen, width, left_out, values[1, 0]))
            except ConnectionClosed:
                return

        receiver = threading.Thread(target=receive)
        receiver.start()
        begin = time.monotonic()
        blocks_sent = frames_sent = 0
        while (now := time.monotonic() - begin) < seconds:
            while frames_sent / 25 <= now:
                moment, picture = begin + frames_sent / 25, pictures[frames_sent % len(pictures)]
                if isinstance(picture, bytes):
                    socket.send(b"F" + struct.pack(">d", moment) + picture)
                else:
                    socket.send(f"{picture}{moment}}}")
                frames_sent += 1
            while (blocks_sent + 1) * _BLOCK / 16_000 <= now:
                first = blocks_sent * _BLOCK % len(sound)
                content = (32767 * np.clip(sound[first : first + _BLOCK], -1, 1)).astype("<i2").tobytes()
                socket.send(b"A" + struct.pack(">d", begin + blocks_sent * _BLOCK / 16_000) + content)
                blocks_sent += 1
            time.sleep(0.002)
        time.sleep(1)
        socket.close()
        receiver.join(timeout=10)
    return begin, chunks


def drawn(chunks: list[Chunk]) -> tuple[np.ndarray, np.ndarray]:
    """When the page draws a chunk's first face and how old its newest piece is then (s), for those that are drawn."""
    times, ages = [], []
    waiting: list[Chunk | None] = []  # a chunk where its first frame waits
    coming = iter([*chunks, None])
    following = next(coming)
    due, tick, every = 0.0, chunks[0].arrived, _EVERY
    while following is not None or waiting:
        while following is not None and following.arrived <= tick:
            waiting += [following] + [None] * (following.frames - 1)
            del waiting[: max(0, len(waiting) - following.frames - _WAITING)]
            every = _HURRIED if len(waiting) > following.frames + _SPARE else _EVERY
            following = next(coming)
        if waiting and tick >= due - 0.002:
            due = tick + _EVERY if tick - due > 3 * _EVERY else due + every
            frame = waiting.pop(0)
            if frame is not None:
                times.append(tick)
                ages.append(tick - frame.seen)
        tick += _REFRESH
    return np.array(times), np.array(ages)


def report(begin: float, seconds: float, found: list[list[Chunk]], samples: list[tuple[float, float, float]]) -> None:
    print("  minutes | drawn p50  p99 | arrived p50  p99 | left out | missing |  moves | memory | CPU")
    edges = np.linspace(0, seconds, _PARTS + 1)
    parts = [*itertools.pairwise(edges), (0.0, seconds)]
    shown = [drawn(chunks) for chunks in found]
    clock = np.array(samples)
    for start, stop in parts:
        low, high = begin + start, begin + stop
        ages = np.concatenate([ages[(times >= low) & (times < high)] for times, ages in shown])
        chunks = [[chunk for chunk in talker if low <= chunk.arrived < high + 1e-9] for talker in found]
        arrived = np.array([chunk.arrived - chunk.seen for talker in chunks for chunk in talker])
        if not len(ages) or not len(arrived):
            continue
        left_out = sum(talker[-1].left_out - talker[0].left_out for talker in chunks if talker)
        moves = np.mean([np.std([chunk.face for chunk in talker], axis=0).mean() for talker in chunks if talker])
        during = clock[(clock[:, 0] >= low) & (clock[:, 0] < high)]
        whole = (start, stop) == parts[-1]
        missing = "" if not whole else str(sum(missing_frames(talker, seconds) for talker in found))
        p50, p99 = 1000 * np.percentile(ages, [50, 99])
        a50, a99 = 1000 * np.percentile(arrived, [50, 99])
        memory = f"{during[-1, 1]:6.0f}" if len(during) else ""
        cpu = (during[-1, 2] - during[0, 2]) / (during[-1, 0] - during[0, 0]) if len(during) > 1 else np.nan
        name = "all" if whole else f"{start / 60:.2f}-{stop / 60:.2f}"
        print(
            f"{name:>9} | {p50:9.0f} {p99:4.0f} | {a50:11.0f} {a99:4.0f} | {left_out:8} | {missing:>7} | {moves:.4f} |"
            f" {memory} | {cpu:.2f}"
        )


def missing_frames(chunks: list[Chunk], seconds: float) -> int:
    """Of those whose chunk was over before the last frame."""
    width = chunks[0].frames
    return max(0, int(25 * seconds - 1) // width * width - sum(chunk.frames for chunk in chunks))


def jpeg(frame: np.ndarray) -> bytes:
    from PIL import Image

    picture = Image.fromarray(frame)
    picture.thumbnail((480, 480))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()


if __name__ == "__main__":
    main()
