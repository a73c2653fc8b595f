"""The example of CONTRIBUTING.md is a method, and does what it says."""

from pathlib import Path

import jax
import numpy as np

from reactface_jax.methods import Inputs, Method


def test_the_example_nods_at_pauses():
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    names: dict = {}
    exec(text.split("```python\n")[1].split("```")[0], names)
    method = names["PauseNod"](np.zeros(58, np.float32))
    assert isinstance(method, Method)
    audio = np.full((2, 60 * 640), 0.1, np.float32)
    audio[1, 20 * 640 : 40 * 640] = 0
    reactions = method.generate(Inputs(audio=audio), 3, key=jax.random.key(0))
    assert reactions.shape == (2, 3, 60, 58)
    assert np.abs(reactions[0]).max() == 0
    nods = reactions[1, ..., 52]
    assert (nods[:, :31] == 0).all()
    assert (nods.max(axis=1) > 0.19).all()
