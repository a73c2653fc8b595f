"""Raw trees and shard sets in a bucket, which a file system in memory stands in for."""

import filecmp
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from etils.epath import backend, gpath
from fsspec.implementations.memory import MemoryFileSystem
from raw_tree import write_csv, write_split

from data_pipeline.raw_tree.check import check
from data_pipeline.shards import write
from data_pipeline.shards.description import read_description
from data_pipeline.shards.remote import any_path, fetched
from data_pipeline.shards.verify import verify
from data_pipeline.shards.write import write_shards
from reactface_jax.errors import UserError


class Bucket(MemoryFileSystem):
    """Objects in memory, under gs://; with Google's own, only who moves the bytes differs."""

    protocol = ("gs", "gcs")
    store: dict[str, Any] = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012
    broken = ""  # part of the names that can't be read
    cachable = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + str(path).removeprefix("gs://").strip("/")

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        if self.broken and self.broken in path and "r" in mode:
            raise OSError("503 the service is not available")
        return super()._open(path, mode, **kwargs)

    def exists(self, path: str, **kwargs: Any) -> bool:
        if "forbidden" in path:
            raise PermissionError("403 you have no access to this bucket")
        return super().exists(path, **kwargs)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Bucket]]:
    monkeypatch.setattr(gpath, "_is_tf_installed", lambda: False)  # TensorFlow has its own way to gs://
    fsspec.register_implementation("gcs", Bucket, clobber=True)
    backend.fsspec_backend._get_filesystem.cache_clear()
    yield Bucket
    Bucket.store.clear()
    Bucket.pseudo_dirs[:] = [""]
    Bucket.broken = ""
    backend.fsspec_backend._get_filesystem.cache_clear()


@pytest.fixture
def raw(tmp_path: Path, bucket: type[Bucket]) -> Path:
    """A tree, here and in the bucket: mp4 and png, a damaged clip and one that is missing."""
    root = tmp_path / "raw"
    write_split(root, "train", [4, 3, 4])
    write_split(root, "val", [3], per_split=True, png=True)
    rows = (root / "train.csv").read_text().splitlines()[1:]
    write_csv(root / "train.csv", [["UDIVA/a", "UDIVA/b"], *(row.split(",")[1:] for row in rows)])
    for path in root.rglob("*"):
        if path.is_file():
            bucket().pipe(f"gs://data/{path.relative_to(tmp_path)}", path.read_bytes())
    return root


def test_shards_have_the_same_bytes(
    raw: Path, tmp_path: Path, bucket: type[Bucket], capsys: pytest.CaptureFixture[str]
) -> None:
    local = write_shards(raw, tmp_path / "local", clips_per_shard=4)
    check("gs://data/raw", rows=str(tmp_path / "left_out.csv"))
    assert "4 clips), 3 (2)" in capsys.readouterr().out
    remote = write_shards("gs://data/raw", "gs://data/sets/shards", clips_per_shard=4)
    assert remote == local
    copied = tmp_path / "copied"
    bucket().get("gs://data/sets/shards/", str(copied), recursive=True)
    names = sorted(path.name for path in (tmp_path / "local").iterdir())
    assert filecmp.cmpfiles(tmp_path / "local", copied, names, shallow=False) == (names, [], [])
    assert [path.rpartition("/")[2] for path in bucket().ls("gs://data/sets", detail=False)] == ["shards"]
    verify("gs://data/sets/shards")
    with pytest.raises(UserError, match=r"gs://data/sets/shards exists already"):
        write_shards("gs://data/raw", "gs://data/sets/shards")
    write_shards("gs://data/raw", "gs://data/sets/shards", overwrite=True, clips_per_shard=4)


def test_goes_on_where_it_was_interrupted(raw: Path, tmp_path: Path, bucket: type[Bucket]) -> None:
    out = "gs://data/shards"

    def interrupt(task: str, done: int, total: int) -> None:
        seen.append((task, done))
        if (task, done) == stop:
            raise KeyboardInterrupt

    firsts = []
    for stop in (("train", 2), ("val", 2), ("shards", 1), None):
        seen: list[tuple[str, int]] = []
        if stop:
            with pytest.raises(KeyboardInterrupt):
                write_shards(raw, out, clips_per_shard=4, report=interrupt)
            with pytest.raises(UserError, match=r"gs://data/shards is not a shard set"):
                read_description(any_path(out))
        else:
            write_shards(raw, out, clips_per_shard=4, report=interrupt)
        firsts.append(dict(reversed(seen)))
    assert [first["train"] for first in firsts] == [0, 2, 6, 6]
    assert firsts[3]["shards"] == 1
    assert read_description(any_path(out)) == write_shards(raw, tmp_path / "local", clips_per_shard=4)


def test_complete_set_of_other_labels_is_made_anew(
    raw: Path, tmp_path: Path, bucket: type[Bucket], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(write, "_move_objects", kill)
        with pytest.raises(Killed):
            write_shards(raw, "gs://data/shards")
    np.save(raw / "neighbour_emotion_val.npy", np.ones((2, 2)))
    assert write_shards(raw, "gs://data/shards")["splits"]["val"]["max_neighbours"] == 2
    assert read_description(any_path("gs://data/shards")) == write_shards(raw, tmp_path / "local")


def test_damage_names_the_file_in_the_bucket(raw: Path, bucket: type[Bucket]) -> None:
    name = "gs://data/raw/Video_files/NoXI/train_001/Expert_video/1.mp4"
    bucket().pipe(name, b"not a video")
    with pytest.raises(UserError, match=f"row 2 of train.csv, can't be used: {name} is not a video"):
        write_shards("gs://data/raw", "gs://data/shards")


def test_bucket_that_fails_is_no_damage(raw: Path, bucket: type[Bucket]) -> None:
    bucket.broken = "train_001/Novice_video/1.wav"
    with pytest.raises(UserError, match=r"Novice_video/1\.wav can't be fetched \(503 .*; start again"):
        write_shards("gs://data/raw", "gs://data/shards", max_bad=10)
    bucket.broken = ""
    assert write_shards("gs://data/raw", "gs://data/shards")["splits"]["train"]["clips"] == 6


def test_places(bucket: type[Bucket], tmp_path: Path) -> None:
    assert any_path(str(tmp_path)) == tmp_path
    with fetched(tmp_path) as path:
        assert path == tmp_path
    with pytest.raises(UserError, match="http://a/b is neither a folder nor in a bucket"):
        any_path("http://a/b")
    with pytest.raises(UserError, match=r"gs://forbidden/x can't be reached \(403 .*; check the bucket's name"):
        any_path("gs://forbidden/x")
