"""A shard set whose description or tables are not what they should be is refused before the first step."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw_tree import write_split

from data_pipeline.loader import open_shards
from data_pipeline.shards.description import checksum, digest, read_description
from data_pipeline.shards.verify import verify
from data_pipeline.shards.write import write_shards
from reactface_jax.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = tmp_path_factory.mktemp("raw")
    write_split(raw, "train", [3, 4])
    out = tmp_path_factory.mktemp("data") / "shards"
    write_shards(raw, out)
    return out


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def change(folder: Path, mend: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "description.json"
    description = json.loads(path.read_text())
    mend(description)
    description["sha256"] = digest(description)
    path.write_text(json.dumps(description))


def replace_array(folder: Path, name: str, array: np.ndarray) -> None:
    """Another array, which the description believes in."""
    np.save(folder / name, array)
    change(folder, lambda description: description["files"].update({name: checksum(folder / name)}))


def test_says_who_wrote_it(folder: Path) -> None:
    description = read_description(folder)
    assert description["version"] == "1.0.0"
    assert all(description["writer"].values())
    assert {"reactface-jax", "tensorflow-datasets", "array_record"} < set(description["writer"])
    assert set(description["files"]) == {path.name for path in folder.iterdir()} - {"description.json"}
    assert all(checksum(folder / name) == expected for name, expected in description["files"].items())


@pytest.mark.parametrize(
    ("mend", "message"),
    [
        (lambda d: d["coefficient_names"].pop(), "coefficient_names are not 58 different names"),
        (lambda d: d.update(coefficient_names=["jawOpen"] * 58), "coefficient_names are not 58 different names"),
        (lambda d: d["mean_face"].pop(), "mean_face is not 58 finite numbers"),
        (lambda d: d["std_face"].__setitem__(3, float("nan")), "std_face is not 58 finite numbers"),
        (lambda d: d["std_face"].__setitem__(3, -1.0), "std_face has negative numbers"),
        (lambda d: d.update(std_face=["x"] * 58), "a field is of the wrong kind"),
        (lambda d: d.update(frame_size=[64]), "frame_size is not a height and a width"),
        (lambda d: d.update(splits={}), "it has no split"),
        (lambda d: d.pop("mean_face"), "it lacks 'mean_face'"),
        (lambda d: d["splits"]["train"].pop("frames"), "it lacks 'frames'"),
        (lambda d: d["splits"]["train"]["clip_ids"].pop(), "the clips of train are counted as 3 and 4"),
        (lambda d: d["splits"]["train"]["frames"].__setitem__(0, 0), "a clip of train has no frames"),
        (lambda d: d["files"].pop("coefficients_train.npy"), r"it does not list coefficients_train\.npy"),
        (
            lambda d: d["files"].pop("react2023-train.array_record-00000-of-00001"),
            "it does not list the shards of train",
        ),
    ],
)
def test_contradictions(copy: Path, mend: Callable[[dict[str, Any]], Any], message: str) -> None:
    change(copy, mend)
    with pytest.raises(UserError, match=rf"description\.json is damaged: {message}"):
        open_shards(copy)


def test_another_number_in_the_description(copy: Path) -> None:
    """A digit of a statistic: as plausible as the right one."""
    path = copy / "description.json"
    text = path.read_text()
    start = text.index('"mean_face"')
    digit = next(i for i in range(start, len(text)) if text[i].isdigit())
    path.write_text(f"{text[:digit]}{(int(text[digit]) + 1) % 10}{text[digit + 1 :]}")
    with pytest.raises(UserError, match=r"description\.json is damaged: its checksum is another; copy"):
        open_shards(copy)


def test_damaged_table(copy: Path) -> None:
    path = copy / "coefficients_train.npy"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"coefficients_train\.npy is damaged: its checksum is another"):
        open_shards(copy)


def test_tables_of_another_split(copy: Path) -> None:
    replace_array(copy, "appropriateness_train.npy", np.eye(6, dtype=bool))
    with pytest.raises(
        UserError, match=r"the tables of train in .* have shapes \(4, 4, 58\) and \(6, 6\), but .* 4 clips"
    ):
        open_shards(copy)


class TestVerify:
    def test_other_coefficients(self, copy: Path) -> None:
        table = np.load(copy / "coefficients_train.npy")
        table[1, 2, 3] += 1
        replace_array(copy, "coefficients_train.npy", table)
        message = r"record 1 of .*-00000-of-00001, clip 1 of train, contradicts .* its speaker's coefficients; write"
        with pytest.raises(UserError, match=message):
            verify(str(copy))

    def test_other_neighbours(self, copy: Path) -> None:
        replace_array(copy, "appropriateness_train.npy", np.eye(4, dtype=bool) | np.eye(4, k=1, dtype=bool))
        with pytest.raises(UserError, match=r"clip 0 of train, contradicts the set's description: its neighbours"):
            verify(str(copy))

    def test_other_ids_and_sizes(self, copy: Path) -> None:
        def mend(description: dict[str, Any]) -> None:
            description["splits"]["train"]["clip_ids"][0] = "NoXI/another"
            description["frame_size"] = [32, 64]

        change(copy, mend)
        with pytest.raises(UserError, match=r"clip 0 of train, .*: its speaker, the size of its frames; write"):
            verify(str(copy))

    def test_record_that_is_no_example(self, copy: Path) -> None:
        from array_record.python.array_record_module import ArrayRecordWriter

        (shard,) = copy.glob("*-train.array_record*")
        writer = ArrayRecordWriter(str(shard), "group_size:1")
        writer.write(b"no example")
        writer.close()
        change(copy, lambda description: description["files"].update({shard.name: checksum(shard)}))
        with pytest.raises(UserError, match=r"record 0 of .* contradicts the set's description: it can't be decoded"):
            verify(str(copy))

    def test_records_missing(self, copy: Path, tmp_path: Path) -> None:
        from array_record.python.array_record_data_source import ArrayRecordDataSource
        from array_record.python.array_record_module import ArrayRecordWriter

        (shard,) = copy.glob("*-train.array_record*")
        first = ArrayRecordDataSource([str(shard)])[0]
        shorter = tmp_path / "shorter"
        writer = ArrayRecordWriter(str(shorter), "group_size:1")
        writer.write(first)
        writer.close()
        shorter.replace(shard)
        change(copy, lambda description: description["files"].update({shard.name: checksum(shard)}))
        with pytest.raises(UserError, match=r"the shards of train in .* hold 1 clips, not 4; write them anew"):
            verify(str(copy))
