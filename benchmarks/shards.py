"""Writing shards: clips a minute, size of a clip, and what becomes of the time; on a tree of one's own or a made one.

python benchmarks/shards.py [--raw ROOT] [--clips 12] [--workers 2]

Without --raw, the pairs are copies of one noisy moving picture of 751 frames of 256x256 with sound, of about the size
that a sharp real video has.
"""

import resource
import tempfile
import time
import wave
from pathlib import Path

import numpy as np
import tyro

from data_pipeline.shards.verify import verify
from data_pipeline.shards.write import write_shards
from reactface_jax.errors import reports_user_errors
from reactface_jax.media.video import VideoWriter
from reactface_jax.worker_pool import num_cores

LENGTH = 751


def make_tree(root: Path, clips: int) -> None:
    """`clips` clips in pairs; every file of its own, so that no cache helps."""
    people = [f"NoXI/{number // 2:03d}/{('Expert', 'Novice')[number % 2]}_video/1" for number in range(clips)]
    random = np.random.default_rng(0)
    grain = random.normal(scale=9, size=(16, 256, 256, 3))
    scene = np.kron(random.uniform(40, 215, size=(9, 9, 3)), np.ones((32, 32, 1)))
    video, wav, track = root / "video.mp4", root / "sound.wav", random.normal(size=(LENGTH, 1, 58)).astype(np.float32)
    with VideoWriter(video, size=(256, 256), crf=18) as writer:
        for t in range(LENGTH):
            x, y = (int(16 * (1 + np.sin(t / speed))) for speed in (9, 13))
            writer.write(np.clip(scene[y : y + 256, x : x + 256] + grain[t % 16], 0, 255).astype(np.uint8))
    _write_wav(wav, random.normal(size=44100 * LENGTH // 25) * 3000)
    for person in people:
        for folder, suffix in (("Video_files", ".mp4"), ("Audio_files", ".wav"), ("3D_FV_files", ".npy")):
            path = root / folder / f"{person}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if suffix == ".npy":
                np.save(path, track)
            else:
                path.write_bytes({".mp4": video, ".wav": wav}[suffix].read_bytes())
    rows = [f"{i},{people[2 * i]},{people[2 * i + 1]}" for i in range(clips // 2)]
    (root / "train.csv").write_text("\n".join([",speaker_path,listener_path", *rows]) + "\n")


def _write_wav(path: Path, samples: np.ndarray) -> None:

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(44100)
        file.writeframes(samples.astype("<i2").tobytes())


def _cpu() -> float:
    """Seconds of this process and of those that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


@reports_user_errors
def main(raw: Path | None = None, clips: int = 12, workers: int = num_cores()) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if raw is None:
            raw = Path(folder) / "raw"
            raw.mkdir()
            make_tree(raw, clips)
        times: dict[str, tuple[float, float]] = {}

        def report(task: str, done: int, total: int) -> None:
            """Notes when the first shard begins: everything before it is reading and encoding."""
            if task == "shards":
                times.setdefault(task, (time.perf_counter(), _cpu()))

        begin = time.perf_counter(), _cpu()
        description = write_shards(raw, Path(folder) / "shards", workers=workers, report=report)
        end = time.perf_counter(), _cpu()
        count = sum(split["clips"] for split in description["splits"].values())
        frames = sum(sum(split["frames"]) for split in description["splits"].values())
        size = sum(file["bytes"] for name, file in description["files"].items() if ".array_record" in name)
        wall, cpu = end[0] - begin[0], end[1] - begin[1]
        print(f"{count} clips, {frames} frames, {workers} workers: {wall:.1f} s, CPU {cpu:.1f} s")
        print(
            f"{60 * count / wall:.0f} clips a minute; of a core, {60 * count / cpu:.0f} and {frames / cpu:.0f} frames/s"
        )
        middle = times["shards"]
        print(f"of that, encoding {middle[0] - begin[0]:.1f} s (CPU {middle[1] - begin[1]:.1f})")
        print(f"and joining into shards {end[0] - middle[0]:.1f} s (CPU {end[1] - middle[1]:.1f})")
        print(f"{size / count / 1e6:.2f} MB a clip, {size / frames / 1e3:.1f} kB a frame")
        begin = time.perf_counter(), _cpu()
        verify(str(Path(folder) / "shards"))
        wall, cpu = time.perf_counter() - begin[0], _cpu() - begin[1]
        print(f"verify: {60 * count / wall:.0f} clips a minute; {60 * count / cpu:.0f} a core")


if __name__ == "__main__":
    tyro.cli(main)
