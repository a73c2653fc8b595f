"""How fast public recordings are read: a sound's level, a video's pictures, and the faces in it; one process.

    python benchmarks/open_data.py CLIP.mp4 [--seconds 4]

The clip is of two people in one picture. What is printed is of this clip's size of picture: a larger one is decoded
more slowly, while faces are looked for in pictures of at most 512 pixels whatever the size.
"""

import tempfile
import time
import wave
from pathlib import Path

import numpy as np
import tyro

from data_pipeline.open_data.faces import View, measure_face
from data_pipeline.open_data.media import levels, look_at, pictures
from data_pipeline.open_data.members import Member
from reactface_jax.types import FRAME_RATE


def main(clip: tyro.conf.Positional[Path], seconds: float = 4.0) -> None:
    """Prints rates.

    Args:
      clip: two people in one picture, at least that long.
      seconds: of the clip.
    """
    video = Member(str(clip), clip.name, 0, clip.stat().st_size, inside=False)
    frames = round(seconds * FRAME_RATE)
    with tempfile.TemporaryDirectory() as folder:
        wav = _sound(Path(folder) / "minute.wav")
        begin = time.process_time()
        levels(wav)
        print(f"level of a sound of 48 kHz: {60 / (time.process_time() - begin):.0f} seconds a second of CPU time")
    begin = time.process_time()
    shown = list(pictures(video, 0, frames))
    size = "x".join(str(side) for side in shown[0].rgb.shape[:2])
    print(f"pictures of {size}: {frames / (time.process_time() - begin):.0f} frames a second of CPU time")
    view = View(video, look_at(video), "left")
    measure_face("warm", view, 0, FRAME_RATE // 2, 0.1)
    begin = time.process_time()
    measure_face("left", view, 0, frames, 0.1)
    print(
        f"one face, found, cropped, measured: {frames / (time.process_time() - begin):.1f} frames a second of CPU time"
    )


def _sound(path: Path) -> Member:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes(np.random.default_rng(0).integers(-9999, 9999, 60 * 48000, np.int16).tobytes())
    return Member(str(path), path.name, 0, path.stat().st_size, inside=False)


if __name__ == "__main__":
    tyro.cli(main)
