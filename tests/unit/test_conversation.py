"""Frames and samples as they arrive: pieces do not matter, gaps and rates are put right by timestamps.

One model with windows of 4 frames; the sound at 16 kHz unless a test says otherwise.
"""

import dataclasses

import numpy as np
import pytest
from small_model import CONFIG, random_params

import reactface_jax as rf
from reactface_jax.errors import UserError
from reactface_jax.online.conversation import Conversation
from reactface_jax.online.live_sound import LiveSound

WIDTH, SIZE, T = 4, 16, 16
RATE = 16_000


@pytest.fixture(scope="module")
def model() -> rf.ReactFace:
    return rf.build_model(dataclasses.replace(CONFIG, causal=True, block=2, max_context=12))


@pytest.fixture(scope="module")
def params(model):
    return random_params(model)


@pytest.fixture
def begin(model, params):
    def begin(**kwargs) -> Conversation:
        return Conversation(model, params, num_reactions=2, image_size=SIZE, **kwargs)

    return begin


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (T, SIZE, SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return np.random.default_rng(1).standard_normal(640 * T).astype(np.float32) / 10


def answer(conversation: Conversation, pictures, sound, start: float = 0.0) -> np.ndarray:
    """Everything at once, at 25 fps and 16 kHz."""
    for index, picture in enumerate(pictures):
        conversation.add_frame(picture, start + index / 25)
    conversation.add_sound(sound, RATE, start)
    return np.concatenate([np.zeros((2, 0, 58)), *conversation.react()], axis=1)


def test_pieces_and_the_clocks_zero_do_not_matter(begin, pictures, sound):
    whole = answer(begin(), pictures, sound)
    assert whole.shape == (2, T, 58)
    conversation, pieces, start = begin(), [], 1234.5
    edges = np.sort(np.random.default_rng(2).integers(0, len(sound), 40))
    chunks = iter(zip([0, *edges], [*edges, len(sound)], strict=True))
    for index, picture in enumerate(pictures):
        conversation.add_frame(picture, start + index / 25)
        for first, last in chunks:
            conversation.add_sound(sound[first:last], RATE, start + first / RATE)
            pieces += conversation.react()
            if last > 640 * index:
                break
    for first, last in chunks:
        conversation.add_sound(sound[first:last], RATE)  # no timestamp: it follows
    pieces += conversation.react()
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole)
    assert conversation.num_frames == T


def test_nothing_is_answered_before_its_time(begin, pictures, sound):
    conversation = begin()
    for index in range(WIDTH):
        conversation.add_frame(pictures[index], index / 25)
    conversation.add_sound(sound[: 640 * WIDTH - 1], RATE)
    assert conversation.react() == []
    conversation.add_sound(sound[:1], RATE)
    assert len(conversation.react()) == 1


def test_fifty_frames_a_second_are_thinned_and_twelve_repeated(begin, pictures, sound):
    fast = begin()
    for index in range(2 * T):
        fast.add_frame(pictures[index // 2] if index % 2 == 0 else 255 - pictures[index // 2], index / 50)
    fast.add_sound(sound, RATE)
    np.testing.assert_array_equal(np.concatenate(fast.react(), axis=1), answer(begin(), pictures, sound))

    slow, held = begin(), pictures.copy()
    held[1::2] = held[::2]
    for index in range(0, T, 2):
        slow.add_frame(pictures[index], index / 25)
    slow.add_frame(pictures[-1], T / 25)
    slow.add_sound(sound, RATE)
    np.testing.assert_array_equal(np.concatenate(slow.react(), axis=1), answer(begin(), held, sound))


def test_dropped_frames_and_frames_out_of_order(begin, pictures, sound):
    conversation, held = begin(), pictures.copy()
    held[5:8] = held[4]
    for index in (0, 1, 2, 3, 4, 3, *range(8, T)):  # the second 3 comes too late
        conversation.add_frame(pictures[index], index / 25)
    conversation.add_sound(sound, RATE)
    np.testing.assert_array_equal(np.concatenate(conversation.react(), axis=1), answer(begin(), held, sound))


def test_a_gap_in_the_sound_is_silence_and_an_overlap_is_dropped(begin, pictures, sound):
    silent = sound.copy()
    silent[3000:5000] = 0
    conversation = begin()
    for index, picture in enumerate(pictures):
        conversation.add_frame(picture, index / 25)
    conversation.add_sound(sound[:3000], RATE, 0.0)
    conversation.add_sound(sound[5000:], RATE, 5000 / RATE)
    conversation.add_sound(sound[-900:], RATE, 1 - 0.36 - 900 / RATE)  # again
    np.testing.assert_array_equal(np.concatenate(conversation.react(), axis=1), answer(begin(), pictures, silent))


def test_sound_that_stays_behind_becomes_silence_and_is_dropped_when_late(begin, pictures, sound):
    conversation, silent = begin(patience=0.1), sound.copy()
    silent[: 640 * 8] = 0
    conversation.add_frame(pictures[0], 0.0)
    for index in range(1, 12):
        conversation.add_frame(pictures[index], index / 25)
    early = conversation.react()
    assert len(early) == 2  # frames are 0.12 s past the second window's end, 0.04 s before the third's
    conversation.add_sound(sound, RATE, 0.0)
    for index in range(12, T):
        conversation.add_frame(pictures[index], index / 25)
    got = np.concatenate([*early, *conversation.react()], axis=1)
    np.testing.assert_array_equal(got, answer(begin(), pictures, silent))


def test_a_camera_that_stops_leaves_its_last_frame(begin, pictures, sound):
    conversation, held = begin(patience=0.1), pictures.copy()
    held[6:] = held[5]
    for index in range(6):
        conversation.add_frame(pictures[index], index / 25)
    conversation.add_sound(sound, RATE, 0.0)
    got = np.concatenate(conversation.react(), axis=1)
    assert got.shape[1] == 12  # the last window may still get its frames
    np.testing.assert_array_equal(got, answer(begin(), held, sound)[:, :12])


def test_sound_from_before_the_first_frame_is_cut(begin, pictures, sound):
    conversation = begin()
    conversation.add_sound(np.concatenate([sound[:4000], sound]), RATE, 10 - 0.25)
    for index, picture in enumerate(pictures):
        conversation.add_frame(picture, 10 + index / 25)
    np.testing.assert_array_equal(np.concatenate(conversation.react(), axis=1), answer(begin(), pictures, sound))


def test_other_rates_and_channels_are_converted(begin, pictures):
    time = np.arange(48_000) / 48_000
    tone = (0.3 * np.sin(2 * np.pi * 220 * time)).astype(np.float32)
    other = (0.1 * np.sin(2 * np.pi * 1300 * time)).astype(np.float32)
    stereo = np.stack([tone + other, tone - other], axis=1)
    conversation = begin()
    for index, picture in enumerate(pictures):
        conversation.add_frame(picture, index / 25)
    for first in range(0, 48_000, 1024):
        conversation.add_sound(stereo[first : first + 1024], 48_000)
    got = np.concatenate(conversation.react(), axis=1)
    np.testing.assert_allclose(got, answer(begin(), pictures, tone[::3]), rtol=0, atol=0.05)
    with pytest.raises(UserError, match="comes at 16000 samples a second after 48000"):
        conversation.add_sound(tone, RATE)


def test_hours_of_missing_sound_cost_no_memory(sound):
    live = LiveSound()
    live._taken = 640 * 25 * 7200  # two hours were answered without sound
    live.add(7200.0, sound[None], RATE)
    assert len(live._samples) == len(sound)
    np.testing.assert_array_equal(live.take(640 * 25 * 7200 + len(sound)), sound)


def clicks_heard(live: LiveSound) -> np.ndarray:
    """Moments (s) at which clicks begin."""
    heard = np.flatnonzero(np.abs(live._samples) > 0.2)
    return heard[np.diff(heard, prepend=-9999) > 1600] / RATE


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
@pytest.mark.parametrize("length", [441, 1024, 100_000])
def test_a_microphone_that_starts_before_the_camera_is_exact(begin, pictures, rate, length):
    """Clicks at 10.5 and 11.5 s of the clock, the first frame at 10.003 s; pieces of any length."""
    sound, start = np.zeros(3 * rate, np.float32), 9.0
    for click in (1.5, 2.5):
        sound[round(click * rate) : round((click + 0.01) * rate)] = 0.8
    conversation = begin()
    for first in range(0, 2 * rate, length):
        conversation.add_sound(sound[first : first + length], rate, start + first / rate)
    conversation.add_frame(pictures[0], 10.003)
    for first in range(-(-2 * rate // length) * length, 3 * rate, length):
        conversation.add_sound(sound[first : first + length], rate, start + first / rate)
    np.testing.assert_allclose(clicks_heard(conversation._sound), [0.497, 1.497], atol=3e-4)


def test_sound_without_times_begins_with_the_first_frame(begin, pictures, sound):
    conversation = begin()
    conversation.add_sound(sound[:4000], RATE)
    for index, picture in enumerate(pictures):
        conversation.add_frame(picture, 99 + index / 25)
    conversation.add_sound(sound[4000:], RATE)
    np.testing.assert_array_equal(np.concatenate(conversation.react(), axis=1), answer(begin(), pictures, sound))


def test_a_long_piece_from_before_the_first_frame_is_kept(begin, pictures):
    """Fifteen seconds at once, of which the last one is of the conversation."""
    conversation, sound = begin(), np.zeros(15 * RATE, np.float32)
    conversation.add_sound(sound[:RATE], RATE, 0.0)  # long before: forgotten
    sound[14 * RATE + 8000 :][:160] = 0.8
    conversation.add_sound(sound, RATE, 100.0)
    conversation.add_frame(pictures[0], 114.0)
    np.testing.assert_allclose(clicks_heard(conversation._sound), [0.5])


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, 3e38])
def test_a_bad_sample_does_not_outlive_itself(begin, pictures, sound, bad):
    """It counts as silence, or as the loudest, whatever the channels and the rate."""
    broken, mended = (np.stack([sound, sound], axis=1) for _ in range(2))
    broken[5000], mended[5000] = bad, np.clip(np.nan_to_num(bad, posinf=0, neginf=0), -1, 1)
    got, expected = (answer(begin(), pictures, s) for s in (broken, mended))
    assert np.isfinite(got).all()
    np.testing.assert_array_equal(got, expected)


def test_channels_that_cancel_each_other_are_heard(begin, pictures, sound):
    inverted = np.stack([sound, -sound], axis=1)
    np.testing.assert_array_equal(answer(begin(), pictures, inverted), answer(begin(), pictures, sound))


def test_a_frames_memory_may_be_used_again(begin, pictures, sound):
    conversation, buffer = begin(), np.empty_like(pictures[0])
    for index, picture in enumerate(pictures):
        buffer[:] = picture
        conversation.add_frame(buffer, index / 25)
    conversation.add_sound(sound, RATE)
    np.testing.assert_array_equal(np.concatenate(conversation.react(), axis=1), answer(begin(), pictures, sound))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c, p, s: c.add_frame(p, np.inf), "the frame's time is inf; give seconds"),
        (lambda c, p, s: c.add_frame(p, np.nan), "the frame's time is nan; give seconds"),
        (lambda c, p, s: c.add_frame(p, 3600.64), "the frame's time 3600.64 is 3600 s after everything before it"),
        (lambda c, p, s: c.add_frame(p, 640), "the frame's time 640 is 639.36 s after everything before it"),
        (lambda c, p, s: c.add_frame(p, -5), "the frame's time -5 is 5.6 s before the last frame; give seconds on one"),
        (lambda c, p, s: c.add_sound(s, RATE, 3601.0), "the sound's time 3601 is 3600.36 s after everything before"),
        (lambda c, p, s: c.add_sound(s, RATE, -9), "the sound's time -9 is 9.64 s before the last sound"),
        (lambda c, p, s: c.add_sound(s, RATE, -np.inf), "the sound's time is -inf"),
        (lambda c, p, s: c.add_sound(s, 0), "a rate of 0 samples a second is none of a sound"),
        (lambda c, p, s: c.add_sound(s, 1.5), "a rate of 1.5 samples a second is none of a sound"),
        (lambda c, p, s: c.add_sound(s, 44.1), "a rate of 44.1 samples a second is none of a sound"),
        (lambda c, p, s: c.add_sound((s * 32767).astype(np.int16), RATE), "the samples are int16; give floating-point"),
        (lambda c, p, s: c.add_sound(np.zeros((2, 1024)), RATE), r"the samples have shape \(2, 1024\); give \[n\]"),
        (lambda c, p, s: c.add_frame(p / np.float32(255), 0.7), "the picture is float32; give uint8 RGB from 0 to 255"),
        (lambda c, p, s: c.add_frame(p.astype(np.uint16), 0.7), "the picture is uint16; give uint8"),
    ],
)
def test_what_is_refused_changes_nothing(begin, pictures, sound, call, message):
    conversation = begin()
    expected = answer(begin(), pictures, sound)
    for index, picture in enumerate(pictures):
        conversation.add_frame(picture, index / 25)
    conversation.add_sound(sound, RATE, 0.0)
    with pytest.raises(UserError, match=message):
        call(conversation, pictures[0], sound)
    np.testing.assert_array_equal(np.concatenate(conversation.react(), axis=1), expected)


def test_sound_on_another_clock_is_named_with_the_first_frame(begin, pictures, sound):
    conversation = begin()
    conversation.add_sound(sound, RATE, 1.7e9)
    with pytest.raises(UserError, match=r"the frame's time 12 is 1\.7e\+09 s before the sound that came"):
        conversation.add_frame(pictures[0], 12.0)
    with pytest.raises(UserError, match="comes at 48000 samples a second after 16000"):
        conversation.add_sound(sound, 48_000)
    with pytest.raises(UserError, match="a patience of -1 s is no time to wait"):
        begin(patience=-1)


def test_reset_begins_anew_and_a_saved_conversation_goes_on(begin, pictures, sound, tmp_path):
    mean_face = np.full(58, 2.0, np.float32)
    conversation = begin(mean_face=mean_face)
    whole = answer(conversation, pictures, sound)
    np.testing.assert_allclose(whole, answer(begin(), pictures, sound) + 2, rtol=0, atol=1e-5)
    conversation.reset()
    first = answer(conversation, pictures[:8], sound[: 640 * 8])
    np.testing.assert_array_equal(first, whole[:, :8])
    conversation.save(tmp_path / "talk.npz")

    later = begin(mean_face=mean_face)
    later.restore(tmp_path / "talk.npz")
    rest = answer(later, pictures[8:], sound[640 * 8 :], start=99.0)
    np.testing.assert_array_equal(rest, whole[:, 8:])


def test_a_picture_of_another_size_is_refused(begin):
    with pytest.raises(UserError, match="takes 16 x 16 RGB; give image_size= of the training"):
        begin().add_frame(np.zeros((8, 8, 3), np.uint8), 0.0)


@pytest.mark.usefixtures("as_users_call")
def test_a_mean_face_of_other_coefficients_is_refused(begin):
    with pytest.raises(UserError, match=r"mean_face has shape \(25,\), but the model answers 58 coefficients; give"):
        begin(mean_face=np.zeros(25, np.float32))
