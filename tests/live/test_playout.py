"""Frames leave each once, in order and at 25 a second, however unevenly answers come."""

import time
from collections.abc import Sequence

import numpy as np
import pytest

from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.live import playout as module
from reactface_jax.live.playout import Playout
from reactface_jax.live.senders.pose import Pose
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL

BLINK = COEFFICIENT_NAMES.index("eyeBlinkLeft")


class Recorder:
    """A sender that keeps what it is given."""

    def __init__(self) -> None:
        self.poses: list[Sequence[Pose]] = []
        self.sent = 0
        self.closed = False

    def packets(self, poses: Sequence[Pose]) -> Sequence[Pose]:
        return poses

    def send(self, packets: Sequence[Pose]) -> None:
        self.poses.append(packets)

    def close(self) -> None:
        self.closed = True


def faces(reactions: int, frames: int) -> np.ndarray:
    return np.tile(NEUTRAL, (reactions, frames, 1)).astype(np.float32)


def test_every_frame_once_and_a_blink_of_one_is_not_lost():
    recorder = Recorder()
    begin = time.monotonic()
    with Playout([recorder], COEFFICIENT_NAMES) as playout:
        for chunk in range(4):
            some = faces(2, 5)
            some[0, 2, BLINK] = 1.0 if chunk == 1 else 0.0
            playout.add(some)
    assert [poses[0].number for poses in recorder.poses] == list(range(20))
    assert [poses[0].number for poses in recorder.poses if poses[0].weight("eyeBlinkLeft") > 0.9] == [7]
    assert all(len(poses) == 2 for poses in recorder.poses)
    assert time.monotonic() - begin > 0.45  # at a pace, and hurried by half at the most
    assert recorder.closed


def test_a_file_goes_as_fast_as_it_comes():
    recorder = Recorder()
    with Playout([recorder], COEFFICIENT_NAMES, real_time=False) as playout:
        for _ in range(40):
            playout.add(faces(1, 5))
    assert [poses[0].number for poses in recorder.poses] == list(range(200))


def test_a_slow_receiver_of_a_file_gets_every_frame(monkeypatch):
    """More than are kept: whoever answers waits, and so does leaving, however long."""
    monkeypatch.setattr(module, "_PATIENCE", 0.01)

    class Slow(Recorder):
        def send(self, packets: Sequence[Pose]) -> None:
            time.sleep(1e-3)
            super().send(packets)

    recorder = Slow()
    with Playout([recorder], COEFFICIENT_NAMES, real_time=False) as playout:
        for _ in range(80):
            playout.add(faces(1, 5))
    assert [poses[0].number for poses in recorder.poses] == list(range(400))


def test_a_failure_is_raised_where_frames_come_from():
    class Broken(Recorder):
        def send(self, packets: Sequence[Pose]) -> None:
            raise ValueError("the sender broke")

    recorder = Broken()
    with pytest.raises(ValueError, match="the sender broke"), Playout([recorder], COEFFICIENT_NAMES) as playout:
        playout.add(faces(1, 1))
    assert recorder.closed

    def answer_for_ever() -> None:
        with Playout([Broken()], COEFFICIENT_NAMES) as playout:
            for _ in range(500):
                playout.add(faces(1, 5))
                time.sleep(0.01)
            raise AssertionError("nothing was raised")

    with pytest.raises(ValueError, match="the sender broke"):
        answer_for_ever()
