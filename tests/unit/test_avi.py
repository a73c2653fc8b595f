"""Pictures of an avi are shown in their order and at their times, whatever its codec holds back."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from odd_media import FPS, RATE, clicks, numbered, numbers_of, onsets, sound_blocks

from data_pipeline.open_data.media import pictures, sound
from data_pipeline.open_data.members import Member
from reactface_jax.media.audio import read_audio
from reactface_jax.media.video import iterate_video

COUNT, CLICKS = 200, [0.5, 6.0]
CODECS = [
    ("libx264", {"bf": "3", "g": "50"}),
    ("libx264", {"bf": "0", "g": "50"}),
    ("libx264", {"bf": "16", "g": "20", "x264-params": "b-adapt=0:b-pyramid=strict:open-gop=1"}),
    ("mpeg4", {"bf": "2", "g": "50"}),
    ("mpeg2video", {"bf": "2", "g": "12"}),  # keyframes come before two pictures that are shown earlier
    ("mjpeg", {}),
]


def write(path: Path, codec: str, options: dict[str, str], count: int = COUNT) -> Path:
    """Pictures that say their number, and clicks."""
    with av.open(str(path), "w", format="avi") as out:
        video = out.add_stream(codec, rate=FPS, options=options)
        video.height, video.width = numbered(0).shape[:2]
        video.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        audio = out.add_stream("pcm_s16le", rate=RATE, layout="mono")
        packets: list[av.Packet] = []
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            packets += video.encode(frame)
        packets += video.encode(None)
        for block in sound_blocks(clicks([c for c in CLICKS if c < count / FPS], count / FPS), RATE, size=960):
            (converted,) = av.AudioResampler(format="s16").resample(block)
            converted.pts, converted.time_base = block.pts, block.time_base
            packets += audio.encode(converted)
        packets += audio.encode(None)
        for packet in sorted((p for p in packets if p.dts is not None), key=lambda p: p.dts * p.time_base):
            out.mux(packet)
    return path


@pytest.fixture(params=CODECS, ids=lambda codec: " ".join([codec[0], *codec[1].values()]))
def recording(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write(tmp_path / "a.avi", *request.param)


def test_the_whole_of_it(recording: Path) -> None:
    assert numbers_of(iterate_video(recording)) == list(range(COUNT))
    np.testing.assert_allclose(onsets(read_audio(recording)), CLICKS, atol=1e-3)


def test_stretches_of_it(recording: Path) -> None:
    member = Member(str(recording), recording.name, 0, recording.stat().st_size, inside=False)
    with av.open(str(recording)) as container:
        keyframes = [packet.dts for packet in container.demux(video=0) if packet.is_keyframe]
    for start in (1, 100, *keyframes[:: len(keyframes) // 4 + 1], COUNT - 3):
        found = numbers_of(picture.rgb for picture in pictures(member, start / FPS, 20))
        assert found == list(range(start, min(start + 20, COUNT))), start
    np.testing.assert_allclose(onsets(sound(member, 5.6, 16_000)), [0.4], atol=1e-3)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_shorter_than_what_the_decoder_holds_back(tmp_path: Path, count: int) -> None:
    path = write(tmp_path / "named.mp4", "libx264", {"bf": "3"}, count)
    assert numbers_of(iterate_video(path)) == list(range(count))
