"""A set that a killed run left complete is delivered for the input that it was made of, and for no other."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw_tree import person, write_csv, write_labels, write_split

from data_pipeline.raw_tree.react2023 import list_splits
from data_pipeline.shards import write
from data_pipeline.shards.write import write_shards
from reactface_jax.errors import UserError

EVERYBODY = np.ones((4, 4))


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trees")
    write_split(folder / "raw", "train", [3, 4])
    write_split(folder / "other", "train", [5, 4])
    return folder


@pytest.fixture
def home(trees: Path, tmp_path: Path) -> Path:
    shutil.copytree(trees, tmp_path / "home")
    return tmp_path / "home"


class Killed(BaseException):
    pass


def kill_while_moving(monkeypatch: pytest.MonkeyPatch, raw: Path, out: Path, *, after: bool = False) -> None:
    take_place = write.take_place

    def kill(aside: Path, path: Path) -> None:
        if after:
            take_place(aside, path)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(write, "take_place", kill)
        with pytest.raises(Killed):
            write_shards(raw, out, overwrite=True)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def nothing(home: Path) -> dict[str, Any]:
    return {}


def another_tree(home: Path) -> dict[str, Any]:
    return {"raw": home / "other"}


def fewer_rows(home: Path) -> dict[str, Any]:
    write_csv(home / "raw" / "train.csv", [[person("train", 1, "Expert"), person("train", 1, "Novice")]])
    return {}


def labels(home: Path) -> dict[str, Any]:
    write_labels(home / "raw" / "neighbour_emotion_train.npy", EVERYBODY)
    return {}


def names(home: Path) -> dict[str, Any]:
    (home / "raw" / "coefficient_names.json").write_text("[" + ",".join(f'"n{i}"' for i in range(52)) + "]")
    return {}


def shorter_shards(home: Path) -> dict[str, Any]:
    return {"clips_per_shard": 3}


@pytest.mark.parametrize("change", [nothing, another_tree, fewer_rows, labels, names, shorter_shards])
def test_a_set_that_has_not_moved(
    home: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], dict[str, Any]]
) -> None:
    kill_while_moving(monkeypatch, home / "raw", home / "shards")
    arguments = {"raw": home / "raw"} | change(home)
    tasks = []
    write_shards(**arguments, out=home / "shards", report=lambda task, *_: tasks.append(task))
    assert (tasks == []) == (change is nothing), "what is complete is only moved"
    write_shards(**arguments, out=home / "anew")
    assert files(home / "shards") == files(home / "anew")
    assert not list(home.glob(".*"))


def test_damage_that_may_no_longer_be_left_out(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(list_splits(home / "raw")[0].pairs[1][0].video).write_text("not a video")
    with monkeypatch.context() as patch:
        patch.setattr(write, "take_place", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            write_shards(home / "raw", home / "shards", max_bad=1)
    with pytest.raises(UserError, match=r"row 1 of train\.csv, can't be used"):
        write_shards(home / "raw", home / "shards")
    assert write_shards(home / "raw", home / "shards", max_bad=1)["splits"]["train"]["clips"] == 2


def test_a_set_that_has_moved(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays without --overwrite. With it, nothing of the older set, which then lies aside, gets into the new one."""
    raw, out = home / "raw", home / "shards"
    write_shards(raw, out)
    write_labels(raw / "neighbour_emotion_train.npy", EVERYBODY)
    kill_while_moving(monkeypatch, raw, out, after=True)
    second = files(out)
    write_split(raw, "val", [3])
    with pytest.raises(UserError, match=r"shards exists already"):
        write_shards(raw, out)
    assert files(out) == second
    write_shards(raw, out, overwrite=True)
    write_shards(raw, home / "anew")
    assert files(out) == files(home / "anew")
