"""Videos of drawn heads, which MediaPipe takes for faces, a run of small random parameters, and the command `react`."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from reactface_jax import load_config
from reactface_jax.media.video import VideoWriter, resize
from reactface_jax.models import build_model
from reactface_jax.react import main
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL, HeadRenderer
from reactface_jax.training.checkpoints import Checkpoints
from reactface_jax.training.state import TrainState
from reactface_jax.types import SAMPLES_PER_FRAME
from reactface_jax.weights.run import About

CONFIG = load_config(Path(__file__).parents[1] / "configs" / "tiny.py", ["--eval.protocol", "window"])
POSE_NAMES = tuple(f"{kind}_{axis}" for kind in ("rotation", "translation") for axis in "xyz")
SECONDS = 1.6


@pytest.fixture(scope="module")
def params() -> Any:
    """Small random parameters of the tiny configuration (initialising a model would compile for long)."""
    size = CONFIG.data.image_size
    video, audio = jnp.zeros((1, 8, size, size, 3)), jnp.zeros((1, 8 * SAMPLES_PER_FRAME))
    keys = {"params": jax.random.key(0), "sample": jax.random.key(1)}
    shapes = jax.eval_shape(lambda: build_model(CONFIG.model).init(keys, video, audio, num_reactions=1))["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: jnp.asarray(0.2 * rng.standard_normal(leaf.shape), leaf.dtype), shapes)


def save_run(folder: Path, params: Any, names: tuple[str, ...] = (*ARKIT_NAMES, *POSE_NAMES)) -> Path:
    with Checkpoints(folder, keep=1) as checkpoints:
        state = TrainState.create(params, optax.identity(), jax.random.key(2))
        checkpoints.save(7, state, About(CONFIG, NEUTRAL, names))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, params: Any) -> Path:
    return save_run(tmp_path_factory.mktemp("run"), params)


def talking_head(frame_rate: float) -> list[np.ndarray]:
    renderer = HeadRenderer()
    jaw, frames = ARKIT_NAMES.index("jawOpen"), []
    for i in range(round(SECONDS * frame_rate)):
        coefficients = NEUTRAL.copy()
        coefficients[jaw] = 0.3 + 0.3 * np.sin(2 * np.pi * 3 * i / frame_rate)
        frames.append(renderer.render(coefficients))
    renderer.close()
    return frames


def clicks(rate: int) -> np.ndarray:
    """Two short bursts at moments that tell a shift from none."""
    sound = np.zeros(round(SECONDS * rate), np.float32)
    for moment in (0.3, 1.1):
        start = round(moment * rate)
        sound[start : start + rate // 100] = 0.8
    return sound


@pytest.fixture(scope="module")
def conversation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people at 12 fps, the larger one on the right, sound at 44.1 kHz."""
    path = tmp_path_factory.mktemp("clips") / "conversation.mp4"
    with VideoWriter(path, size=(240, 320), frame_rate=12, audio=clicks(44_100), audio_rate=44_100) as writer:
        for head in talking_head(12):
            frame = np.full((240, 320, 3), 90, np.uint8)
            frame[90:186, 20:116] = resize(head, (96, 96))
            frame[40:184, 150:294] = resize(head, (144, 144))
            writer.write(frame)
    return path


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One person lying on the side unless rotation metadata is applied, 29.97 fps, without sound."""
    path = tmp_path_factory.mktemp("clips") / "phone.mp4"
    with VideoWriter(path, size=(256, 256), frame_rate=30_000 / 1001) as writer:
        for head in talking_head(30_000 / 1001):
            writer.write(np.rot90(head))
    one, content = 1 << 16, path.read_bytes()
    matrix = content.index(b"tkhd") + 4 + 40
    clockwise = b"".join(n.to_bytes(4, "big", signed=True) for n in (0, one, 0, -one, 0, 0, 256 * one, 0, 1 << 30))
    path.write_bytes(content[:matrix] + clockwise + content[matrix + 36 :])
    return path


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr("sys.argv", ["react", *map(str, words)])
    main()
