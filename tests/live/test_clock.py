"""Chunks of a speaker whose pictures and sound come at their own times."""

import numpy as np
import pytest

from reactface_jax.live.clock import LONGEST_JUMP, SpeakerClock
from reactface_jax.live.eyes import Sight
from reactface_jax.types import SAMPLES_PER_FRAME


def face(value: float) -> Sight:
    return Sight(np.full(58, value, np.float32), None)


def ramp(first: int, count: int) -> np.ndarray:
    """Sound whose samples are their numbers."""
    return np.arange(first, first + count, dtype=np.float32) / 2**20


def fill(clock: SpeakerClock, frames: int, rate: float = 25.0, begin: float = 100.0) -> None:
    for i in range(round(frames * rate / 25)):
        clock.add_sight(face(i), begin + i / rate)
    for block in range(frames * 2):  # 20 ms each
        clock.add_sound(ramp(320 * block, 320), begin + block * 0.02)


def test_frames_and_samples_stand_where_they_were():
    clock = SpeakerClock(5)
    fill(clock, 10)
    first, second = clock.next_chunk(), clock.next_chunk()
    assert clock.next_chunk() is None
    assert (first.number, second.number) == (0, 5)
    np.testing.assert_array_equal(second.faces[:, 0], [5, 6, 7, 8, 9])
    np.testing.assert_array_equal(first.sound, ramp(0, 5 * SAMPLES_PER_FRAME))
    np.testing.assert_array_equal(second.sound, ramp(5 * SAMPLES_PER_FRAME, 5 * SAMPLES_PER_FRAME))
    assert first.end == pytest.approx(100.2, abs=1e-3)


def test_a_faster_camera_is_sampled_at_25():
    clock = SpeakerClock(5)
    fill(clock, 10, rate=50)
    np.testing.assert_array_equal(clock.next_chunk().faces[:, 0], [0, 2, 4, 6, 8])


def test_a_gap_in_the_sound_is_silence():
    clock = SpeakerClock(5)
    for i in range(5):
        clock.add_sight(face(i), i / 25)
    clock.add_sound(np.ones(640, np.float32) / 2, 0.0)
    clock.add_sound(np.ones(1280, np.float32) / 2, 0.12)
    sound = clock.next_chunk().sound
    np.testing.assert_array_equal(sound.reshape(5, 640).mean(1), [0.5, 0, 0, 0.5, 0.5])


def test_sound_of_before_the_first_picture_is_dropped_and_of_across_it_is_cut():
    clock = SpeakerClock(5)
    clock.add_sound(np.ones(640, np.float32), 9.0)
    clock.add_sight(face(0), 10.0)
    clock.add_sound(ramp(0, 640), 9.98)
    for i in range(1, 5):
        clock.add_sight(face(i), 10 + i / 25)
    clock.add_sound(ramp(640, 5 * 640), 10.02)
    np.testing.assert_array_equal(clock.next_chunk().sound, ramp(320, 5 * 640))


def test_nobody_waits_for_ever():
    """Without sound a chunk is given once pictures are `patience` past it, and the other way round."""
    clock = SpeakerClock(5, patience=0.1)
    for i in range(7):
        clock.add_sight(face(i), i / 25)
    assert clock.next_chunk() is None
    clock.add_sight(face(8), 0.31)
    assert not clock.next_chunk().sound.any()
    clock.add_sound(np.full(16000, 0.1, np.float32), 0.2)
    chunk = clock.next_chunk()
    assert chunk is not None
    assert chunk.sound.all()


def test_without_a_microphone_none_is_awaited():
    clock = SpeakerClock(5)
    for i in range(5):
        clock.add_sight(face(i), i / 25)
    assert clock.next_chunk(hears=False) is not None


def test_a_lost_face_and_a_camera_that_stopped_are_nan():
    clock = SpeakerClock(5, patience=0.0)
    for i in range(4):
        clock.add_sight(face(i) if i != 2 else Sight(None, None), i / 25)
    clock.add_sound(np.zeros(32000, np.float32), 0.0)
    first = clock.next_chunk()
    assert np.isnan(first.faces[2]).all()
    assert np.isfinite(first.faces[[0, 1, 3, 4]]).all()
    later = [clock.next_chunk() for _ in range(4)]
    assert np.isnan(later[-1].faces).all()


def test_views_stand_beside_faces_and_stay_where_a_face_is_lost():
    clock = SpeakerClock(5)
    for i in range(5):
        clock.add_sight(Sight(None if i == 3 else face(i).face, np.full((2, 2, 3), i, np.uint8)), i / 25)
    chunk = clock.next_chunk(hears=False)
    np.testing.assert_array_equal(chunk.views[:, 0, 0, 0], [0, 1, 2, 3, 4])
    assert np.isnan(chunk.faces[3]).all()


def test_bad_samples_are_silence_and_bad_times_nothing():
    clock = SpeakerClock(5)
    for i in range(5):
        clock.add_sight(face(i), i / 25)
    clock.add_sight(face(9), np.nan)
    clock.add_sound(np.zeros(10, np.float32), np.inf)
    clock.add_sound(np.array([np.nan, np.inf, 3.0, 0.25] * 800, np.float32), 0.0)
    np.testing.assert_array_equal(clock.next_chunk().sound[:4], [0, 0, 1, 0.25])


def test_after_a_jump_it_begins_anew():
    clock = SpeakerClock(5)
    fill(clock, 5)
    assert clock.next_chunk().number == 0
    clock.add_sight(face(7), 100 + 2 * LONGEST_JUMP)
    assert clock.next_chunk() is None
    for i in range(1, 5):
        clock.add_sight(face(7 + i), 100 + 2 * LONGEST_JUMP + i / 25)
    chunk = clock.next_chunk(hears=False)
    assert chunk.number == 0
    np.testing.assert_array_equal(chunk.faces[:, 0], [7, 8, 9, 10, 11])


def test_memory_stays_the_same():
    """Pictures without sound, and sound without pictures, for ten minutes."""
    clock = SpeakerClock(5)
    clock.add_sight(face(0), 0.0)
    for second in range(600):
        clock.add_sound(np.zeros(16000, np.float32), float(second))
        while clock.next_chunk() is not None:
            pass
    assert len(clock._sound._samples) < 2 * 16000
