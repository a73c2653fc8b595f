"""Rows that answer as the speaker goes on: however cut, in any order of channels, with lost faces, without a voice."""

import dataclasses
import itertools
from pathlib import Path

import jax
import numpy as np
import pytest
from toy_training import LFI, ZHOU, batches, conversations, stirred

from reactface_jax.config import Config
from reactface_jax.errors import UserError
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.methods import Inputs, StreamingMethod
from reactface_jax.methods.lfi.lfi import Lfi
from reactface_jax.methods.ng.ng import Ng
from reactface_jax.methods.ready import Ready
from reactface_jax.methods.streamed_row import StreamedRow, streamed_row
from reactface_jax.methods.zhou.zhou import Zhou
from reactface_jax.weights.run import Run

MEAN = np.linspace(0.1, 0.3, 58).astype(np.float32)
KEY = jax.random.key(3)


@pytest.fixture(scope="module", params=[Lfi(LFI), Zhou(ZHOU)], ids=lambda row: row.name)
def ready(request) -> Ready:
    row = request.param
    return Ready(row, stirred(row.begin(0, jax.jit(row.init)(jax.random.key(0)), batches(4, 30))), MEAN)


@pytest.fixture(scope="module", name="seen")
def _seen() -> Inputs:
    clips = conversations(0, 2, 15)
    return Inputs(speaker=np.asarray(clips.speaker) + MEAN, audio=np.asarray(clips.audio))


def cut(seen: Inputs, first: int, last: int) -> Inputs:
    audio = None if seen.audio is None else seen.audio[:, 640 * first : 640 * last]
    return Inputs(speaker=seen.speaker[:, first:last], audio=audio)


def streamed(method: StreamedRow, seen: Inputs, borders: tuple[int, ...]) -> np.ndarray:
    state, parts = method.start(2, KEY, batch_size=2), []
    for first, last in itertools.pairwise(borders):
        state, part = method.step(state, cut(seen, first, last))
        parts.append(part)
    return np.concatenate(parts, axis=2)


def test_pieces_are_the_clip(ready, seen) -> None:
    method = StreamedRow(ready)
    assert isinstance(method, StreamingMethod)
    whole = method.generate(seen, 2, key=KEY)
    assert whole.shape == (2, 2, 15, 58)
    np.testing.assert_allclose(streamed(method, seen, (0, 5, 10, 15)), whole, rtol=0, atol=2e-4)
    np.testing.assert_allclose(streamed(method, seen, (0, 1, 8, 15)), whole, rtol=0, atol=2e-4)


def test_a_steady_voice_is_answered_as_in_a_file(ready, seen) -> None:
    """Each frame has the same mean and variance, so that what is known so far is what the file will be."""
    rng = np.random.default_rng(1)
    frames = rng.standard_normal((2, 15, 640))
    frames = (frames - frames.mean(-1, keepdims=True)) / frames.std(-1, keepdims=True)
    steady = seen._replace(audio=(0.02 * frames + 0.01).reshape(2, -1).astype(np.float32))
    np.testing.assert_allclose(
        StreamedRow(ready).generate(steady, 2, key=KEY), ready.generate(steady, 2, key=KEY), rtol=0, atol=1e-3
    )


def test_the_order_of_channels_is_the_tracking_s(ready, seen) -> None:
    backwards = tuple(range(57, -1, -1))
    found = StreamedRow(ready, backwards).generate(seen._replace(speaker=seen.speaker[..., ::-1]), 2, key=KEY)
    np.testing.assert_allclose(found[..., ::-1], StreamedRow(ready).generate(seen, 2, key=KEY), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(StreamedRow(ready, backwards).rest, MEAN[::-1])


def test_lost_faces_are_held_and_no_voice_is_silence(ready, seen) -> None:
    method = StreamedRow(ready)
    lost, as_seen = seen.speaker.copy(), seen.speaker.copy()
    lost[:, 7:11] = np.nan
    as_seen[:, 7:11] = as_seen[:, 6:7]
    lost[0, 0], as_seen[0, 0] = np.nan, MEAN
    found = streamed(method, seen._replace(speaker=lost), (0, 5, 10, 15))
    np.testing.assert_allclose(
        found, streamed(method, seen._replace(speaker=as_seen), (0, 5, 10, 15)), rtol=0, atol=1e-5
    )
    silent = method.generate(seen._replace(audio=np.zeros_like(seen.audio)), 2, key=KEY)
    np.testing.assert_allclose(method.generate(seen._replace(audio=None), 2, key=KEY), silent, rtol=0, atol=1e-6)


def test_a_run_is_taken_or_refused() -> None:
    row = Zhou(ZHOU)
    variables = jax.jit(row.init)(jax.random.key(0))
    config = Config(method="zhou", zhou=ZHOU)
    run = Run(config, variables.params, 1, MEAN, COEFFICIENT_NAMES, {}, variables.state)
    assert streamed_row(run, Path("run")).name == "Zhou et al."
    with pytest.raises(UserError, match=r"run was trained on coefficients called 'expression_0' …"):
        streamed_row(dataclasses.replace(run, coefficient_names=tuple(f"expression_{i}" for i in range(58))), "run")
    with pytest.raises(UserError, match=r"run is a run of ng, which answers whole clips only; .* of lfi or zhou$"):
        streamed_row(dataclasses.replace(run, config=Config(method="ng")), "run")


def test_a_row_of_whole_clips_is_refused() -> None:
    ng = Ng()
    with pytest.raises(UserError, match=r"Ng et al\. answers whole clips only, and not as it goes"):
        StreamedRow(Ready(ng, jax.eval_shape(ng.init, jax.random.key(0)), MEAN))
