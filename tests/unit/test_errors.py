"""How a command reports what its user can mend, an interrupt, and a full disk."""

import errno

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


def test_other_errors_keep_their_traceback() -> None:
    @reports_user_errors
    def main() -> None:
        raise ValueError("a fault of ours")

    with pytest.raises(ValueError, match="a fault of ours"):
        main()
    assert not is_full_disk(ValueError("a fault of ours"))
