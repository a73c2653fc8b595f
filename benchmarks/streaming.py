"""A causal model's stream, window by window: `python benchmarks/streaming.py [--window 8 --reactions 1 --windows 20]`.

Random weights and random input; nothing of the time depends on either. The context is full from the first window: what
rings hold does not change what is computed. `--parts` also measures the encoders by themselves; `--clip` a whole clip
of 750 frames by `rf.generate(protocol="stream")`.
"""

import argparse
import dataclasses
import resource
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from profiling import time_by_part

import reactface_jax as rf
import reactface_jax.online.stream
from reactface_jax.config import load_config
from reactface_jax.models.causal.ring import Place, ring_size
from reactface_jax.models.causal.speaker_encoder import CausalSpeakerEncoder, start_speaker
from reactface_jax.models.causal.video_encoder import CausalVideoEncoder
from reactface_jax.models.causal.wav2vec2 import CausalWav2Vec2Encoder
from reactface_jax.types import FRAME_RATE, SAMPLES_PER_FRAME
from reactface_jax.worker_pool import num_cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="configs/react2023.py")
    parser.add_argument("--window", type=int, default=8, help="frames of a window and of a block")
    parser.add_argument("--reactions", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--conversations", type=int, default=1)
    parser.add_argument("--windows", type=int, default=20, help="how many are measured, after five others")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--profile", action="store_true", help="time of a window by part of the model")
    parser.add_argument("--clip", action="store_true")
    arguments = parser.parse_args()
    words = [f"--model.{name}={arguments.window}" for name in ("window", "block")]
    # The training's window and its checks have no part in this.
    config = load_config(arguments.config, [*words, f"--train.window={arguments.window}"]).model
    config = dataclasses.replace(config, dtype=arguments.dtype)
    model = rf.build_model(config)
    params = random_params(model)
    size, batch, width = 224, arguments.conversations, arguments.window
    rng = np.random.default_rng(0)
    video = rng.uniform(-1, 1, (batch, width, size, size, 3)).astype(np.float32)
    audio = rng.standard_normal((batch, width * SAMPLES_PER_FRAME)).astype(np.float32)
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    print(
        f"{jax.devices()[0].device_kind}, {num_cores()} cores, {count / 1e6:.1f} M parameters, {arguments.dtype}; "
        f"{batch} conversation(s), windows of {width} frames ({1000 * width / FRAME_RATE:.0f} ms), context of "
        f"{config.max_context} frames"
    )
    if arguments.parts:
        _parts(model, params, video, audio)
    for reactions in arguments.reactions:
        _stream(model, params, video, audio, reactions, arguments.windows, arguments.profile)
        if arguments.clip:
            _clip(model, params, reactions)
    print(f"memory at its highest {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


def random_params(model: rf.ReactFace) -> dict:
    """Drawn by numpy: compiling JAX's own draws takes longer than all that is measured."""
    width = model.config.window
    video = jax.ShapeDtypeStruct((1, width, 224, 224, 3), jnp.float32)
    audio = jax.ShapeDtypeStruct((1, width * SAMPLES_PER_FRAME), jnp.float32)
    keys = {"params": jax.random.key(0), "sample": jax.random.key(0)}
    rng = np.random.default_rng(0)

    def draw(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        if leaf.ndim == 1:
            return jnp.ones(leaf.shape)
        return jnp.asarray(rng.standard_normal(leaf.shape, np.float32) / np.float32(np.prod(leaf.shape[:-1]) ** 0.5))

    return jax.tree.map(draw, jax.eval_shape(model.init, keys, video, audio)["params"])


def _measure(run: Callable[[], object], times: int, warm: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Wall time and CPU time (s) of each run."""
    wall, cpu = [], []
    for index in range(warm + times):
        start, used = time.perf_counter(), time.process_time()
        jax.block_until_ready(run())
        if index >= warm:
            wall.append(time.perf_counter() - start)
            cpu.append(time.process_time() - used)
    return np.array(wall), np.array(cpu)


def _tell(name: str, wall: np.ndarray, cpu: np.ndarray) -> None:
    p50, p99 = (1e3 * np.percentile(wall, share) for share in (50, 99))
    print(
        f"{name:34} p50 {p50:8.1f} ms  p99 {p99:8.1f}  least {1e3 * wall.min():8.1f}  "
        f"CPU time median {1e3 * np.median(cpu):8.1f} least {1e3 * cpu.min():8.1f}",
        flush=True,
    )


def _stream(
    model: rf.ReactFace,
    params: dict,
    video: np.ndarray,
    audio: np.ndarray,
    reactions: int,
    windows: int,
    profile: bool = False,
) -> None:
    batch, width = video.shape[:2]
    noise = np.zeros((batch, reactions, model.config.feature_dim), np.float32)
    state = rf.stream.start(model, params, batch, reactions)
    state = state._replace(frame=state.frame + width * (model.config.max_context // width))  # a full context

    def run() -> object:
        nonlocal state
        state, y = rf.stream.step(model, params, state, video, audio, noise=noise)
        return y

    start = time.perf_counter()
    jax.block_until_ready(run())
    print(f"{reactions} reaction(s): first window after {time.perf_counter() - start:.1f} s with compilation")
    wall, cpu = _measure(run, windows)
    _tell(f"window, {reactions} reaction(s)", wall, cpu)
    speed = batch * width / np.median(wall)
    print(f"{'':34} {speed:.1f} frames/s, real-time factor {speed / FRAME_RATE / batch:.2f}")
    if profile:
        program = rf.stream._step.lower(model, params, state, video, audio, noise[:, :, None], None)
        for part, seconds in time_by_part(program.compile(), run, depth=4)[:25]:
            print(f"{1e3 * seconds:9.2f} ms  {part}")


def _clip(model: rf.ReactFace, params: dict, reactions: int, frames: int = 750) -> None:
    video = np.random.default_rng(0).uniform(-1, 1, (1, frames, 224, 224, 3)).astype(np.float32)
    audio = np.zeros((1, frames * SAMPLES_PER_FRAME), np.float32)

    def run() -> object:
        key = jax.random.key(0)
        return rf.generate(model, params, video, audio, protocol="stream", num_reactions=reactions, key=key)

    wall, cpu = _measure(run, 1, warm=1)
    print(f"clip of {frames} frames, {reactions} reaction(s): {wall[0]:.1f} s, CPU time {cpu[0]:.1f} s")


def _parts(model: rf.ReactFace, params: dict, video: np.ndarray, audio: np.ndarray) -> None:
    """F-Enc, wav2vec 2.0 and the whole speaker encoder, with their state."""
    config = model.config
    dtype, speaker = jnp.dtype(config.dtype), params["speaker_encoder"]
    size = ring_size(config.max_context, config.window)
    state = start_speaker(config, len(video), (224, 224), size)
    place = (jnp.full((len(video),), size), jnp.zeros((), jnp.int32))

    face = CausalVideoEncoder(config.feature_dim, config.video_grid, config.video_gain, dtype)
    encode_face = jax.jit(lambda p, v, s, at: face.apply({"params": p}, v, s, Place(*at, size, config.window)))
    voice = CausalWav2Vec2Encoder(config.audio, config.block, config.max_context, dtype)
    encode_voice = jax.jit(
        lambda p, a, s, r, at: voice.apply({"params": p}, a, None, s, r, Place(*at, size, config.window))
    )
    both = CausalSpeakerEncoder(config)
    encode = jax.jit(
        lambda p, v, a, s, at: both.apply({"params": p}, v, a, None, s, Place(*at, size, config.window))[0].motion
    )

    _tell("F-Enc", *_measure(lambda: encode_face(speaker["video_encoder"], video, state.video, place), 10))
    _tell(
        "wav2vec 2.0",
        *_measure(lambda: encode_voice(speaker["audio_encoder"], audio, state.audio, state.audio_rings, place), 10),
    )
    _tell("speaker encoder, rings not written", *_measure(lambda: encode(speaker, video, audio, state, place), 10))


if __name__ == "__main__":
    main()
