"""`reactface doctor`: versions against bounds, things that crash or hang, and what each command lacks."""

import subprocess
import sys
from pathlib import Path

import pytest

from reactface_jax.commands.table import COMMANDS, EXTRAS
from reactface_jax.doctor import command, packages, report
from reactface_jax.doctor.needs import NEEDS
from reactface_jax.doctor.packages import BASE, OURS, Package, packages_of, version_of
from reactface_jax.doctor.probes import PROBES, Probe, Probed, result_of, start

ROOT = Path(__file__).parents[2]
WORKS = Probe("a thing", (), "    print('noise'); say(True, 'it\\n works')", "nothing")
FAILS = Probe("a thing", (), "    raise OSError('no library')", "apt-get install it")


def tried(probe: Probe, seconds: float = 60.0) -> Probed:
    return result_of(start(probe), seconds)


# ---- Packages


def test_versions_are_held_against_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"jax": "0.9", "flax": "0.12.1", "av": "15.1"}
    monkeypatch.setattr(packages, "version_of", installed.get)
    found = packages_of(
        [
            "jax<0.13,>=0.10",
            "flax>=0.12",
            'reactface-jax[render]; extra == "data"',
            'av<20,>=15; extra == "render"',
            'mediapipe==0.10.33; extra == "render"',
            'windows-only; sys_platform == "nowhere" and extra == "render"',
            'pytest; extra == "test"',
            "not a requirement (",
        ]
    )
    assert found[BASE] == [Package("jax", "<0.13,>=0.10", "0.9", False), Package("flax", ">=0.12", "0.12.1", True)]
    assert found["render"] == [
        Package("av", "<20,>=15", "15.1", True),
        Package("mediapipe", "==0.10.33", None, True),
    ]
    assert found["data"] == []
    lines = dict(report.installed(found))
    assert lines["!! base: jax 0.9 is installed, and <0.13,>=0.10 is wanted; pip install reactface-jax"] is False
    assert lines["-- render: not installed: mediapipe; pip install 'reactface-jax[render]'"] is True
    assert "ok base: flax 0.12.1" in lines


def test_this_projects_own_metadata_are_read() -> None:
    found = packages_of()
    assert "jax" in {package.name for package in found[BASE]}
    assert {"av", "mediapipe"} <= {package.name for package in found["render"]}
    assert all(found[extra] for extra in OURS)


# ---- Probes


def test_a_probe_says_what_it_found_whatever_else_is_printed() -> None:
    assert tried(WORKS) == Probed(True, "it works")
    assert tried(FAILS) == Probed(False, "OSError: no library")


def test_a_probe_that_crashes_or_hangs_is_a_finding() -> None:
    crashed = tried(WORKS._replace(program="    print('lost', file=sys.stderr); os._exit(7)"))
    assert crashed == Probed(False, "ended with code 7: lost")
    hung = tried(WORKS._replace(program="    import time; time.sleep(100)"), seconds=1.0)
    assert hung == Probed(False, "no answer within 1 s")


def test_codecs_are_found() -> None:
    assert tried(PROBES["codecs"]) == Probed(True, "H.264 and AAC are written and read")


@pytest.mark.long
@pytest.mark.parametrize("name", ["devices", "drawing", "faces"])
def test_what_the_tests_of_this_project_need_works(name: str) -> None:
    found = tried(PROBES[name])
    assert found.works, found.says


def test_an_accelerator_that_jax_does_not_see_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/dev/nvidia0")
    (line,) = report.unused_accelerator(Probed(True, "1 CPU (cpu)"))
    assert line[0] == "!! this machine has a GPU that JAX does not use; pip install 'reactface-jax[cuda]'"
    assert not list(report.unused_accelerator(Probed(True, "1 GPU (NVIDIA H100)")))


# ---- Commands


def test_every_command_has_its_needs() -> None:
    assert {*NEEDS, "doctor"} == set(COMMANDS)
    assert {probe for needs in NEEDS.values() for probe in needs.probes} <= set(PROBES)
    assert {extra for needs in NEEDS.values() for extra in needs.extras} <= set(OURS)


def test_commands_lack_extras_and_things_that_do_not_work() -> None:
    missing = [Package("x", "", None, True)]
    there = {BASE: [], **{extra: [] for extra in OURS}}
    found = {name: Probed(True, "") for name in PROBES} | {"faces": Probed(False, "no library")}
    lines = dict(report.commands(there | {"data": missing, "convert": missing}, found, ["convert"]))
    assert lines["ok export"] is True
    assert lines["-- train: pip install 'reactface-jax[data]'"] is True
    assert lines["!! convert: pip install 'reactface-jax[convert]'"] is False
    assert any(line.startswith("-- react: finding faces (MediaPipe) does not work: try apt-get") for line in lines)


def test_commands_need_no_more_than_is_said() -> None:
    """With the extra `render` only, commands that need no other one are imported."""
    code = (
        "import importlib, sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in sys.argv[1].split(): raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        "for module in sys.argv[2].split(): importlib.import_module(module)"
    )
    # Orbax, which is in the base, brings etils.
    blocked = [name for name, extra in EXTRAS.items() if extra != "render" and name != "etils"]
    modules = [COMMANDS[name].module for name, needs in NEEDS.items() if set(needs.extras) <= {"render"}]
    assert len(modules) > 3
    words = [sys.executable, "-c", code, " ".join(blocked), " ".join(modules)]
    subprocess.run(words, check=True, cwd=ROOT, capture_output=True)


# ---- The whole


def diagnosed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stop:
        command.main(words)
    code = stop.value.code
    assert isinstance(code, int)
    return code, capsys.readouterr().out


def test_the_exit_code_says_whether_all_is_well(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    probes = {name: WORKS._replace(title=probe.title) for name, probe in PROBES.items()}
    for module in (command, report):
        monkeypatch.setattr(module, "PROBES", probes)
    code, out = diagnosed(capsys)
    assert code == 0, out
    assert "ok drawing the 3-D head (OpenGL, VTK): it works" in out
    assert "ok free disk, this folder" in out
    probes["faces"] = FAILS
    code, out = diagnosed(capsys)
    assert code == 1
    assert "!! a thing: OSError: no library; try apt-get install it" in out


def test_a_machine_on_which_nothing_is_installed_gets_an_answer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (packages, command, report):
        monkeypatch.setattr(module, "version_of", lambda name: None)
    code, out = diagnosed(capsys, "live")
    assert code == 1
    assert "!! base: not installed: jax, flax" in out
    assert "-- finding faces (MediaPipe): not tried without mediapipe, av" in out
    assert "!! live: pip install 'reactface-jax[render,live]'" in out


def test_names_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command.main(["raect"])
    assert stop.value.code == 2
    assert "`reactface raect` is no command; did you mean react?" in capsys.readouterr().err


def test_it_starts_without_importing_what_it_looks_for() -> None:
    code = "import sys, reactface_jax.doctor.command; print(*{name.split('.')[0] for name in sys.modules})"
    out = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True).stdout
    assert not {"jax", "numpy", "tensorflow", "mediapipe", "av", "pyvista", "torch"} & set(out.split())


def test_damaged_metadata_are_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> str:
        raise UnicodeDecodeError("utf-8", b"", 0, 1, "damaged")

    monkeypatch.setattr("importlib.metadata.version", fails)
    assert version_of("jax") is None
