"""Reactions to a clip by any of the protocols, compiled once for clips of any length.

A clip is padded to a multiple of `BUCKET` frames and its length is passed as data, so that one program serves all
lengths of a bucket; padding never changes the reactions (tests/unit/test_generation.py).
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree, Shaped, UInt8

from reactface_jax.config import Config
from reactface_jax.errors import UserError
from reactface_jax.models.causal.reactface import CausalReactFace
from reactface_jax.models.precision import products
from reactface_jax.models.reactface import ReactFace, trim
from reactface_jax.online import stream
from reactface_jax.online.draws import check_draws
from reactface_jax.online.speaker_sound import check_audio
from reactface_jax.online.speaker_video import check_video
from reactface_jax.ops.pixels import to_unit_range
from reactface_jax.types import SAMPLES_PER_FRAME, AnyArray

Protocol = Literal["clip", "prefix", "window", "stream"]

BUCKET = 64
"""Clips are padded to a multiple of this many frames."""

_WINDOWS_A_STEP = 8  # of a streamed clip, at most


def generate(
    model: ReactFace,
    params: PyTree,
    video: Shaped[AnyArray, "B T H W 3"],
    audio: Float[AnyArray, "B L"],
    *,
    protocol: str | None = None,
    num_reactions: int = 1,
    noise: Float[AnyArray, "B K N D"] | None = None,
    key: Key[Array, ""] | None = None,
) -> Float[Array, "B K T C"]:
    """Generates K reactions to each clip.

    Args:
      model: from `build_model`.
      params: its parameters.
      video: the speaker's frames, floating point in [-1, 1], at 25 fps, of the training's `data.image_size`: bytes as
        in `Inputs.video` are `video / 127.5 - 1`.
      audio: the speaker's voice at 16 kHz, normalised over its file; if it ends early, so do the reactions. A
        last frame that lacks at most 240 samples still counts, and zeros stand for them; the bare model goes without.
      protocol: `prefix` is the reference's evaluation (the speaker up to each window's end, encoded again every
        window); `clip` its training (the whole clip encoded at once); `window` its script for own videos (each window
        encoded by itself). A causal model has `clip`, and `stream`, which gives the same numbers without holding the
        clip's features. None: `stream` for a causal model, else `prefix`.
      num_reactions: K.
      noise: standard normal, one vector a reaction and window of w frames; or
      key: from which it is drawn. Exactly one of the two.

    Returns:
      Coefficients relative to `mean_face`.

    Raises:
      UserError: video of another shape, type or range; audio of another shape, or not finite; no clip, frame or
        reaction; both or neither of `noise` and `key`; noise of another shape; a key that is none; an unknown protocol,
        or one that the model does not have.
    """
    check_video(video)
    if len(video) == 0:
        raise UserError("video holds no clip; give at least one")
    check_audio(audio, len(video))
    check_draws(num_reactions, key)
    video, audio = trim(jnp.asarray(video), jnp.asarray(audio))
    batch, num_frames = video.shape[:2]
    if num_frames == 0:
        raise UserError("the clip holds less than one frame of video and sound; give at least 40 ms of both")
    num_windows = -(-num_frames // model.config.window)
    shape = (batch, num_reactions, num_windows, model.config.feature_dim)
    if (noise is None) == (key is None):
        raise UserError("generate needs either noise= or key=, one of the two")
    if noise is None:
        assert key is not None
        noise = jax.random.normal(key, shape, jnp.float32)
    elif noise.shape != shape:
        raise UserError(f"noise has shape {noise.shape}, but these clips need [B, K, N, D] = {shape}")
    if protocol is None:
        protocol = "stream" if isinstance(model, CausalReactFace) else "prefix"
    check_protocol(model, protocol)

    bucket = math.lcm(BUCKET, model.config.window)
    padded = -(-num_frames // bucket) * bucket
    video = jnp.pad(video, [(0, 0), (0, padded - num_frames), (0, 0), (0, 0), (0, 0)])
    audio = jnp.pad(audio, [(0, 0), (0, padded * SAMPLES_PER_FRAME - audio.shape[1])])
    noise = jnp.pad(jnp.asarray(noise), [(0, 0), (0, 0), (0, padded // model.config.window - num_windows), (0, 0)])
    lengths = np.full((batch,), num_frames, np.int32)
    if protocol == "stream":
        step = _frames_a_step(model.config.window)
        steps = (
            (video[:, i : i + step], audio[:, SAMPLES_PER_FRAME * i : SAMPLES_PER_FRAME * (i + step)])
            for i in range(0, padded, step)
        )
        return jnp.concatenate(list(_stream(model, params, steps, noise, lengths)), axis=2)[:, :, :num_frames]
    return _generate(model, protocol, params, video, audio, noise, lengths)[:, :, :num_frames]


def protocol_of(config: Config) -> Protocol:
    """The configuration's protocol, `stream` where it names one that a causal model does not have."""
    protocol = config.eval.protocol
    return "stream" if config.model.causal and protocol in ("prefix", "window") else protocol


def check_protocol(model: ReactFace, protocol: str) -> None:
    """Raises `UserError` unless the model can be run by the protocol."""
    names = ("clip", "stream") if isinstance(model, CausalReactFace) else ("clip", "prefix", "window")
    if protocol not in names:
        kind = "a causal" if isinstance(model, CausalReactFace) else "this"
        raise UserError(f"protocol {protocol!r} is none of {', '.join(names)}, which {kind} model has")


def generate_online(
    model: ReactFace,
    params: PyTree,
    frames: Iterable[UInt8[np.ndarray, "H W 3"]],
    audio: Float[AnyArray, " L"],
    num_frames: int,
    *,
    num_reactions: int = 1,
    key: Key[Array, ""],
) -> Float[np.ndarray, "K T C"]:
    """Reactions of a causal model to one video of any length, which is read frame by frame and never held in memory.

    The same numbers as `generate` with `protocol="stream"`.

    Args:
      model: a causal one.
      params: its parameters.
      frames: the speaker's frames at 25 fps, as many as `num_frames`.
      audio: the speaker's voice at 16 kHz, normalised over its file; 640 samples a frame.
      num_frames: T.
      num_reactions: K.
      key: of the noise.

    Returns:
      Coefficients relative to `mean_face`.
    """
    window, step = model.config.window, _frames_a_step(model.config.window)
    num_windows = -(-num_frames // window)
    noise = jax.random.normal(key, (1, num_reactions, num_windows, model.config.feature_dim), jnp.float32)
    noise = jnp.pad(noise, [(0, 0), (0, 0), (0, -num_windows % (step // window)), (0, 0)])
    audio = np.pad(np.asarray(audio), (0, -num_frames % step * SAMPLES_PER_FRAME))

    def steps() -> Iterator[tuple[Array, Array]]:
        first, remaining = 0, iter(frames)
        for pictures in iter(lambda: list(itertools.islice(remaining, step)), []):
            video = np.zeros((1, step, *pictures[0].shape), np.uint8)
            video[0, : len(pictures)] = pictures
            sound = audio[None, SAMPLES_PER_FRAME * first : SAMPLES_PER_FRAME * (first + step)]
            yield to_unit_range(video), jnp.asarray(sound)
            first += step

    reactions = _stream(model, params, steps(), noise, np.array([num_frames]))
    return np.concatenate([np.asarray(part[0]) for part in reactions], axis=1)[:, :num_frames]


def _frames_a_step(window: int) -> int:
    """Frames of several windows: a step of one window would read all weights for only 320 ms of speech."""
    windows = math.lcm(BUCKET, window) // window
    return window * max(n for n in range(1, _WINDOWS_A_STEP + 1) if windows % n == 0)


def _stream(
    model: ReactFace,
    params: PyTree,
    steps: Iterable[tuple[Array, Array]],
    noise: Float[Array, "B K N D"],
    lengths: Int[np.ndarray, " B"],
) -> Iterator[Float[Array, "B K t C"]]:
    """Reactions to steps of `_frames_a_step` frames and their sound; clips end after `lengths` frames."""
    state = None
    for index, (video, audio) in enumerate(steps):
        frames = video.shape[1]
        windows = frames // model.config.window
        if state is None:
            state = stream.start(model, params, len(video), noise.shape[1], image_size=(video.shape[2], video.shape[3]))
        state, reaction = stream.step(
            model,
            params,
            state,
            video,
            audio,
            noise=noise[:, :, windows * index : windows * (index + 1)],
            lengths=np.clip(lengths - frames * index, 0, frames),
        )
        yield reaction


@functools.partial(jax.jit, static_argnums=(0, 1))
def _generate(
    model: ReactFace,
    protocol: str,
    params: PyTree,
    video: Float[AnyArray, "B T H W 3"],
    audio: Float[Array, "B L"],
    noise: Float[Array, "B K N D"],
    lengths: Int[AnyArray, " B"],
) -> Float[Array, "B K T C"]:
    return react(model, protocol, params, video, audio, noise, lengths)[0]


def react(
    model: nn.Module,
    protocol: str,
    params: PyTree,
    video: Float[AnyArray, "B T H W 3"],
    audio: Float[AnyArray, "B L"],
    noise: Float[AnyArray, "B K N D"],
    lengths: Int[AnyArray, " B"] | None = None,
) -> tuple[Float[Array, "B K T C"], Float[Array, "B K N D"], Float[Array, "B K N D"]]:
    """`generate` as part of a larger traced program.

    Args:
      model: from `build_model`.
      protocol: as in `generate`; `stream` is computed as `clip`, which gives the same numbers.
      params: the model's parameters.
      video: frames in [-1, 1] at 25 fps.
      audio: 16 kHz, normalised over its file, 640 samples a frame.
      noise: standard normal, one vector a reaction and window.
      lengths: valid frames of each clip in a padded batch; None: all.

    Returns:
      The listener's coefficients relative to `mean_face`, and mean and standard deviation of each window's latent.
    """
    config = cast(ReactFace, model).config
    if not config.video_chunk:  # conv1's maps of a whole clip would take gigabytes
        model = model.clone(config=dataclasses.replace(config, video_chunk=BUCKET))
    with products(config, training=False):
        reactions = model.apply({"params": params}, video, audio, noise, lengths, method=_PROTOCOLS[protocol])
    return cast(tuple[Array, Array, Array], reactions)


def _react_to_clip(
    model: Any, video: Array, audio: Array, noise: Array, lengths: Array | None
) -> tuple[Array, Array, Array]:
    reactions: tuple[Array, Array, Array] = model.react_to_clip(model.encode(video, audio, lengths), noise, lengths)
    return reactions


_PROTOCOLS: dict[str, Callable[..., tuple[Array, Array, Array]]] = {
    "clip": _react_to_clip,
    "prefix": lambda model, *clip: model.react_to_prefixes(*clip),
    "window": lambda model, *clip: model.react_to_windows(*clip),
    "stream": _react_to_clip,
}
