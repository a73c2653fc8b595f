"""Recordings as odd as people's own, made from nothing: pictures that say their number, clicks at known moments."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 48_000
FPS = 25
TICKS = 12_800  # a second
HEIGHT, WIDTH = 48, 320


def numbered(number: int, height: int = HEIGHT) -> np.ndarray:
    """A grey picture whose white bar is `number` pixels wide."""
    picture = np.full((height, WIDTH, 3), 40, np.uint8)
    picture[height // 4 : 3 * height // 4, :number] = 230
    return picture


def numbers_of(frames: Iterable[np.ndarray]) -> list[int]:
    """What `numbered` drew."""
    return [round(float((f[f.shape[0] // 2].mean(axis=1) > 135).sum() * WIDTH / f.shape[1])) for f in frames]


def clicks(moments: Sequence[float], seconds: float, rate: int = RATE) -> np.ndarray:
    """Mono sound, silent but for 4 ms of 1 kHz at the moments (s)."""
    sound = np.zeros(round(seconds * rate), np.float32)
    for moment in moments:
        n = np.arange(round(0.004 * rate))
        sound[round(moment * rate) + n] = 0.8 * np.sin(2 * np.pi * 1000 * (n + 0.5) / rate)
    return sound


def onsets(sound: np.ndarray, rate: int = 16_000) -> list[float]:
    """Moments (s) at which clicks begin."""
    loud = np.flatnonzero(np.abs(sound) > 0.2)
    return (loud[np.diff(loud, prepend=-rate) > 0.2 * rate] / rate).tolist()


def sound_blocks(sound: np.ndarray, rate: int, size: int = 1024, start: int = 0) -> Iterable[av.AudioFrame]:
    for at in range(0, len(sound), size):
        block = av.AudioFrame.from_ndarray(sound[None, at : at + size], format="fltp", layout="mono")
        block.sample_rate, block.time_base, block.pts = rate, Fraction(1, rate), start + at
        yield block


def write(
    path: Path,
    pictures: Sequence[np.ndarray],
    sound: np.ndarray | None = None,
    *,
    codecs: tuple[str, str] = ("libx264", "pcm_s16le"),
    first: float = 0.0,
    sound_first: float = 0.0,
    missing: tuple[float, float] = (0, 0),
    gop: int = 12,
    lost_keyframe: bool = False,
    aspect: Fraction | None = None,
    **options: Any,
) -> Path:
    """A recording at 25 fps.

    Args:
      path: the file; its ending says the format.
      pictures: none: only sound.
      sound: 48 kHz.
      codecs: of picture and sound.
      first: time of the first picture (s).
      sound_first: time of the first sample (s).
      missing: packets of sound in this stretch are lost (s).
      gop: pictures from one keyframe to the next.
      lost_keyframe: leave out the first picture's packet, so that none can be shown up to the next keyframe.
      aspect: width over height of a pixel.
      options: of `av.open`.
    """
    with av.open(str(path), "w", **options) as out:
        packets: list[av.Packet] = []
        if pictures:
            video = out.add_stream(codecs[0], rate=FPS)
            video.height, video.width = pictures[0].shape[:2]
            video.pix_fmt = "yuv420p"
            context = video.codec_context
            context.gop_size, context.max_b_frames, context.time_base = gop, 0, Fraction(1, TICKS)
            video.options = {"crf": "12", "preset": "veryfast", "bf": "0"} if codecs[0] == "libx264" else {}
            if aspect is not None:
                context.sample_aspect_ratio = aspect
        if sound is not None:
            audio = out.add_stream(codecs[1], rate=RATE, layout="mono")
        if pictures:
            for number, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = round((first + number / FPS) * TICKS), Fraction(1, TICKS)
                packets += video.encode(frame)
            packets += video.encode(None)
            packets = packets[1:] if lost_keyframe else packets
        if sound is not None:
            for block in sound_blocks(sound, RATE, size=960, start=round(sound_first * RATE)):
                if not missing[0] <= block.pts / RATE < missing[1]:
                    packets += audio.encode(_as(block, audio.format.name))
            packets += audio.encode(None)
        for packet in sorted((p for p in packets if p.dts is not None), key=lambda p: p.dts * p.time_base):
            out.mux(packet)
    return path


def joined(folder: Path, clock: float) -> Path:
    """Two transport streams of 2 s joined by their bytes; the second one's clock begins at `clock` (s)."""
    data = b""
    for part, begins in enumerate((0.0, clock)):
        piece = write(
            folder / f"piece{part}.ts",
            [numbered(50 * part + i) for i in range(50)],
            clicks([1.0], 2),
            codecs=("libx264", "aac"),
            first=begins,
            sound_first=begins,
        )
        data += piece.read_bytes()
    (folder / "joined.ts").write_bytes(data)
    return folder / "joined.ts"


def shrinking(folder: Path, small: tuple[int, int]) -> Path:
    """A WebM whose pictures change to `small` (height, width) after a second."""
    parts = [folder / "large.webm", folder / "small.webm"]
    for number, (part, size) in enumerate(zip(parts, [(HEIGHT, WIDTH), small], strict=True)):
        pictures = [_sized(numbered(25 * number + i), size) for i in range(25)]
        write(part, pictures, codecs=("libvpx", ""))
    path = folder / "shrinking.webm"
    with av.open(str(path), "w") as out, av.open(str(parts[0])) as first, av.open(str(parts[1])) as second:
        stream = out.add_stream_from_template(first.streams.video[0])
        for offset, source in ((0, first), (1000, second)):
            for packet in source.demux():
                if packet.dts is not None:
                    packet.pts = packet.dts = packet.pts + offset
                    packet.stream = stream
                    out.mux(packet)
    return path


def _sized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    return frame.reformat(height=size[0], width=size[1]).to_ndarray(format="rgb24")


def _as(block: av.AudioFrame, form: str) -> av.AudioFrame:
    """The block in another sample format, at the same time."""
    if block.format.name == form:
        return block
    (converted,) = av.AudioResampler(format=form).resample(block)
    converted.pts, converted.time_base = block.pts, block.time_base
    return converted
