"""Measures against cases worked out by hand, plain loops, and the identities that hold for any data."""

import math

import numpy as np
import pytest

from reactface_jax import metrics
from reactface_jax.errors import UserError
from reactface_jax.metrics import bootstrap, correlation, diversity, dtw
from reactface_jax.metrics.synchrony import MAX_LAG, channel_lag, lagged_correlation

IDENTITY = np.eye(3, dtype=bool)


def smooth(generator: np.random.Generator, *shape: int) -> np.ndarray:
    """Float32 sequences [..., T, C] that resemble motion, around the offset that raw rotations have."""
    noise = generator.standard_normal(shape).cumsum(-2) * 0.05
    return (noise + 3).astype(np.float32)


@pytest.fixture
def data() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    neighbours = generator.random((5, 5)) < 0.4
    np.fill_diagonal(neighbours, True)
    neighbours[0] = True  # one row with more neighbours than reactions
    return {
        "prediction": smooth(generator, 5, 3, 120, 6),
        "speaker": smooth(generator, 5, 120, 6),
        "listener": smooth(generator, 5, 120, 6),
        "neighbours": neighbours,
    }


# ---- FRCorr


def test_ccc_by_hand():
    # x = 0 1 2 3, y = x + 1: covariance and variances 1.25, means 1 apart: 2.5 / (2.5 + 1). And y = -x, means 3 apart.
    x = np.array([[0.0, 1.0, 2.0, 3.0]])[..., None]
    y = np.stack([x[0], x[0] + 1, -x[0], np.ones((4, 1))])
    ccc = correlation.concordance(correlation.moments(x), correlation.moments(y))
    np.testing.assert_allclose(ccc[0, 0], [1, 2.5 / 3.5, -2.5 / 11.5, 0], rtol=1e-12)


def test_ccc_agrees_with_a_loop_over_pairs(data):
    def ccc(x: np.ndarray, y: np.ndarray) -> float:
        x, y = x.astype(np.float64), y.astype(np.float64)
        rho = np.corrcoef(x, y)[0, 1]
        return 2 * rho * x.std() * y.std() / (x.var() + y.var() + (x.mean() - y.mean()) ** 2 + 1e-50)

    best = correlation.best_concordance(data["prediction"], correlation.moments(data["listener"]), data["neighbours"])
    for i, row in enumerate(data["neighbours"]):
        for k, reaction in enumerate(data["prediction"][i]):
            of_pairs = [
                np.mean([ccc(listener[:, c], reaction[:, c]) for c in range(6)]) for listener in data["listener"][row]
            ]
            np.testing.assert_allclose(best.every_channel[i, k], max(of_pairs), rtol=1e-9)
    np.testing.assert_array_equal(best.varying_channels, best.every_channel)


def test_constant_channels_count_as_zero_in_paper_mode_and_not_at_all_in_clean_mode():
    listener = smooth(np.random.default_rng(1), 3, 60, 4)
    listener[:, :, 0] = 0.1  # whose mean over 60 frames is not 0.1 in floating point
    arrays = (listener[:, None], listener, listener, IDENTITY)
    assert metrics.compute(*arrays, mode="paper")["FRCorr"] == pytest.approx(10 * 3 / 4)
    assert metrics.compute(*arrays, mode="clean")["FRCorr"] == pytest.approx(10)


def test_a_prediction_that_stands_still_scores_zero():
    listener = smooth(np.random.default_rng(1), 3, 60, 4)
    still = np.broadcast_to(listener.mean((0, 1)), (3, 2, 60, 4))
    scores = metrics.compute(still, listener, listener, IDENTITY)
    assert scores["FRCorr"] == 0
    assert scores["FRVar"] == scores["FRDiv"] == scores["FRDvs"] == 0
    assert math.isnan(scores["FRSyn"])
    assert math.isnan(scores["conditioning_share"])
    assert scores["FRSyn_NaN_share"] == 1


# ---- FRDist


def brute_dtw(x: np.ndarray, y: np.ndarray) -> float:
    costs = np.full((len(x) + 1, len(y) + 1), np.inf)
    costs[0, 0] = 0
    for i in range(len(x)):
        for j in range(len(y)):
            step = min(costs[i, j], costs[i, j + 1], costs[i + 1, j])
            costs[i + 1, j + 1] = np.square(x[i] - y[j]).sum() + step
    return math.sqrt(costs[-1, -1])


def test_dtw_by_hand():
    # 0 0 1 against 0 1 1: warping matches all; against 1 2 3 both zeros meet the 1, the 1 meets the 2 and the 3.
    x = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])[..., None]
    y = np.array([[0.0, 1.0, 1.0], [1.0, 2.0, 3.0]])[..., None]
    squares = [[0, 1 + 1 + 1 + 4], [0 + 1 + 1, 1 + 4 + 9]]
    np.testing.assert_allclose(dtw.distances(x, y), np.sqrt(squares))


@pytest.mark.parametrize(("num_x", "num_y", "x_frames", "y_frames"), [(2, 3, 9, 7), (3, 1, 7, 9), (1, 1, 1, 5)])
@pytest.mark.parametrize("strip", [1, 60, 2**24])
def test_dtw_agrees_with_the_recursion(monkeypatch, num_x, num_y, x_frames, y_frames, strip):
    monkeypatch.setattr(dtw, "_CELLS", strip)  # strips of one row, of a few, all at once
    generator = np.random.default_rng(3)
    x, y = generator.standard_normal((num_x, x_frames, 5)), generator.standard_normal((num_y, y_frames, 5))
    expected = [[brute_dtw(a, b) for b in y] for a in x]
    np.testing.assert_allclose(dtw.distances(x, y), expected, rtol=1e-12)
    np.testing.assert_allclose(dtw.distances(x, y, np.float32), expected, rtol=1e-5)


def test_nearest_distance_is_the_exact_minimum(data):
    prediction, listener = data["prediction"][:, :, :30], data["listener"][:, :30]
    nearest = dtw.nearest_distance(prediction, listener, data["neighbours"])
    for i, row in enumerate(data["neighbours"]):
        for k, reaction in enumerate(prediction[i].astype(np.float64)):
            expected = min(brute_dtw(reaction, y) for y in listener[row].astype(np.float64))
            np.testing.assert_allclose(nearest[i, k], expected, rtol=1e-12)


def faces(generator: np.random.Generator, *shape: int) -> np.ndarray:
    """Float32 sequences [..., T, 16] that move along three directions, around an offset of their own."""
    mixing = np.random.default_rng(9).standard_normal((3, 16))
    motion = generator.standard_normal((*shape, 3)).cumsum(-2) * 0.1 + generator.standard_normal((*shape[:-1], 1, 3))
    return (motion @ mixing + 0.01 * generator.standard_normal((*shape, 16)) + 3).astype(np.float32)


def test_pruning_changes_nothing():
    generator = np.random.default_rng(11)
    prediction, listener = faces(generator, 2, 3, 40), faces(generator, 50, 40)
    listener[7] = listener[30] = prediction[0, 0]  # equal, and the nearest two times over
    listener[8] = np.nextafter(prediction[0, 1], 9)  # nearest by rounding alone
    listener[9] = prediction[0, 1]
    neighbours = np.ones((2, 50), bool)
    neighbours[1, ::3] = False
    pool = dtw.Pool(listener)
    assert pool.components is not None
    nearest = dtw.nearest_distance(prediction, pool, neighbours)
    every = [dtw.distances(clip, listener[row]).min(-1) for clip, row in zip(prediction, neighbours, strict=True)]
    np.testing.assert_allclose(nearest, every, rtol=1e-13)
    unpruned = dtw.nearest_distance(prediction, listener, neighbours, prune=False)
    np.testing.assert_allclose(nearest, unpruned, rtol=1e-13)
    assert nearest[0, 0] == nearest[0, 1] == 0 < nearest[0, 2]


def test_the_bound_is_below_every_distance_and_spares_most(monkeypatch):
    generator = np.random.default_rng(12)
    prediction, listener = faces(generator, 1, 2, 40), faces(generator, 60, 40)
    pool = dtw.Pool(listener)
    bounds, exact = dtw.distances(pool.reduce(prediction[0]), pool.reduced), dtw.distances(prediction[0], listener)
    assert (bounds <= exact * (1 + 1e-5)).all()
    assert np.median(bounds / exact) > 0.9
    measured = []
    cells = dtw.Strip.cells
    monkeypatch.setattr(dtw.Strip, "cells", lambda s, rows, y: measured.append(y.shape[1:]) or cells(s, rows, y))
    dtw.nearest_distance(prediction, pool, np.ones((1, 60), bool))
    assert sum(lanes for lanes, width in measured if width == 16 + 2) < 0.7 * 2 * 60


def test_channels_that_move_on_their_own_have_no_bound():
    noise = np.random.default_rng(13).standard_normal((20, 30, 6)).astype(np.float32)
    assert dtw.Pool(noise).components is None
    found = dtw.nearest_distance(noise[:1, None], noise, np.eye(20, dtype=bool)[3:4] | np.eye(20, dtype=bool)[5:6])
    assert found[0, 0] == dtw.distances(noise[:1], noise[[3, 5]]).min()


def test_challenge_attributes_are_warped_in_three_groups():
    x, y = np.random.default_rng(4).standard_normal((2, 1, 12, 25))
    expected = (
        brute_dtw(x[0, :, :15], y[0, :, :15]) / 15
        + brute_dtw(x[0, :, 15:17], y[0, :, 15:17])
        + brute_dtw(x[0, :, 17:], y[0, :, 17:]) / 8
    )
    np.testing.assert_allclose(dtw.distances(x, y)[0, 0], expected, rtol=1e-12)
    prediction = np.stack([x, x], 1)  # the challenge sums over reactions, clean mode averages
    paper = metrics.compute(prediction, y, y, np.ones((1, 1)), mode="paper")
    assert paper["FRDist"] == pytest.approx(2 * expected)
    assert metrics.compute(prediction, y, y, np.ones((1, 1)))["FRDist"] == pytest.approx(expected)


# ---- FRVar, FRDiv, FRDvs


def test_diversities_by_hand():
    # Two clips, two reactions, four frames, one channel.
    prediction = np.array([[[0, 0, 0, 4], [2, 2, 2, 2]], [[0, 0, 0, 4], [0, 0, 0, 4]]], np.float64)[..., None]
    np.testing.assert_allclose(diversity.variance_over_time(prediction), [(4 + 0) / 2, 4])
    np.testing.assert_allclose(diversity.within_clips(prediction), [4, 0])  # (2² + 2² + 2² + 2²) / 4
    assert diversity.between_clips(prediction) == pytest.approx((0 + 4) / 2)
    assert not diversity.within_clips(prediction[:, :1]).any()
    assert diversity.between_clips(prediction[:1]) == 0


def test_noise_has_its_variance_and_twice_it():
    noise = 3 + np.random.default_rng(5).normal(0, math.sqrt(0.02), (20, 5, 200, 4))
    speaker = smooth(np.random.default_rng(6), 20, 200, 4)
    scores = metrics.compute(noise, speaker, speaker, np.eye(20))
    assert scores["FRVar"] == pytest.approx(0.02, rel=0.02)
    assert scores["FRDiv"] == pytest.approx(0.04, rel=0.02)
    assert scores["FRDvs"] == pytest.approx(0.04, rel=0.02)
    assert scores["conditioning_share"] == pytest.approx(0, abs=0.02)


# ---- FRSyn


@pytest.mark.parametrize("num_frames", [120, 45])  # the latter shorter than the longest lag
def test_lagged_correlation_agrees_with_a_loop(num_frames):
    generator = np.random.default_rng(7)
    prediction, speaker = smooth(generator, 2, num_frames, 3), smooth(generator, num_frames, 3)
    prediction[0, :, 1] = 0.3  # constant
    prediction[1, 20:, 2] = 0.7  # constant in some overlaps only
    found = lagged_correlation(prediction, speaker)
    for lag in range(-MAX_LAG, MAX_LAG + 1):
        for k in range(2):
            for c in range(3):
                x, y = prediction[k, :, c], speaker[:, c]
                x, y = (x[lag:], y[: num_frames - lag]) if lag >= 0 else (x[: max(0, num_frames + lag)], y[-lag:])
                value = found[k, lag + MAX_LAG, c]
                if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
                    assert math.isnan(value)
                else:
                    np.testing.assert_allclose(value, np.corrcoef(x, y)[0, 1], atol=1e-9)


@pytest.mark.parametrize("delay", [0, 7, -12])
def test_the_lag_of_a_delayed_copy(delay):
    speaker = smooth(np.random.default_rng(8), 4, 300, 5)
    prediction = np.roll(speaker, delay, axis=1)[:, None]
    curve = lagged_correlation(prediction[0], speaker[0]).mean((0, 2))
    assert curve.argmax() - MAX_LAG == delay  # positive: the reaction follows
    scores = metrics.compute(prediction, speaker, speaker, np.eye(4))
    assert scores["FRSyn"] == abs(delay)
    assert scores["peak_correlation"] > 0.9
    if delay >= 0:
        found = channel_lag(prediction, speaker, [1, 3])
        assert found.lag == delay
        assert found.correlation > 0.9


def test_channel_lag_is_nan_where_nothing_moves():
    speaker = smooth(np.random.default_rng(8), 2, 80, 3)
    assert math.isnan(channel_lag(np.zeros((2, 1, 80, 3)), speaker, [0]).lag)


def test_one_constant_channel_gives_49_in_paper_mode_alone():
    speaker = smooth(np.random.default_rng(9), 3, 150, 4)
    prediction = speaker[:, None].copy()
    prediction[1, ..., 2] = 0.1
    paper = metrics.compute(prediction, speaker, speaker, IDENTITY, mode="paper")
    clean = metrics.compute(prediction, speaker, speaker, IDENTITY, mode="clean")
    assert paper["FRSyn"] == pytest.approx(49 / 3)
    assert clean["FRSyn"] == 0
    assert clean["FRSyn_NaN_share"] == pytest.approx(1 / 3)
    assert clean["peak_correlation"] == pytest.approx(1)


# ---- Whole rows


def test_ground_truth(data):
    repeated = np.broadcast_to(data["listener"][:, None], (5, 4, 120, 6))
    scores = metrics.compute(repeated, data["speaker"], data["listener"], data["neighbours"])
    assert scores["FRCorr"] == pytest.approx(10)
    assert scores["FRDist"] == 0
    assert scores["FRDiv"] == 0
    assert scores["conditioning_share"] == 1
    assert scores["FRCorr_random_neighbours"] < 5


def test_mirror_of_a_split_with_both_roles():
    people = smooth(np.random.default_rng(10), 6, 100, 4)
    speaker, listener = people, np.roll(people, 3, axis=0)
    mirror, truth = (metrics.compute(x[:, None], speaker, listener, np.eye(6)) for x in (speaker, listener))
    assert mirror["FRSyn"] == 0
    assert mirror["FRVar"] == pytest.approx(truth["FRVar"])
    assert mirror["FRDvs"] == pytest.approx(truth["FRDvs"])


@pytest.mark.parametrize("mode", metrics.MODES)
def test_a_broadcast_reaction_counts_like_copies_of_it(data, mode):
    broadcast = np.broadcast_to(data["prediction"][:, :1], (5, 4, 120, 6))
    rest = (data["speaker"], data["listener"], data["neighbours"])
    copies = metrics.compute(broadcast.copy(), *rest, mode=mode)
    for name, value in metrics.compute(broadcast, *rest, mode=mode).items():
        assert value == pytest.approx(copies[name], rel=1e-12), name


def test_multiprocess_figures_are_k_times_the_averages(data):
    scores = metrics.compute(**data, mode="paper")
    assert scores["FRCorr_multiprocess"] == pytest.approx(3 * scores["FRCorr"])
    assert scores["FRDist_multiprocess"] == pytest.approx(3 * scores["FRDist"])


def test_measuring_does_not_change_its_input(data):
    before = {name: array.copy() for name, array in data.items()}
    metrics.compute(**data)
    for name, array in data.items():
        np.testing.assert_array_equal(array, before[name])


# ---- Intervals


def test_intervals_cover_the_figures(data):
    measured = metrics.measure(**data)
    for mode in metrics.MODES:
        figures, drawn = metrics.summarise(measured, mode), bootstrap.draws(measured, mode)
        assert drawn.keys() == {name for name in figures if "multiprocess" not in name}
        for name, values in drawn.items():
            low, high = bootstrap.interval(values)
            assert low <= figures[name] <= high, name


def test_intervals_have_the_width_that_theory_says():
    # FRVar's is that of a mean, sd / sqrt(N); FRDvs's that of a U-statistic: for noise of variance v in TC numbers with
    # an offset of variance u shared by all of a clip's numbers, 2 (sd of the clips' (offset² + ...) shares) / sqrt(N).
    generator = np.random.default_rng(14)
    clips = generator.standard_normal((200, 1, 1, 1)) + 0.1 * generator.standard_normal((200, 1, 30, 2))
    speaker = smooth(generator, 200, 30, 2)
    measured = metrics.measure(clips, speaker, speaker, np.eye(200))
    assert measured.distance_to_others.mean() == pytest.approx(measured.diverseness)
    low, high = bootstrap.interval(bootstrap.draws(measured, "clean")["FRVar"])
    assert (high - low) / 2 == pytest.approx(1.96 * measured.variance.std() / math.sqrt(200), rel=0.1)
    low, high = bootstrap.interval(bootstrap.draws(measured, "clean")["FRDvs"])
    # Twice the offsets' variance, estimated from 200 of them: sd 2 u sqrt(2 / N).
    assert (high - low) / 2 == pytest.approx(1.96 * 2 * math.sqrt(2 / 200), rel=0.25)


def test_of_one_conversation_no_figure_has_an_interval(data):
    measured, counts = metrics.measure(**data), bootstrap.resamplings(np.zeros(5, int))
    for mode in metrics.MODES:
        for name, values in bootstrap.draws(measured, mode, counts).items():
            assert np.isnan(values).all(), name


def test_methods_are_compared_on_the_same_clips(data):
    generator = np.random.default_rng(15)
    worse = data["prediction"] + 0.02 * generator.standard_normal(data["prediction"].shape).astype(np.float32)
    one, other = (
        bootstrap.draws(metrics.measure(p, data["speaker"], data["listener"], data["neighbours"]), "clean")
        for p in (data["prediction"], worse)
    )
    overlap = bootstrap.interval(one["FRVar"]).high > bootstrap.interval(other["FRVar"]).low
    assert overlap, "the intervals alone don't tell"
    assert bootstrap.differ(one["FRVar"], other["FRVar"])
    assert bootstrap.differ(one["FRVar"], one["FRVar"]) is False
    assert bootstrap.differ(one["FRVar"], np.full(1000, np.nan)) is None


# ---- Bad input


def change(name: str, index: object, value: float):
    def apply(data: dict[str, np.ndarray]) -> None:
        data[name][index] = value

    return apply


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change("prediction", (2, 1, 5, 0), np.nan), r"prediction of clip 2 \(c\) .* not finite"),
        (lambda d: d.update(prediction=d["prediction"].astype(float) * 1e39), r"not finite, or beyond 1e\+15; remove"),
        (change("listener", (4, 5, 0), -1e30), r"listener of clip 4 \(e\) .* beyond 1e\+15"),
        (change("speaker", (1, 5, 0), np.inf), r"speaker of clip 1 \(b\)"),
        (change("listener", (4, 5, 0), np.nan), r"listener of clip 4 \(e\)"),
        (change("neighbours", 3, False), r"clip 3 \(d\) has no appropriate reaction"),
        (lambda d: d.update(speaker=d["speaker"][:, :-1]), r"speaker has shape \(5, 119, 6\)"),
        (lambda d: d.update(listener=d["listener"][..., :5]), r"listener has shape \(5, 120, 5\)"),
        (lambda d: d.update(prediction=d["prediction"][:, 0]), r"prediction has shape \(5, 120, 6\)"),
        (lambda d: d.update(neighbours=np.eye(4)), r"neighbours has shape \(4, 4\)"),
        (lambda d: d.update(neighbours=2 * np.eye(5)), "besides 0 and 1"),
        (lambda d: d.update(groups=np.arange(4)), r"groups has shape \(4,\); 5 clips need \(5,\)"),
    ],
)
def test_bad_input_is_one_sentence(data, damage, message):
    damage(data)
    with pytest.raises(UserError, match=message):
        metrics.compute(**data, clip_ids=list("abcde"))
