"""Lags without a correlation: what paper mode's FRSyn makes of them, and clean mode's."""

import numpy as np
import pytest

from reactface_jax import metrics
from reactface_jax.metrics.synchrony import MAX_LAG, SHORTEST

NUM_CLIPS = 3


def scores_of(prediction: np.ndarray, speaker: np.ndarray) -> dict[str, dict[str, float]]:
    modes: tuple[metrics.Mode, ...] = ("paper", "clean")
    return {mode: metrics.compute(prediction, speaker, speaker, np.eye(NUM_CLIPS), mode=mode) for mode in modes}


def test_a_channel_that_stops_gives_the_first_lag_without_a_correlation() -> None:
    speaker = np.random.default_rng(9).standard_normal((NUM_CLIPS, 150, 4))
    prediction = speaker[:, None].copy()
    prediction[1, :, 40:, 2] = 0.1  # at lag 40 and above only constant frames overlap
    scores = scores_of(prediction, speaker)
    assert scores["paper"]["FRSyn"] == pytest.approx(40 / 3)
    assert scores["clean"]["FRSyn"] == 0
    assert scores["clean"]["FRSyn_NaN_share"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(("num_frames", "share"), [(30, 1), (SHORTEST - 1, 1), (SHORTEST, 0)])
def test_a_clip_too_short_for_every_lag_gives_49_in_paper_mode(num_frames: int, share: int) -> None:
    """The outermost lags overlap in T - 49 frames, and a single frame has no correlation."""
    speaker = np.random.default_rng(11).standard_normal((NUM_CLIPS, num_frames, 4))  # no channel is constant
    scores = scores_of(np.roll(speaker, 2, axis=1)[:, None], speaker)
    assert scores["clean"]["FRSyn"] == 2
    assert scores["clean"]["FRSyn_NaN_share"] == share
    if share:
        assert scores["paper"]["FRSyn"] == MAX_LAG
