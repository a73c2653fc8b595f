"""Who answers a video: the packaged listener, one of the user's training, a row of the table, converted weights."""

import dataclasses
import json
import shutil
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from answered_video import CONFIG, POSE_NAMES, call, conversation, params, run
from learned_row import Offset

from reactface_jax.methods import rows, trained
from reactface_jax.methods.listener import load_weights, save_weights
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL
from reactface_jax.training.checkpoints import Checkpoints
from reactface_jax.training.state import TrainState
from reactface_jax.weights.params_file import save_params
from reactface_jax.weights.run import About

__all__ = ["conversation", "params", "run"]  # fixtures


def test_the_packaged_listener_answers_without_a_checkpoint(
    conversation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "style.npy", np.tile(NEUTRAL, (50, 1)))
    np.save(tmp_path / "other.npy", np.zeros((50, 25), np.float32))
    words = ["--speaker", conversation, "--renderer", "none", "--out", tmp_path / "answers"]
    call(monkeypatch, *words, "--style-clip", tmp_path / "style.npy", "--amplitude", 0.5)
    reactions = np.load(tmp_path / "answers" / "reactions.npy")
    assert reactions.shape == (3, 40, 58)
    assert np.isfinite(reactions).all()
    assert abs(reactions[0] - reactions[1]).max() > 1e-3
    (tmp_path / "own").mkdir()
    shutil.copy(files("reactface_jax") / "assets" / "listener.safetensors", tmp_path / "own")  # as its training leaves
    words[-1] = tmp_path / "again"
    call(
        monkeypatch,
        *words,
        "--checkpoint",
        tmp_path / "own",
        "--style-clip",
        tmp_path / "style.npy",
        "--amplitude",
        0.5,
    )
    assert f"3 reaction(s) by the listener {tmp_path / 'own'}, in " in capsys.readouterr().out
    np.testing.assert_array_equal(np.load(tmp_path / "again" / "reactions.npy"), reactions)
    trained = load_weights(tmp_path / "own" / "listener.safetensors")
    save_weights(tmp_path / "other.safetensors", trained._replace(names=tuple(f"expression_{i}" for i in range(58))))
    for change, message in (
        (["--checkpoint", tmp_path / "other.safetensors"], "was trained on coefficients with other names"),
        (["--protocol", "clip"], "are not for a listener"),
        (["--step", "3"], "are not for a listener"),
        (["--no-average"], "--no-average and --data are not for a listener"),
        (["--style-clip", tmp_path / "other.npy"], "has shape (50, 25)"),
        (["--style-clip", tmp_path / "none.npy"], "does not exist"),
    ):
        with pytest.raises(SystemExit) as ended:
            call(monkeypatch, "--speaker", conversation, "--out", tmp_path / "no", *change)
        assert ended.value.code == 2
        assert message in capsys.readouterr().err


def test_a_row_that_learns_by_steps_answers_whom_mediapipe_measures(
    conversation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(rows.ROWS, "zhou", lambda config: Offset())
    offset, state = Offset().init(jax.random.key(0))
    offset = {**offset, "gain": jnp.ones(58)}
    for folder, names in (("run", (*ARKIT_NAMES, *POSE_NAMES)), ("other", tuple(f"c{i}" for i in range(58)))):
        trained = TrainState.create(offset, optax.identity(), jax.random.key(2), method_state=state)
        with Checkpoints(tmp_path / folder, keep=1) as checkpoints:
            checkpoints.save(7, trained, About(dataclasses.replace(CONFIG, method="zhou"), NEUTRAL, names))
    words = ["--speaker", conversation, "--renderer", "none", "--num-reactions", 2]
    call(monkeypatch, *words, "--checkpoint", tmp_path / "run", "--out", tmp_path / "answers")
    assert "2 reaction(s) by Offset of " in capsys.readouterr().out
    reactions = np.load(tmp_path / "answers" / "reactions.npy")
    assert reactions.shape == (2, 40, 58)
    moved = reactions.mean(0) - np.asarray(offset["offset"])  # the speaker, whose jaw is open wide in turns
    assert np.ptp(moved[:, ARKIT_NAMES.index("jawOpen")]) > 0.2
    for change, message in (
        (["--checkpoint", tmp_path / "other"], "Offset was trained on coefficients with other names"),
        (["--checkpoint", tmp_path / "run", "--protocol", "clip"], "--protocol clip is for ReactFace"),
    ):
        with pytest.raises(SystemExit) as ended:
            call(monkeypatch, *words, "--out", tmp_path / "no", *change)
        assert ended.value.code == 2
        assert message in capsys.readouterr().err


def test_a_converted_checkpoint_answers_with_its_datas_face(
    params: Any,
    run: Path,
    conversation: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_params(tmp_path / "converted", params, {"model": dataclasses.asdict(CONFIG.model)})
    names = [*(f"expression_{i:02}" for i in range(52)), *POSE_NAMES]  # FaceVerse's, as in REACT2023
    shards = {
        str(tmp_path / name): SimpleNamespace(
            mean_face=np.float32(rest) + np.arange(58, dtype=np.float32), description={"coefficient_names": names}
        )
        for name, rest in (("one", 0), ("two", 100))
    }
    monkeypatch.setattr(trained, "open_shards", shards.__getitem__)
    words = ["--speaker", conversation, "--protocol", "window", "--num-reactions", 2]
    converted, data = ["--checkpoint", tmp_path / "converted"], ["--data", tmp_path / "one"]
    undrawn = ["--renderer", "none"]
    answers = []
    for name in ("one", "two"):
        out = tmp_path / f"answers_{name}"
        call(monkeypatch, *words, *converted, *undrawn, "--data", tmp_path / name, "--out", out)
        answers.append(np.load(out / "reactions.npy"))
        assert json.loads((out / "coefficient_names.json").read_text()) == names
    assert "2 reaction(s) by ReactFace of" in capsys.readouterr().out
    np.testing.assert_allclose(answers[1] - answers[0], 100, rtol=0, atol=1e-4)
    for change, message in (
        ([*converted, *undrawn], "was converted and does not say of which data; give them with --data"),
        ([*converted, *undrawn, *data, "--step", 7], "was converted: leave them out"),
        ([*converted, *undrawn, *data, "--no-average"], "was converted: leave them out"),
        ([*undrawn, *data, "--checkpoint", run], "knows its own"),
        ([*converted, *data, "--renderer", "head"], "the 3-D head needs the 52 ARKit names"),
    ):
        with pytest.raises(SystemExit) as ended:
            call(monkeypatch, *words, "--out", tmp_path / "no", *change)
        assert ended.value.code == 2
        assert message in capsys.readouterr().err
