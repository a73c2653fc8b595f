"""The Fréchet distance, and folders of videos with a stand-in for I3D (its own parity is in tests/parity)."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from reactface_jax.errors import UserError
from reactface_jax.evaluation import video_realism_command as realism
from reactface_jax.media.video import VideoWriter
from reactface_jax.metrics import video_distance
from reactface_jax.metrics.video_distance import compare_folders, distance_between, frechet
from reactface_jax.models.i3d import I3DOutput
from reactface_jax.weights.params_file import save_params


def test_frechet_by_hand():
    # One dimension: means 0 and 3, standard deviations (ddof 1) 1 and 2: 9 + (2 - 1)².
    x, y = np.array([[-1.0], [0.0], [1.0]]), np.array([[1.0], [3.0], [5.0]])
    assert frechet(x, y) == pytest.approx(10)


def test_frechet_of_few_videos_in_many_dimensions():
    generator = np.random.default_rng(0)
    real = generator.standard_normal((12, 400))
    assert frechet(real, real) == pytest.approx(0, abs=1e-9)
    assert frechet(real, real[::-1]) == pytest.approx(0, abs=1e-9)
    distances = [frechet(real, real + scale * generator.standard_normal((12, 400))) for scale in (0.1, 0.3, 1.0, 3.0)]
    assert distances == sorted(distances)
    assert frechet(real, real + 2) == pytest.approx(4 * 400)
    with pytest.raises(UserError, match="at least 2 videos"):
        frechet(real[:1], real)


def test_the_interval_holds_the_distance():
    """Also where there are fewer videos than dimensions, in which resampling with replacement misses it."""
    real, other = np.random.default_rng(1).standard_normal((2, 60, 100))
    for made in (other, 2 * other + 1):
        found = distance_between(real, made, "clean")
        assert found.distance == frechet(real, made)
        assert found.interval.low < found.distance < found.interval.high
        assert found.without_bias < found.distance
    assert found == distance_between(real, made, "clean")
    few = distance_between(real[:2], other[:2], "clean")
    assert few.distance > 0
    assert np.isnan(few.interval).all()


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Plain videos, and a stand-in whose logits are means of the colours (pooled: their squares)."""

    def activations(params, video):
        mean = jnp.asarray(video, jnp.float32).mean((2, 3)).swapaxes(1, 2)
        return I3DOutput(mean * jnp.array([1.0, 2.0, 3.0])[None, :, None], mean**2)

    monkeypatch.setattr(video_distance, "_activations", activations)
    generator = np.random.default_rng(2)
    for folder, offset in (("real", 0), ("made", 60)):
        (tmp_path / folder).mkdir()
        for name in ("a", "b", "c", "d"):
            with VideoWriter(tmp_path / folder / f"{name}.mp4", size=(32, 32), crf=0) as writer:
                for _ in range(20):
                    colour = generator.integers(40, 90, 3) + np.array([offset, 0, 0])
                    writer.write(np.broadcast_to(colour.astype(np.uint8), (32, 32, 3)))
    return tmp_path


def test_folders(folders):
    real, made = folders / "real", folders / "made"
    assert compare_folders(real, real, {}).distance == pytest.approx(0, abs=1e-6)
    paper = compare_folders(real, made, {}, "paper")
    assert (paper.pairs, paper.layer, paper.colours) == (4, "logits", "BGR")
    assert paper.distance > 9 * 40**2  # the red channel comes last, times 3
    clean = compare_folders(real, made, {}, pairs=3, num_frames=16)
    assert (clean.pairs, clean.layer, clean.colours) == (3, "pooled", "RGB")
    assert clean == compare_folders(real, made, {}, pairs=3, num_frames=16)


def test_the_command_reads_its_numbers_first_and_prints_json(folders, capsys):
    save_params(folders / "i3d", {"kernel": np.zeros(1)}, {"i3d": {}})
    words = ["--real", str(folders / "real"), "--generated", str(folders / "made"), "--weights", str(folders / "i3d")]
    realism.main([*words, "--pairs", "2"])
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["interval"] == [None, None]
    nowhere = [*words[:-1], str(folders / "none")]  # comes later
    for flag, value, message in (("--seed", "-1", "--seed -1 is negative"), ("--frames", "9", "--frames 9 is too few")):
        with pytest.raises(SystemExit) as stop:
            realism.main([*nowhere, flag, value])
        assert stop.value.code == 2
        assert message in capsys.readouterr().err


def test_unusable_folders(folders):
    real, made = folders / "real", folders / "made"
    with pytest.raises(UserError, match="is no folder"):
        compare_folders(real, folders / "none", {})
    with pytest.raises(UserError, match="5 pairs are asked for"):
        compare_folders(real, made, {}, pairs=5)
    with VideoWriter(real / "a.mp4", size=(32, 32)) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(UserError, match=r"a\.mp4 has 1 frames"):
        compare_folders(real, made, {})
    for name in ("b", "c", "d"):
        (made / f"{name}.mp4").unlink()
    with pytest.raises(UserError, match="share 1 video names"):
        compare_folders(real, made, {})
