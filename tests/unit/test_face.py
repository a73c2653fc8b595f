"""Faces are linked into people, one is chosen, and the crop follows steadily."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from reactface_jax.doctor.probes import PROBES
from reactface_jax.errors import UserError
from reactface_jax.media import face
from reactface_jax.media.face import FaceTrack, choose, crop, find_faces, link, longest_loss, model_frame, steady_crops
from reactface_jax.rendering.arkit_head.look import Look
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL, HeadRenderer

ROOT = Path(__file__).parents[2]
SYSTEM_LIBRARIES = runpy.run_path(str(ROOT / ".ci" / "system_libraries.py"))


def box(x: float, y: float, width: float = 20, height: float = 30) -> np.ndarray:
    return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])


def test_link_keeps_people_apart_whatever_their_order() -> None:
    found = [[box(50 + t, 40), box(100, 40)][:: (-1) ** t] for t in range(20)]
    left, right = sorted(link(found), key=lambda track: track.x)
    assert [left.boxes[t][0] for t in range(20)] == [40 + t for t in range(20)]
    assert len(right.boxes) == 20


def test_link_finds_a_face_again_where_it_went() -> None:
    found = [[box(50, 40)], [], [], [box(57, 40)], [box(57, 40)]]
    (track,) = link(found)
    assert sorted(track.boxes) == [0, 3, 4]
    assert longest_loss(track, 5) == 2
    assert longest_loss(track, 9) == 4


def test_a_jump_across_the_picture_is_somebody_else() -> None:
    assert len(link([[box(50, 40)], [box(200, 40)]])) == 2


def test_choose() -> None:
    left, middle, right = (
        FaceTrack({t: box(x, 40, width=width) for t in range(10)}) for x, width in ((40, 20), (90, 30), (140, 20))
    )
    flicker = FaceTrack({0: box(10, 10, width=100, height=100)})  # a false alarm in one frame
    tracks = [right, left, flicker, middle]
    assert choose(tracks) is middle
    assert choose(tracks, "left") is left
    assert choose(tracks, "right") is right
    assert choose(tracks, "3") is right
    with pytest.raises(UserError, match=r"--face 4: only 3 faces were found in a\.mp4"):
        choose(tracks, "4", "a.mp4")
    with pytest.raises(UserError, match="--face 0 is not known"):
        choose(tracks, "0")
    with pytest.raises(UserError, match=r"no face was found in a\.mp4"):
        choose([], "largest", "a.mp4")


def test_crop_holds_the_box_while_the_face_is_lost() -> None:
    track = FaceTrack({t: box(50, 40) for t in range(20, 40)})
    squares = steady_crops(track, 100)
    assert squares.shape == (100, 3)
    np.testing.assert_allclose(squares, squares[:1].repeat(100, 0), atol=1e-9)
    assert squares[0, 0] == 50
    assert 30 / squares[0, 2] == pytest.approx(face._FACE_HEIGHT_SHARE)


def test_crop_follows_slowly_and_without_lag() -> None:
    """A nod of half a second stays in the picture; a walk across the room is followed."""
    nod = 8 * np.sin(2 * np.pi * np.arange(100) / 12.5)
    squares = steady_crops(FaceTrack({t: box(50, 40 + nod[t]) for t in range(100)}), 100)
    assert np.ptp(squares[20:80, 1]) < 1.0
    squares = steady_crops(FaceTrack({t: box(50 + t, 40) for t in range(100)}), 100)
    np.testing.assert_allclose(squares[45:55, 0], 50 + np.arange(45, 55), atol=0.5)


def test_crop_takes_the_square_and_repeats_edges() -> None:
    frame = np.zeros((40, 60, 3), np.uint8)
    frame[10:20, 30:40] = 200
    assert (crop(frame, np.array([35.0, 15.0, 10.0]), 10) == 200).all()
    np.testing.assert_array_equal(crop(frame, np.array([30.0, 20.0, 20.0]), 20), frame[10:30, 20:40])
    bright = np.full((40, 60, 3), 90, np.uint8)
    assert (crop(bright, np.array([0.0, 0.0, 50.0]), 32) == 90).all()


def test_crop_moves_by_fractions_of_a_pixel() -> None:
    ramp = np.broadcast_to(np.arange(100, dtype=np.uint8)[None, :, None], (100, 100, 3))
    shift = (
        crop(ramp, np.array([50.5, 50, 20]), 80)[40, 40].astype(int) - crop(ramp, np.array([50.0, 50, 20]), 80)[40, 40]
    )
    assert set(shift.tolist()) <= {0, 1}
    fine = [crop(ramp, np.array([50 + step / 4, 50.0, 20]), 80)[:, :, 0].mean() for step in range(5)]
    np.testing.assert_allclose(np.diff(fine), 0.25, atol=0.02)


@pytest.mark.parametrize("image_size", [256, 224, 112, 64, 48])
def test_model_frame_is_the_loaders(image_size: int) -> None:
    """What the model sees of a new video is what the loader would have shown it."""
    from data_pipeline.host_tensorflow import tf
    from data_pipeline.loader import _decode

    y, x = np.mgrid[:256, :256] / 256
    wave = 127 + 120 * np.sin(2 * np.pi * (7 * x + 4 * y))
    frame = np.repeat(wave[..., None], 3, axis=-1).astype(np.uint8)
    jpeg = tf.io.encode_jpeg(frame, quality=90)
    expected = _decode(tf.stack([jpeg]), 256, 256, 1, image_size)[0].numpy().astype(int)
    ours = model_frame(frame, image_size)
    assert ours.shape == (image_size, image_size, 3)
    assert np.abs(ours - expected).mean() < 1.0


def test_a_crop_is_framed_like_a_made_conversation() -> None:
    """A drawn head is found, and the crop around it is about the picture that it was drawn as."""
    squares, rng = [], np.random.default_rng(0)
    for _ in range(6):
        renderer = HeadRenderer((256, 256), Look.sample(rng))
        (track,) = link(find_faces([renderer.render(NEUTRAL)]))
        squares.append(steady_crops(track, 1)[0])
        renderer.close()
    assert np.mean(squares, axis=0) == pytest.approx([128, 128, 256], abs=10)


def test_no_face_in_noise() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (3, 96, 128, 3), np.uint8)
    assert find_faces(noise) == [[], [], []]


def test_repeated_frames_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []

    class Landmarker(face.FaceLandmarker):
        def landmarks(self, frame: np.ndarray) -> list[np.ndarray]:
            looked.append(frame)
            return super().landmarks(frame)

    monkeypatch.setattr(face, "FaceLandmarker", Landmarker)
    first, second = np.zeros((2, 64, 64, 3), np.uint8)
    assert len(find_faces([first, first, first, second])) == 4
    assert len(looked) == 1 + 2  # the start looks at a black frame


def test_missing_graphics_libraries_name_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    from mediapipe.tasks.python import vision

    def fail(options: object) -> None:
        raise OSError("libEGL.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(vision.FaceLandmarker, "create_from_options", fail)
    with pytest.raises(UserError, match=r"libEGL\.so\.1.*apt-get install libegl1 libgles2 libgl1 libglib2\.0-0"):
        face.FaceLandmarker()


def test_a_library_that_opencv_lacks_names_the_same_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """MediaPipe imports OpenCV, which says ImportError where its own library can't be loaded."""
    (tmp_path / "cv2.py").write_text('raise ImportError("libGL.so.1: cannot open shared object file")\n')
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("cv2", "mediapipe")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(UserError, match=r"start \(libGL\.so\.1.*run: apt-get install libegl1 libgles2 libgl1 libglib"):
        face.FaceLandmarker()


@pytest.mark.parametrize("library", [None, "libEGL.so.1", "libGLESv2.so.2", "libGL.so.1", "libgthread-2.0.so.0"])
def test_set_up_installs_what_is_missing(monkeypatch: pytest.MonkeyPatch, library: str | None) -> None:
    def load(name: str) -> None:
        if name == library:
            raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(SYSTEM_LIBRARIES["ctypes"], "CDLL", load)
    monkeypatch.setattr(SYSTEM_LIBRARIES["glob"], "glob", lambda pattern: ["swrast_dri.so"])
    assert SYSTEM_LIBRARIES["missing"]() == (library is not None)


def test_the_system_packages_are_the_same_wherever_they_are_named() -> None:
    packages = SYSTEM_LIBRARIES["PACKAGES"]
    for page in ("README.md", "launch/Containerfile"):
        assert " ".join(packages) in " ".join((ROOT / page).read_text().split()), page
    of_faces = " ".join(name for name in packages if name != "libgl1-mesa-dri")
    assert PROBES["faces"].mend == f"apt-get install {of_faces}"
    for page in ("docs/react.md", "docs/troubleshooting.md"):
        assert f"apt-get install {of_faces}`" in (ROOT / page).read_text(), page


def test_stderr_is_left_alone_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    with face.FaceLandmarker():
        import os

        os.write(2, b"still here\n")
    assert capfd.readouterr().err == "still here\n"


def test_landmarker_task_is_in_the_package() -> None:
    assert (Path(face.__file__).parents[1] / "assets" / "face_landmarker.task").stat().st_size == 3_758_596
