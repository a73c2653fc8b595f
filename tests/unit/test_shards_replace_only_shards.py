"""`prepare shards` replaces a shard set and nothing else, and no message asks for more."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from raw_tree import write_split

from data_pipeline.loader import open_shards
from data_pipeline.shards import write
from data_pipeline.shards.description import DESCRIPTION
from data_pipeline.shards.write import write_shards
from reactface_jax.errors import UserError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tree, raw, and its shards."""
    folder = tmp_path_factory.mktemp("made")
    write_split(folder / "raw", "train", [3])
    write_shards(folder / "raw", folder / "shards")
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "home")
    return tmp_path / "home"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def thesis(home: Path) -> Path:
    (home / "work").mkdir()
    (home / "work" / "thesis.tex").write_text("years")
    return home / "work"


def thesis_among_shards(home: Path) -> Path:
    (home / "shards" / "thesis.tex").write_text("years")
    return home / "shards"


def description_of_something_else(home: Path) -> Path:
    (home / "shards" / DESCRIPTION).write_text(json.dumps({"format": "react2023", "files": "none"}))
    return home / "shards"


def below_a_file(home: Path) -> Path:
    (home / "notes").write_text("x")
    return home / "notes" / "shards"


def link_to_the_tree(home: Path) -> Path:
    (home / "link").symlink_to(home / "raw", target_is_directory=True)
    return home / "link"


def links_in_a_circle(home: Path) -> Path:
    (home / "one").symlink_to(home / "other")
    (home / "other").symlink_to(home / "one")
    return home / "one"


def unfinished_of_others(home: Path) -> Path:
    (home / ".new.partial").mkdir()
    (home / ".new.partial" / "thesis.tex").write_text("years")
    return home / "new"


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (lambda home: home / "raw", r"raw lie one in the other, .*; give --out .*/home/raw-shards$"),
        (lambda home: home, r"raw lie one in the other, .*; give --out .*/home/raw-shards$"),
        (lambda home: home / "raw" / "shards", r"raw lie one in the other, .*; give --out .*/home/raw-shards$"),
        (link_to_the_tree, "lie one in the other"),
        (
            thesis,
            r"work holds files but no description\.json of a shard set, so it is not replaced; give another --out",
        ),
        (thesis_among_shards, r"shards holds thesis\.tex, which is no file of a shard set, so it is not replaced"),
        (description_of_something_else, r"holds files but no description\.json of a shard set"),
        (below_a_file, r"notes/shards lies below the file .*notes"),
        (lambda home: home / "raw" / "train.csv", "lie one in the other"),
        (unfinished_of_others, r"\.new\.partial, where shards are made, holds thesis\.tex; move it away"),
        (links_in_a_circle, r"one can't be opened \(.*symbolic links"),
        (lambda home: home / ("x" * 300), r"can't be opened \(.*File name too long"),
        (lambda home: Path("/"), "--out / can't be replaced as a whole"),
    ],
)
def test_nothing_is_lost(home: Path, out: Callable[[Path], Path], message: str) -> None:
    path = out(home)
    before = files(home)
    with pytest.raises(UserError, match=message):
        write_shards(home / "raw", path, overwrite=True)
    assert files(home) == before


def test_the_folder_one_stands_in(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "here").mkdir()
    monkeypatch.chdir(home / "here")
    with pytest.raises(UserError, match="here can't be replaced as a whole; give a folder inside it"):
        write_shards(home / "raw", ".", overwrite=True)


def test_a_set_is_replaced_also_a_damaged_one_and_through_a_link(home: Path) -> None:
    (home / "link").symlink_to(home / "shards", target_is_directory=True)
    before = files(home / "shards")
    (home / "shards" / "coefficients_train.npy").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"link exists already|shards exists already"):
        write_shards(home / "raw", home / "link")
    write_shards(home / "raw", home / "link", overwrite=True)
    assert files(home / "shards") == before
    assert (home / "link").is_symlink()
    assert not (home / ".shards.partial").exists()


@pytest.mark.parametrize("after", [False, True])
def test_killed_while_the_set_takes_its_place(home: Path, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    """The old set is there or the new one, whole; the same command completes the work."""
    write_split(home / "raw", "val", [2])
    take_place = write.take_place

    class Killed(BaseException):
        pass

    def kill(aside: Path, path: Path) -> None:
        if after:
            take_place(aside, path)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(write, "take_place", kill)
        with pytest.raises(Killed):
            write_shards(home / "raw", home / "shards", overwrite=True)
    assert set(open_shards(home / "shards").description["splits"]) == ({"train", "val"} if after else {"train"})
    write_shards(home / "raw", home / "shards", overwrite=True)
    assert set(open_shards(home / "shards").description["splits"]) == {"train", "val"}
    assert sorted(path.name for path in home.iterdir()) == ["raw", "shards"]


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        (
            "raw",
            r"it is a raw tree; write its shards with `.* --raw .*/raw --out .*/raw-shards`, and give .*/raw-shards$",
        ),
        ("work", r"it has no description\.json; give the folder that `.* --raw ROOT --out DIR` wrote$"),
        ("empty", r"it is empty; write it with `.* --raw ROOT --out .*/empty`$"),
        ("nowhere", r"it does not exist; write it with `.* --raw ROOT --out .*/nowhere`$"),
        ("work/thesis.tex", "it is a file; give the folder"),
    ],
)
def test_what_to_do_without_a_set(home: Path, folder: str, message: str) -> None:
    """No command that replaces what is there; the one for a raw tree once did."""
    thesis(home)
    (home / "empty").mkdir()
    with pytest.raises(UserError, match=rf"is not a shard set: {message}") as error:
        open_shards(home / folder)
    assert "--overwrite" not in str(error.value)
