"""The listener: what it sees, how it answers, what its knobs do."""

import functools
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save
from small_listener import SIZES, TRAINING, make_data

import reactface_jax as rf
from reactface_jax.errors import UserError
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.media.log_mel import NUM_BANDS, log_mel
from reactface_jax.methods import Inputs, Method, StreamingMethod
from reactface_jax.methods.listener import Control, Listener, Weights, load_weights, motion_space, save_weights
from reactface_jax.methods.listener import listener as module
from reactface_jax.methods.listener import speaker_features as features
from reactface_jax.methods.listener.config import ListenerConfig, ListenerSizes, ListenerTraining
from reactface_jax.methods.listener.network import ListenerNetwork
from reactface_jax.methods.listener.training import ListeningData, finish, fit_space, init, make_optimizer
from reactface_jax.metrics.movement import border_step
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL
from reactface_jax.types import SAMPLES_PER_FRAME

KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def data() -> ListeningData:
    return make_data()


@pytest.fixture(scope="module")
def weights(data) -> Weights:
    space, rests = fit_space(data, SIZES.components)
    config, network = ListenerConfig(SIZES, TRAINING), ListenerNetwork(SIZES)
    return finish(config, network, init(config, network, make_optimizer(TRAINING)), data, rests, space)


@pytest.fixture(scope="module")
def inputs(data) -> Inputs:
    sound = np.random.default_rng(1).normal(size=(4, 40 * SAMPLES_PER_FRAME)).astype(np.float32)
    return Inputs(speaker=data.speaker[:, 0], audio=sound)


def cut(inputs: Inputs, start: int, stop: int) -> Inputs:
    assert inputs.audio is not None
    return Inputs(inputs.speaker[:, start:stop], inputs.audio[:, start * SAMPLES_PER_FRAME : stop * SAMPLES_PER_FRAME])


@pytest.mark.parametrize("temperature", [1, 0])
def test_a_stream_gives_the_clips_reactions(weights, inputs, temperature):
    listener = Listener(weights, Control(temperature=temperature))
    assert isinstance(listener, StreamingMethod)
    one = Inputs(inputs.speaker[:1], inputs.audio[:1])
    whole = listener.generate(one, 2, key=KEY)
    assert whole.shape == (1, 2, 40, 58)
    state = listener._start(jax.random.fold_in(KEY, 0)[None], 2)
    pieces, types = [], types_of(listener.start(2))
    for start, stop in ((0, 5), (5, 10), (10, 40)):
        state, piece = listener.step(state, cut(one, start, stop))
        pieces.append(piece)
        # The second step is not compiled anew, which the first words of a conversation would wait for.
        assert types_of(state) == types
    np.testing.assert_allclose(np.concatenate(pieces, axis=2), whole, atol=1e-5)


def types_of(tree) -> list[str]:
    return [str(jax.typeof(leaf)) for leaf in jax.tree.leaves(tree)]


def test_what_comes_later_changes_nothing_before(weights, inputs):
    listener = Listener(weights)
    changed = np.array(inputs.speaker)
    changed[:, 25:] += 0.3
    before = listener.generate(inputs, 2, key=KEY)
    after = listener.generate(inputs._replace(speaker=changed), 2, key=KEY)
    np.testing.assert_array_equal(before[:, :, :25], after[:, :, :25])
    assert (before[:, :, 25:30] != after[:, :, 25:30]).any()


def test_a_clip_is_answered_the_same_whatever_else_is_asked_and_any_length_is(weights, inputs):
    listener = Listener(weights)
    reactions = listener.generate(inputs, 2, key=KEY)
    first = Inputs(inputs.speaker[:1], inputs.audio[:1])
    np.testing.assert_allclose(listener.generate(first, 2, key=KEY)[0], reactions[0], atol=1e-5)
    assert (reactions[0, 0] != reactions[0, 1]).any()
    assert (listener.generate(first, 2, key=jax.random.key(4)) != reactions[:1]).any()
    assert listener.generate(cut(first, 0, 33), 1, key=KEY).shape == (1, 1, 33, 58)


def test_one_program_answers_clips_of_many_lengths_and_batches_of_many_clips(weights, monkeypatch):
    """150 to 160 frames are of one bucket; 5 clips, 2 at most at once, are 2, 2 and the last one twice."""
    rng = np.random.default_rng(2)
    speaker = rng.uniform(0, 1, (5, 160, 58)).astype(np.float32)
    many = Inputs(speaker, rng.normal(size=(5, 160 * SAMPLES_PER_FRAME)).astype(np.float32))
    listener = Listener(weights)
    expected, programs = listener.generate(many, 2, key=KEY), module._answer._cache_size()
    for frames in (150, 155, 159):
        answer = listener.generate(cut(many, 0, frames), 2, key=KEY)
        seen = frames // listener.chunk * listener.chunk  # of a last chunk that ends early, less is seen
        assert answer.shape == (5, 2, frames, 58)
        np.testing.assert_allclose(answer[:, :, :seen], expected[:, :, :seen], atol=1e-5)
    assert module._answer._cache_size() == programs
    state = listener._start(jax.vmap(functools.partial(jax.random.fold_in, KEY))(jnp.arange(5)), 2)
    np.testing.assert_allclose(listener.step(state, cut(many, 0, 155))[1], expected[:, :, :155], atol=1e-5)
    programs = module._answer._cache_size()
    monkeypatch.setattr(module, "_CLIPS_AT_ONCE", 2)
    np.testing.assert_allclose(listener.generate(many, 2, key=KEY), expected, atol=1e-5)
    assert module._answer._cache_size() == programs + 1


def test_temperature_zero_is_one_reaction(weights, inputs):
    expected = Listener(weights, Control(temperature=0)).generate(
        inputs, 2, key=KEY, rest=np.zeros((2, 58), np.float32)
    )
    np.testing.assert_array_equal(expected[:, 0], expected[:, 1])


def test_knobs_act_in_one_direction(weights, inputs):
    def spread(channels: list[int], **knobs: float) -> float:
        rest = np.full((1, 58), 0.5, np.float32)  # away from the limits of the weights
        small = weights._replace(space=weights.space._replace(decode=0.1 * weights.space.decode))
        answer = Listener(small, Control(**knobs)).generate(inputs, 1, key=KEY, rest=rest)
        return float(answer[..., channels].std(axis=2).mean())

    every = [i for i in range(52) if "Blink" not in COEFFICIENT_NAMES[i]]
    smiles = [i for i, name in enumerate(COEFFICIENT_NAMES) if name.startswith("mouthSmile")]
    blinks = [i for i, name in enumerate(COEFFICIENT_NAMES) if name.startswith("eyeBlink")]
    amplitudes = [spread(every, amplitude=a) for a in (0, 0.5, 1, 1.5)]
    assert amplitudes[0] < 1e-3
    assert amplitudes == sorted(set(amplitudes))
    assert spread(blinks, amplitude=0) > 1e-3 > spread(blinks, amplitude=0, blinks=False)
    for channels, knob in ((smiles, "smiles"), ([52], "nods")):
        spreads = [spread(channels, **{knob: value}) for value in (-1, -0.5, 0, 1)]
        assert spreads == sorted(set(spreads))


def test_guidance_of_one_is_none(weights, inputs):
    plain = Listener(weights, Control(guidance=1)).generate(inputs, 1, key=KEY)
    np.testing.assert_allclose(
        Listener(weights, Control(guidance=1 + 1e-6)).generate(inputs, 1, key=KEY), plain, atol=1e-3
    )
    assert (Listener(weights, Control(guidance=2)).generate(inputs, 1, key=KEY) != plain).any()


def test_style_is_that_of_a_clip(weights, inputs, data):
    listener = Listener(weights)
    style = listener.style_of(data.listener[0, 0])
    assert style.shape == (SIZES.style_width,)
    assert (listener.style_of(data.listener[1, 0]) != style).any()
    np.testing.assert_allclose(
        listener.style_of(data.listener[0, 0].astype(np.float32) + 0.1), style, rtol=0, atol=1e-3
    )
    taken = listener.generate(inputs, 1, key=KEY, style=style[None])
    other = listener.generate(inputs, 1, key=KEY, style=-style[None])
    assert (taken != other).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w, i: Listener(w, Control(amplitude=1.6)).generate(i, 1, key=KEY), "amplitude 1.6 is out of range"),
        (lambda w, i: Listener(w).generate(Inputs(audio=i.audio), 1, key=KEY), "needs the speaker's coefficients"),
        (lambda w, i: Listener(w).generate(i._replace(audio=i.audio[:, 1:]), 1, key=KEY), "audio has shape"),
        (lambda w, i: Listener(w).step(Listener(w).start(), cut(i, 0, 7)), "whole chunks of 5 frames, got 7"),
        (lambda w, i: Listener(w).style_of(i.speaker[0, :3]), "at least 5 frames, got 3"),
        (lambda w, i: ListenerSizes(chunk=9), r"model\.chunk 9 must be at least 1 and at most 8"),
        (
            lambda w, i: ListenerTraining(steps=100, cycles=2),
            r"train\.warmup_steps 50 must be less than the 50 steps of a cycle .train\.steps 100 by train\.cycles 2",
        ),
        (
            lambda w, i: motion_space.fit(np.eye(7, 58), 8),
            r"the listeners move in 7 channels, fewer than model\.components 8; give fewer",
        ),
    ],
)
def test_mistakes_are_named(weights, inputs, call, message):
    with pytest.raises(UserError, match=message):
        call(weights, inputs)


def test_rest_and_place_of_a_person_do_not_matter(data):
    scale = jnp.full(58, 0.1)
    face, sound, heard = data.speaker[:, 0], data.sound, np.ones(4)

    def seen(face: np.ndarray, sound: np.ndarray) -> np.ndarray:
        return np.asarray(features.observe(features.start(4), face, sound, heard, scale)[1])

    moved = face + np.linspace(-0.2, 0.4, 58, dtype=np.float32)
    np.testing.assert_allclose(seen(moved, sound + 3), seen(face, sound), atol=1e-3)


def test_a_trackers_jump_and_loss_change_the_rest_little():
    scale, heard, silent = jnp.full(58, 0.1), np.ones(1), np.zeros((1, 60, NUM_BANDS))
    face = np.full((1, 60, 58), 0.2, np.float32)
    face[:, 30] = 5.0
    face[:, 40:44] = np.nan
    person, seen = features.observe(features.start(1), face, silent, heard, scale)
    assert np.abs(person.rest - 0.2).max() < 0.005
    np.testing.assert_allclose(seen[:, 40:44], seen[:, 39:40].repeat(4, 1), atol=0.05)
    assert np.isfinite(seen).all()


def test_a_faint_movement_is_large_against_a_quiet_tracker_and_small_against_a_noisy_one():
    """Of a drawn head's frown MediaPipe shows .04, with changes of .0002 elsewhere; a real, quiet face varies more."""
    rng = np.random.default_rng(0)
    frown, jaw = (COEFFICIENT_NAMES.index(name) for name in ("browDownLeft", "jawOpen"))
    face = np.full((2, 150, 58), 0.1, np.float32)
    face[..., frown] += np.array([[0.0002], [0.03]]) * rng.standard_normal((2, 150))
    face[:, 100:120, frown] += 0.04
    bands = np.zeros((2, 150, NUM_BANDS), np.float32)
    person, seen = features.observe(features.start(2), face, bands, np.zeros(2), np.full(58, 0.1, np.float32))
    against_noise = np.asarray(seen)[..., 58:116]
    quiet, noisy = against_noise[:, 105:115, frown].mean(axis=1)
    assert quiet > 1.5
    assert abs(noisy) < 0.5
    np.testing.assert_allclose(against_noise[..., jaw], 0.0, atol=1e-3)
    # The movement itself hardly counts as noise; nor does a jump, and nothing where the face is lost.
    assert np.asarray(person.change)[0, frown] < 0.003
    jumped, lost = face.copy(), face.copy()
    jumped[:, 130] = 5.0
    lost[:, 125:] = np.nan
    before = features.observe(features.start(2), face[:, :125], bands[:, :125], np.zeros(2), np.full(58, 0.1))[0].change
    after = features.observe(features.start(2), jumped, bands, np.zeros(2), np.full(58, 0.1))[0].change
    gone = features.observe(features.start(2), lost, bands, np.zeros(2), np.full(58, 0.1))[0].change
    assert np.asarray(after)[0, jaw] < 0.001
    np.testing.assert_array_equal(gone, before)


def test_sound_after_a_stretch_without_is_heard_as_from_the_beginning():
    rng = np.random.default_rng(0)
    face, bands = np.zeros((1, 30, 58), np.float32), log_mel(0.01 * rng.normal(size=(1, 30 * SAMPLES_PER_FRAME)))
    scale, muted, heard = jnp.full(58, 0.1), np.zeros(1), np.ones(1)
    person, unheard = features.observe(features.start(1), face[:, :5], np.zeros((1, 5, NUM_BANDS)), muted, scale)
    assert not np.asarray(unheard)[..., 58:].any()
    _, after = features.observe(person, face, bands, heard, scale)
    _, fresh = features.observe(features.start(1), face, bands, heard, scale)
    np.testing.assert_allclose(after[..., 58:], fresh[..., 58:], atol=1e-5)


def test_sound_is_heard_a_frame_by_itself_and_gain_adds():
    samples = np.random.default_rng(0).normal(size=(2, 4 * SAMPLES_PER_FRAME)).astype(np.float32)
    whole = log_mel(samples)
    assert whole.shape == (2, 4, NUM_BANDS)
    one = log_mel(samples[:, SAMPLES_PER_FRAME : 2 * SAMPLES_PER_FRAME])
    np.testing.assert_allclose(one[:, 0], whole[:, 1], rtol=1e-5)
    np.testing.assert_allclose(log_mel(10 * samples), whole + 2 * np.log(10), atol=1e-3)
    time = np.arange(SAMPLES_PER_FRAME) / 16_000
    tones = [int(log_mel(np.sin(2 * np.pi * f * time)).argmax()) for f in (150, 400, 1000, 2500, 6000)]
    assert tones == sorted(set(tones))


def test_motion_space_keeps_motion_and_finds_what_moves_by_itself():
    rng = np.random.default_rng(0)
    sources = rng.exponential(size=(5000, 3)) * (rng.random((5000, 3)) < 0.3)
    mixing = np.zeros((3, 58))
    mixing[0, [3, 4]], mixing[1, [4, 9]], mixing[2, 55] = 0.3, 0.2, 0.02
    deviations = (sources @ mixing).astype(np.float32)
    space = motion_space.fit(deviations, 3)
    parts = deviations @ space.encode
    np.testing.assert_allclose(parts @ space.decode, deviations, atol=1e-4)
    np.testing.assert_allclose(np.square(parts).mean(0), 1, rtol=1e-3)
    likeness = np.abs(np.corrcoef(parts.T, sources.T)[:3, 3:])
    assert (likeness.max(0) > 0.98).all()


def test_weights_come_back_and_other_files_are_named(weights, tmp_path):
    save_weights(tmp_path / "w.safetensors", weights)
    read = load_weights(tmp_path / "w.safetensors")
    assert read.sizes == weights.sizes
    jax.tree.map(np.testing.assert_array_equal, read[2:], weights[2:])
    close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-6)
    jax.tree.map(close, read.params, weights.params)
    assert read.past_noise == 0.3
    save_weights(tmp_path / "less", weights._replace(past_noise=0.1))
    assert load_weights(tmp_path / "less").past_noise == 0.1
    (tmp_path / "text").write_text("no weights")
    (tmp_path / "old").write_bytes(save(load_file(tmp_path / "w.safetensors"), {"kind": "listener", "form": "2"}))
    metadata = {"kind": "listener", "form": "3", "sizes": "{}"}
    (tmp_path / "sizes").write_bytes(save(load_file(tmp_path / "w.safetensors"), metadata | {"sizes": "[8"}))
    (tmp_path / "arrays").write_bytes(save({"styles": np.zeros(1, np.float32)}, metadata))
    for name, message in (
        ("sizes", "sizes lacks a part of a listener's weights, or is damaged: "),
        ("arrays", "arrays lacks a part of a listener's weights, or is damaged: 'space/"),
        ("none", "does not exist"),
        ("text", "no safetensors file"),
        ("old", "by another version of the listener; train it again"),
    ):
        with pytest.raises(UserError, match=message):
            load_weights(tmp_path / name)


def test_the_mean_fades_from_what_was_expected_to_what_was_seen():
    """By hand: chunks of 4 frames with 1 component, 1 expected of each chunk ahead and 6 when it has been seen."""
    sizes = ListenerSizes(**{**vars(SIZES), "chunk": 4, "components": 1})
    network = ListenerNetwork(sizes)
    shapes = (jnp.zeros((1, 4, features.NUM_FEATURES)), jnp.zeros((1, 1, 4)), jnp.zeros((1, 1, 1)))
    params = network.init(KEY, *shapes, method="everything")["params"]
    out = params["expect_out"]
    params["expect_out"] = {"kernel": np.zeros_like(out["kernel"]), "bias": np.repeat([6.0, 1.0], 4)}
    speaker, talks, rest = jnp.zeros((1, 2, 2 * sizes.speaker_width)), jnp.zeros(1), jnp.zeros((1, 4))
    means, ahead = network.apply({"params": params}, speaker, talks, rest, method="expectation")
    np.testing.assert_allclose(means[0], [[1.2, 2.4, 3.6, 4.8], [2, 3, 4, 5]], rtol=1e-6)
    np.testing.assert_allclose(ahead[0], 1)


def test_the_weights_that_come_with_the_package_answer_a_smile():
    file = resources.files("reactface_jax") / "assets" / "listener.safetensors"
    assert len(file.read_bytes()) < 10e6
    speaker = np.zeros((1, 100, 58), np.float32)
    speaker[..., 52:] = [3.1, 0, 0, 0, 0, 1.8]
    for name, size in {"mouthSmile": 0.9, "cheekSquint": 0.55, "eyeSquint": 0.4, "mouthDimple": 0.3}.items():
        speaker[:, 40:60, channels_of(name)] = size * np.sin(np.pi * np.arange(20) / 20)[None, :, None]
    listener = rf.load_pretrained("listener")
    assert isinstance(listener, Method)
    smiles = listener.generate(Inputs(speaker), 3, key=KEY)[0][..., channels_of("mouthSmile")].mean(-1)
    assert (smiles[:, 45:75].max(axis=1) > smiles[:, 40] + 0.15).sum() >= 2
    assert (smiles[:, 25:40].max(axis=1) < 0.15).all()
    mean = Listener(listener.weights, Control(temperature=0)).generate(Inputs(speaker), key=KEY)
    assert border_step(mean, listener.chunk).value() < 1.3


def channels_of(name: str) -> list[int]:
    return [i for i, channel in enumerate(COEFFICIENT_NAMES) if channel.startswith(name)]


def test_no_other_weights_come_with_the_package():
    with pytest.raises(UserError, match="no weights called ng"):
        rf.load_pretrained("ng")


def test_an_error_in_the_own_past_does_not_grow():
    """A face far outside of what anybody does, fed back, and a speaker like none before: the draws come back."""
    listener = rf.load_pretrained("listener")
    rng = np.random.default_rng(0)
    speaker = np.tile(NEUTRAL, (1, 200, 1)).astype(np.float32)
    speaker[..., :52] = np.abs(rng.normal(0, 0.3, (1, 200, 52))).clip(0, 1)  # a tracker gone mad
    state = listener.start(4, jax.random.key(0))
    state = state._replace(past=state.past + 50.0, own=state.own + 1.0)
    _, reactions = listener.step(state, Inputs(speaker=speaker))
    assert np.abs(np.asarray(reactions)[..., 52:55] - NEUTRAL[52:55]).max() < 0.6
    closed = np.asarray(reactions)[..., COEFFICIENT_NAMES.index("eyeBlinkLeft")] > 0.5
    assert closed[:, :, 100:].mean() < 0.5
