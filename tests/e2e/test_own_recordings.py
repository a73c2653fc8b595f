"""A real conversation, two people in one picture at 12 fps, becomes training data: pair, roles, check and shards."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_pipeline import prepare
from data_pipeline.loader import open_shards  # TensorFlow has to come before whatever draws
from data_pipeline.raw_tree.clip_arrays import read_coefficients
from data_pipeline.raw_tree.react2023 import list_splits
from data_pipeline.shards.write import write_shards
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES

CLIP = Path(__file__).parents[3] / "shared" / "assets" / "dyad_speaker_listener_9s.mp4"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not CLIP.is_file():
        pytest.skip("the real conversation clip is not beside the repository")
    folder = tmp_path_factory.mktemp("recordings")
    shutil.copy(CLIP, folder / "talk.mp4")
    (folder / "pairs.csv").write_text("speaker,listener\ntalk.mp4,\n")
    prepare.import_pairs(folder / "pairs.csv", folder / "tree", previews=False)
    return folder / "tree"


def test_speaker_and_listener_are_told_apart(tree: Path) -> None:
    """The one on the right speaks: his jaw moves more than the listener's, and with the sound."""
    record = json.loads((tree / "recordings" / "talk.json").read_text())
    ((speaker, listener),) = list_splits(tree)[0].pairs
    jaws = [read_coefficients(p.coefficients)[:, ARKIT_NAMES.index("jawOpen")] for p in (speaker, listener)]
    assert jaws[0].std() > 2 * jaws[1].std()
    assert record["jaw_open_follows_speaker_sound"]["speaker"] > 0.5
    assert record["jaw_open_follows_speaker_sound"]["listener"] < 0.2
    assert record["clips"] == [{"start": 0.0, "frames": 219}]
    assert record["frames_without_face"] == {"speaker": 0, "listener": 0}


def test_coefficients_are_in_the_datas_ranges(tree: Path) -> None:
    for person in list_splits(tree)[0].pairs[0]:
        coefficients = read_coefficients(person.coefficients)
        assert (coefficients[:, :52] >= 0).all()
        assert (coefficients[:, :52] <= 1).all()
        assert not coefficients[:, ARKIT_NAMES.index("tongueOut")].any()
        # REACT2023's means, give or take a few of its standard deviations.
        assert np.abs(coefficients[:, 52:].mean(axis=0) - [3.19, 0.05, 0, -0.01, -0.02, 1.84]).max() < 1.3
        # 12 fps become 25 without standing still every other frame.
        assert (np.abs(np.diff(coefficients[:, 52:], axis=0)).max(axis=1) > 0).mean() > 0.9


def test_check_and_shards_take_it(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare.check(str(tree), rows=str(tmp_path / "left_out.csv"))
    write_shards(tree, tmp_path / "shards", workers=1, overwrite=False)
    shard_set = open_shards(tmp_path / "shards")
    assert shard_set.clip_ids("train") == ["Own/talk/speaker/1", "Own/talk/listener/1"]
    assert shard_set.description["coefficient_names"][:52] == list(ARKIT_NAMES)
    assert shard_set.num_frames("train").tolist() == [219, 219]
