"""Files and folders appear whole, nothing that is not ours is replaced, and what the dead left behind goes."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reactface_jax import files
from reactface_jax.errors import UserError
from reactface_jax.files import aside_name, lie_apart, replacing, replacing_folder, require_replaceable, sweep
from reactface_jax.processes import Owner, owner_from, this_process

WHO = "from reactface_jax.processes import this_process; print(this_process(), flush=True); input()"


@contextlib.contextmanager
def other_process() -> Iterator[tuple[Owner, subprocess.Popen[str]]]:
    """One that runs until it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", WHO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        owner = owner_from(process.stdout.readline().strip())
        assert owner is not None
        yield owner, process
        process.kill()


@pytest.fixture
def dead() -> Owner:
    with other_process() as (owner, _):
        assert not owner.is_dead()
    return owner


def is_set(folder: Path) -> bool:
    return (folder / "description").is_file()


def fill(path: Path, text: str, meanwhile: Callable[[], object] = lambda: None) -> None:
    with replacing_folder(path, is_set, "a set") as aside:
        (aside / "description").write_text(text)
        meanwhile()


def write(path: Path, text: str, meanwhile: Callable[[], object] = lambda: None) -> None:
    with replacing(path) as file:
        file.write(text.encode())
        meanwhile()


def interrupt() -> bool:
    raise KeyboardInterrupt


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_who_a_process_is(dead: Owner) -> None:
    assert owner_from(str(this_process())) == this_process()
    assert not this_process().is_dead()
    assert dead.is_dead()
    assert not dead._replace(host="elsewhere").is_dead()  # nobody here can know
    assert owner_from("1234") is None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="start times are Linux's")
def test_containers_of_one_host_name_number_their_processes_each(dead: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "readlink", lambda path: "pid:[4026531836]")  # a host's own numbering
    host = this_process().host
    monkeypatch.setattr(os, "readlink", lambda path: "pid:[4026532178]")
    assert owner_from(str(this_process())) == this_process()
    assert this_process().host == f"{host}_4026532178"
    assert not dead._replace(host=host).is_dead()  # its number may be free here and taken there
    assert dead._replace(host=this_process().host).is_dead()


def test_a_dead_processes_number_means_nothing() -> None:
    assert this_process()._replace(started=1).is_dead()  # it is another one's now
    with other_process() as (owner, process):
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert owner.is_dead()  # it ended, but its parent has not asked yet


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write(path, "old")
    with pytest.raises(KeyboardInterrupt):
        write(path, "half", interrupt)
    assert content(tmp_path) == {"a.json": "old"}
    write(path, "new", lambda: path.read_text() == "old" or interrupt())
    assert content(tmp_path) == {"a.json": "new"}
    with pytest.raises(UserError, match=r"none/a.json can't be written: No such file"):
        write(tmp_path / "none" / "a.json", "")


def test_leftovers_of_dead_processes_go_and_those_of_the_living_stay(tmp_path: Path, dead: Owner) -> None:
    living = [aside_name(tmp_path / "a.npy"), tmp_path / ".a.npy.partial", tmp_path / f".a.npy.{dead}.txt"]
    for path in living:
        path.touch()
    (tmp_path / f".a.npy.{dead}.partial").touch()
    (tmp_path / f".some.set.{dead}.partial" / "inside").mkdir(parents=True)
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(living)


def test_a_folder_takes_its_place_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "set"
    fill(path, "old")
    (path / "more").write_text("of the old one")
    with pytest.raises(KeyboardInterrupt):
        fill(path, "half", interrupt)
    assert content(tmp_path) == {"deep/set/description": "old", "deep/set/more": "of the old one"}
    fill(path, "new", lambda: (path / "more").is_file() or interrupt())
    assert content(tmp_path) == {"deep/set/description": "new"}
    assert list(path.parent.iterdir()) == [path]


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    fill(tmp_path / "set", "old")
    (tmp_path / "link").symlink_to("set")
    fill(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "set") == {"description": "new"}


def test_a_kill_between_two_renames_loses_nothing(tmp_path: Path, dead: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_exchange", lambda *_: False)  # as on other systems than Linux
    path = tmp_path / "set"
    fill(path, "old")
    fill(path, "new")
    path.rename(tmp_path / f".set.{dead}.old")
    (tmp_path / f".set.{dead}.partial").mkdir()
    require_replaceable(path, is_set, "a set")
    assert list(tmp_path.iterdir()) == [path]
    assert content(path) == {"description": "new"}


def test_what_is_not_ours_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    thesis = tmp_path / "work" / "thesis.tex"
    thesis.parent.mkdir()
    write(thesis, "mine")
    refused = {
        thesis.parent: "work holds files but is not a set, so it is not replaced; give another folder",
        thesis: "is a file; give a folder",
        thesis / "set": "lies below the file .*thesis.tex; give another folder",
        Path("."): r"^\. can't be replaced as a whole; give a folder inside it",
        Path(".."): "can't be replaced as a whole; give a folder inside it",
    }
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for path, message in refused.items():
        with pytest.raises(UserError, match=message):
            fill(path, "set")
    with pytest.raises(UserError, match="set holds files but is not a set"):
        fill(tmp_path / "set", "set", lambda: shutil.copytree(tmp_path / "work", tmp_path / "set"))  # it came meanwhile
    assert content(tmp_path) == {"work/thesis.tex": "mine", "set/thesis.tex": "mine"}
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UserError, match=r"there is no permission to write in .*here; give another folder"):
        require_replaceable("new", is_set, "a set")


def test_paths_that_contain_each_other(tmp_path: Path) -> None:
    (tmp_path / "raw" / "a").mkdir(parents=True)
    (tmp_path / "link").symlink_to("raw")
    assert lie_apart(tmp_path / "raw", tmp_path / "raw2")
    for other in ("raw", "raw/a", "raw/none/at/all", "link", "link/a", "raw/../link", "."):
        assert not lie_apart(tmp_path / "raw", tmp_path / other)
        assert not lie_apart(tmp_path / other, tmp_path / "raw")
