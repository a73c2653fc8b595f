"""Video in another unit is refused before anything is computed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_model import CONFIG

import reactface_jax as rf
from reactface_jax.errors import UserError
from reactface_jax.online.speaker_video import check_video

VIDEO = np.random.default_rng(0).uniform(-1, 1, (1, 4, 16, 16, 3)).astype(np.float32)
AUDIO = np.zeros((1, 640 * 4), np.float32)


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (np.uint8(127.5 * (VIDEO + 1)), r"video is uint8, but the model takes floating-point frames in \[-1, 1\]"),
        (jnp.int32(127.5 * (VIDEO + 1)), r"video is int32, .* give video / 127.5 - 1"),
        (127.5 * (VIDEO + 1), r"video goes up to 25\d(\.\d)?, but the model takes frames in \[-1, 1\]; give video /"),
        (jnp.bfloat16(127.5 * (VIDEO + 1)), r"video goes up to 25\d, but the model takes frames in"),
        (np.where(VIDEO > 0.9, np.float32(np.nan), VIDEO), "video has NaN or infinite values"),
    ],
)
def test_generate_and_step_refuse_it(video, message) -> None:
    model = rf.build_model(dataclasses.replace(CONFIG, causal=True, block=2, max_context=12))
    state = rf.stream.start(model, {}, image_size=16)
    with pytest.raises(UserError, match=message):
        rf.generate(model, {}, video, AUDIO, protocol="clip", key=jax.random.key(0))
    with pytest.raises(UserError, match=message):
        rf.stream.step(model, {}, state, video, AUDIO, key=jax.random.key(0))


def test_what_fits_passes_and_jit_looks_at_the_type_only() -> None:
    check_video(VIDEO)
    check_video(jnp.asarray(VIDEO, jnp.bfloat16))
    jax.jit(check_video)(200 * VIDEO)
    with pytest.raises(UserError, match="video is uint8"):
        jax.jit(check_video)(np.zeros((1, 1, 8, 8, 3), np.uint8))
