"""`python -m reactface_jax.react` on videos of drawn heads, which MediaPipe takes for faces, and on bad input."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import jax
import numpy as np
import pytest
from answered_video import SECONDS, call, clicks, conversation, params, phone, run, save_run, talking_head
from PIL import Image

from reactface_jax import convert, react
from reactface_jax.export.__main__ import main as export
from reactface_jax.media.audio import read_audio
from reactface_jax.media.face import find_faces
from reactface_jax.media.video import VideoWriter, read_video, resize
from reactface_jax.rendering import listener_drawers
from reactface_jax.rendering.arkit_head.renderer import HeadRenderer
from reactface_jax.types import SAMPLES_PER_FRAME
from reactface_jax.weights.params_file import save_params

__all__ = ["conversation", "params", "phone", "run"]  # fixtures


def test_a_conversation_is_answered(
    run: Path, conversation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "answer.mp4"
    words = ["--speaker", conversation, "--checkpoint", run, "--num-reactions", 4]
    call(monkeypatch, *words, "--out", out)
    files = ["answer.coefficient_names.json", "answer.mp4", "answer.npy"]
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    printed = capfd.readouterr()
    assert f"wrote {out}" in printed.out
    assert f"wrote {tmp_path / 'answer.npy'}" in printed.out
    assert "mediapipe" not in printed.err.lower()
    assert "W0000" not in printed.err

    coefficients = np.load(tmp_path / "answer.npy", allow_pickle=False)
    assert coefficients.shape == (4, 40, 58)
    assert coefficients.dtype == np.float32
    assert np.isfinite(coefficients).all()
    assert abs(coefficients[0] - coefficients[1]).max() > 1e-3

    video = read_video(out)
    assert video.shape == (40, 2 * 256, 4 * 256, 3)  # five pictures in two rows
    (face,) = find_faces([np.ascontiguousarray(video[20, :256, :256])])[0]
    assert (face[:2] + face[2:]) / 2 == pytest.approx([128, 128], abs=12)
    assert face[3] - face[1] == pytest.approx(0.59 * 256, rel=0.15)
    renderer = HeadRenderer((256, 256))
    for k, (top, left) in enumerate([(0, 256), (0, 512), (0, 768), (256, 0)]):
        drawn = renderer.render(coefficients[k, 20]).astype(int)
        shown = video[20, top : top + 256, left : left + 256].astype(int)
        assert abs(drawn - shown)[:220].mean() < 6  # the label is below
    renderer.close()

    sound, original = read_audio(out), read_audio(conversation)
    assert len(sound) == pytest.approx(40 * SAMPLES_PER_FRAME, abs=1100)
    loud = [np.flatnonzero(np.abs(samples) > 0.4)[0] for samples in (sound, original)]
    assert loud[0] == pytest.approx(loud[1], abs=160)  # 10 ms

    monkeypatch.setattr("sys.argv", ["export", str(tmp_path / "answer.npy"), "--format", "bvh-head"])
    export()
    assert len(list(tmp_path.glob("answer_*.bvh"))) == 4

    again = tmp_path / "again.mp4"
    for name in ("again.mp4", "again.npy", "again.coefficient_names.json"):
        (tmp_path / name).write_text("old")
    call(monkeypatch, *words, "--out", again, "--no-labels", "--overwrite")
    np.testing.assert_array_equal(np.load(tmp_path / "again.npy"), coefficients)
    assert read_video(again).shape == video.shape
    # On the left is the same head, smaller.
    for name, change, least in (("left", ["--face", "left"], 0), ("seed", ["--seed", 1], 1e-3)):
        call(
            monkeypatch, *words, "--out", tmp_path / name, *change, "--renderer", "none"
        )  # left is the same head, smaller
        assert abs(np.load(tmp_path / name / "reactions.npy") - coefficients).max() > least


def test_a_phone_video_without_sound_is_answered(
    run: Path, phone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "--speaker", phone, "--checkpoint", run, "--out", tmp_path / "a.mp4", "--num-reactions", 4)
    assert "has no sound track" in capsys.readouterr().out
    video = read_video(tmp_path / "a.mp4")
    assert video.shape == (41, 2 * 256, 4 * 256, 3)  # 1.6016 s
    assert np.abs(read_audio(tmp_path / "a.mp4")).max() < 1e-3


def write_hard_video(path: Path) -> None:
    """What phones make: upright format, 10 bits, frames at uneven times, 5.1 sound; the face is away for a while."""
    tick, rate = Fraction(1, 90_000), 48_000
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=30, options={"preset": "ultrafast", "bf": "0"})
        video.width, video.height, video.pix_fmt = 180, 320, "yuv420p10le"
        video.codec_context.time_base = tick
        sound = container.add_stream("aac", rate=rate, layout="5.1")
        for i, head in enumerate(talking_head(25)):
            frame = np.full((320, 180, 3), 90, np.uint8)
            if not 12 <= i < 21:
                frame[80:240, 10:170] = resize(head, (160, 160))
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = 3600 * i + (1500 if i % 2 else 0), tick  # 57 and 23 ms in turns
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        surround = np.stack([clicks(rate)] * 6)
        for start in range(0, surround.shape[1], 1024):
            part = np.ascontiguousarray(surround[:, start : start + 1024])
            block = av.AudioFrame.from_ndarray(part, format="fltp", layout="5.1")
            block.sample_rate, block.pts, block.time_base = rate, start, Fraction(1, rate)
            container.mux(sound.encode(block))
        container.mux(sound.encode(None))


def test_a_hard_video_into_a_folder(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_hard_video(tmp_path / "hard.mp4")
    out = tmp_path / "new" / "answer"
    call(monkeypatch, "--speaker", tmp_path / "hard.mp4", "--checkpoint", run, "--out", out, "--num-reactions", 4)
    printed = capsys.readouterr().out
    assert "the face is lost in" in printed
    assert "the crop stays where it was" in printed
    alone = [f"listener_{k}.mp4" for k in (1, 2, 3, 4)]
    written = sorted(["answer.mp4", *alone, "reactions.npy", "coefficient_names.json"])
    assert sorted(path.name for path in out.iterdir()) == written
    assert [path.name for path in out.parent.iterdir()] == ["answer"]
    for name in written:
        assert f"wrote {out / name}" in printed
    coefficients = np.load(out / "reactions.npy")
    assert coefficients.shape[0] == 4
    num_frames = coefficients.shape[1]
    assert num_frames == pytest.approx(25 * SECONDS, abs=1)

    grid, listener = read_video(out / "answer.mp4"), read_video(out / "listener_2.mp4")
    assert grid.shape == (num_frames, 512, 1024, 3)
    assert listener.shape == (num_frames, 256, 256, 3)
    with av.open(str(out / "listener_2.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.format.name, video.average_rate) == ("h264", "yuv420p", 25)
        assert audio.codec_context.name == "aac"
    # The mouth, below the middle, moves; the wall does not.
    moving = np.abs(np.diff(listener.astype(float), axis=0)).mean((0, 3))
    assert moving[140:200, 90:166].mean() > 5 * moving[:20, :20].mean() + 0.2
    loud = [np.flatnonzero(np.abs(read_audio(path)) > 0.4)[0] for path in (out / "answer.mp4", tmp_path / "hard.mp4")]
    assert loud[0] == pytest.approx(loud[1], abs=160)

    monkeypatch.setattr("sys.argv", ["export", str(out / "reactions.npy"), "--format", "livelink-csv"])
    export()
    assert len((out / "reactions_4.csv").read_text().splitlines()) == num_frames + 1


@pytest.fixture(scope="module")
def renderer_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portrait renderer with small random values."""
    rng = np.random.default_rng(0)
    shapes = convert._pirender_template(True, 58)
    params = jax.tree.map(lambda leaf: (0.05 * rng.standard_normal(leaf.shape)).astype(np.float32), shapes)
    folder = tmp_path_factory.mktemp("weights") / "pirender"
    save_params(folder, params, {"pirender": {"coefficients": 58, "image_size": 64}})
    return folder


@pytest.mark.long
def test_a_portrait_is_drawn(
    run: Path, phone: Path, renderer_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(talking_head(25)[0]).save(tmp_path / "me.png")
    samples = np.round(32_767 * clicks(16_000)).astype(np.int16)
    with av.open(str(tmp_path / "voice.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        block = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        block.sample_rate = 16_000
        container.mux(stream.encode(block))
    words = ["--speaker", phone, "--audio", tmp_path / "voice.wav", "--checkpoint", run, "--num-reactions", 4]
    words += ["--renderer", "pirender", "--portrait", tmp_path / "me.png", "--renderer-weights", renderer_weights]
    words += ["--no-labels", "--layouts", "listener", "authors"]
    cut, sizes = listener_drawers.cut_portrait, []
    monkeypatch.setattr(listener_drawers, "cut_portrait", lambda *given: (sizes.append(given[1]), cut(*given))[1])
    out = tmp_path / "out"
    call(monkeypatch, *words, "--out", out)
    assert sizes == [64]  # as the renderer's config.json says
    assert sorted(path.name for path in out.glob("*.mp4")) == sorted(
        f"{name}_{k}.mp4" for name in ("authors", "listener") for k in (1, 2, 3, 4)
    )
    listener, three = read_video(out / "listener_3.mp4"), read_video(out / "authors_3.mp4")
    coefficients = np.load(out / "reactions.npy")
    assert len(listener) == len(three) == coefficients.shape[1]
    assert three.shape[1:] == (256, 768, 3)
    assert abs(three[20, :, 512:].astype(int) - listener[20]).mean() < 4
    head = HeadRenderer((256, 256))
    assert abs(head.render(coefficients[2, 20]).astype(int) - three[20, :, 256:512]).mean() < 6
    head.close()
    loud = np.flatnonzero(np.abs(read_audio(out / "listener_1.mp4")) > 0.4)[0]
    assert loud == pytest.approx(0.3 * 16_000, abs=160)


@pytest.mark.parametrize(
    ("seconds", "line"),
    [
        (1.0, "the sound ends 2.0 s before the picture: silence from there\n"),
        (2.6, ""),
        (3.4, ""),
        (9.0, "the sound goes on 6.0 s after the picture: that part is left out\n"),
    ],
)
def test_sound_of_another_length_is_said(seconds: float, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    react._report_sound(Path("voice.wav"), np.zeros(round(seconds * 16_000), np.float32), 75)
    assert capsys.readouterr().out == line


PORTRAIT = {"--renderer": "pirender", "--portrait": "no.jpg", "--renderer-weights": "w"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--speaker": "missing.mp4"}, "missing.mp4 does not exist"),
        ({"--speaker": "text.mp4"}, "text.mp4 is not a video or sound file"),
        ({"--speaker": "noise.mp4"}, "no face was found in"),
        ({"--speaker": "out.mp4", "--out": "out.mp4"}, "out.mp4 is --speaker, and would be overwritten"),
        ({"--audio": "voice.mp4", "--out": "voice.mp4"}, "voice.mp4 is --audio, and would be overwritten"),
        ({"--out": "old.mp4"}, "old.npy already exists; give --overwrite"),
        ({"--out": "text.mp4/out.mp4"}, "lies below the file text.mp4"),
        ({"--out": "text.mp4/out"}, "lies below the file"),
        ({"--out": "."}, ". already exists"),
        ({"--out": "link.mp4"}, "link.mp4 already exists"),
        ({"--seed": str(2**70)}, "is out of range; give a whole number from 0 to"),
        ({"--num-reactions": "1000"}, "--num-reactions 1000 is too many: give at most 63 that are drawn"),
        ({"--protocol": "stream"}, "protocol 'stream' is none of clip, prefix, window"),
        ({"--checkpoint": "nowhere"}, "nowhere does not exist"),
        ({"--checkpoint": "nameless"}, "the 3-D head needs the 52 ARKit names"),
        ({"--out": "nowhere/out.mp4"}, "nowhere does not exist"),
        ({"--out": "out.avi"}, "must end in .mp4, or be a folder"),
        ({"--out": "taken"}, "taken already exists"),
        ({"--renderer": "pirender"}, "--renderer pirender needs --portrait"),
        ({"--renderer": "pirender", "--portrait": "text.mp4"}, "--renderer pirender needs --renderer-weights"),
        ({"--renderer": "pirender", "--portrait": "no.jpg", "--renderer-weights": "w"}, "--portrait no.jpg does not"),
        ({"--renderer": "faceverse"}, "--renderer faceverse needs --faceverse"),
        ({"--renderer": "none"}, "is one video, but there is not one to write"),
        ({"--portrait": "no.jpg"}, "--portrait is for --renderer pirender; add that, or leave --portrait out"),
        ({"--renderer-weights": "w"}, "--renderer-weights is for --renderer pirender"),
        ({"--portrait-size": "3"}, "--portrait-size is for --renderer pirender"),
        (PORTRAIT | {"--portrait-size": "0"}, "--portrait-size 0 does not fit; give a positive multiple of 32"),
        (PORTRAIT | {"--portrait-size": "-32"}, "--portrait-size -32 does not fit"),
        (PORTRAIT | {"--portrait-size": "50"}, "--portrait-size 50 does not fit"),
        ({"--faceverse": "no.npz"}, "--faceverse is for --renderer faceverse or --layouts authors"),
        ({"--layouts": "authors"}, "--layouts authors shows a portrait"),
        ({"--audio": "text.mp4"}, "text.mp4 is not a video or sound file"),
        ({"--num-reactions": "0"}, "--num-reactions 0 must be at least 1"),
        ({"--face": "middle"}, "--face middle is not known"),
        ({"--face": "3"}, "--face 3: only 2 faces were found"),
    ],
)
def test_bad_input_gets_a_sentence_and_writes_nothing(
    change: dict[str, str],
    message: str,
    run: Path,
    params: Any,
    conversation: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.mp4").write_text("I am a text file.\n" * 50)
    Path("taken").mkdir()
    Path("taken", "mine").touch()
    Path("old.npy").touch()
    Path("link.mp4").symlink_to("nowhere.mp4")
    with VideoWriter("noise.mp4", size=(96, 96)) as writer:
        for frame in np.random.default_rng(0).integers(0, 255, (5, 96, 96, 3), np.uint8):
            writer.write(frame)
    if change.get("--checkpoint") == "nameless":
        save_run(Path("nameless"), params, tuple(f"expression_{i:02}" for i in range(58)))
    before = sorted(Path().rglob("*"))
    words = {"--speaker": conversation, "--checkpoint": run, "--out": "out.mp4"} | change
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, *(word for pair in words.items() for word in pair))
    assert ended.value.code == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert message in error
    assert len(error.splitlines()) == 1
    assert sorted(Path().rglob("*")) == before
