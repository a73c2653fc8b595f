"""What the commands read of others' files: whatever bytes they hold, the answer is arrays or one sentence."""

import json

import numpy as np
import pytest

from reactface_jax.errors import UserError
from reactface_jax.evaluation.prediction_files import prediction_paths, read_array, read_clips, read_names
from reactface_jax.export.motion import read_names as read_export_names
from reactface_jax.export.motion import read_reactions
from reactface_jax.methods.measured_speaker import read_style
from reactface_jax.weights.checksums import CHECKSUMS
from reactface_jax.weights.params_file import load_params, save_params


def changed(content: bytes, generator: np.random.Generator) -> bytes:
    """A file with some bytes of its header replaced, removed or repeated."""
    data = bytearray(content)
    for _ in range(generator.integers(1, 6)):
        place = int(generator.integers(0, 128))
        match generator.integers(0, 3):
            case 0:
                data[place] = generator.integers(0, 256)
            case 1:
                del data[place : place + int(generator.integers(1, 9))]
            case _:
                data[place:place] = data[place : place + int(generator.integers(1, 9))]
    return bytes(data)


@pytest.mark.parametrize("read", [read_reactions, read_style, lambda path: read_array(path, "--speaker")])
def test_changed_headers_give_an_array_or_one_sentence(read, tmp_path):
    path, generator = tmp_path / "x.npy", np.random.default_rng(0)
    np.save(path, np.zeros((2, 58), np.float32))
    content = path.read_bytes()
    refused = []
    for _ in range(200):
        path.write_bytes(changed(content, generator))
        try:
            array = read(path)
        except UserError as error:
            refused.append(str(error))
        else:
            assert isinstance(array, np.ndarray)
    assert len(refused) > 100
    assert {len(message.splitlines()) for message in refused} == {1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 200_000, "nested too deep"),
        ("é".encode("latin1"), "no text in UTF-8"),
        (b'{"a": 1}', "must be a"),
        (b"[1, 2]", "must be a"),
        (b"", "is not JSON"),
    ],
)
def test_names_of_channels(content, message, tmp_path):
    path = tmp_path / "names.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_names(path, 3)
    with pytest.raises(UserError, match=message):
        read_export_names(path, tmp_path / "answer.npy")


def test_names_of_clips_that_are_no_text(tmp_path):
    for name, array in {"people": np.zeros((1, 5, 3)), "neighbours": np.eye(1)}.items():
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "ids.txt").write_bytes(b"\xff\xfe")
    people = [tmp_path / "people.npy"] * 2
    with pytest.raises(UserError, match=r"--clip-ids .* is no text in UTF-8"):
        read_clips(*people, tmp_path / "neighbours.npy", tmp_path / "ids.txt")
    with pytest.raises(UserError, match="two methods called a"):
        prediction_paths(["a=x.npy", "a=y.npy"])


@pytest.mark.parametrize(("content", "message"), [("[" * 200_000, "nested too deep"), ("[]", "no description")])
def test_descriptions_of_weights(content, message, tmp_path):
    save_params(tmp_path / "weights", {"kernel": np.zeros(1)}, {"i3d": {}})
    (tmp_path / "weights" / "config.json").write_text(content)
    (tmp_path / "weights" / CHECKSUMS).unlink()  # a folder that others made has no list
    with pytest.raises(UserError, match=message):
        load_params(tmp_path / "weights")


def test_names_beside_an_answer_go_first(tmp_path):
    names = [f"c{i}" for i in range(58)]
    (tmp_path / "coefficient_names.json").write_text(json.dumps(["other"] * 58))
    (tmp_path / "answer.coefficient_names.json").write_text(json.dumps(names))
    assert read_export_names(None, tmp_path / "answer.npy") == names
    assert read_export_names(None, tmp_path / "another.npy") == ["other"] * 58
