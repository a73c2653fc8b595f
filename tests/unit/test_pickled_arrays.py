"""Arrays come out of a pickle as they went in; nothing else in it is made or run."""

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from reactface_jax.pickled_arrays import ArrayUnpickler, HoldsMoreError


def unpickled(content: bytes) -> object:
    return ArrayUnpickler(io.BytesIO(content)).load()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_containers_come_back(protocol: int) -> None:
    tree = {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "step": np.int64(3), "names": ["a", "b"]}
    found = unpickled(pickle.dumps(tree, protocol))
    assert isinstance(found, dict)
    np.testing.assert_array_equal(found["kernel"], tree["kernel"])
    assert (found["step"], found["names"]) == (3, ["a", "b"])


def test_numpy_1_called_its_core_otherwise() -> None:
    content = pickle.dumps(np.ones(2), protocol=2).replace(b"numpy._core", b"numpy.core")
    np.testing.assert_array_equal(unpickled(content), np.ones(2))


class Command:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


def test_a_command_is_named_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HoldsMoreError, match=r"^posix\.system$"):
        unpickled(pickle.dumps([np.ones(1), Command()]))
    assert not (tmp_path / "ran").exists()
