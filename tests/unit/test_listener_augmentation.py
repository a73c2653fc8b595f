"""What the listener's training makes of its speakers, as a tracker would."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.mediapipe_response import fit
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.media.log_mel import NUM_BANDS
from reactface_jax.methods.listener import augmentation
from reactface_jax.types import NUM_COEFFICIENTS

FROWN, JAW, YAW = (COEFFICIENT_NAMES.index(name) for name in ("browDownLeft", "jawOpen", "rotation_y"))


@pytest.fixture
def speakers():
    """All channels are still, but browDownLeft, which frowns from frame 50 to 80, and rotation_y."""
    clips = np.full((16, 100, NUM_COEFFICIENTS), 0.1, np.float32)
    clips[:, 50:80, FROWN] = 0.6
    clips[:, 20:60, YAW] = 0.4
    return clips


def augment(clips, drawn, seed=0):
    bands = jnp.zeros((*clips.shape[:2], NUM_BANDS))
    changed, sound = augmentation.augment(jax.random.key(seed), jnp.asarray(clips), bands, drawn)
    assert changed.shape == clips.shape
    assert sound.shape == bands.shape
    return np.asarray(changed)


def all_drawn(monkeypatch, slope, residual=0.0):
    """Every clip is seen as a tracker sees that responds so; without noise of others."""
    for name, value in (("_CLEAN", 0.0), ("_DRAWN", 1.0), ("_NOISY", 0.0)):
        monkeypatch.setattr(augmentation, name, value)
    residuals = np.full(NUM_COEFFICIENTS, residual, np.float32)
    monkeypatch.setattr(augmentation, "drawn_response", lambda: (slope.astype(np.float32), residuals))


def test_a_drawn_head_moves_as_mediapipe_responds_to_it(speakers, monkeypatch):
    slope = np.zeros((NUM_COEFFICIENTS, NUM_COEFFICIENTS))
    slope[FROWN, FROWN], slope[FROWN, JAW] = 0.08, 0.5
    all_drawn(monkeypatch, slope)
    changed = augment(speakers, drawn=True)
    before, during = (np.nanmedian(changed[:, frames], axis=1) for frames in (slice(10, 48), slice(52, 78)))
    rise = during - before
    # Gains differ from person to person, and a little from channel to channel, but the tracker's share is of each.
    np.testing.assert_allclose(np.median(rise[:, FROWN] / rise[:, JAW]), 0.08 / 0.5, rtol=0.25)
    assert (rise[:, JAW] > 0.03).all()
    still = np.delete(rise, (FROWN, JAW), axis=1)  # the head's turn is not shown at all
    np.testing.assert_allclose(still, 0.0, atol=1e-6)


def test_what_the_response_leaves_over_is_noise(speakers, monkeypatch):
    all_drawn(monkeypatch, np.eye(NUM_COEFFICIENTS), residual=0.05)
    quiet = augment(speakers, drawn=True)[..., -6:].copy()
    quiet -= np.nanmedian(quiet, axis=1, keepdims=True)
    frames = slice(0, 18)  # in which nothing moves
    assert 0.01 < np.nanmean(np.nanstd(quiet[:, frames], axis=1)) < 0.1


def test_measured_speakers_are_not_measured_again(speakers, monkeypatch):
    monkeypatch.setattr(augmentation, "drawn_response", lambda: pytest.fail("for true coefficients only"))
    assert np.isfinite(augment(speakers, drawn=False)).mean() > 0.9


def test_a_tracker_makes_up_the_same_on_both_sides(speakers, monkeypatch):
    monkeypatch.setattr(augmentation, "_CLEAN", 0.0)
    monkeypatch.setattr(augmentation, "_LOUD", 1.0)
    monkeypatch.setattr(augmentation, "_QUICK", np.zeros((1, 1, NUM_COEFFICIENTS), np.float32))
    left, right, other = (COEFFICIENT_NAMES.index(n) for n in ("mouthSmileLeft", "mouthSmileRight", "rotation_x"))
    changed = augment(speakers, drawn=False, seed=3)
    agree, differ = [], []
    for clip in changed[np.isfinite(changed).all((1, 2))]:
        agree.append(np.corrcoef(clip[:, left], clip[:, right])[0, 1])
        differ.append(abs(np.corrcoef(clip[:, left], clip[:, other])[0, 1]))
    assert np.median(agree) > 0.9
    assert np.median(differ) < 0.6


def test_the_asset_is_a_response():
    slope, residual = augmentation.drawn_response()
    assert slope.shape == (NUM_COEFFICIENTS, NUM_COEFFICIENTS)
    assert residual.shape == (NUM_COEFFICIENTS,)
    # MediaPipe follows turns and tilts of drawn heads, and hardly a frown.
    for name in ("rotation_y", "rotation_z"):
        assert 0.5 < slope[COEFFICIENT_NAMES.index(name), COEFFICIENT_NAMES.index(name)] < 1.3
    frown = [i for i, name in enumerate(COEFFICIENT_NAMES) if name.startswith("browDown")]
    assert 0 < slope[np.ix_(frown, frown)].sum() / 2 < 0.3
    assert (residual >= 0).all()


def test_a_known_response_is_found():
    rng = np.random.default_rng(0)
    true = rng.normal(0, 0.5, (6, 200, 4))
    slope = rng.normal(size=(4, 4))
    measured = true @ slope + 5.0 + rng.normal(0, 0.1, true.shape)
    measured[0, :10] = np.nan  # no face there
    found = fit(true[1:], measured[1:])
    np.testing.assert_allclose(found.slope, slope, rtol=0.05, atol=0.05)
    np.testing.assert_allclose(found.residual, 0.1, rtol=0.1)
    assert np.isfinite(fit(true, measured).slope).all()
