"""Numbers of the raw tree are checked as they are used: in float32, with nothing lost on the way."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from raw_tree import person, write_csv, write_split

from data_pipeline.raw_tree.check import check
from data_pipeline.raw_tree.clip_arrays import (
    read_attributes,
    read_coefficient_names,
    read_coefficients,
    read_statistics,
)
from data_pipeline.raw_tree.clips import iterate_frames
from data_pipeline.raw_tree.react2023 import list_splits, warning_of_shared_people
from reactface_jax.errors import UserError

HEADER = ",".join(f"AU{i}" for i in range(25)) + "\n"
ROWS = "\n".join(",".join(str(25 * t + i) for i in range(25)) for t in range(3)) + "\n"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            1e300,
            r"has values that are not finite, the first in frame 2, column 5: 1e\+300; extract",
        ),  # finite in float64
        (np.inf, "has values that are not finite"),
        (-3e7, r"has values that no face reaches, the first in frame 2, column 5: -30000000\.0"),
    ],
)
def test_coefficients(tmp_path: Path, value: float, message: str) -> None:
    array = np.ones((4, 58))
    array[2, 5] = value
    np.save(tmp_path / "1.npy", array)
    with pytest.raises(UserError, match=message):
        read_coefficients(tmp_path / "1.npy")


@pytest.mark.parametrize("before", [HEADER, "", "\ufeff" + HEADER, "\ufeff", ",".join(map(str, range(25))) + "\n"])
def test_attributes_with_and_without_header(tmp_path: Path, before: str) -> None:
    """All frames are there: a first line of numbers is a frame, unless pandas has numbered the columns."""
    (tmp_path / "1.csv").write_text(before + ROWS.replace("0,1,2", "0.5,1,2", 1), encoding="utf-8")
    expected = np.arange(75, dtype=np.float32).reshape(3, 25)
    expected[0, 0] = 0.5
    np.testing.assert_array_equal(read_attributes(tmp_path / "1.csv"), expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + ROWS.replace("30", "nan"), r"has values that are not finite, the first in frame 1, column 5: nan"),
        (HEADER + ROWS.replace("30", "1e200"), "has values that are not finite"),
        ((HEADER + ROWS).replace(",", ";"), "has semicolons between its cells, not commas"),
        (ROWS.replace(",", "\t"), "has tabs between its cells"),
        (HEADER, "has no rows of 25 numbers"),
        ("", "has no rows of 25 numbers"),
        (HEADER + ROWS + "1,2\n", "is not a header and rows of 25 numbers"),
        (HEADER + ROWS.replace("30", "#"), "is not a header and rows of 25 numbers"),
    ],
)
def test_attributes_of_no_use(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "1.csv").write_text(text)
    with pytest.raises(UserError, match=rf"1\.csv {message}"):
        read_attributes(tmp_path / "1.csv")


def test_attributes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_bytes(HEADER.encode() + b"\xe9")
    with pytest.raises(UserError, match=r"1\.csv is no text in UTF-8"):
        read_attributes(tmp_path / "1.csv")


def test_statistics(tmp_path: Path) -> None:
    np.save(tmp_path / "mean_face.npy", np.ones(58))
    std = np.ones(58)
    for value, message in ((-0.5, "has negative numbers"), (1e40, "not finite"), (np.nan, "not finite")):
        std[3] = value
        np.save(tmp_path / "std_face.npy", std)
        with pytest.raises(UserError, match=rf"std_face\.npy has .*{message.removeprefix('has ')}"):
            read_statistics(tmp_path)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a": 1}', "[1, 2]", '["' + '","'.join(map(str, range(59))) + '"]'])
def test_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "coefficient_names.json").write_text(text)
    with pytest.raises(UserError, match=r"coefficient_names\.json (is JSON that is nested|must be a list)"):
        read_coefficient_names(tmp_path)


def test_names_with_byte_order_mark(tmp_path: Path) -> None:
    names = [f"n{i}" for i in range(58)]
    (tmp_path / "coefficient_names.json").write_text("\ufeff" + str(names).replace("'", '"'), encoding="utf-8")
    assert read_coefficient_names(tmp_path) == names


def test_check_finds_what_made_labels_run_for_ever(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [4, 4])
    attributes = tmp_path / "Emotion" / f"{person('train', 1, 'Novice')}.csv"
    lines = attributes.read_text().splitlines()
    lines[2] = "nan," + lines[2].partition(",")[2]
    attributes.write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"row 1 of train\.csv: .*not finite, the first in frame 1, column 0"):
        check(str(tmp_path), rows=str(tmp_path / "rows.csv"))


def test_a_video_in_two_splits_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_split(tmp_path, "train", [4, 4])
    assert warning_of_shared_people(list_splits(tmp_path)) == ""
    shared = [person("train", 1, role) for role in ("Expert", "Novice")]
    write_csv(tmp_path / "val.csv", [[path.replace("NoXI", "noxi") for path in shared]])
    check(str(tmp_path), rows=str(tmp_path / "rows.csv"))
    message = f"warning: 2 clips are in more than one split, such as {shared[0]} in train and val; figures of one split"
    assert message in capsys.readouterr().out


def test_pictures_of_no_use(tmp_path: Path) -> None:
    """A header of a million pixels squared in a few bytes; and two files of one number."""
    picture = io.BytesIO()
    Image.new("RGB", (2, 2)).save(picture, "PNG")
    content = bytearray(picture.getvalue())
    (tmp_path / "1.png").write_bytes(content)
    assert next(iterate_frames(tmp_path)).shape == (2, 2, 3)
    content[16:24] = b"\x00\x0f\xff\xff" * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    (tmp_path / "1.png").write_bytes(content)
    with pytest.raises(UserError, match=r"1\.png is not a png; unpack the frames again"):
        next(iterate_frames(tmp_path))
    (tmp_path / "01.png").write_bytes(content)
    with pytest.raises(UserError, match=r"has two files of one number, such as 1\.png and 01\.png"):
        next(iterate_frames(tmp_path))


def test_path_that_no_file_can_have(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [4])
    here = [person("train", 0, role) for role in ("Expert", "Novice")]
    write_csv(tmp_path / "train.csv", [["NoXI/" + "x" * 300, here[1]], here])
    (row,) = list_splits(tmp_path)[0].left_out
    assert row.reason == "speaker has no readable files (File name too long)"
