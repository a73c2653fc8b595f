"""A matrix is read for the rows that it was made for, and none silently takes another's place."""

import json
from pathlib import Path

import numpy as np
import pytest
from unit.labelled_tree import NOXI, OTHERS, write_full, write_tree
from unit.raw_tree import write_csv

from data_pipeline.labels.command import labels
from data_pipeline.raw_tree.react2023 import list_splits, read_appropriateness
from reactface_jax.errors import UserError


@pytest.mark.parametrize("there", ["neighbour_emotion_new_train.npy", "neighbour_emotion_train.npy"])
def test_matrix_in_the_challenges_folder(tmp_path: Path, there: str) -> None:
    """The organisers' is read, so nothing is written that would not be, or that would be instead."""
    write_tree(tmp_path, NOXI)
    (tmp_path / "train").mkdir()
    np.save(tmp_path / "train" / there, np.ones((6, 6)))
    for out in (None, tmp_path):
        with pytest.raises(
            UserError, match=rf"train/{there} (is there and would be read|was not made by this command)"
        ):
            labels(tmp_path, "coefficients", mean_degree=3, overwrite=True, out=out)
    assert sorted(path.name for path in tmp_path.rglob("neighbour*")) == [there]
    found = read_appropriateness(tmp_path, list_splits(tmp_path)[0])
    assert found is not None
    assert found[0].all()


def test_our_matrix_in_the_challenges_folder_is_replaced_there(tmp_path: Path) -> None:
    write_tree(tmp_path, NOXI)
    labels(tmp_path, "coefficients", mean_degree=3, out=tmp_path / "train")
    labels(tmp_path, "coefficients", mean_degree=2, overwrite=True)
    matrix = tmp_path / "train" / "neighbour_emotion_train.npy"
    assert list(tmp_path.rglob("neighbour*.npy")) == [matrix]
    assert np.load(matrix).sum() == 12
    np.save(tmp_path / "neighbour_emotion_train.npy", np.load(matrix))
    with pytest.raises(UserError, match=rf"{matrix} is there and is not read beside .*/neighbour_emotion_train\.npy"):
        labels(tmp_path, "coefficients", mean_degree=3, overwrite=True)


def test_matrix_of_other_rows_is_refused(tmp_path: Path) -> None:
    """In another order its rows and columns are other people's; a matrix that others made has no digest of its rows."""
    write_tree(tmp_path, NOXI + OTHERS)
    (tmp_path / "Audio_files" / f"{NOXI[1][0]}.wav").unlink()
    write_full(tmp_path)
    for source, degree in (("coefficients", 3), ("full", None)):
        labels(tmp_path, source, mean_degree=degree, overwrite=True)
        (split,) = list_splits(tmp_path)
        before = read_appropriateness(tmp_path, split)
        assert before is not None
        assert len(before[0]) == 8
        write_csv(tmp_path / "train.csv", (NOXI + OTHERS)[::-1])
        with pytest.raises(UserError, match=r"emotion_train\.npy was made for other rows than train\.csv has now"):
            read_appropriateness(tmp_path, list_splits(tmp_path)[0])
        write_csv(tmp_path / "train.csv", NOXI + OTHERS)
        after = read_appropriateness(tmp_path, split)
        assert after is not None
        np.testing.assert_array_equal(after[0], before[0])
    for beside in ("{", "[]", "{}", json.dumps({"sha256": "another", "sha256_of_rows": "another"})):
        (tmp_path / "neighbour_emotion_train.json").write_text(beside)
        write_csv(tmp_path / "train.csv", (NOXI + OTHERS)[::-1])
        assert read_appropriateness(tmp_path, list_splits(tmp_path)[0]) is not None
