"""Programs that end with the process that started them, however that one ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PARENT = """
import subprocess, sys
from reactface_jax import processes
command = processes.command_ending_with_us("child", ["word"])
if sys.argv[1] == "elsewhere":  # than Linux
    code = "import sys; sys.platform = 'other'; from reactface_jax.processes import _run_until_parent_ends as run"
    command = [command[0], "-c", f"{code}; run({command[3]}, {command[4]!r}, {command[5:]!r})"]
sys.exit(subprocess.run(command).returncode)
"""
CHILD = """
import sys, time
assert sys.argv[1:] == ["word"]
print(__name__, flush=True)
time.sleep(600)
"""


def start(folder: Path, system: str, child: str) -> subprocess.Popen[str]:
    (folder / "child.py").write_text(child)
    path = os.pathsep.join([str(folder), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen([sys.executable, "-c", PARENT, system], stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("system", ["here", "elsewhere"])
def test_a_child_ends_with_a_parent_that_is_killed(tmp_path: Path, system: str) -> None:
    with start(tmp_path, system, CHILD) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "__main__\n"
        parent.kill()
        assert parent.stdout.read() == ""  # returns once the child, too, has closed it


def test_its_exit_code_is_the_childs(tmp_path: Path) -> None:
    with start(tmp_path, "here", "import sys; sys.exit(len(sys.argv) + 1)") as parent:
        assert parent.wait() == 3
