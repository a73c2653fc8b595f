"""How fast public recordings are read, how near the fast way is to the slow one, and how far picture and sound drift.

    python benchmarks/open_data.py CLIP.mp4 --out figures.json [--seconds 8] [--minutes 10]

CLIP shows two people in one picture. Its right half is enlarged to 1080x1920 at 30000/1001 pictures a second, with
noise as of a camera, so that it has a phone video's size and bit rate; it is not sharper than before. Rates are frames
of the result (25 a second) by a core's time: the process's CPU time, all its threads together.

The slow way looks for faces in every frame, and decodes the video again for crops, all of it in RGB.
`python benchmarks/data_at_size.py figures.json` makes hours, cores and gigabytes of what is written to --out.
"""

import json
import platform
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
import tyro

from data_pipeline.open_data.faces import Face, View, measure_face
from data_pipeline.open_data.following import Half
from data_pipeline.open_data.media import levels, look_at, pictures, sound
from data_pipeline.open_data.members import Member
from data_pipeline.raw_tree.clips import jpeg
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.extraction.people import Crop, measure_crops
from reactface_jax.media.face import (
    FaceLandmarker,
    FaceTrack,
    boxes_of,
    crop,
    find_faces,
    link,
    square_around,
    steady_crops,
)
from reactface_jax.media.video import VideoWriter, iterate_video, resize
from reactface_jax.types import FRAME_RATE

T = TypeVar("T")
NTSC, ODD = Fraction(30000, 1001), Fraction(45000, 1501)


def main(clip: tyro.conf.Positional[Path], out: Path, seconds: float = 8.0, minutes: int = 10) -> None:
    """Prints figures and writes them.

    Args:
      clip: two people in one picture, at least that long.
      out: the .json file for the figures.
      seconds: of the clip.
      minutes: of the made recordings whose drift is measured.
    """
    figures: dict[str, float | str] = {"cpu": _cpu(), "date": time.strftime("%Y-%m-%d")}

    def say(name: str, value: float, unit: str) -> None:
        figures[name] = value
        print(f"{name}: {value:.4g} {unit}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        _sound_rate(Path(folder), say)
        _rates(_large(clip, Path(folder) / "large.mp4", seconds), seconds, say)
        frames = round(seconds * FRAME_RATE)
        _differences(_at_25(clip, Path(folder) / "clip.mp4", frames), frames, say)
        for name, rate in (("45000/1501", ODD), ("30000/1001", NTSC), ("30", Fraction(30))):
            say(f"largest drift at {name}", 1000 * _drift(Path(folder), rate, minutes), f"ms in {minutes} minutes")
    out.write_text(json.dumps(figures, indent=1) + "\n")


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    """A result and the process's CPU time that it took (s)."""
    begin = time.process_time()
    found = work()
    return found, time.process_time() - begin


def _rates(path: Path, seconds: float, say: Callable[[str, float, str], None]) -> None:
    """The steps one by one, then both ways as they are."""
    video, frames = _member(path), round(seconds * FRAME_RATE)
    say("bit rate of the large video", path.stat().st_size * 8 / seconds / 1e6, "Mbit/s")
    view = View(video, look_at(video))
    measure_face("warm", view, 0, FRAME_RATE // 2, 0.1)
    shown, took = _timed(lambda: sum(1 for _ in pictures(video, 0, frames)))
    say("decoding", shown / took, "frames/s")
    some = [picture.rgb for picture in pictures(video, 0, 2 * FRAME_RATE)]
    size = (some[0].shape[0] * 512 // max(some[0].shape[:2]), some[0].shape[1] * 512 // max(some[0].shape[:2]))
    small = [resize(rgb, size) for rgb in some]
    with FaceLandmarker() as landmarker:
        say(
            "finding in a picture of 512",
            len(small) / _timed(lambda: [landmarker.landmarks(p) for p in small])[1],
            "/s",
        )
        box = boxes_of(landmarker.landmarks(small[-1]))[0] * max(some[0].shape[:2]) / 512
    square = square_around(box)
    crops, took = _timed(lambda: [crop(rgb, square) for rgb in some])
    say("cropping out of the whole picture", len(some) / took, "/s")
    with FaceLandmarker(measures=True) as landmarker:
        say("coefficients of a crop", len(crops) / _timed(lambda: [landmarker.measure(c) for c in crops])[1], "/s")
    fast, took = _timed(lambda: measure_face("a", view, 0, frames, 0.1))
    say("fast way", frames / took, "frames/s")
    slow, took = _timed(lambda: _slow(video, frames))
    say("slow way", frames / took, "frames/s")
    _compare("large video", fast, slow, say)
    say("bytes of a frame", float(np.mean([len(frame) for frame in fast.frames])), "")


def _slow(video: Member, frames: int, half: Half = "") -> Face:
    """Every picture converted and searched, and all of them decoded again for crops out of the whole."""

    def searched() -> Iterator[np.ndarray]:
        for picture in pictures(video, 0, frames):
            width = picture.shape[1]
            columns = {"": slice(None), "left": slice(0, width // 2), "right": slice(width // 2, None)}[half]
            part = np.ascontiguousarray(picture.rgb[:, columns])
            scale = max(1.0, max(part.shape[:2]) / 512)
            yield resize(part, (round(part.shape[0] / scale), round(part.shape[1] / scale)))

    first = next(pictures(video, 0, 1)).shape
    side = max(first[0], first[1] // 2 if half else first[1])
    edge = first[1] // 2 if half == "right" else 0
    track = max(link(find_faces(searched())), key=lambda one: one.area)
    place = lambda box: box * max(1.0, side / 512) + np.array([edge, 0, edge, 0])  # noqa: E731
    squares = steady_crops(FaceTrack({frame: place(box) for frame, box in track.boxes.items()}), frames)
    jpegs: list[bytes] = []

    def crops() -> Iterator[Crop]:
        for square, picture in zip(squares, pictures(video, 0, frames), strict=True):
            found = crop(picture.rgb, square)
            jpegs.append(jpeg(found))
            yield Crop(found, square, True)

    measured = measure_crops(crops())
    return Face(jpegs, measured.coefficients, measured.measured.astype(np.float32))


def _differences(path: Path, frames: int, say: Callable[[str, float, str], None]) -> None:
    """Both people of the clip itself, each in a half of the picture."""
    video = _member(path)
    halves: tuple[Half, Half] = ("left", "right")
    for half in halves:
        fast = measure_face(half, View(video, look_at(video), half), 0, frames, 0.1)
        _compare(f"{half} of the clip", fast, _slow(video, frames, half), say)


def _compare(name: str, fast: Face, slow: Face, say: Callable[[str, float, str], None]) -> None:
    count = min(len(fast.coefficients), len(slow.coefficients))
    apart = np.abs(fast.coefficients[:count] - slow.coefficients[:count])
    apart = apart[(fast.confidence[:count] == 1) & (slow.confidence[:count] == 1)]
    say(f"difference, {name}", float(apart.mean()), f"on average over {len(apart)} frames")
    for kind, columns in (("weights", slice(0, 52)), ("pose", slice(52, 58))):
        worst = columns.start + int(apart[:, columns].mean(axis=0).argmax())
        say(f"95 % of differences of {kind}, {name}", float(np.quantile(apart[:, columns], 0.95)), "")
        say(f"worst of {kind}, {name}", float(apart[:, worst].mean()), f"on average: {COEFFICIENT_NAMES[worst]}")


def _drift(folder: Path, rate: Fraction, minutes: int) -> float:
    """Largest distance of a flash from its click (s): one of both every half a minute."""
    moments = [at for at in range(5, minutes * 60 - 5, 30)]
    numbers = {round(at * rate) for at in moments}
    lit = {number + more for number in numbers for more in range(3)}
    video = folder / "flashes.mp4"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "g": "30"})
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
        for k in range(round(minutes * 60 * rate)):
            grey = np.full((32, 32, 3), 255 if k in lit else 0, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts, frame.time_base = k, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    samples = np.zeros(minutes * 60 * 48000, "<i2")
    for number in numbers:
        at = round(float(number / rate) * 48000)
        samples[at : at + 2400] = 9000
    wav = _wav(folder / "clicks.wav", samples)
    apart = []
    for at in moments:
        light = [picture.rgb.mean() for picture in pictures(_member(video), at - 1, 2 * FRAME_RATE)]
        heard = np.abs(sound(wav, at - 1, 32000))
        apart.append(
            abs(np.flatnonzero(np.array(light) > 128)[0] / FRAME_RATE - np.flatnonzero(heard > 0.1)[0] / 16000)
        )
    return max(apart)


def _sound_rate(folder: Path, say: Callable[[str, float, str], None]) -> None:
    noise = np.random.default_rng(0).integers(-9999, 9999, 60 * 48000, np.int16)
    wav = _wav(folder / "minute.wav", noise)
    say("listing a sound of 48 kHz", 60 / _timed(lambda: levels(wav))[1], "seconds of it a second")
    say("reading a sound of 48 kHz", 30 / _timed(lambda: sound(wav, 20, 30 * 16000))[1], "seconds of it a second")


def _wav(path: Path, samples: np.ndarray) -> Member:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes(samples.tobytes())
    return _member(path)


def _member(path: Path) -> Member:
    return Member(str(path), path.name, 0, path.stat().st_size, inside=False)


def _large(clip: Path, path: Path, seconds: float) -> Path:
    """The right person at 1080x1920."""
    noise = np.random.default_rng(0).normal(0, 3, (1920, 1080, 1)).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=NTSC, options={"crf": "21", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = 1920, 1080, "yuv420p"
        for k, rgb in enumerate(iterate_video(clip, NTSC)):
            if k > seconds * NTSC + 2:
                break
            height, width = rgb.shape[:2]
            wide = height * 1080 // 1920
            left = max(0, width * 3 // 4 - wide // 2)
            enlarged = resize(np.ascontiguousarray(rgb[:, left : left + wide]), (1920, 1080)).astype(np.float32)
            enlarged += np.roll(noise, (k * 331, k * 97), axis=(0, 1))
            frame = av.VideoFrame.from_ndarray(np.clip(enlarged, 0, 255).astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = k, 1 / NTSC
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _at_25(clip: Path, path: Path, number: int) -> Path:
    """The clip at 25 pictures a second, so that both ways see the same ones."""
    frames = [rgb for _, rgb in zip(range(number), iterate_video(clip), strict=False)]
    with VideoWriter(path, size=(frames[0].shape[0], frames[0].shape[1]), crf=12) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
