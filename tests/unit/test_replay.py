"""A dump of a step that was not finite: read again, or refused; and what a part of a step can't say."""

import jax.numpy as jnp
import numpy as np
import pytest

from reactface_jax.config import Config, load_config
from reactface_jax.errors import UserError
from reactface_jax.methods.learned import Variables
from reactface_jax.training.divergence import Dump, _write, read_dump
from reactface_jax.training.replay_diverged_step import replay
from reactface_jax.types import Batch


def make_dump(config: Config, clips: int) -> Dump:
    ones = np.ones((clips, 2), np.float32)
    batch = Batch(*(ones for _ in Batch._fields))
    names = tuple(f"clip {i}" for i in range(clips))
    return Dump(config, Variables({"layer": {"kernel": ones}}, {}), np.zeros(2, np.uint32), 6, batch, names)


def test_a_dump_comes_back_and_what_is_none_gets_a_sentence(tmp_path):
    path = tmp_path / "diverged-step-7.npz"
    dump = make_dump(load_config("tiny"), 2)
    _write(path, dump)
    again = read_dump(path)
    assert (again.config, again.step, again.clip_ids) == (dump.config, 6, ("clip 0", "clip 1"))
    np.testing.assert_array_equal(again.variables.params["layer"]["kernel"], np.ones((2, 2)))
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole[:-30], b"text", b"PK\x03\x04", whole[:200] + whole[300:]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"diverged-step-7.npz is no dump of a training, or damaged; train again"):
            read_dump(path)
    path.unlink()
    with pytest.raises(UserError, match="does not exist"):
        read_dump(path)


def gradient(variables, batch, key, step):
    return {"loss": jnp.zeros(())}, variables.params, {}


def test_a_part_of_a_step_is_said_to_be_one():
    """Of several processes each writes its own clips, and the noise of a step is drawn for all of them."""
    config = load_config("tiny", ["--train.batch-size", "4"])
    part, whole = (list(replay(gradient, make_dump(config, clips))) for clips in (2, 4))
    assert part[1] == (
        "one process's 2 of the step's 4 clips: other noise is drawn than in the step, and what is finite here may not "
        "have been there"
    )
    assert not any("process" in line for line in whole)
    assert part[-1] == whole[-1] == "finite here"
