"""What the measures hold in memory: nothing of the size of the listeners or predictions they are given."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from reactface_jax.metrics import chance, diversity, motion_distance, reaction_gain
from reactface_jax.metrics.correlation import moments


def highest(run: Callable[[], object]) -> int:
    """Bytes that it takes beyond what there was before, at the highest."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_chance_copies_no_listeners() -> None:
    generator = np.random.default_rng(0)
    listener = moments(generator.standard_normal((200, 100, 4)))
    prediction = generator.standard_normal((2, 100, 4))
    allowed = np.arange(200) > 5
    taken = highest(lambda: chance.by_chance(prediction, listener, allowed, 10))
    assert taken < listener.centred.nbytes / 4


def test_means_over_time_copy_no_prediction() -> None:
    prediction = np.random.default_rng(0).standard_normal((20, 4, 200, 8)).astype(np.float32)
    assert highest(lambda: diversity.offset_within_clips(prediction)) < prediction.nbytes / 2


def test_a_fit_keeps_the_chosen_frames_only(monkeypatch: pytest.MonkeyPatch) -> None:
    people = np.random.default_rng(0).standard_normal((6, 60, 3)).astype(np.float32)
    kept: list[np.ndarray] = []
    whole = reaction_gain._ridge

    def ridge(rows: list[tuple[np.ndarray, np.ndarray]], held: np.ndarray, columns: slice) -> np.ndarray:
        kept.extend(array for pair in rows for array in pair)
        return whole(rows, held, columns)

    monkeypatch.setattr(reaction_gain, "_ridge", ridge)
    monkeypatch.setattr(reaction_gain, "MOST_ROWS", 30)
    reaction_gain.fit(people, people[::-1], people[..., :1])
    assert kept
    assert all(array.base is None for array in kept), "a view keeps all frames"


def test_principal_axes_are_the_pieces_singular_vectors() -> None:
    generator = np.random.default_rng(0)
    pieces = generator.standard_normal((500, 40)) * np.linspace(1, 5, 40)
    centre = pieces.mean(0)
    expected = np.linalg.svd(pieces - centre, full_matrices=False)[2][: motion_distance.COMPONENTS]
    found = motion_distance._principal_axes(pieces, centre)
    np.testing.assert_allclose(found * np.sign((found * expected).sum(1))[:, None], expected, atol=1e-10)
    few = motion_distance._principal_axes(pieces[:9], centre)
    assert few.shape == (9, 40)
