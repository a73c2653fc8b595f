"""How a command reports what its user can mend, an interrupt, and a full disk."""

import errno
from pathlib import Path

import pytest

from reactface_jax.errors import UserError, is_full_disk, reports_user_errors

FULL = OSError(errno.ENOSPC, "No space left on device", "runs/a/params")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("--out is missing; give one"), 2, "error: --out is missing; give one\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (FULL, 2, "error: the disk is full (runs/a/params can't be written); free some space and start again\n"),
        (
            PermissionError(errno.EACCES, "Permission denied", "locked/a.mp4"),
            2,
            "error: locked/a.mp4 can't be used: Permission denied; give another path\n",
        ),
        (
            ValueError("INTERNAL: write failed [OS error 28: No space left on device]"),  # as tensorstore says it
            2,
            "error: the disk is full; free some space and start again\n",
        ),
    ],
)
def test_one_line_and_a_code(error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    @reports_user_errors
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == code
    assert capsys.readouterr() == ("", line)


def test_a_name_that_is_too_long(capsys: pytest.CaptureFixture[str]) -> None:
    @reports_user_errors
    def main() -> None:
        Path("x" * 300).stat()

    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err == f"error: {'x' * 300} can't be used: File name too long; give another path\n"


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a fault of ours"),
        PermissionError(errno.EACCES, "Permission denied"),  # of no path
        FileNotFoundError(errno.ENOENT, "No such file or directory", "a.npy"),
    ],
)
def test_other_errors_keep_their_traceback(error: Exception) -> None:
    @reports_user_errors
    def main() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        main()
    assert raised.value is error
    assert not is_full_disk(ValueError("a fault of ours"))
