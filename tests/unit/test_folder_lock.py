"""One process at a time holds a folder."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reactface_jax import folder_lock
from reactface_jax.errors import UserError
from reactface_jax.folder_lock import LOCK, locked
from reactface_jax.processes import this_process

HOLDS = """
import sys
from reactface_jax.folder_lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    input()
"""


def test_another_process_holds_it_until_it_dies(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with (
        pytest.raises(UserError, match=rf"process {process.pid} on \S+ is writing into \S+; wait for it, end it"),
        locked(tmp_path),
    ):
        pass
    process.kill()
    process.communicate()
    assert (tmp_path / LOCK).is_file()  # as a killed one leaves it
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text() == str(this_process())
    assert not (tmp_path / LOCK).exists()


def test_twice_in_one_process(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "run"),
        pytest.raises(UserError, match=f"process {os.getpid()} on"),
        locked(tmp_path / "run"),
    ):
        pass
    with locked(tmp_path / "run"):
        pass


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(folder_lock.fcntl, "flock", refuse)
    (tmp_path / LOCK).write_text(str(this_process()))
    with pytest.raises(UserError, match="is writing into"), locked(tmp_path):
        pass
    (tmp_path / LOCK).write_text(str(this_process()._replace(pid=2**22 + 1)))  # beyond Linux's numbers: of no process
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text() == str(this_process())


def test_a_folder_that_cant_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"folder .*file/run can't be written: Not a directory"),
        locked(tmp_path / "file" / "run"),
    ):
        pass
