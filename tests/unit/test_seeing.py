"""benchmarks/seeing.py: what a linear map reads from features, by hand-made features."""

import numpy as np

from benchmarks.seeing import correlations

CLIPS, FRAMES = 6, 50


def made(seed: int, mix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features in which the first of two coefficients stands, beside noise and an offset of each clip's own."""
    rng = np.random.default_rng(seed)
    speaker = rng.standard_normal((CLIPS, FRAMES, 2))
    noise = rng.standard_normal((CLIPS, FRAMES, 2))
    seen = np.concatenate([speaker[..., :1], noise], axis=-1) @ mix
    return seen, speaker + rng.standard_normal((CLIPS, 1, 2))


def test_what_features_hold_is_read_and_what_they_lack_is_not() -> None:
    mix = np.random.default_rng(0).standard_normal((3, 4))
    found = correlations(*made(1, mix), *made(2, mix))
    assert found[0] > 0.98
    assert abs(found[1]) < 0.2


def test_a_coefficient_that_never_moves_counts_as_unseen() -> None:
    mix = np.eye(3)
    seen, speaker = made(1, mix)
    still = np.zeros_like(speaker)
    np.testing.assert_array_equal(correlations(seen, speaker, seen, still), np.zeros(2))
