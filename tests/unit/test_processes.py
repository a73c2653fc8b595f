"""Programs that end with the process that started them, however that one ends."""

import subprocess
import sys
from pathlib import Path

import pytest

PARENT = """
import subprocess, sys
from reactface_jax import processes
command = processes.command_ending_with_us([sys.argv[1], "word"])
if sys.argv[2] == "elsewhere":  # than Linux
    code = "import sys; sys.platform = 'other'; from reactface_jax.processes import _run_until_parent_ends as run"
    command = [command[0], "-c", f"{code}; run({command[3]}, {command[4:]!r})"]
subprocess.run(command)
"""
CHILD = """
import os, sys, time
assert sys.argv[1:] == ["word"]
print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("system", ["here", "elsewhere"])
def test_a_child_ends_with_a_parent_that_is_killed(tmp_path: Path, system: str) -> None:
    (tmp_path / "child.py").write_text(CHILD)
    command = [sys.executable, "-c", PARENT, str(tmp_path / "child.py"), system]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert int(parent.stdout.readline()) != parent.pid
        parent.kill()
        parent.wait()
        assert parent.stdout.read() == ""  # returns when the child, too, has closed it


def test_a_program_runs_as_it_would_by_itself(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("name = 'beside'")
    (tmp_path / "program.py").write_text("import sys, beside; print(__name__, beside.name, sys.argv[1:]); sys.exit(3)")
    code = "import subprocess, sys; from reactface_jax.processes import command_ending_with_us as command"
    code += f"; sys.exit(subprocess.run(command([{str(tmp_path / 'program.py')!r}, 'a', '--b'])).returncode)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "__main__ beside ['a', '--b']\n"
    assert done.returncode == 3
