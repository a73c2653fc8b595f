"""FRRea of a table's rows: drawn reactions in the eyes of a stand-in for I3D (its own parity is in tests/parity)."""

import json
import re
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[2]))

import eval as command
from reactface_jax.errors import UserError
from reactface_jax.evaluation.video_realism import open_comparison
from reactface_jax.metrics import video_distance
from reactface_jax.models.i3d import I3DOutput
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL
from reactface_jax.types import Clips
from reactface_jax.weights.params_file import save_params

NUM_CLIPS, FRAMES = 4, 16
NAMES = [*ARKIT_NAMES, *(f"{kind}_{axis}" for kind in ("rotation", "translation") for axis in "xyz")]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Arrays of a few people; I3D looks at the mean colours of the upper and the lower half."""

    def activations(params, video):
        halves = jnp.asarray(video, jnp.float32).reshape(*video.shape[:2], 2, -1, 3).mean(3)
        seen = halves.reshape(*video.shape[:2], 6).swapaxes(1, 2)
        return I3DOutput(seen, 2 * seen)

    monkeypatch.setattr(video_distance, "_activations", activations)
    generator = np.random.default_rng(0)
    people = np.tile(NEUTRAL, (3, NUM_CLIPS, FRAMES, 1))
    people[..., :52] = np.abs(generator.normal(0, 0.2, (3, NUM_CLIPS, 1, 52)))
    people[..., 0] += np.linspace(0, 0.1, FRAMES)
    near = people[1] + 0.01
    far = people[2].copy()
    far[..., 56] += 0.4  # lower in the picture
    for name, array in {"speaker": people[0], "listener": people[1], "near": near, "far": far}.items():
        np.save(tmp_path / f"{name}.npy", array)
    np.save(tmp_path / "neighbours.npy", np.eye(NUM_CLIPS))
    (tmp_path / "names.json").write_text(json.dumps(NAMES))
    save_params(tmp_path / "i3d", {"kernel": np.zeros(1)}, {"i3d": {}})
    return tmp_path


def test_every_row_gets_its_distance(folder):
    words = ["--predictions", f"near={folder / 'near.npy'}", f"far={folder / 'far.npy'}"]
    for name in ("speaker", "listener", "neighbours"):
        words += [f"--{name}", str(folder / f"{name}.npy")]
    words += ["--coefficient-names", str(folder / "names.json"), "--out", str(folder / "out"), "--page-clips", "1"]
    command.main([*words, "--i3d", str(folder / "i3d"), "--realism-pairs", "3"])
    rows = {row["method"]: row for row in json.loads((folder / "out" / "report.json").read_text())["rows"]}
    paper, clean = (
        {name: row["realism"][mode]["distance"] for name, row in rows.items()} for mode in ("paper", "clean")
    )
    assert paper["GT"] == pytest.approx(0, abs=1e-6)  # he is drawn as well
    assert 0 < paper["near"] < paper["far"]
    assert clean["far"] == pytest.approx(4 * paper["far"], rel=1e-4)
    assert rows["far"]["realism"]["paper"]["pairs"] == 3
    assert rows["far"]["realism"]["paper"]["colours"] == "BGR"
    measured = "3 clips, reactions drawn by head, real listeners drawn too"
    assert json.loads((folder / "out" / "report.json").read_text())["data"]["FRRea"] == measured
    markdown = (folder / "out" / "report.md").read_text()
    assert "| FRDiv | FRRea | FRCorr |" in markdown
    assert f"- FRRea: {measured}\n" in markdown
    assert f"<dt>FRRea</dt><dd>{measured}</dd>" in (folder / "out" / "report.html").read_text()
    text = (folder / "out" / "report.tex").read_text()
    assert f"% FRRea: {measured}\n" in text
    latex = text.split("% paper mode")[1]
    assert f"{paper['far']:.2f}" in re.search(r"^far & .*$", latex, re.MULTILINE)[0].split(" & ")[4]


def test_the_first_reaction_is_compared(folder):
    clips = clips_of(folder)
    comparison = open_comparison(clips, folder / "i3d", pairs=99, seed=0)
    assert comparison.chosen == list(range(NUM_CLIPS))
    assert comparison.described(recorded=True) == "4 clips, reactions drawn by head, real listeners recorded"
    real = comparison.real_listeners(clips, Console(quiet=True))
    far = np.load(folder / "far.npy")
    assert real.distance(np.stack([clips.listener, far], 1))["clean"].distance == pytest.approx(0, abs=1e-5)
    assert real.distance(np.stack([far, clips.listener], 1))["clean"].distance > 1
    comparison.drawer.close()


def test_what_can_not_be_compared_is_refused_first(folder):
    clips = clips_of(folder)
    with pytest.raises(UserError, match="at least 2 clips"):
        open_comparison(clips, folder / "i3d", pairs=1, seed=0)
    with pytest.raises(UserError, match="needs --portrait"):
        open_comparison(clips, folder / "i3d", pairs=2, seed=0, renderer="pirender")
    with pytest.raises(UserError, match="needs --faceverse"):
        open_comparison(clips, folder / "i3d", pairs=2, seed=0, renderer="faceverse")
    save_params(folder / "other", {"kernel": np.zeros(1)}, {"audio": {}})
    with pytest.raises(UserError, match="holds no I3D"):
        open_comparison(clips, folder / "other", pairs=2, seed=0)
    short = Clips(clips.speaker[:, :9], clips.listener[:, :9], clips.neighbours, clips.clip_ids, NAMES)
    with pytest.raises(UserError, match="at least 16 frames"):
        open_comparison(short, folder / "i3d", pairs=2, seed=0)


def clips_of(folder: Path) -> Clips:
    speaker, listener = (np.load(folder / f"{name}.npy") for name in ("speaker", "listener"))
    return Clips(speaker, listener, np.eye(NUM_CLIPS, dtype=bool), [f"clip {i}" for i in range(NUM_CLIPS)], NAMES)
