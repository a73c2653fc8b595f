"""Measuring people: the pose's units and signs, gaps, clips, and whose mouth follows the sound."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data_pipeline.own_recordings.mouth_and_sound import envelope, follows
from reactface_jax.errors import UserError
from reactface_jax.extraction.head_pose import head_pose
from reactface_jax.extraction.people import choose_two, coefficients_of, fill_gaps, hold, segments
from reactface_jax.media.face import FaceLandmarker, FaceTrack, MeasuredFace
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL, HeadRenderer, rotation_matrix

VIDEO = Path("talk.mp4")


def matrix(rotation: np.ndarray, place: tuple[float, float, float]) -> np.ndarray:
    found = np.eye(4, dtype=np.float32)
    found[:3, :3], found[:3, 3] = rotation, place
    return found


def test_a_face_that_looks_into_the_camera_has_the_rest_pose() -> None:
    pose = head_pose(matrix(np.eye(3), (0, 0, -26.6)))  # as far as its model of a face is in a usual crop
    np.testing.assert_allclose(pose[:3], [np.pi, 0, 0], atol=1e-6)
    np.testing.assert_allclose(pose[3:], [0, 0, 1.84], atol=0.15)


def test_rotation_is_the_renderers() -> None:
    """What the coefficients turn the head by is MediaPipe's rotation in a camera with y down and z away."""
    for angles in np.random.default_rng(0).uniform(-0.6, 0.6, (20, 3)):
        rotation = Rotation.from_rotvec(angles).as_matrix()
        pose = head_pose(matrix(rotation, (1, 2, -30)))
        expected = np.diag([1, -1, -1]) @ rotation  # of column vectors; the renderer's is for rows
        np.testing.assert_allclose(rotation_matrix(pose[:3]).T, expected, atol=1e-6)
        assert 0 <= pose[0] < 2 * np.pi


def test_translation_moves_with_the_face() -> None:
    """Right, down and away in the picture are positive; twice as far is half as large."""
    rest = head_pose(matrix(np.eye(3), (0, 0, -26)))[3:]
    right, down, away = (
        head_pose(matrix(np.eye(3), place))[3:] - rest for place in ((1.5, 0, -26), (0, -1.5, -26), (0, 0, -27))
    )
    np.testing.assert_allclose(right, [0.101, 0, 0], atol=0.002)  # 1.5 of 14.8 cm
    np.testing.assert_allclose(down, [0, 0.101, 0], atol=0.002)
    assert away[2] == pytest.approx(11.84 / 24, abs=0.02)


def test_a_drawn_heads_pose_is_found_again() -> None:
    """Each angle and place is found with its sign, apart from the others."""
    renderer, found = HeadRenderer(), []
    moves = np.diag([0.25, 0.3, 0.25, 0.12, 0.12, 0.6])
    for move in (np.zeros(6), *moves):
        picture = renderer.render(NEUTRAL + np.concatenate([np.zeros(52), move]).astype(np.float32))
        with FaceLandmarker(measures=True) as landmarker:
            (face,) = [landmarker.measure(picture) for _ in range(3)][-1]
        found.append(head_pose(face.matrix))
    renderer.close()
    assert (np.abs(found[0] - NEUTRAL[52:]) < [0.08, 0.03, 0.03, 0.03, 0.04, 0.35]).all()
    change = (np.array(found[1:]) - found[0]) / moves.diagonal()
    assert change.diagonal() == pytest.approx([0.6, 0.85, 1, 1, 1, 1], abs=0.2)
    angles = np.abs(change - np.diag(change.diagonal()))[:3, :3]
    assert angles.max() < 0.15


def test_coefficients_are_arkits_with_the_tongue_in() -> None:
    weights = {name: i / 100 for i, name in enumerate(ARKIT_NAMES) if name != "tongueOut"}
    face = MeasuredFace(np.zeros((478, 3), np.float32), weights, matrix(np.eye(3), (0, 0, -26)))
    coefficients = coefficients_of(face)
    assert coefficients.shape == (58,)
    assert coefficients[ARKIT_NAMES.index("tongueOut")] == 0
    assert coefficients[ARKIT_NAMES.index("jawOpen")] == pytest.approx(weights["jawOpen"])


def test_mediapipe_knows_51_of_the_names() -> None:
    renderer = HeadRenderer()
    picture = renderer.render(NEUTRAL)
    renderer.close()
    with FaceLandmarker(measures=True) as landmarker:
        (face,) = landmarker.measure(picture)
    assert set(ARKIT_NAMES) - set(face.weights) == {"tongueOut"}
    assert len(face.weights) == 51


def test_short_gaps_are_interpolated_and_long_ones_not() -> None:
    values, known = np.zeros((40, 2), np.float32), np.zeros(40, bool)
    known[[2, 3, 16, 30]] = True  # 12 frames (0.48 s) lost, then 13
    values[[3, 16, 30]] = [[0, 13], [13, 0], [1, 1]]
    filled, usable = fill_gaps(values, known)
    np.testing.assert_array_equal(np.flatnonzero(usable), [*range(2, 17), 30])
    np.testing.assert_allclose(filled[3:17, 0], np.arange(14))
    np.testing.assert_allclose(filled[3:17, 1], np.arange(14)[::-1])


def test_a_slow_videos_repeated_pictures_are_interpolated_and_a_still_is_kept() -> None:
    """12.5 fps, then a picture that stands for a second, then one in which the face is lost, then the last."""
    shown = np.array([0, 0, 2, 2, *[4] * 25, *[29] * 2, 31, 31])
    found = np.isin(np.arange(33), [0, 2, 4, 31])
    values = np.where(found, np.arange(33), 0)[:, None].astype(np.float32)
    held, known = hold(values, found, shown)
    filled, usable = fill_gaps(held, known)
    np.testing.assert_allclose(filled[:5, 0], [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(filled[4:29, 0], 4)
    assert usable.all()
    np.testing.assert_allclose(filled[29:, 0], [13, 22, 31, 31])


def test_segments() -> None:
    usable = np.ones(100, bool)
    usable[[10, 95]] = False
    assert segments(usable, 40, 5) == [(0, 10), (11, 51), (51, 91)]
    assert segments(usable, 40, 4) == [(0, 10), (11, 51), (51, 91), (91, 95), (96, 100)]
    assert segments(~usable, 40, 2) == []


def test_the_mouth_that_follows_the_sound() -> None:
    rng = np.random.default_rng(0)
    syllables = np.repeat(rng.random(50), 4)
    audio = (np.repeat(syllables, 640) * rng.normal(size=200 * 640)).astype(np.float32)
    loudness = envelope(audio[:-3000], 200)  # a little short
    assert loudness.shape == (200,)
    assert loudness[-4:].sum() < loudness[:4].sum() + 1
    usable = np.ones(200, bool)
    assert follows(np.roll(syllables, -3).astype(np.float32), loudness, usable) > 0.9  # opens before it is heard
    assert follows(rng.random(200).astype(np.float32), loudness, usable) < 0.5
    assert follows(np.zeros(200, np.float32), loudness, usable) == 0


def track(x: float, width: float = 20, frames: int = 10) -> FaceTrack:
    return FaceTrack({t: np.array([x - width / 2, 0, x + width / 2, 30]) for t in range(frames)})


def test_choose_two() -> None:
    left, middle, right = track(40), track(90, 30), track(140, 25)
    tracks = [right, middle, left, track(10, 90, frames=1)]  # the last: a false alarm
    assert choose_two(tracks, "", "", VIDEO) == (middle, right)  # the two largest, from the left
    assert choose_two(tracks, "right", "left", VIDEO) == (right, left)
    assert choose_two(tracks, "", "right", VIDEO) == (middle, right)
    assert choose_two(tracks, "left", "", VIDEO) == (left, middle)
    with pytest.raises(UserError, match=r"right and 3 are the same face in talk\.mp4"):
        choose_two(tracks, "right", "3", VIDEO)
    with pytest.raises(UserError, match=r"only one face was found in talk\.mp4, but speaker and listener are wanted"):
        choose_two([left], "", "", VIDEO)
