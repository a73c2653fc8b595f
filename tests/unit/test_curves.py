"""TensorBoard files: a full disk is an error where it happens."""

import errno
from pathlib import Path

import numpy as np
import pytest
from tensorboardX.record_writer import RecordWriter

from reactface_jax.training.curves import Curves


def test_points_and_pictures_are_in_the_file_at_once(tmp_path: Path) -> None:
    with Curves(tmp_path / "tensorboard") as curves:
        (path,) = (tmp_path / "tensorboard").glob("events*")
        curves.add(3, {"train/loss": 0.5})
        assert b"train/loss" in path.read_bytes()
        curves.show(3, "validation/reactions", np.zeros((4, 5, 3), np.uint8))
        assert b"validation/reactions" in path.read_bytes()


def test_a_figure_that_is_not_known_is_no_point(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Curves(tmp_path) as curves:
        curves.add(3, {"validation/known": 0.5, "validation/unknown": float("nan")})
        (path,) = tmp_path.glob("events*")
        assert b"validation/known" in path.read_bytes()
        assert b"validation/unknown" not in path.read_bytes()
    assert not caplog.records


def test_another_process_of_the_job_writes_nothing(tmp_path: Path) -> None:
    with Curves(None) as curves:
        curves.add(3, {"train/loss": 0.5})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Curves(tmp_path) as curves:
        monkeypatch.setattr(RecordWriter, "write", full)
        with pytest.raises(OSError, match="No space left"):
            curves.add(3, {"train/loss": 0.5})
