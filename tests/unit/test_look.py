"""Figures of a shard set's people: planted blinks, lags, losses and duplicates are found."""

import numpy as np
import pytest

from data_pipeline.look.figures import blinks_a_minute, duplicates, lag_of_smiles, share_lost, shared_people
from data_pipeline.look.page import ShownPiece, Table, page


def test_blinks() -> None:
    """Both eyes have to close, and to open again, before the next one counts."""
    left, right = np.zeros(750), np.zeros(750)
    for start in (50, 200, 400, 600):
        left[start : start + 4] = right[start : start + 4] = [0.5, 0.9, 0.35, 0.5]
    left[300:310] = 1  # a wink
    assert blinks_a_minute(left, right) == 8
    assert blinks_a_minute(left, left * 0) == 0


@pytest.mark.parametrize("lag", [10, -7])
def test_lag_of_smiles(lag: int) -> None:
    rng = np.random.default_rng(0)
    smiles = [np.convolve(rng.random(400) ** 8, np.ones(15), "same") for _ in range(3)]
    still = np.zeros(400)
    found = lag_of_smiles([*smiles, still], [np.roll(smile, lag) for smile in smiles] + [smiles[0]])
    assert found is not None
    assert found.seconds == pytest.approx(lag / 25)
    assert found.correlation > 0.9
    assert found.clips == 3
    assert lag_of_smiles([still], [still]) is None


def test_lost_faces_duplicates_and_people() -> None:
    confidence = np.ones((2, 10, 1))
    confidence[0, :3], confidence[1, 5:] = 0, np.nan
    assert share_lost(confidence, [10, 5]) == pytest.approx(3 / 15)
    table = np.random.default_rng(0).normal(size=(2, 10, 58)).astype(np.float32)
    tables = {"train": (table, [10, 8], ["a/1", "b/1"]), "val": (table[1:], [8], ["c/1"])}
    assert duplicates(tables) == ["c/1 of val is b/1 of train"]
    assert duplicates({"train": tables["train"]}) == []
    ids = {"train": ["V00_S1_I2_P7/0", "x/one/1"], "val": ["V00_S3_I4_P7A/30", "x/two/1"], "test": ["x/one/9"]}
    assert shared_people(ids) == ["V00 P7 (train, val)", "x/one (test, train)"]


def test_the_page_holds_everything_and_no_markup_of_others() -> None:
    table = Table("<b>", ["x"], [["<script>", "half\t0.5"]])
    piece = ShownPiece("<i>", "b", 12.5, [b"one"], [b"two"], np.arange(100, dtype=np.int16))
    text = page("set", [table], [piece])
    assert "<b>" not in text
    assert "<i>" not in text
    assert "width:3.00rem" in text
    assert '"speaker": ["b25l"], "listener": ["dHdv"]' in text
    assert "http" not in text
