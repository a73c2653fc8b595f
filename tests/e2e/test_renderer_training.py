"""The portrait renderer learns on made arrays, resumes to the bit, and its directory is what `pirender` draws from."""

import dataclasses
import json
import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
from PIL import Image

import reactface_jax as rf
from reactface_jax.config import apply_overrides
from reactface_jax.config_files import read_config_file
from reactface_jax.errors import UserError
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL
from reactface_jax.rendering.portrait import training
from reactface_jax.rendering.portrait.config import RendererConfig, RendererData, RendererTraining
from reactface_jax.rendering.portrait.run import load_renderer
from reactface_jax.rendering.portrait.training import RendererBatches, _of_raw, draw_samples, train_renderer
from reactface_jax.types import Batch

ROOT = Path(__file__).parents[2]
FRAMES, SIZE = 28, 32
CONFIG = RendererConfig(
    data=RendererData(image_size=SIZE, clip_frames=FRAMES, eval_clips=2),
    train=RendererTraining(
        steps=60,
        warp_steps=10,
        clips=2,
        frames=2,
        learning_rate=3e-3,
        narrower=16,
        style=1.0,
        log_every=30,
        eval_every=30,
    ),
)


def clip(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A square that moves and fades evenly; coefficient 57 says how bright it is, coefficient 0 how high."""
    level, place = np.linspace(*rng.uniform(0, 1, (2, 2)), FRAMES, axis=1)
    coefficients = np.zeros((FRAMES, 58), np.float32)
    coefficients[:, 57], coefficients[:, 0] = level, place
    video = np.full((FRAMES, SIZE, SIZE, 3), 90, np.uint8)
    for frame, light, height in zip(video, level, place, strict=True):
        top = round(20 * height)
        frame[top : top + 10, 8:24] = 130 + 120 * light
    return video, coefficients


def batches(seed: int, start: int, size: int = 2) -> Iterator[Batch]:
    for step in range(start, 10_000):
        clips = [clip(np.random.default_rng([seed, step, i])) for i in range(size)]
        video, speaker = (np.stack(part) for part in zip(*clips, strict=True))
        nothing = np.zeros((size, 0, FRAMES, 58), np.float32)
        yield Batch(
            video, np.zeros((size, 1), np.float32), speaker, speaker, nothing, nothing[..., 0, 0] > 0, np.arange(size)
        )


STD = np.full(58, 0.3, np.float32)
DATA = RendererBatches(NEUTRAL, STD, lambda start: batches(0, start), lambda: batches(1, 0))


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    folder = tmp_path_factory.mktemp("runs") / "portrait"
    return folder, train_renderer(CONFIG, folder, DATA)


def test_what_a_run_leaves(run: tuple[Path, dict[str, float]]) -> None:
    folder, _ = run
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoints", "validation_30.png", "validation_60.png"]
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["30", "60"]
    assert json.loads((folder / "checkpoints" / "60" / "config.json").read_text())["step"] == 60
    with Image.open(folder / "validation_60.png") as picture:
        assert picture.size == (4 * SIZE, 2 * SIZE)


def test_the_directory_draws(run: tuple[Path, dict[str, float]]) -> None:
    params, about = load_renderer(run[0])
    assert about["pirender"]["coefficients"] == 58
    pictures = rf.rendering.pirender(params, np.zeros((SIZE, SIZE, 3), np.float32), np.tile(NEUTRAL, (3, 1)))
    assert pictures.shape == (3, SIZE, SIZE, 3)
    assert np.isfinite(pictures).all()


def test_a_stopped_run_ends_in_the_same_numbers(run: tuple[Path, dict[str, float]], tmp_path: Path) -> None:
    half = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, steps=30))
    before = train_renderer(half, tmp_path / "run", DATA)
    after = train_renderer(CONFIG, tmp_path / "run", DATA, resume=True)
    assert after["ssim"] > before["ssim"] + 0.01
    chex.assert_trees_all_equal(load_renderer(tmp_path / "run")[0], load_renderer(run[0])[0])


def test_directories_are_kept(run: tuple[Path, dict[str, float]]) -> None:
    with pytest.raises(UserError, match="holds a run already; give --resume"):
        train_renderer(CONFIG, run[0], DATA)
    other = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, learning_rate=1.0))
    with pytest.raises(UserError, match=r"another configuration \(learning_rate\)"):
        train_renderer(other, run[0], DATA, resume=True)
    other = dataclasses.replace(CONFIG, data=dataclasses.replace(CONFIG.data, clip_frames=FRAMES + 1))
    with pytest.raises(UserError, match=r"another configuration \(data.clip_frames\)"):
        train_renderer(other, run[0], DATA, resume=True)


def test_a_run_goes_on_with_its_own_data(run: tuple[Path, dict[str, float]]) -> None:
    others = dataclasses.replace(DATA, mean_face=NEUTRAL + np.float32(0.001))
    with pytest.raises(UserError, match=r"is of another data set, whose mean_face differs; give its own --data.dir"):
        train_renderer(CONFIG, run[0], others, resume=True)
    about = json.loads((run[0] / "checkpoints" / "60" / "config.json").read_text())
    assert about.pop("mean_face") == NEUTRAL.tolist()
    training._check_resumable(CONFIG, run[0], others.mean_face, about)  # an older version's run says nothing of it


def without_training(monkeypatch: pytest.MonkeyPatch, step: int, loss: float, scale: float) -> None:
    """Steps that change nothing, but for one: its loss, and a factor of all parameters after it."""

    def train_step(model, options, warp_only, state, video, coefficients, index):
        if index + 1 < step:
            return state, {"loss": np.float32(1)}
        return {**state, "params": jax.tree.map(lambda x: x * scale, state["params"])}, {"loss": np.float32(loss)}

    monkeypatch.setattr(training, "train_step", train_step)


@pytest.mark.parametrize(("loss", "scale"), [(np.nan, 1), (1, np.nan)], ids=["loss", "parameters"])
def test_what_is_not_finite_is_not_saved(
    loss: float, scale: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_training(monkeypatch, 4, loss, scale)
    often = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, eval_every=2))
    with pytest.raises(UserError, match="training diverged at step 4; start again with a lower"):
        train_renderer(often, tmp_path / "run", DATA)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["2"]


def test_a_run_gives_way_to_no_other_whose_first_step_is_not_finite(
    run: tuple[Path, dict[str, float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run[0], tmp_path / "run")
    without_training(monkeypatch, 1, np.nan, np.nan)
    with pytest.raises(UserError, match="training diverged at step 1;"):
        train_renderer(CONFIG, tmp_path / "run", DATA, overwrite=True)
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["30", "60"]


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    run: tuple[Path, dict[str, float]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(run[0], tmp_path / "run")
    newest = tmp_path / "run" / "checkpoints" / "60"
    content = bytearray((newest / "optimizer.msgpack").read_bytes())
    content[len(content) // 2] ^= 1
    (newest / "optimizer.msgpack").write_bytes(content)
    assert load_renderer(tmp_path / "run")[1]["step"] == 30
    assert "60/optimizer.msgpack is damaged" in caplog.text
    caplog.set_level(logging.INFO)
    train_renderer(CONFIG, tmp_path / "run", DATA, resume=True)  # its step comes again, with the same numbers
    assert re.search(r"step 60/60  loss .* steps/s$", caplog.text, re.MULTILINE)
    chex.assert_trees_all_equal(load_renderer(tmp_path / "run")[0], load_renderer(run[0])[0])


def test_samples_are_frames_with_their_windows() -> None:
    batch = next(batches(0, 0))
    portraits, windows, targets = draw_samples(jax.random.key(0), batch.video, batch.speaker, 2)
    assert windows.shape == (4, 27, 58)
    for i in range(4):
        video, coefficients = batch.video[i // 2], batch.speaker[i // 2]
        (index,) = [t for t in range(FRAMES) if np.array_equal(coefficients[t], windows[i, 13])]
        np.testing.assert_array_equal(coefficients[index - 13 : index + 14], windows[i])
        np.testing.assert_allclose(targets[i], video[index] / 127.5 - 1, atol=1e-5)
    np.testing.assert_array_equal(portraits[0], portraits[1])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--data.image-size", "50"], "must be a multiple of 32"),
        (["--data.clip-frames", "20"], "must be at least 27"),
        (["--train.warp-steps", "200000"], "must be at most train.steps"),
        (["--train.narrower", "3"], "must be 1, 2, 4, 8 or 16"),
        (["--train.step", "3"], "did you mean --train.steps"),
    ],
)
def test_configurations_that_contradict_themselves(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        apply_overrides(read_config_file(ROOT / "configs" / "pirender.py"), overrides)


def test_the_first_layer_sees_standardised_coefficients() -> None:
    rng = np.random.default_rng(0)
    layer = {"kernel": rng.normal(size=(1, 58, 73)).astype(np.float32), "bias": np.ones(73, np.float32)}
    std = rng.uniform(0.05, 1, 58).astype(np.float32)
    raw = NEUTRAL + std * rng.normal(size=(5, 58)).astype(np.float32)
    made = jax.tree.map(np.asarray, _of_raw(layer, NEUTRAL, std))
    expected = (raw - NEUTRAL) / std @ layer["kernel"][0] + layer["bias"]
    np.testing.assert_allclose(raw @ made["kernel"][0] + made["bias"], expected, rtol=0, atol=2e-4)
    still = _of_raw(layer, NEUTRAL, np.zeros(58, np.float32))  # tongueOut never moves
    assert np.isfinite(np.asarray(still["kernel"])).all()
