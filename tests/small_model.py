"""A ReactFace small enough to compile in seconds, with weights that cost no compilation, and clips for it."""

import dataclasses
import functools
import zlib

import jax
import numpy as np

import reactface_jax as rf
from reactface_jax.config import AudioConfig, ModelConfig

AUDIO = AudioConfig(
    hidden_size=32,
    num_layers=1,
    num_heads=2,
    intermediate_size=32,
    conv_dim=8,
    num_conv_pos_embeddings=8,
    num_conv_pos_groups=2,
)
CONFIG = ModelConfig(feature_dim=16, num_heads=4, window=4, period=4, audio=AUDIO)


_DROPOUTS = ("hidden_dropout", "attention_dropout", "activation_dropout", "layer_dropout", "mask_time_prob")


def without_dropout(config: ModelConfig) -> ModelConfig:
    """Random draws are most of what compiling a small model's training takes."""
    audio = dataclasses.replace(config.audio, **dict.fromkeys(_DROPOUTS, 0.0))
    return dataclasses.replace(config, dropout=0.0, audio=audio)


def clip(num_frames: int, *, batch_size: int = 1, size: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random video [B T H W 3] in [-1, 1] and audio [B 640 T]."""
    rng = np.random.default_rng(seed)
    video = rng.uniform(-1, 1, (batch_size, num_frames, size, size, 3)).astype(np.float32)
    return video, rng.standard_normal((batch_size, 640 * num_frames)).astype(np.float32)


def random_params(model: rf.ReactFace, seed: int = 0) -> dict:
    """Parameters of the right shapes."""
    return drawn(_shapes(model), seed)


def drawn(shapes: dict, seed: int = 0) -> dict:
    """Parameters that cost no compilation: kernels of unit gain, scales near 1, small biases."""

    def fill(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        name = jax.tree_util.keystr(path)
        x = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(leaf.shape).astype(np.float32)
        if leaf.ndim > 1:
            return x / np.float32(np.sqrt(np.prod(leaf.shape[:-1])))
        return 1 + 0.1 * x if "scale" in name or "weight_g" in name else 0.1 * x

    return jax.tree_util.tree_map_with_path(fill, shapes)


@functools.cache
def _shapes(model: rf.ReactFace) -> dict:
    key = jax.random.key(0)
    return jax.eval_shape(lambda: model.init({"params": key, "sample": key}, *clip(model.config.window)))["params"]
