"""The protocols: scans equal loops, padding changes nothing, one compilation serves every clip.

Values are of order 1, so 1e-5 is the last digits that float32 keeps through the layers.
"""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_model import CONFIG, clip, random_params

import reactface_jax as rf
from reactface_jax.errors import UserError
from reactface_jax.models import reactface
from reactface_jax.models.listener import Carry, Speaker
from reactface_jax.online import generation
from reactface_jax.online.generation import _generate

T, K = 10, 2  # two and a half windows


def noise(num_windows: int = 3, num_reactions: int = K) -> np.ndarray:
    shape = (1, num_reactions, num_windows, CONFIG.feature_dim)
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> rf.ReactFace:
    return rf.build_model(CONFIG)


@pytest.fixture(scope="module")
def params(model):
    return random_params(model)


@functools.cache
def compiled(model, **static):
    """One program serves every test that runs the same."""
    return jax.jit(lambda params, args, arrays: model.apply({"params": params}, *args, **arrays, **static))


def apply(model, params, *args, noise=None, **static):
    """`model.apply`, compiled: eager execution compiles each operation on its own."""
    return compiled(model, **static)(params, args, {} if noise is None else {"noise": noise})


def test_scan_over_windows_equals_a_python_loop(model, params):
    video, audio = clip(T)
    out = apply(model, params, video, audio, num_reactions=K, noise=noise())
    features = apply(model, params, video, audio, method="encode")
    width = CONFIG.window
    padding = [(0, 0), (0, 3 * width - T), (0, 0)]
    motion = jnp.pad(features.motion, padding)
    speech = jnp.pad(features.speech, [(0, 0), (0, 2 * (3 * width - T)), (0, 0)])

    carry = Carry(jnp.zeros((1, K, 3 * width, 58)), jnp.zeros((1, K, CONFIG.feature_dim)), jnp.zeros((), jnp.int32))
    step = jax.jit(
        lambda params, *args: model.apply({"params": params}, *args, method=lambda m, *x: m.listener.step_clip(*x))
    )
    reactions = []
    for n in range(3):
        visible = jnp.array([min(width, T - n * width)])
        window = Speaker(
            speech[:, 2 * n * width : 2 * (n + 1) * width], motion[:, n * width : (n + 1) * width], visible
        )
        carry, reaction = step(params, carry, Speaker(speech, motion), window, noise()[:, :, n])
        reactions.append(reaction)
    looped = jnp.concatenate([r.coefficients for r in reactions], axis=2)[:, :, :T]
    chex.assert_trees_all_close(out.listener, looped, rtol=0, atol=1e-5)
    chex.assert_trees_all_close(out.mean, jnp.stack([r.mean for r in reactions], axis=2), rtol=0, atol=1e-5)


@pytest.mark.parametrize("past", ["all", "window"])
@pytest.mark.parametrize(("sync_memory", "reached"), [("window", [0]), ("previous", [0, 1])])
def test_the_synchroniser_reaches_one_window_back_or_none(params, past, sync_memory, reached):
    """The speaker's first window is changed, and no other path leads to later ones: the CIE sees nothing."""
    model = rf.build_model(dataclasses.replace(CONFIG, past=past, sync_memory=sync_memory))
    linear = params["listener"]["interaction_encoder"]["linear"]
    blind = jax.tree.map(jnp.zeros_like, linear)
    params = {
        **params,
        "listener": {
            **params["listener"],
            "interaction_encoder": {**params["listener"]["interaction_encoder"], "linear": blind},
        },
    }
    features = apply(model, params, *clip(T), method="encode")
    width = CONFIG.window
    changed = features._replace(
        motion=features.motion.at[:, :width].multiply(-1), speech=features.speech.at[:, : 2 * width].multiply(-1)
    )
    plain, other = (apply(model, params, x, noise(), method="react_to_clip")[0] for x in (features, changed))
    apart = np.abs(plain - other).max((0, 1, 3))
    assert [n for n in range(3) if apart[n * width : (n + 1) * width].max() > 1e-4] == reached


def test_clip_protocol_of_a_padded_clip_equals_the_bare_model(model, params):
    video, audio = clip(T)
    bare = apply(model, params, video, audio, num_reactions=K, noise=noise())
    padded = rf.generate(model, params, video, audio, protocol="clip", num_reactions=K, noise=noise())
    chex.assert_trees_all_close(padded, bare.listener, rtol=0, atol=1e-5)


def test_padding_changes_nothing_of_a_clip_shorter_than_a_window(model, params):
    """Window 0 reads a window of the speaker, whose last two frames are padding here."""
    video, audio = clip(2)
    bare = apply(model, params, video, audio, num_reactions=K, noise=noise(1))
    padded = rf.generate(model, params, video, audio, protocol="clip", num_reactions=K, noise=noise(1))
    chex.assert_trees_all_close(padded, bare.listener, rtol=0, atol=1e-5)

    other_video, other_audio = clip(CONFIG.window, seed=5)
    other_video[:, :2], other_audio[:, : 2 * 640] = video, audio
    arrays = {"noise": noise(1), "lengths": np.array([2])}
    longer = compiled(model, num_reactions=K)(params, (other_video, other_audio), arrays)
    found = longer._replace(listener=longer.listener[:, :, :2], speaker=longer.speaker[:, :2])
    chex.assert_trees_all_close(found, bare, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("protocol", "sync_memory"),
    [
        ("prefix", "previous"),
        ("window", "window"),
        pytest.param("prefix", "window", marks=pytest.mark.long),
        pytest.param("window", "previous", marks=pytest.mark.long),
    ],
)
def test_protocols_encode_exactly_the_frames_they_may_see(params, protocol, sync_memory):
    model = rf.build_model(dataclasses.replace(CONFIG, sync_memory=sync_memory))
    video, audio = clip(T)
    got = rf.generate(model, params, video, audio, protocol=protocol, num_reactions=K, noise=noise())
    width = CONFIG.window
    carry = Carry(jnp.zeros((1, K, width, 58)), jnp.zeros((1, K, CONFIG.feature_dim)), jnp.zeros((), jnp.int32))
    step = jax.jit(
        lambda params, *args: model.apply({"params": params}, *args, method=lambda m, *x: m.listener.step_window(*x))
    )
    before = None
    for n in range(2):  # the whole windows
        start, end = n * width, (n + 1) * width
        first = 0 if protocol == "prefix" else start
        seen = video[:, first:end], audio[:, 640 * first : 640 * end]
        features = apply(model, params, *seen, method="encode")
        speaker = Speaker(features.speech[:, -2 * width :], features.motion[:, -width:])
        if protocol == "prefix" and n:
            before = Speaker(features.speech[:, : 2 * width], features.motion[:, :width])
        carry, reaction = step(params, carry, speaker, speaker, noise()[:, :, n], before or speaker)
        before = speaker
        chex.assert_trees_all_close(got[:, :, start:end], reaction.coefficients, rtol=0, atol=1e-5)


def test_the_prefix_protocols_buffer_grows_without_a_trace(model, params, monkeypatch):
    """One window at a time here, 128 frames otherwise; clips of a batch end in different segments."""
    video, audio = (np.repeat(x, 2, axis=0) for x in clip(2 * CONFIG.window - 1))
    eps, lengths = np.repeat(noise(2), 2, axis=0), np.array([2 * CONFIG.window - 1, 3])

    def react():
        program = jax.jit(functools.partial(model.apply, method="react_to_prefixes"))
        return program({"params": params}, video, audio, eps, lengths)

    whole = react()
    monkeypatch.setattr(reactface, "PREFIX_SEGMENT", 1)
    grown = react()
    for ours, theirs in zip(grown, whole, strict=True):
        chex.assert_trees_all_close(ours[0], theirs[0], rtol=0, atol=1e-5)
    chex.assert_trees_all_close(grown[0][1, :, :3], whole[0][1, :, :3], rtol=0, atol=1e-5)


def test_prefix_and_window_protocols_never_see_the_future(model, params):
    video, audio = clip(T)
    later_video, later_audio = video.copy(), audio.copy()
    later_video[:, 8:], later_audio[:, 8 * 640 :] = 0.5, 0.5
    for protocol in ("prefix", "window"):
        kwargs = {"protocol": protocol, "num_reactions": K, "noise": noise()}
        before = rf.generate(model, params, video, audio, **kwargs)
        after = rf.generate(model, params, later_video, later_audio, **kwargs)
        np.testing.assert_array_equal(before[:, :, :8], after[:, :, :8])
        assert np.abs(np.asarray(before[:, :, 8:] - after[:, :, 8:])).max() > 1e-4


def test_one_compilation_serves_clips_of_any_length(model, params):
    programs = set()
    for num_frames in (4, T, 13):
        num_windows = -(-num_frames // CONFIG.window)
        y = rf.generate(model, params, *clip(num_frames), protocol="window", num_reactions=K, noise=noise(num_windows))
        assert y.shape == (1, K, num_frames, 58)
        programs.add(_generate._cache_size())
    assert len(programs) == 1


def test_reactions_share_one_encoding_and_differ_by_their_noise_alone(model, params):
    video, audio = clip(T)
    both = rf.generate(model, params, video, audio, protocol="clip", num_reactions=2, noise=noise())
    second = rf.generate(model, params, video, audio, protocol="clip", num_reactions=1, noise=noise()[:, 1:])
    chex.assert_trees_all_close(both[:, 1:], second, rtol=0, atol=1e-5)
    assert np.abs(np.asarray(both[:, 0] - both[:, 1])).max() > 1e-3


def test_noise_is_drawn_from_the_key(model, params):
    video, audio = clip(T)
    key = jax.random.key(3)
    drawn = rf.generate(model, params, video, audio, protocol="clip", num_reactions=K, key=key)
    eps = jax.random.normal(key, (1, K, 3, CONFIG.feature_dim))
    given = rf.generate(model, params, video, audio, protocol="clip", num_reactions=K, noise=eps)
    np.testing.assert_array_equal(drawn, given)


def test_a_sound_that_ends_early_cuts_the_video(model, params):
    video, audio = clip(T)
    cut = jax.eval_shape(
        lambda audio: model.apply({"params": params}, video, audio, num_reactions=K, noise=noise(2)),
        audio[:, : 640 * 7 + 100],
    )
    assert cut.listener.shape == (1, K, 7, 58)


@pytest.mark.parametrize(
    "changes",
    [
        {"use_audio": False},
        {"use_video": False},
        {"use_vim": False},
        {"use_mim": False},
        {"use_vim": False, "use_mim": False},
        {"alignment": "strict"},
        {"alignment": "point_to_point"},
        {"face_alignment": "point_to_point"},
        {"latent_alignment": "point_to_point"},
        {"bias_period": 1},
        {"memory": "past"},
        {"sync_memory": "previous"},
        {"sync_order": "face_first"},
        {"momentum": 0.0},
        {"past": "window"},
        {"interaction_layers": 3},
    ],
    ids=str,
)
def test_every_switch_changes_the_model(changes):
    """By what it computes or, where a block is left out, by its parameters: shapes alone, nothing is compiled."""
    assert traced(rf.build_model(dataclasses.replace(CONFIG, **changes))) != traced(rf.build_model(CONFIG))


@functools.cache
def traced(model: rf.ReactFace) -> str:
    key = jax.random.key(0)
    return str(jax.make_jaxpr(lambda: model.init({"params": key, "sample": key}, *clip(T)))())


def test_absent_modalities_do_not_reach_the_reaction():
    video, audio = clip(T)
    other_video, other_audio = clip(T, seed=5)
    for switch, seen in (("use_audio", (other_video, audio)), ("use_video", (video, other_audio))):
        model = rf.build_model(dataclasses.replace(CONFIG, **{switch: False}))
        params = random_params(model)
        unseen = (video, other_audio) if switch == "use_audio" else (other_video, audio)
        react = jax.jit(
            lambda v, a, m=model, p=params: m.apply({"params": p}, v, a, num_reactions=K, noise=noise()).listener
        )
        plain = react(video, audio)
        np.testing.assert_array_equal(plain, react(*unseen))
        assert np.abs(np.asarray(plain - react(*seen))).max() > 1e-5


def test_bfloat16_is_close_and_parameters_stay_float32(params):
    video, audio = clip(T)
    half = rf.build_model(dataclasses.replace(CONFIG, dtype="bfloat16"))
    kwargs = {"num_reactions": K, "noise": noise()}
    full = apply(rf.build_model(CONFIG), params, video, audio, **kwargs).listener
    rough = apply(half, params, video, audio, **kwargs).listener
    assert rough.dtype == jnp.float32
    assert 1e-4 < float(jnp.abs(full - rough).max() / jnp.abs(full).max()) < 0.1
    shapes = jax.eval_shape(lambda: half.init({"params": jax.random.key(0), "sample": jax.random.key(0)}, video, audio))
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_reactions": K}, "either noise= or key="),
        ({"num_reactions": K, "noise": noise(2)}, "noise has shape"),
        ({"num_reactions": K, "noise": noise(), "protocol": "stream"}, "protocol 'stream' is none of"),
    ],
)
def test_bad_arguments_are_refused(model, params, kwargs, message):
    with pytest.raises(UserError, match=message):
        rf.generate(model, params, *clip(T), **kwargs)


@pytest.mark.parametrize(("changes", "expected"), [({}, "prefix"), ({"causal": True, "block": 2}, "stream")])
def test_the_default_protocol_is_one_that_the_model_has(params, monkeypatch, changes, expected):
    taken, check = [], generation.check_protocol
    monkeypatch.setattr(generation, "check_protocol", lambda model, name: (taken.append(name), check(model, name)))
    model = rf.build_model(dataclasses.replace(CONFIG, **changes))
    shape = jax.eval_shape(lambda key: rf.generate(model, params, *clip(T), key=key), jax.random.key(0)).shape
    assert (taken, shape) == ([expected], (1, 1, T, 58))
    other = "prefix" if changes else "stream"
    with pytest.raises(UserError, match=f"protocol '{other}' is none of clip, "):
        rf.generate(model, params, *clip(T), protocol=other, key=jax.random.key(0))


def test_the_bare_model_names_noise_of_another_shape(model, params):
    with pytest.raises(UserError, match=r"noise has shape .*, but these clips need \[B, K, N, D\] = \(1, 2, 3, 16\)"):
        apply(model, params, *clip(T), num_reactions=K, noise=noise(2))
