"""The 3-D head: does a face look as its coefficients say?"""

import numpy as np
import pytest

from reactface_jax.errors import UserError
from reactface_jax.rendering import ARKIT_NAMES, HeadRenderer, Look
from reactface_jax.rendering.arkit_head.mesh import BUST_EDGE, CENTRE, PLAIN, head_mesh
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL, rotation_matrix
from reactface_jax.types import NUM_EXPRESSION

# Colours that no other part of the face has: each part can be found in the picture by its hue alone.
MARKED = Look(skin=(0.5, 0.5, 0.5), lips=(1.0, 0.0, 0.0), hair=(0.0, 0.0, 1.0), iris=(0.0, 1.0, 0.0), yaw=0.0)


def face(pitch=0.0, yaw=0.0, roll=0.0, **weights):
    """Raw coefficients; `mouthSmile=1` sets both sides."""
    coefficients = NEUTRAL.copy()
    for channel, weight in weights.items():
        sides = [i for i, name in enumerate(ARKIT_NAMES) if name in (channel, f"{channel}Left", f"{channel}Right")]
        assert sides
        coefficients[sides] = weight
    coefficients[52:55] += (pitch, yaw, roll)
    return coefficients


def where(picture, channel):
    """Rows and columns of the pixels dominated by one colour channel."""
    picture = picture.astype(int)
    others = np.delete(picture, channel, axis=2).max(axis=2)
    return np.nonzero(picture[..., channel] > others + 60)


@pytest.fixture(scope="module")
def renderer():
    renderer = HeadRenderer((256, 256), MARKED)
    yield renderer
    renderer.close()


def test_names_are_arkits():
    assert len(ARKIT_NAMES) == NUM_EXPRESSION
    assert list(ARKIT_NAMES) == sorted(ARKIT_NAMES)
    assert {"jawOpen", "mouthSmileLeft", "tongueOut"} <= set(ARKIT_NAMES)


def test_upright_and_centred(renderer):
    picture = renderer.render(NEUTRAL)
    hair, lips, iris = (where(picture, channel) for channel in (2, 0, 1))
    assert hair[0].min() > 0, "the head's top is in the picture"
    assert np.percentile(hair[0], 10) < iris[0].mean() < lips[0].mean() < 200
    assert abs(lips[1].mean() - 127.5) < 3
    assert lips[1].max() - lips[1].min() > 25, "the face fills the picture"


def test_renders_are_deterministic_and_leave_no_trace(renderer):
    first = renderer.render(NEUTRAL)
    renderer.render(face(pitch=0.3, jawOpen=1.0))
    np.testing.assert_array_equal(renderer.render(NEUTRAL), first)


def test_smile_raises_and_widens_the_mouth_corners(renderer):
    neutral, smile = (where(renderer.render(face(mouthSmile=weight)), 0) for weight in (0.0, 1.0))

    def corner_rows(lips):
        rows, columns = lips
        return rows[columns <= columns.min() + 3].mean(), rows[columns >= columns.max() - 3].mean()

    assert np.ptp(smile[1]) > np.ptp(neutral[1]) + 8
    for before, after in zip(corner_rows(neutral), corner_rows(smile), strict=True):
        assert after < before - 4, "rows count downwards"


def test_left_is_the_persons_left(renderer):
    """Facing us, the person's left is on the right of the picture."""
    neutral = renderer.render(NEUTRAL).astype(int)
    changed = np.abs(renderer.render(face(mouthSmileLeft=1.0)).astype(int) - neutral).sum(axis=(0, 2))
    assert changed[128:].sum() > 3 * changed[:128].sum()  # the middle of the lips moves too


def test_blink_covers_the_iris_and_jaw_shows_the_mouth(renderer):
    assert len(where(renderer.render(NEUTRAL), 1)[0]) > 50
    assert len(where(renderer.render(face(eyeBlink=1.0)), 1)[0]) < 5
    assert np.ptp(where(renderer.render(face(jawOpen=1.0)), 0)[0]) > np.ptp(where(renderer.render(NEUTRAL), 0)[0]) + 10


@pytest.mark.parametrize(("pose", "axis", "sign"), [({"pitch": 0.2}, 0, 1), ({"yaw": 0.3}, 1, -1)])
def test_head_moves_the_way_its_angles_say(renderer, pose, axis, sign):
    """More rotation about x is a nod downwards; about y a turn to the left of the picture."""
    before, after = (where(renderer.render(face(**p)), 0)[axis].mean() for p in ({}, pose))
    assert sign * (after - before) > 5


def test_roll_turns_clockwise(renderer):
    rows, columns = where(renderer.render(face(roll=0.3)), 1)
    assert rows[columns > 128].mean() > rows[columns < 128].mean() + 5


def test_further_away_is_smaller(renderer):
    far = NEUTRAL.copy()
    far[57] += 3.0
    assert np.ptp(where(renderer.render(far), 0)[1]) < np.ptp(where(renderer.render(NEUTRAL), 0)[1])


def test_rotation_is_faceverses():
    """R = (Rz Ry Rx)^T on the right of row vectors: a turn about x by pi/2 takes y to z."""
    np.testing.assert_allclose([0, 1, 0] @ rotation_matrix(np.array([np.pi / 2, 0, 0])), [0, 0, 1], atol=1e-6)
    angles = np.array([0.3, -0.2, 0.5])
    np.testing.assert_allclose(rotation_matrix(angles) @ rotation_matrix(angles).T, np.eye(3), atol=1e-6)


def test_neutral_pose_puts_the_heads_centre_at_the_translation(renderer):
    vertices = renderer.pose(NEUTRAL)[0]
    nearest = np.linalg.norm(head_mesh().vertices - CENTRE, axis=1).argmin()
    offset = (head_mesh().vertices[nearest] - CENTRE) * [1, -1, -1] * MARKED.scale
    np.testing.assert_allclose(vertices[nearest], offset + NEUTRAL[55:], atol=1e-5)


def test_names_may_come_in_another_order(renderer):
    backwards = HeadRenderer((64, 64), MARKED, names=ARKIT_NAMES[::-1])
    smile = face(mouthSmile=1.0)
    reordered = np.concatenate([smile[:52][::-1], smile[52:]])
    np.testing.assert_array_equal(backwards.pose(reordered), renderer.pose(smile))
    backwards.close()


def test_sampled_looks_differ_and_are_seeded():
    looks = [Look.sample(np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert looks[0] == looks[1] != looks[2]


def test_unnamed_channels_are_refused():
    with pytest.raises(UserError, match="coefficient_names"):
        HeadRenderer(names=[f"expression_{i:02d}" for i in range(52)])
    with pytest.raises(UserError, match="got 53"):
        HeadRenderer(names=[*ARKIT_NAMES, "more"])


def test_wrong_number_of_coefficients(renderer):
    with pytest.raises(UserError, match="a picture needs 58 coefficients, got shape"):
        renderer.render(NEUTRAL[:57])


def test_no_triangle_stretches_over_the_texture():
    """Skin, teeth and the inside of the mouth lie far apart there, with other colours between them."""
    mesh = head_mesh()
    for place in PLAIN.values():
        corners = (np.abs(mesh.texture_coordinates - place) < 1e-5).all(axis=1)[mesh.triangles]
        assert corners.any()
        assert (corners.all(axis=1) | ~corners.any(axis=1)).all()


def test_lips_stay_closed_until_the_jaw_has_moved_a_little():
    """A listener's rest (jawOpen up to .05) shows lips and no teeth; a jaw that is open shows what is behind them."""
    head = HeadRenderer((512, 512), MARKED)

    def gap(jaw: float) -> int:
        """Rows between the lips, in the middle of the mouth."""
        picture = head.render(face(jawOpen=jaw))
        rows, columns = np.nonzero((picture[..., 0] > 80) & (picture[..., 1] < 25))  # redder than the tongue
        middle = np.unique(rows[np.abs(columns - 256) < 3])
        return int(np.diff(middle).max()) - 1

    assert [gap(jaw) for jaw in (0.0, 0.05)] == [0, 0]
    assert gap(0.3) > 3
    head.close()


def test_the_bust_ends_in_a_straight_line():
    mesh = head_mesh()
    edges = np.sort(mesh.triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    height = mesh.vertices[np.unique(unique[count == 1]), 1]
    shoulders = height[height < 6]
    assert len(shoulders) > 20
    np.testing.assert_allclose(shoulders, BUST_EDGE, atol=1e-6)


def test_four_samples_a_pixel_are_the_mean_of_a_picture_twice_as_large():
    small, large = HeadRenderer((64, 96), MARKED, samples=4), HeadRenderer((128, 192), MARKED)
    mean = large.render(NEUTRAL).astype(float).reshape(64, 2, 96, 2, 3).mean(axis=(1, 3))
    assert np.abs(small.render(NEUTRAL) - mean).max() <= 0.5
    with pytest.raises(UserError, match="no square; give 1, 4, 9"):
        HeadRenderer(samples=3)
    small.close()
    large.close()
