"""Sound and picture of odd recordings stay together: pictures by number, clicks by their moments."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from odd_media import (
    FPS,
    HEIGHT,
    RATE,
    WIDTH,
    clicks,
    joined,
    numbered,
    numbers_of,
    onsets,
    shrinking,
    sound_blocks,
    write,
)
from PIL import Image

from reactface_jax.errors import UserError
from reactface_jax.media.audio import read_audio, read_audio_or_none
from reactface_jax.media.displayed import turned
from reactface_jax.media.open_media import open_media
from reactface_jax.media.video import VideoWriter, iterate_video, read_video

PICTURES = [numbered(i) for i in range(75)]
CLICKS = [0.5, 2.0]
SOUND = clicks(CLICKS, 3)


def check(path: Path, numbers: list[int], moments: list[float]) -> None:
    """The pictures, each 40 ms, and the clicks, to a millisecond."""
    assert numbers_of(iterate_video(path)) == numbers
    np.testing.assert_allclose(onsets(read_audio(path)), moments, atol=1e-3)


def test_lost_packets_of_sound_are_silence(tmp_path: Path) -> None:
    path = write(tmp_path / "gap.mkv", PICTURES, SOUND, missing=(0.9, 1.7))
    check(path, list(range(75)), CLICKS)
    assert len(read_audio(path)) == 3 * 16_000


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("a.ts", ("libx264", "aac")),
        ("a.mkv", ("libx264", "pcm_s16le")),
        ("a.mp4", ("libx264", "aac")),
        ("a.webm", ("libvpx", "libopus")),
    ],
)
def test_a_recording_that_begins_between_keyframes_begins_with_its_first_picture(
    tmp_path: Path, name: str, codecs: tuple[str, str]
) -> None:
    path = write(tmp_path / name, PICTURES, SOUND, codecs=codecs, gop=30, lost_keyframe=True)
    check(path, list(range(30, 75)), [CLICKS[1] - 30 / FPS])


@pytest.mark.parametrize("late", [{"first": 0.4}, {"sound_first": 0.7}])
def test_a_track_that_starts_late_stays_late(tmp_path: Path, late: dict[str, float]) -> None:
    path = write(tmp_path / "late.mkv", PICTURES, SOUND, **late)
    shift = late.get("sound_first", 0.0) - late.get("first", 0.0)
    check(path, list(range(75)), [moment + shift for moment in CLICKS])


@pytest.mark.parametrize("name", ["late.mka", "late.ts"])
def test_a_sound_file_begins_with_its_first_sample(tmp_path: Path, name: str) -> None:
    """Its own clock starts at 12 s."""
    codec = "pcm_s16le" if name.endswith("mka") else "mp2"
    path = write(tmp_path / name, [], SOUND, codecs=("", codec), sound_first=12.0)
    priming = 0.0 if codec == "pcm_s16le" else 481 / RATE  # which transport streams do not tell
    np.testing.assert_allclose(onsets(read_audio(path)), np.add(CLICKS, priming), atol=1e-3)


def test_an_mp3s_delay_is_taken_out(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp3"), "w") as out:
        stream = out.add_stream("libmp3lame", rate=RATE, layout="mono")
        for block in sound_blocks(SOUND, RATE, size=1152):
            out.mux(stream.encode(block))
        out.mux(stream.encode(None))
    np.testing.assert_allclose(onsets(read_audio(tmp_path / "a.mp3")), CLICKS, atol=1e-3)
    assert len(read_audio(tmp_path / "a.mp3")) == 3 * 16_000


@pytest.mark.parametrize("clock", [0.0, 3600.0, 20.0])
def test_joined_streams_whose_clock_jumps_go_on(tmp_path: Path, clock: float) -> None:
    """Back, an hour forward, and by little more than what is believed."""
    check(joined(tmp_path, clock), list(range(100)), [1.0, 3.0])


def test_what_comes_again_is_dropped(tmp_path: Path) -> None:
    """The second stream's clock begins 0.2 s before the first one ends: it was recorded twice."""
    priming = 1024 / RATE  # by which the muxer moves a clock that begins at 0
    check(joined(tmp_path, 1.8), [*range(50), *range(55, 100)], [1.0, 2.8 - priming])


def test_a_gap_of_both_tracks_is_kept_up_to_a_minute(tmp_path: Path) -> None:
    def paused(name: str, gap: int) -> Path:
        with av.open(str(tmp_path / name), "w") as out:
            stream = out.add_stream("libx264", rate=FPS)
            stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
            stream.codec_context.max_b_frames = 0
            for at in (0, 1, 2, gap):
                frame = av.VideoFrame.from_ndarray(numbered(at), format="rgb24")
                frame.pts, frame.time_base = at, Fraction(1, FPS)
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        return tmp_path / name

    assert numbers_of(iterate_video(paused("a.mkv", 300))) == [0, 1, *[2] * 298, 300]
    with pytest.raises(UserError, match=r"b\.mkv holds nothing for 80 s before 80\.1 s: its timestamps are damaged"):
        list(iterate_video(paused("b.mkv", 2003)))


@pytest.mark.parametrize("size", [(HEIGHT // 2, WIDTH // 2), (160, 80)])
def test_pictures_that_change_their_size_keep_the_first_one(tmp_path: Path, size: tuple[int, int]) -> None:
    frames = read_video(shrinking(tmp_path, size))
    assert frames.shape == (50, HEIGHT, WIDTH, 3)
    if size[0] < size[1]:
        assert numbers_of(frames) == list(range(50))
    else:  # 48 x 24 in the middle of black
        assert frames[-1][:, : WIDTH // 2 - 13].max() == 0
        assert frames[-1][:, WIDTH // 2 - 11 : WIDTH // 2 + 11].mean() > 30


def test_pixels_that_are_not_square_are_made_so(tmp_path: Path) -> None:
    """A circle, as shown: stored at 45/64 of its width, or at 2/3 of its height."""
    for aspect, shape in ((Fraction(64, 45), (120, 160)), (Fraction(2, 3), (120, 160))):
        y, x = np.mgrid[: shape[0], : shape[1]]
        shown = np.hypot((x - 80) * float(max(aspect, 1)), (y - 60) / float(min(aspect, 1)))
        picture = np.where(shown[..., None] < 40, 230, 30).astype(np.uint8).repeat(3, -1)
        write(tmp_path / "a.mp4", [picture] * 2, aspect=aspect)
        frame = read_video(tmp_path / "a.mp4")[0]
        assert frame.shape[:2] == (120, 228) if aspect > 1 else (180, 160)
        rows, columns = np.nonzero(frame[..., 0] > 130)
        assert abs(np.ptp(rows) - np.ptp(columns)) <= 2


def by_ffmpeg(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """What FFmpeg's own players do: the filters that its autorotation inserts for a matrix."""
    m = (matrix.reshape(-1) / (1 << 16)).tolist()
    theta = round(-np.degrees(np.arctan2(m[1] / np.hypot(m[0], m[3]), m[0] / np.hypot(m[0], m[3])))) % 360
    theta = (-theta) % 360  # av_display_rotation_get counts counterclockwise; the command line turns back
    filters = {
        0: ["vflip"] if m[4] < 0 else [],
        90: [("transpose", "cclock_flip" if m[3] > 0 else "clock")],
        180: [*(["hflip"] if m[0] < 0 else []), *(["vflip"] if m[4] < 0 else [])],
        270: [("transpose", "clock_flip" if m[3] < 0 else "cclock")],
    }[theta]
    graph = av.filter.Graph()
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    frame.time_base, frame.pts = Fraction(1, 25), 0
    last = graph.add_buffer(
        template=None, width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    for step in filters:
        following = graph.add(*((step, None) if isinstance(step, str) else step))
        last.link_to(following)
        last = following
    sink = graph.add("buffersink")
    last.link_to(sink)
    graph.configure()
    graph.push(frame)
    return graph.pull().to_ndarray(format="rgb24")


ORIENTATIONS = [((a, b), (c, d)) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1) for d in (-1, 0, 1)]
ORIENTATIONS = [m for m in ORIENTATIONS if np.abs(m).sum() == 2 and np.linalg.det(m) != 0]


@pytest.mark.parametrize("quarter", ORIENTATIONS, ids=str)
def test_every_orientation_is_shown_as_ffmpeg_shows_it(tmp_path: Path, quarter: tuple[tuple[int, int], ...]) -> None:
    """All eight display matrices, written into a file; the four quadrants have different colours."""
    assert len(ORIENTATIONS) == 8
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:16, :24], picture[:16, 24:], picture[16:, :24] = (220, 30, 30), (30, 220, 30), (30, 30, 220)
    with VideoWriter(tmp_path / "a.mp4", size=(32, 48), crf=4) as writer:
        writer.write(picture)
    content, one = (tmp_path / "a.mp4").read_bytes(), 1 << 16
    (a, b), (c, d) = quarter
    matrix = np.array([[a * one, b * one, 0], [c * one, d * one, 0], [0, 0, 1 << 30]])
    at = content.index(b"tkhd") + 4 + 40
    data = b"".join(int(value).to_bytes(4, "big", signed=True) for value in matrix.reshape(-1))
    (tmp_path / "turned.mp4").write_bytes(content[:at] + data + content[at + 36 :])
    plain, shown = read_video(tmp_path / "a.mp4")[0], read_video(tmp_path / "turned.mp4")[0]
    np.testing.assert_array_equal(shown, turned(plain, matrix.astype(float)))
    np.testing.assert_array_equal(shown, by_ffmpeg(plain, matrix))


def test_a_download_that_stopped_is_said(tmp_path: Path) -> None:
    """Also where no track has a length, as in Matroska; a live WebM, which has none at all, is read to its end."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 32, 48, 3), np.uint8)
    whole = write(tmp_path / "whole.mkv", list(noise), clicks([0.5], 1.6), codecs=("libx264", "aac"))
    (tmp_path / "cut.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    for read in (read_video, read_audio):
        with pytest.raises(UserError, match=r"cut\.mkv is cut off: 0\.\d of 1\.6 s are there; copy it again"):
            read(tmp_path / "cut.mkv")
    content = whole.read_bytes()
    at = content.index(b"\x44\x89\x88") + 3  # Matroska's Duration, ms
    (tmp_path / "long.mkv").write_bytes(content[:at] + struct.pack(">d", 300.0) + content[at + 8 :])
    with pytest.raises(UserError, match=r"long\.mkv goes to 1\.6 s, but its header says 0\.3 s: its timest"):
        read_video(tmp_path / "long.mkv")
    live = write(tmp_path / "live.webm", PICTURES, SOUND, codecs=("libvpx", "libopus"), container_options={"live": "1"})
    with open_media(live) as container:
        assert container.duration is None
    check(live, list(range(75)), CLICKS)


def with_more(path: Path, source: Path, other: Path) -> Path:
    """All tracks of two files in one."""
    with av.open(str(path), "w") as out, av.open(str(source)) as first, av.open(str(other)) as second:
        packets = []
        for container in (first, second):
            streams = {stream.index: out.add_stream_from_template(stream) for stream in container.streams}
            for packet in container.demux():
                if packet.dts is not None:
                    packets.append((packet.dts * packet.time_base, len(packets), packet))
                    packet.stream = streams[packet.stream.index]
        for _, _, packet in sorted(packets):
            out.mux(packet)
    return path


@pytest.mark.parametrize("other", ["subtitles", "longer sound"])
def test_another_track_may_go_on_for_longer(tmp_path: Path, other: str) -> None:
    """Matroska has the length of the longest track only."""
    base = write(tmp_path / "base.mkv", PICTURES, SOUND)
    more = tmp_path / "more.srt"
    more.write_text("1\n00:00:02,000 --> 00:00:05,500\nhello\n\n")
    if other == "longer sound":
        more = write(tmp_path / "more.mka", [], clicks([1.0], 5.5), codecs=("", "pcm_s16le"))
    path = with_more(tmp_path / "whole.mkv", base, more)
    with open_media(path) as container:
        assert container.duration == pytest.approx(5.5 * av.time_base, abs=av.time_base / 10)
    check(path, list(range(75)), CLICKS)
    content = path.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 3])
    with pytest.raises(UserError, match=r"cut\.mkv is cut off: \d\.\d of 5\.5 s are there; copy it again"):
        read_video(tmp_path / "cut.mkv")


def test_channels_that_cancel_each_other_are_heard(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.wav"), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=RATE, layout="stereo")
        samples = np.round(np.stack([SOUND, -SOUND], axis=1) * 32767).astype(np.int16).reshape(1, -1)
        block = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        block.sample_rate = RATE
        out.mux(stream.encode(block))
    sound = read_audio(tmp_path / "a.wav")
    np.testing.assert_allclose(onsets(sound), CLICKS, atol=1e-3)
    assert np.abs(sound).max() == pytest.approx(0.8, abs=0.05)


def test_a_track_without_a_sample_is_silent(tmp_path: Path) -> None:
    path = write(tmp_path / "muted.mkv", PICTURES[:5], np.zeros(0, np.float32))
    with open_media(path) as container:
        assert len(container.streams.audio) == 1
    assert read_audio_or_none(path) is None
    assert numbers_of(iterate_video(path)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "gif", "bmp", "avif"])
def test_a_photo_is_no_video(tmp_path: Path, ending: str) -> None:
    Image.fromarray(numbered(9)).save(tmp_path / f"me.{ending}")
    with pytest.raises(UserError, match=rf"me\.{ending} is a photo; give a video"):
        list(iterate_video(tmp_path / f"me.{ending}"))


def test_a_sound_files_cover_is_no_picture(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.mp3"), "w") as out:
        sound = out.add_stream("libmp3lame", rate=RATE, layout="mono")
        cover = out.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = HEIGHT, WIDTH, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        packets = cover.encode(av.VideoFrame.from_ndarray(numbered(9), format="rgb24")) + cover.encode(None)
        for packet in packets:
            out.mux(packet)
        for block in sound_blocks(SOUND, RATE, size=1152):
            out.mux(sound.encode(block))
        out.mux(sound.encode(None))
    with pytest.raises(UserError, match=r"song\.mp3 has no video track"):
        list(iterate_video(tmp_path / "song.mp3"))
    np.testing.assert_allclose(onsets(read_audio(tmp_path / "song.mp3")), CLICKS, atol=1e-3)


def test_a_name_with_a_colon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with VideoWriter("10:33.mp4", size=(HEIGHT, WIDTH), audio=clicks([0.5], 1, 16_000)) as writer:
        for i in range(25):
            writer.write(numbered(i))
    check(Path("10:33.mp4"), list(range(25)), [0.5])


def test_a_playlist_leads_nowhere(tmp_path: Path) -> None:
    """It may name an address; FFmpeg would fetch it."""
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(UserError, match=r"list\.m3u8 "):
        list(iterate_video(tmp_path / "list.m3u8"))


def test_tracks_that_ffmpeg_does_not_know(tmp_path: Path) -> None:
    """The picture's code means nothing, then the sound's."""
    content = write(tmp_path / "a.mp4", PICTURES[:25], clicks([0.5], 1), codecs=("libx264", "aac")).read_bytes()
    (tmp_path / "b.mp4").write_bytes(content.replace(b"avc1\x00", b"zzz1\x00").replace(b"vide", b"zzzz"))
    np.testing.assert_allclose(onsets(read_audio(tmp_path / "b.mp4")), [0.5], atol=1e-3)
    wav = bytearray(write(tmp_path / "a.wav", [], SOUND, codecs=("", "pcm_s16le")).read_bytes())
    wav[20:22] = b"\x77\x77"  # the number of its form
    (tmp_path / "b.wav").write_bytes(wav)
    with pytest.raises(UserError, match=r"the sound of .*b\.wav is in no form that FFmpeg knows; convert it"):
        read_audio(tmp_path / "b.wav")


def test_sound_in_another_unit_is_said(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.wav"), "w") as out:
        stream = out.add_stream("pcm_f32le", rate=16_000, layout="mono")
        samples = np.random.default_rng(0).uniform(-9000, 9000, (1, 16_000)).astype(np.float32)
        block = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
        block.sample_rate = 16_000
        out.mux(stream.encode(block))
    with pytest.raises(UserError, match=r"the samples of .*a\.wav go up to 9e\+03 instead of 1"):
        read_audio(tmp_path / "a.wav")
