"""Training on made-up arrays by a stand-in for the model: what the tests of the loop share."""

import dataclasses
import itertools
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import small_model

from reactface_jax.config import Config, ModelConfig, load_config
from reactface_jax.training.loop import TrainingData
from reactface_jax.training.state import TrainState
from reactface_jax.types import SAMPLES_PER_FRAME, Batch, Clips, Reactions

ROOT = pathlib.Path(__file__).parents[1]
FRAMES = 16


class StandIn(nn.Module):
    """What the loop needs to know of a model, without the time to compile one: its call, dropout, sampling, names."""

    config: ModelConfig

    @nn.compact
    def __call__(self, video, audio, *, num_reactions=1, noise=None, deterministic=True):
        batch, frames = video.shape[:2]
        sound = audio.reshape(batch, frames, -1)[..., :8]
        sound = Named(("audio_encoder", "feature_extractor"), 8, name="speaker_encoder")(sound)
        features = jnp.concatenate([video.mean((2, 3)), sound], axis=-1)
        features = nn.Dropout(self.config.dropout, deterministic=deterministic)(features)
        shape = (batch, num_reactions, -(-frames // self.config.window), self.config.feature_dim)
        noise = jax.random.normal(self.make_rng("sample"), shape) if noise is None else noise
        features = jnp.pad(features, [(0, 0), (0, 0), (0, self.config.feature_dim - features.shape[-1])])
        mean = jnp.broadcast_to(features.mean(1)[:, None, None], shape)
        z = jnp.repeat(mean + noise, self.config.window, axis=2)[:, :, :frames]
        listener = Named(("reaction_decoder", "map"), 58, name="listener")(z)
        return Reactions(listener, mean, jnp.ones(shape), listener.mean(1))

    def react_to_prefixes(self, video, audio, noise, lengths=None):
        reactions = self(video, audio, num_reactions=noise.shape[1], noise=noise)
        return reactions.listener, reactions.mean, reactions.std


class Named(nn.Module):
    """A dense layer under several names, as the real parameters are."""

    names: tuple[str, ...]
    features: int

    @nn.compact
    def __call__(self, x):
        first, *rest = self.names
        layer = Named(tuple(rest), self.features, name=first) if rest else nn.Dense(self.features, name=first)
        return layer(x)


def configure(*overrides: str) -> Config:
    return load_config(ROOT / "configs/tiny.py", ["--data.clip-frames", str(FRAMES), *overrides])


def without_dropout(config: Config) -> Config:
    """The stand-in keeps some draws for the streams' sake."""
    return dataclasses.replace(config, model=small_model.without_dropout(config.model))


def make_batch(step: int, size: int = 2, neighbours: int = 2) -> Batch:
    rng = np.random.default_rng(step)
    reactions = np.sin(np.arange(FRAMES) / 4)[None, None, :, None] * rng.uniform(0, 1, (size, neighbours, 1, 58))
    reactions = reactions.astype(np.float32)
    return Batch(
        video=rng.integers(0, 256, (size, FRAMES, 32, 32, 3), dtype=np.uint8),
        audio=rng.standard_normal((size, FRAMES * SAMPLES_PER_FRAME)).astype(np.float32),
        speaker=rng.uniform(-0.5, 0.5, (size, FRAMES, 58)).astype(np.float32),
        listener=reactions[:, 0],
        neighbours=reactions,
        neighbour_mask=np.ones((size, neighbours), bool),
        clip=np.arange(size),
    )


def make_data(batch=make_batch) -> TrainingData:
    return TrainingData(
        description="made-up arrays, 2 clips",
        mean_face=np.linspace(0, 1, 58).astype(np.float32),
        coefficient_names=tuple(f"c{i}" for i in range(58)),
        train_batches=lambda start: map(batch, itertools.count(start)),
        validation_batches=lambda: iter([make_batch(1000), make_batch(1001)._replace(clip=np.array([2, -1]))]),
    )


def make_clips() -> Clips:
    """The people of `make_data`'s three validation clips."""
    batches = [make_batch(1000), make_batch(1001)]
    mean_face = make_data().mean_face
    speaker, listener = (
        np.concatenate([getattr(batch, name) for batch in batches])[:3] + mean_face for name in ("speaker", "listener")
    )
    names = tuple(f"c{i}" for i in range(58))
    return Clips(speaker, listener, np.ones((3, 3), bool), ["val/a", "val/b", "val/c"], names)


def assert_same(a, b) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def kernel(state: TrainState) -> np.ndarray:
    return np.asarray(state.params["listener"]["reaction_decoder"]["map"]["kernel"])
