"""Weights in a folder: what is read is what was written."""

from pathlib import Path

import numpy as np
import pytest

from reactface_jax.errors import UserError
from reactface_jax.weights.checksums import CHECKSUMS
from reactface_jax.weights.params_file import load_params, save_params

PARAMS = {"layer": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_params(tmp_path / "weights", PARAMS, {"audio": {"layers": 1}}, {"more.bin": b"1234"})
    return tmp_path / "weights"


def test_a_folder_is_read_again(folder: Path) -> None:
    params, config = load_params(folder)
    np.testing.assert_array_equal(params["layer"]["kernel"], PARAMS["layer"]["kernel"])
    assert config == {"audio": {"layers": 1}}
    assert (folder / "more.bin").read_bytes() == b"1234"
    assert [path.name for path in folder.parent.iterdir()] == ["weights"]


@pytest.mark.parametrize("name", ["params.safetensors", "config.json", "more.bin", CHECKSUMS])
def test_a_flipped_bit_is_found(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-3] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=r"weights/?\S* is damaged") as error:
        load_params(folder)
    assert "\n" not in str(error.value)


def test_a_file_too_many_or_too_few(folder: Path) -> None:
    (folder / "notes.txt").touch()
    with pytest.raises(UserError, match=r"weights is damaged: 'notes.txt' is not listed"):
        load_params(folder)
    (folder / "notes.txt").unlink()
    (folder / "more.bin").unlink()
    with pytest.raises(UserError, match=r"weights is damaged: 'more.bin' is missing"):
        load_params(folder)


def test_a_folder_without_checksums_is_read(folder: Path) -> None:
    (folder / CHECKSUMS).unlink()
    load_params(folder)
    (folder / CHECKSUMS).write_text("no list")
    with pytest.raises(UserError, match="a line of it names no file"):
        load_params(folder)
