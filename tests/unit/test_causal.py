"""The causal model: the past never moves, a stream is the clip, the state has one shape, hours leave it alive.

Values are of order 1. Two blocks make a window, and the context is 12 of 32 frames, so most windows are past it.
"""

import dataclasses
import functools
import resource
import weakref

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_model import CONFIG, clip, random_params, without_dropout

import reactface_jax as rf
from reactface_jax.errors import UserError
from reactface_jax.models.reaction_decoder import ReactionDecoder
from reactface_jax.online import stream
from reactface_jax.online.generation import generate_online
from reactface_jax.ops.convolution import conv3d

WIDTH, T, K, SIZE = 4, 32, 2, 16
CAUSAL = dataclasses.replace(CONFIG, causal=True, block=2, max_context=12)


def noise(num_reactions: int = K, num_windows: int = T // WIDTH, batch_size: int = 1) -> np.ndarray:
    shape = (batch_size, num_reactions, num_windows, CONFIG.feature_dim)
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> rf.ReactFace:
    return rf.build_model(CAUSAL)


@pytest.fixture(scope="module")
def params(model):
    return random_params(model)


@pytest.fixture(scope="module")
def react_to_clip(model, params):
    """A whole clip at once, compiled: everything that the model returns."""
    run = jax.jit(lambda *args: model.apply({"params": params}, *args[:2], num_reactions=K, noise=args[2]))
    return lambda video, audio: run(video, audio, noise())


def frames(video: np.ndarray, audio: np.ndarray, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    return video[:, first:last], audio[:, 640 * first : 640 * last]


def in_steps(model, params, video, audio, eps, windows: list[int], state=None) -> np.ndarray:
    """Streams a clip in steps of so many windows."""
    state = stream.start(model, params, len(video), eps.shape[1], image_size=SIZE) if state is None else state
    out, first = [], 0
    for count in windows:
        last = first + count
        window = frames(video, audio, WIDTH * first, WIDTH * last)
        state, y = rf.stream.step(model, params, state, *window, noise=eps[:, :, first:last])
        out.append(np.asarray(y))
        first = last
    return np.concatenate(out, axis=2)


def test_parameters_are_those_of_the_reference(params):
    reference = random_params(rf.build_model(CONFIG))
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, reference)


@pytest.mark.parametrize("changed", ["frames", "samples"])
def test_the_future_changes_nothing_before_it(react_to_clip, changed):
    video, audio = clip(T)
    before = react_to_clip(video, audio)
    for end in (WIDTH, 5 * WIDTH, T - WIDTH):
        later_video, later_audio = video.copy(), audio.copy()
        if changed == "frames":
            later_video[:, end:] = 0.5
        else:
            later_audio[:, 640 * end :] = np.random.default_rng(7).standard_normal(640 * (T - end)) * 3
        after = react_to_clip(later_video, later_audio)
        np.testing.assert_array_equal(before.listener[:, :, :end], after.listener[:, :, :end])
        np.testing.assert_array_equal(before.speaker[:, :end], after.speaker[:, :end])
        windows = end // WIDTH
        np.testing.assert_array_equal(before.mean[:, :, :windows], after.mean[:, :, :windows])
        np.testing.assert_array_equal(before.std[:, :, :windows], after.std[:, :, :windows])
        assert np.abs(np.asarray(before.listener - after.listener))[:, :, end:].max() > 1e-4


@pytest.mark.parametrize("windows", [[1] * 8, [1, 2, 2, 1, 2]], ids=str)
def test_stream_equals_clip_far_past_the_context(model, params, react_to_clip, windows):
    video, audio = clip(T)
    whole = react_to_clip(video, audio).listener
    np.testing.assert_allclose(in_steps(model, params, video, audio, noise(), windows), whole, rtol=0, atol=1e-5)


def test_a_reaction_by_itself_is_one_of_several(model, params):
    video, audio = clip(12)
    both = in_steps(model, params, video, audio, noise(K, 3), [1, 1, 1])
    one = in_steps(model, params, video, audio, noise(K, 3)[:, 1:], [1, 1, 1])
    np.testing.assert_allclose(one[:, 0], both[:, 1], rtol=0, atol=1e-5)


def test_the_level_of_the_sound_does_not_matter(react_to_clip):
    video, audio = clip(T)
    np.testing.assert_allclose(
        react_to_clip(video, audio).listener, react_to_clip(video, 0.05 * audio + 0.01).listener, rtol=0, atol=2e-3
    )


def test_generate_streams_a_clip_whose_last_window_is_not_full(model, params):
    video, audio = clip(10)
    eps = noise(num_windows=3)
    whole = rf.generate(model, params, video, audio, protocol="clip", num_reactions=K, noise=eps)
    streamed = rf.generate(model, params, video, audio, protocol="stream", num_reactions=K, noise=eps)
    assert streamed.shape == (1, K, 10, 58)
    np.testing.assert_allclose(streamed, whole, rtol=0, atol=1e-5)
    with pytest.raises(UserError, match="'prefix' is none of clip, stream"):
        rf.generate(model, params, video, audio, protocol="prefix", num_reactions=K, noise=eps)


def test_a_video_read_as_it_goes_gives_the_same_reactions(model, params):
    pictures = np.random.default_rng(3).integers(0, 256, (102, SIZE, SIZE, 3), np.uint8)
    audio, key, held = clip(102)[1], jax.random.key(4), []

    def frames():
        for picture in pictures:
            held.append(weakref.ref(copy := picture.copy()))
            yield copy
            del copy
            assert sum(ref() is not None for ref in held) <= 64  # two steps of 32

    online = generate_online(model, params, frames(), audio[0], 102, num_reactions=K, key=key)
    video = jnp.asarray(pictures)[None] / 127.5 - 1.0
    whole = rf.generate(model, params, video, audio, protocol="stream", num_reactions=K, key=key)
    np.testing.assert_allclose(online, whole[0], rtol=0, atol=1e-5)


def test_state_keeps_its_shapes_and_one_program_serves_every_window(model, params):
    video, audio = clip(WIDTH)
    state = stream.start(model, params, 1, K, image_size=SIZE)
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), state)
    programs = stream._step._cache_size()
    for index in range(9):
        lengths = np.array([WIDTH if index < 8 else 1], np.int32)  # the tail too
        state, _ = rf.stream.step(model, params, state, video, audio, key=jax.random.key(index), lengths=lengths)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == shapes
    assert stream._step._cache_size() == programs + 1
    assert int(state.frame[0]) == 9 * WIDTH


def test_conversations_of_a_batch_begin_when_they_like_and_can_move(model, params, tmp_path):
    """Row 1 starts three windows after row 0; then row 1 is saved, put into another batch, and goes on."""
    (video, audio), (other_video, other_audio) = clip(T), clip(T, seed=3)
    eps = noise()
    alone = in_steps(model, params, other_video, other_audio, eps, [1] * 5)

    def step(state, first: int, second: int):
        rows = [frames(video, audio, first, first + WIDTH), frames(other_video, other_audio, second, second + WIDTH)]
        both = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
        n = [eps[:, :, first // WIDTH % 8], eps[:, :, second // WIDTH]]
        return rf.stream.step(model, params, state, *both, noise=np.concatenate(n))

    state = stream.start(model, params, 2, K, image_size=SIZE)
    for n in range(3):
        state, _ = step(state, n * WIDTH, 5 * WIDTH)  # row 1 holds something else so far
    state = stream.reset(state, 1)
    for n in range(3):
        state, y = step(state, (n + 3) * WIDTH, n * WIDTH)
        np.testing.assert_allclose(y[1], alone[0, :, n * WIDTH : (n + 1) * WIDTH], rtol=0, atol=1e-5)
    path = tmp_path / "conversation.npz"
    stream.save(path, stream.take(model, state, 1))
    state, _ = step(state, 6 * WIDTH, 6 * WIDTH)  # the rings of the other batch stand elsewhere
    state = stream.put(model, state, 1, stream.load(path, stream.start(model, params, 1, K, image_size=SIZE)))
    for n in (3, 4):
        state, y = step(state, 4 * WIDTH, n * WIDTH)
        np.testing.assert_allclose(y[1], alone[0, :, n * WIDTH : (n + 1) * WIDTH], rtol=0, atol=1e-5)


def test_files_that_are_no_saved_conversation(model, params, tmp_path):
    path, state = tmp_path / "conversation.npz", stream.start(model, params, 1, K, image_size=SIZE)
    stream.save(path, state)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(stream.load(path, state)), strict=True):
        np.testing.assert_array_equal(before, after)
    with pytest.raises(UserError, match="does not exist"):
        stream.load(tmp_path / "nothing.npz", state)
    with pytest.raises(UserError, match=r"another model: .* has shape"):
        stream.load(path, stream.start(model, params, 1, K + 1, image_size=SIZE))
    path.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(UserError, match="is no saved conversation"):
        stream.load(path, state)
    with pytest.raises(UserError, match="can't be written"):
        stream.save(tmp_path / "nowhere" / "conversation.npz", state)


# Windows of 80 frames, so that two hours are 2,250 of them; the speaker repeats 16 seconds.
LOOP, FOUR_MINUTES, TWO_HOURS = 5, 75, 2250
WIDE = dataclasses.replace(CAUSAL, window=80, block=80, max_context=160, video_grid=2)


def assert_alive(state, windows: int, early: np.ndarray, late: np.ndarray) -> None:
    """After so many windows the reaction still moves. early, late: [K, T, 58] of 16 seconds."""
    assert int(state.frame[0]) == 80 * windows
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
    spreads = [part.std(axis=1).mean() for part in (early, late)]
    assert spreads[1] > 0.5 * spreads[0] > 0.01
    assert np.abs(np.diff(late.reshape(-1, 80, 58), axis=0)).max() > 0.01


@pytest.mark.parametrize("count", [FOUR_MINUTES, pytest.param(TWO_HOURS, marks=pytest.mark.long)])
def test_hours_leave_the_stream_alive(count):
    model = rf.build_model(WIDE)
    params, (video, audio) = random_params(model), clip(LOOP * 80, size=8)
    eps = noise(1, LOOP).transpose(2, 0, 1, 3)[:, :, :, None]
    windows = video.reshape(LOOP, 1, 80, 8, 8, 3), audio.reshape(LOOP, 1, -1), eps

    def loop(state, windows):
        """16 seconds; the state and the reactions."""
        step = functools.partial(model.apply, {"params": params}, method="step")
        return jax.lax.scan(lambda state, window: step(state, *window), state, windows)

    @jax.jit
    def play(state, loops: int, windows):
        """The state after so many loops, and the last one's reactions."""
        nothing = jnp.zeros((LOOP, 1, 1, 80, 58))
        return jax.lax.fori_loop(0, loops, lambda _, carry: loop(carry[0], windows), (state, nothing))

    state, early = play(stream.start(model, params, 1, 1, image_size=8), 3, windows)
    state, late = play(state, count // LOOP - 3, windows)
    assert_alive(state, count, *(np.asarray(part).reshape(1, LOOP * 80, 58) for part in (early, late)))
    backwards = (windows[0][::-1], windows[1][::-1], eps)  # another speaker, the same noise
    again, other = (play(state, 1, speaker)[1] for speaker in (windows, backwards))
    assert np.abs(again - other).max() > 0.01


@pytest.mark.long
def test_two_hours_of_calls_take_constant_memory():
    model = rf.build_model(WIDE)
    params, (video, audio) = random_params(model), clip(LOOP * 80, size=8)
    eps = noise(1, LOOP)
    state = stream.start(model, params, 1, 1, image_size=8)
    early, late, memory = [], [], 0
    for n in range(TWO_HOURS):
        first = n % LOOP * 80
        window = frames(video, audio, first, first + 80)
        state, y = rf.stream.step(model, params, state, *window, noise=eps[:, :, n % LOOP])
        if 10 <= n < 15:
            early.append(np.asarray(y)[0])
        if n == 1000:  # what the allocator keeps has grown to its size
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if n >= TWO_HOURS - LOOP:
            late.append(np.asarray(y)[0])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 20 * 1024  # KiB
    assert_alive(state, TWO_HOURS, np.concatenate(early, axis=1), np.concatenate(late, axis=1))


@pytest.mark.parametrize(("channels", "stride", "size"), [(3, 2, 5), (8, 2, 5), (8, 1, 3)])
def test_a_causal_convolution_is_the_whole_one_later(channels, stride, size):
    """Value and gradients; `conv3d` itself is held against PyTorch's."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 4, 6, 6, channels)).astype(np.float32)
    kernel = rng.standard_normal((size, size, size, channels, 4)).astype(np.float32) / 20
    half = size // 2
    weight = rng.standard_normal((1, 4, 6 // stride, 6 // stride, 4)).astype(np.float32)

    def whole(x, kernel):
        return (conv3d(x, kernel, stride=stride) * weight).sum()

    def later(x, kernel):
        x = jnp.pad(x, [(0, 0), (size - 1, half), (0, 0), (0, 0), (0, 0)])
        return (conv3d(x, kernel, stride=stride, margin=0)[:, half:] * weight).sum()

    ours, theirs = (jax.jit(jax.value_and_grad(f, argnums=(0, 1)))(x, kernel) for f in (later, whole))
    chex.assert_trees_all_close(ours, theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"use_audio": False},
        {"use_video": False},
        {"past": "window"},
        {"bias_period": 1, "face_alignment": "point_to_point", "latent_alignment": "point_to_point"},
        {"sync_memory": "previous"},
    ],
    ids=str,
)
def test_every_variant_streams(change):
    config = dataclasses.replace(CAUSAL, **change)
    model = rf.build_model(config)
    video, audio = clip(8)

    def run(video, audio, eps):
        variables = model.init(jax.random.key(0), video[:, :4], audio[:, : 640 * 4], noise=eps[:, :1, :1])
        state = stream.start(model, variables["params"], 1, K, image_size=SIZE)
        whole = model.apply(variables, video, audio, num_reactions=K, noise=eps).listener
        after, streamed = model.apply(variables, state, video, audio, eps, method="step")
        return whole, streamed, state, after

    # Shapes alone: what the variants compute is the same code as above.
    whole, streamed, before, after = jax.eval_shape(run, video, audio, noise(num_windows=2))
    assert whole.shape == streamed.shape == (1, K, 8, 58)
    assert before == after  # so that any number of steps may follow


@pytest.mark.long
def test_gradients_reach_every_parameter_in_training(params):
    """But those that reconstruct the speaker, and the audio's masked embedding: they are not in the listener."""
    (video, audio), model = clip(8), rf.build_model(without_dropout(CAUSAL))

    def loss(params):
        rngs = {"dropout": jax.random.key(0)}
        out = model.apply(
            {"params": params}, video, audio, num_reactions=1, noise=noise(1, 2), deterministic=False, rngs=rngs
        )
        return jnp.square(out.listener).mean()

    gradients = jax.jit(jax.grad(loss))(params)
    zero = [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, leaf in jax.tree_util.tree_leaves_with_path(gradients)
        if not np.abs(leaf).max() > 0
    ]
    allowed = ("speaker_decoder", "speaker_map", "feature_extractor", "masked_spec_embed", "key/bias")
    assert not [name for name in zero if not any(part in name for part in allowed)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video": (1, 3)}, "whole windows of model.window 4"),
        ({"video": (2, 4)}, "video has 2 conversations"),
        ({"audio": 10}, "audio has shape"),
        ({"size": 8}, "started with image_size"),
        ({"noise": None}, "either noise= or key="),
        ({"noise": (1, 3, 16)}, "noise has shape"),
    ],
)
def test_bad_arguments_are_refused(model, params, change, message):
    batch, count = change.get("video", (1, 4))
    size = change.get("size", SIZE)
    video, audio = np.zeros((batch, count, size, size, 3), np.float32), np.zeros((batch, change.get("audio", 2560)))
    shape = change.get("noise", (batch, K, 16))
    eps = None if shape is None else np.zeros(shape, np.float32)
    state = stream.start(model, params, 1, K, image_size=SIZE)
    with pytest.raises(UserError, match=message):
        stream.step(model, params, state, video, audio.astype(np.float32), noise=eps)


def test_training_counts_from_anywhere(params):
    """Positions of training clips begin at a frame drawn for each clip; outside training nothing changes."""
    config = dataclasses.replace(CAUSAL, max_position=90_000, dropout=0.0)
    model, (video, audio) = rf.build_model(config), clip(WIDTH, batch_size=2)
    eps = noise(num_windows=1, batch_size=2)

    @functools.partial(jax.jit, static_argnums=0)
    def positions(deterministic):
        """Of the decoder's queries; the rest of the model is traced only."""
        numbers = []

        def watch(call, args, kwargs, context):
            if isinstance(context.module, ReactionDecoder) and context.method_name == "__call__":
                numbers.append(args[1])
            return call(*args, **kwargs)

        with nn.intercept_methods(watch):
            rngs = {"dropout": jax.random.key(3)}
            model.apply(
                {"params": params}, video, audio, num_reactions=K, noise=eps, deterministic=deterministic, rngs=rngs
            )
        return numbers[0]

    numbers = [np.asarray(positions(deterministic)) for deterministic in (True, False)]
    window = np.arange(WIDTH)
    np.testing.assert_array_equal(numbers[0], [window, window])
    first = numbers[1][:, :1]
    np.testing.assert_array_equal(numbers[1], first + window)
    assert first[0, 0] != first[1, 0]
    assert (first > 0).all()
    assert (first <= 90_000).all()
    with pytest.raises(UserError, match=r"model.max_position is for a causal model that sees its whole past"):
        dataclasses.replace(CONFIG, max_position=1)


def test_only_causal_models_stream():
    with pytest.raises(UserError, match="not causal"):
        stream.start(rf.build_model(CONFIG), {})


def test_windows_of_a_causal_model_are_whole_blocks():
    with pytest.raises(UserError, match=r"model.window 4 must be a multiple of model.block 3"):
        dataclasses.replace(CAUSAL, block=3)
    assert dataclasses.replace(CAUSAL, window=1, block=1).window == 1  # of any length, whatever the period
    chex.assert_equal(CONFIG.causal, False)
