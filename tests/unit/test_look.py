"""Figures of a shard set's people: planted blinks, lags, losses and duplicates are found."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from raw_tree import person, write_csv, write_person

from data_pipeline.loader import open_shards
from data_pipeline.look import drawn
from data_pipeline.look.command import _piece
from data_pipeline.look.figures import blinks_a_minute, duplicates, lag_of_smiles, share_lost, shared_people
from data_pipeline.look.page import ShownPerson, ShownPiece, Table, page
from data_pipeline.raw_tree.clips import jpeg
from data_pipeline.shards.write import write_shards
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL, HeadRenderer


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
    table = Table("<b>", ["x", "y"], [["<script>", "half\t0.5"]])
    speaker = ShownPerson("<i>", [b"one"], [[(3, 4)]], [b"head"])
    piece = ShownPiece(speaker, ShownPerson("b", [b"two"]), 12.5, np.arange(100, dtype=np.int16))
    text = page("set", [table], [piece])
    assert "<b>" not in text
    assert "<i>" not in text
    assert "width:3.00rem" in text
    assert '"speaker": ["b25l"], "speaker head": ["aGVhZA=="], "speaker landmarks": [[[3, 4]]]' in text
    assert '"listener": ["dHdv"], "listener head": [], "listener landmarks": []' in text
    assert text.count("<img") == 3
    assert text.count("<svg") == 1
    assert "http" not in text


def test_a_piece_ends_with_the_shorter_of_its_two_clips(tmp_path: Path) -> None:
    """The page shows both people's frames by one number."""
    speaker, listener = (person("train", 0, role) for role in ("Expert", "Novice"))
    root = tmp_path / "raw"
    write_person(root, speaker, 0, 12)
    write_person(root, listener, 1, 9)
    write_csv(root / "train.csv", [[speaker, listener]])
    np.save(root / "3D_FV_files" / f"{listener}.npy", np.load(root / "3D_FV_files" / f"{speaker}.npy"))
    (root / "Emotion" / f"{listener}.csv").unlink()
    write_shards(root, tmp_path / "shards")
    shards = open_shards(tmp_path / "shards")
    assert shards.num_frames("train").tolist() == [12, 9]
    piece = _piece(shards, "train", np.load(tmp_path / "shards" / "coefficients_train.npy"), 0, 6.0, drawn=False)
    assert len(piece.speaker.face) == len(piece.listener.face) == 5  # every second one of 9
    assert len(piece.sound) == 9 * 640


def test_landmarks_and_heads_of_a_piece() -> None:
    """A drawn head in the crop's middle has landmarks on it, and nobody has none; a head opens its jaw."""
    renderer = HeadRenderer((256, 256))
    picture = renderer.render(NEUTRAL)
    renderer.close()
    points = drawn.landmarks([jpeg(np.full((256, 256, 3), 90, np.uint8)), jpeg(picture)])
    assert points[0] == []
    assert len(points[1]) == 160
    low, high = np.array(points[1]).min(axis=0), np.array(points[1]).max(axis=0)
    np.testing.assert_allclose((low + high) / 2, [128, 140], atol=15)
    opened = NEUTRAL.copy()
    opened[ARKIT_NAMES.index("jawOpen")] = 1
    (heads,) = drawn.heads(np.stack([NEUTRAL, opened, opened]))
    closed, open_, same = (np.asarray(Image.open(io.BytesIO(one)), int) for one in heads)
    assert np.abs(closed - open_)[80:].max() > 60
    assert np.abs(open_ - same).max() == 0
