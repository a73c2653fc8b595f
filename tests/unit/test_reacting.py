"""Figures that say whether a listener reacts, by hand and on listeners whose answer is known."""

import math

import numpy as np
import pytest

from reactface_jax.metrics import bootstrap, chance, groups
from reactface_jax.metrics.correlation import moments
from reactface_jax.metrics.diversity import offset_within_clips, within_clips
from reactface_jax.metrics.events import Event, answered, found_events, rises_of
from reactface_jax.metrics.frechet import frechet, standard_error, without_bias
from reactface_jax.metrics.listening import while_listening
from reactface_jax.metrics.motion_distance import motion_distance
from reactface_jax.metrics.movement import border_step, inside_windows, stillness
from reactface_jax.metrics.ratio import Ratio, mean_of
from reactface_jax.metrics.reacting import Known, measure_reacting, reacting_draws, reacting_figures
from reactface_jax.metrics.reaction_gain import fit, gain

NAMES = ("mouthSmileLeft", "mouthSmileRight", "rotation_y", "jawOpen")


def smooth(generator, *shape):
    """Noise averaged over 8 frames, the second last axis."""
    noise = generator.standard_normal((*shape[:-2], shape[-2] + 7, shape[-1]))
    sums = np.concatenate([np.zeros((*shape[:-2], 1, shape[-1])), noise.cumsum(-2)], -2)
    return ((sums[..., 8:, :] - sums[..., :-8, :]) / 8).astype(np.float32)


# ---- Ratios, groups and resampling


def test_ratio_by_hand():
    ratio = mean_of(np.array([[1.0, np.nan], [2.0, 6.0], [np.nan, np.nan]]))
    assert ratio.value() == 3
    np.testing.assert_allclose(ratio.drawn(np.array([[2, 0, 1], [0, 0, 3]])), [1, np.nan])


def test_sessions_of_paths_and_of_anything_else():
    paths = ["NoXI/1_a/Expert/1", "NoXI/1_a/Expert/2", "NoXI/2_b/Expert/1", "NoXI/1_a/Novice/1"]
    assert groups.sessions(paths).tolist() == [0, 0, 1, 0]
    assert groups.sessions(["a", "b", "c", "d"]).tolist() == [0, 1, 0, 1]
    assert groups.sessions(["a", "b", "c"]).tolist() == [0, 1, 2]
    assert groups.unit_of(paths) == "conversations"
    assert groups.unit_of(["a", "b", "c", "d"]) == "pairs of a clip and the one half the clips later"
    assert groups.unit_of(["a", "b", "c"]) == "clips"


@pytest.mark.parametrize(
    ("same", "other"),
    [
        (["UDIVA/talk/023102/FC1/8", "UDIVA/lego/023102/FC2/3"], "UDIVA/talk/023104/FC1/8"),
        (["RECOLA/group-1/P25/1", "RECOLA/group-1/P26/4"], "RECOLA/group-2/P25/1"),
        (["Own/ann_bob/speaker/0", "Own/ann_bob/listener/1"], "Own/ann_eve/speaker/0"),
        (["talk/speaker1/0", "talk/speaker2/0", "talk/speaker1/30"], "talk2/speaker1/0"),  # DualTalk
        (["clip/0/0", "clip/1/0"], "clip2/0/0"),  # ResponseNet
        (["a/clip/0/0", "a/clip/1/30"], "b/clip/0/0"),  # of which several folders have a clip
        (["audio/speaker3/0", "audio/listener7/0"], "audio2/speaker3/0"),  # ViCo
        (["video/p0/0", "video/p1/12.5"], "video2/p0/0"),  # RealTalk
        (["session0/Camera-1/speaker/0", "session0/Camera-2/listener/30"], "session1/Camera-1/speaker/0"),  # MARS
        (["V00_S0005_I00000010_P0008/0", "V00_S0005_I00000129_P0009A/30"], "V01_S0005_I00000010_P0008/0"),  # Seamless
    ],
)
def test_sessions_of_every_form_of_data(same, other):
    found = groups.sessions([*same, other])
    assert found.tolist() == [*len(same) * [found[0]], 1 - found[0]]
    assert groups.unit_of([*same, other]) == "conversations"
    mixed = groups.sessions([same[0], "NoXI/1_a/Expert/1", same[1], "NoXI/1_a/Novice/1"])
    assert mixed[0] == mixed[2] != mixed[1] == mixed[3]


def test_groups_are_drawn_whole_and_widen_the_interval():
    """Ten clips of each group say the same: the mean is as sure as one of eight numbers, not of eighty."""
    clips = np.repeat(np.arange(8), 10)
    counts = bootstrap.resamplings(clips)
    assert (counts.reshape(1000, 8, 10).std(2) == 0).all()
    assert (counts.sum(1) == 80).all()
    values = np.random.default_rng(0).standard_normal(8)[clips]
    ratio = Ratio(values, np.ones(80))
    low, high = bootstrap.interval(ratio.drawn(counts))
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / math.sqrt(8), rel=0.1)


def test_one_group_says_nothing_of_its_certainty():
    """All draws of one group are the group itself, which would be an interval of width zero."""
    drawn = Ratio(np.array([1.0, 2.0, 4.0]), np.ones(3)).drawn(bootstrap.resamplings(np.zeros(3, int)))
    assert drawn.shape == (bootstrap.NUM_DRAWS,)
    assert np.isnan(bootstrap.interval(drawn)).all()
    assert bootstrap.differ(drawn, drawn + 1) is None


# ---- Chance


def test_chance_is_the_mean_over_all_draws():
    odds = chance.largest_of_draw(4, 2)
    np.testing.assert_allclose(odds, [0, 1 / 6, 2 / 6, 3 / 6])
    np.testing.assert_allclose(chance.largest_of_draw(3, 3), [0, 0, 1])
    assert chance.largest_of_draw(1600, 80).sum() == pytest.approx(1)
    generator = np.random.default_rng(1)
    people, reaction = smooth(generator, 9, 60, 3), smooth(generator, 1, 60, 3)
    allowed = np.arange(9) != 4
    exact = chance.by_chance(reaction, moments(people), allowed, 3)
    single = [chance.by_chance(reaction, moments(people), np.arange(9) == j, 1)[0] for j in np.flatnonzero(allowed)]
    drawn = [max(generator.permutation(single)[:3]) for _ in range(4000)]
    assert exact[0] == pytest.approx(np.mean(drawn), abs=3 * np.std(drawn) / math.sqrt(4000))
    assert math.isnan(chance.by_chance(reaction, moments(people), np.zeros(9, bool), 1)[0])


def test_who_is_inappropriate():
    people = smooth(np.random.default_rng(2), 6, 20, 2)
    speaker, listener = people, np.roll(people, 3, axis=0)  # conversations 0, 1, 2 and the same with roles swapped
    neighbours = np.eye(6, dtype=bool)
    neighbours[0, 1] = neighbours[1, 0] = True
    allowed = chance.inappropriate(speaker, listener, neighbours, np.array([0, 0, 1, 0, 0, 1]))
    assert allowed[0].tolist() == [False, False, True, False, False, True]
    assert allowed[2].tolist() == [True, True, False, True, True, False]


# ---- While listening


def test_only_listening_frames_count():
    generator = np.random.default_rng(3)
    listener, reaction = smooth(generator, 2, 80, 3), smooth(generator, 2, 2, 80, 3)
    listening = np.zeros((2, 80), bool)
    listening[0, 30:60] = listening[1, :20] = True  # the second clip has too few
    reaction[0, 1, 30:60] = listener[0, 30:60]
    found = while_listening(reaction, listener, np.eye(2, dtype=bool), listening)
    assert found[0, 1] == pytest.approx(1)
    assert found[0, 0] < 0.8
    assert np.isnan(found[1]).all()
    changed = np.where(listening[:, None, :, None], reaction, 7)
    np.testing.assert_allclose(while_listening(changed, listener, np.eye(2, dtype=bool), listening)[0], found[0])


# ---- Events


def bump(frames, start, height, length=20):
    course = np.zeros(frames)
    course[start : start + length] = height * np.sin(np.pi * (np.arange(length) + 0.5) / length)
    return course


def test_rises_need_their_height_and_a_fall_between():
    course = np.concatenate([[0.0, 0.1, 0.0, 0.2, 0.15, 0.3, 0.0, 0.5]])
    assert rises_of(course, 0.15).tolist() == [[2, 5], [6, 7]]
    assert rises_of(np.linspace(1, 0, 9), 0.15).shape == (0, 2)


def test_answers_are_counted_and_timed():
    """Two smiles and a turn; three reactions: all answered 9 frames later, nothing, and a smile without a cause."""
    frames = 150
    speaker = np.zeros((1, frames, 4))
    speaker[0, :, :2] = (bump(frames, 20, 0.8) + bump(frames, 90, 0.8))[:, None]
    speaker[0, :, 2] = -bump(frames, 55, 0.3)
    events = [[Event("smile", 20, 20), Event("turn", 55, 20, -1), Event("smile", 90, 20), Event("smile", 140, 20)]]
    reactions = np.zeros((1, 3, frames, 4))
    reactions[0, 0, 9:] = 0.5 * speaker[0, :-9]
    reactions[0, 2, :, :2] = bump(frames, 60, 0.5)[:, None]
    found = answered(reactions, speaker, NAMES, events, [[]])
    assert found.shares.keys() == {"smile", "turn"}, "the data name no brows"
    assert (found.shares["smile"].total[0], found.shares["smile"].weight[0]) == (2, 6)
    assert found.shares["turn"].value() == pytest.approx(1 / 3)
    assert found.delay.value() == 9
    assert found.delay_deviation() == 0
    assert found.uncalled.value() == pytest.approx(1 / (3 * 6))
    own = answered(reactions, speaker, NAMES, events, [[Event("smile", 58, 20)]])
    assert own.uncalled.value() == 0, "the real listener smiled there of its own accord"


def test_nothing_is_uncalled_where_no_facial_channel_is_named():
    """REACT2023's expressions are numbered, its rotations are named: turns can be answered, smiles can't be seen."""
    moving = smooth(np.random.default_rng(12), 2, 60, 2)
    names = ("expression_00", "rotation_y")
    figures = reacting_figures(
        measure_reacting(moving[:, None], moving, moving, np.eye(2, dtype=bool), Known(np.arange(2), names))
    )
    assert math.isnan(figures["uncalled_per_second"])
    assert "turn_answered" in figures


def test_what_the_speaker_shows_outside_his_floor_explains_a_smile_but_need_not_be_answered():
    speaker = np.zeros((1, 150, 4))
    speaker[0, :, :2] = (bump(150, 20, 0.8) + bump(150, 90, 0.8))[:, None]
    reactions = np.zeros((1, 1, 150, 4))
    reactions[0, 0, 9:] = 0.5 * speaker[0, :-9]
    floor = np.arange(150)[None] < 60
    known = Known(np.arange(1), NAMES, listening=floor)
    still = np.zeros_like(speaker)
    measured = measure_reacting(reactions, speaker, still, np.eye(1, dtype=bool), known)
    assert measured.answers.shares["smile"].weight[0] == 1
    assert measured.ratios["uncalled_per_second"].value() == 0
    reactions[0, 0, :, :2] += bump(150, 55, 0.5)[:, None]
    measured = measure_reacting(reactions, speaker, still, np.eye(1, dtype=bool), known)
    assert measured.ratios["uncalled_per_second"].value() == pytest.approx(1 / 6), "nobody's event explains this one"


def test_events_are_found_where_none_are_planted():
    person = np.zeros((1, 100, 4))
    person[0, :, :2] = (bump(100, 20, 0.8) + bump(100, 60, 0.1))[:, None]
    ((event,),) = found_events(person, NAMES)
    assert event.kind == "smile"
    assert abs(event.start - 20) <= 1
    assert abs(event.length - 20) <= 2
    listening = np.zeros((1, 100), bool)
    assert found_events(person, NAMES, listening) == [[]]
    assert found_events(person, ("a", "b", "c", "d")) == [[]]


# ---- Movement


def test_stairs_have_nothing_inside_their_windows():
    stairs = np.repeat(np.array([0.0, 1.0, 3.0, 0.0]), 4)[None, None, :, None]
    assert inside_windows(stairs, 4).value() == 0
    line = np.arange(8.0)[None, None, :, None]
    # Variance of 0 ... 7: 5.25; of windows of four: 1.25.
    assert inside_windows(line, 4).value() == pytest.approx(1.25 / 5.25)
    assert border_step(line, 4).value() == 1
    assert math.isnan(inside_windows(line, 8).value()), "a single window"


def test_border_step_by_hand():
    course = np.array([0.0, 1.0, 1.0, 4.0, 3.0, 3.0, 9.0])[None, None, :, None]
    # Windows of 3: changes 1 0 | 3, 1 0 | 6.
    assert border_step(course, 3).value() == pytest.approx(4.5 / 0.5)


def test_stillness_looks_at_channels_that_stand_still_in_all_appropriate_listeners():
    listener = np.zeros((2, 50, 3))
    listener[:, :, 0] = smooth(np.random.default_rng(4), 2, 50, 1)[..., 0]
    listener[1, :, 1] = np.arange(50)
    reactions = np.zeros((2, 1, 50, 3))
    reactions[..., 1] = np.where(np.arange(50) % 2, 0.1, -0.1)
    reactions[..., 2] = np.where(np.arange(50) % 2, 0.3, -0.3)
    apart = stillness(reactions, listener, np.eye(2, dtype=bool))
    assert apart.value() == pytest.approx((math.sqrt((0.01 + 0.09) / 2) + 0.3) / 2)
    assert stillness(reactions, listener, np.ones((2, 2), bool)).value() == pytest.approx(0.3)
    assert stillness(listener[:, None], listener, np.eye(2, dtype=bool)).value() == 0


def test_offset_share_by_hand():
    base = smooth(np.random.default_rng(5), 1, 1, 40, 2)
    shifted = np.concatenate([base, base + 0.3], axis=1)
    np.testing.assert_allclose(offset_within_clips(shifted), within_clips(shifted), rtol=1e-5)
    wave = np.sin(2 * np.pi * np.arange(40) / 40)[None, None, :, None]
    np.testing.assert_allclose(offset_within_clips(np.concatenate([wave, -wave], axis=1)), 0, atol=1e-12)


# ---- Reaction gain


@pytest.fixture(scope="module")
def people():
    """Speakers, listeners that answer one channel 5 frames later, and listeners that do not."""
    generator = np.random.default_rng(6)
    speaker = smooth(generator, 40, 120, 3)
    idle = smooth(generator, 40, 120, 3)
    answering = idle.copy()
    answering[:, 5:, 0] += speaker[:, :-5, 0]
    return speaker, answering, idle


def test_gain_knows_who_reacts(people):
    speaker, answering, idle = people
    silent = np.zeros((40, 120, 0), np.float32)
    model = fit(speaker[:20], answering[:20], silent[:20])
    judged = (speaker[20:], silent[20:], np.arange(20) // 2)
    reacts = gain(model, answering[20:, None], *judged)
    does_not = gain(model, idle[20:, None], *judged)
    assert reacts.ratio.value() > 0.1
    assert reacts.p == 1 / 1000
    assert abs(does_not.ratio.value()) < 0.25 * reacts.ratio.value()
    assert does_not.p > 0.01
    low, _ = bootstrap.interval(reacts.ratio.drawn(bootstrap.resamplings(judged[2])))
    assert low > 0


def test_gain_hears_the_voice_and_ignores_still_channels(people):
    _, _, idle = people
    sound = smooth(np.random.default_rng(7), 40, 120, 1)
    listener = np.concatenate([idle[..., :1], np.full((40, 120, 1), 0.1, np.float32)], axis=-1)
    listener[:, 5:, :1] += sound[:, :-5]
    still = np.zeros((40, 120, 2), np.float32)
    model = fit(still[:20], listener[:20], sound[:20])
    assert gain(model, listener[20:, None], still[20:], sound[20:], np.arange(20)).ratio.value() > 0.1
    short = gain(model, listener[20:, None, :25], still[20:, :25], sound[20:, :25], np.arange(20))
    assert math.isnan(short.ratio.value())
    too_short = fit(still[:20, :25], listener[:20, :25], sound[:20, :25])
    assert math.isnan(gain(too_short, listener[20:, None], still[20:], sound[20:], np.arange(20)).ratio.value())


# ---- Fréchet distances


def test_frechet_of_many_vectors_is_that_of_their_covariances():
    generator = np.random.default_rng(8)
    x, y = generator.standard_normal((300, 3)) @ np.diag([1, 2, 3]), generator.standard_normal((200, 3)) + 1
    covariances = [np.cov(a.T) for a in (x, y)]
    root = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real).sum()
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(covariances[0] + covariances[1]) - 2 * root
    assert frechet(x, y) == pytest.approx(expected)


def test_standard_error_is_the_scatter_of_repetitions():
    generator = np.random.default_rng(9)
    sets = [(generator.standard_normal((120, 2)), generator.standard_normal((120, 2)) + 1) for _ in range(60)]
    scatter = np.std([frechet(*pair) for pair in sets])
    assert np.mean([standard_error(*pair) for pair in sets[:20]]) == pytest.approx(scatter, rel=0.35)
    assert math.isnan(standard_error(*(x[:2] for x in sets[0]))), "one pair is left of two, and has no covariance"
    assert standard_error(*(x[:3] for x in sets[0])) > 0


def test_extrapolation_takes_the_bias_off():
    one, other = np.random.default_rng(10).standard_normal((2, 200, 40))
    assert frechet(one, other) > 4
    assert abs(without_bias(one, other)) < 1
    assert without_bias(one, other + 0.5) == pytest.approx(10, abs=2)
    assert without_bias(one[:7], other[:7]) is None


def test_motion_distance_sees_movement_and_has_its_floor():
    generator = np.random.default_rng(11)
    real = smooth(generator, 60, 96, 4)
    same, quick = smooth(generator, 60, 1, 96, 4), generator.standard_normal((60, 1, 96, 4)) * real.std()
    alike, shaky = (motion_distance(x, real, np.arange(60) // 2) for x in (same, quick))
    assert alike.floor == shaky.floor > 0
    assert alike.distance == pytest.approx(alike.floor, rel=0.5)
    assert shaky.distance > 3 * shaky.floor
    assert np.isnan(motion_distance(same, real, np.zeros(60, int))).all()
    assert np.isnan(motion_distance(same, np.ones_like(real), np.arange(60) // 2)).all()


# ---- Together


def test_all_figures_of_real_listeners(people):
    speaker, answering, _ = people
    names = ("mouthSmileLeft", "browInnerUp", "rotation_x")
    known = Known(
        groups=np.arange(20),
        names=names,
        listening=np.ones((20, 120), bool),
        foresight=fit(speaker[:20], answering[:20], np.zeros((20, 120, 0), np.float32)),
    )
    judged = (answering[20:, None], speaker[20:], answering[20:], np.eye(20, dtype=bool))
    measured = measure_reacting(*judged, known)
    figures = reacting_figures(measured)
    assert figures["FRCorr_listening"] == pytest.approx(10)
    assert figures["uncalled_per_second"] == 0
    assert 0.8 < figures["border_step"] < 1.2
    assert figures["reaction_gain"] > 0.1
    assert figures["smile_answered"] > 0.5
    assert math.isnan(figures["stillness"])
    drawn = reacting_draws(measured, bootstrap.resamplings(known.groups))
    assert set(figures) - set(drawn) == {
        "answer_delay_deviation",
        "reaction_gain_p",
        "motion_distance",
        "motion_distance_floor",
    }
    nameless = measure_reacting(*judged, Known(groups=np.arange(20)))
    assert set(reacting_figures(nameless)) == {
        *("offset_share", "inside_windows", "border_step", "stillness", "motion_distance", "motion_distance_floor")
    }
