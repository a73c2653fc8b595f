"""LFI and Zhou et al. as rows: losses to the letter, training that falls and goes on, answers, streams."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_training import LFI, ZHOU, stirred

from reactface_jax.config.lfi import LfiConfig
from reactface_jax.config.zhou import ZhouConfig
from reactface_jax.errors import UserError
from reactface_jax.methods import Inputs
from reactface_jax.methods.learned import LearnedMethod, Variables
from reactface_jax.methods.lfi.lfi import Lfi
from reactface_jax.methods.zhou.zhou import Zhou
from reactface_jax.types import Batch

ROWS: list[LearnedMethod] = [Lfi(LFI), Zhou(ZHOU)]
by_name = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def make_batch(seed: int = 0, batch: int = 4, frames: int = 14) -> Batch:
    """The listener does what the speaker does, at half the size."""
    rng = np.random.default_rng(seed)
    speaker = rng.standard_normal((batch, frames, 58)).cumsum(1).astype(np.float32) + 2
    return Batch(
        video=np.zeros((batch, frames, 0, 0, 3), np.uint8),
        audio=rng.standard_normal((batch, 640 * frames)).astype(np.float32),
        speaker=speaker,
        listener=0.5 * speaker,
        neighbours=0.5 * speaker[:, None],
        neighbour_mask=np.ones((batch, 1), bool),
        clip=np.arange(batch),
    )


def batches() -> Iterator[Batch]:
    seed = 0
    while True:
        yield make_batch(seed)
        seed += 1


def begun(row: LearnedMethod) -> Variables:
    return row.begin(0, jax.jit(row.init)(jax.random.key(0)), batches())


def trainer(row: LearnedMethod) -> Any:
    optimizer = row.optimizer()

    @jax.jit
    def update(variables: Variables, opt_state: Any, batch: Batch, step: jax.Array) -> Any:
        def loss(params: Any) -> Any:
            key = jax.random.fold_in(jax.random.key(7), step)
            return row.loss(Variables(params, variables.state), batch, key=key, step=step)

        (value, (_, state)), gradient = jax.value_and_grad(loss, has_aux=True)(variables.params)
        updates, opt_state = optimizer.update(gradient, opt_state, variables.params)
        return Variables(optax.apply_updates(variables.params, updates), state), opt_state, value

    return optimizer, update


def inputs(frames: int = 9) -> Inputs:
    batch = make_batch(100, batch=2, frames=frames)
    return Inputs(speaker=jnp.asarray(batch.speaker), audio=jnp.asarray(batch.audio))


@by_name
def test_the_loss_falls_and_two_parts_equal_the_whole(row: LearnedMethod):
    """The parts are saved as bytes and read again between them."""
    optimizer, update = trainer(row)
    variables = begun(row)
    opt_state = optimizer.init(variables.params)
    start = (variables, opt_state)
    losses = []
    for step in range(30):
        variables, opt_state, loss = update(variables, opt_state, make_batch(step % 2), jnp.int32(step))
        losses.append(float(loss))
        if step == 1:
            saved = [np.asarray(leaf).copy() for leaf in jax.tree.leaves((variables, opt_state))]
        if step == 3:
            whole = (variables, opt_state)
    falling = [loss for loss in losses if loss > 0]  # of LFI without those that are to be unlikely
    assert np.mean(falling[-5:]) < 0.9 * np.mean(falling[:5])
    part = jax.tree.unflatten(jax.tree.structure(start), [jnp.asarray(leaf) for leaf in saved])
    for step in (2, 3):
        *part, _ = update(*part, make_batch(step % 2), jnp.int32(step))
    chex.assert_trees_all_equal(tuple(part), whole)


@by_name
def test_answers(row: LearnedMethod):
    """LFI's reactions differ from each other, Zhou et al.'s repeat; a clip's answer depends on no other clip."""
    variables, seen = stirred(begun(row)), inputs()
    answer = jax.jit(lambda seen, keys: row.answer(variables, seen, 3, keys=keys))
    keys = jax.random.split(jax.random.key(1), 2)
    reactions = answer(seen, keys)
    assert reactions.shape == (2, 3, 9, 58)
    assert jnp.isfinite(reactions).all()
    differ = bool((reactions[:, 0] != reactions[:, 1]).any())
    assert differ == (row.name == "LFI")
    assert "speaker" in row.needs
    assert "audio" in row.needs
    swapped = answer(jax.tree.map(lambda x: x[::-1], seen), keys[::-1])
    np.testing.assert_allclose(swapped[::-1], reactions, rtol=0, atol=1e-4)
    for changed in (seen._replace(speaker=seen.speaker + 1), seen._replace(audio=seen.audio[:, ::-1])):
        assert jnp.abs(answer(changed, keys) - reactions).max() > 1e-2


@by_name
def test_a_stream_is_the_clip(row: Any):
    """In pieces of one, three and five frames."""
    variables, seen = stirred(begun(row)), inputs()
    keys = jax.random.split(jax.random.key(1), 2)
    whole = jax.jit(lambda seen: row.answer(variables, seen, 1, keys=keys))(seen)
    state, parts = row.start(variables, 1, keys), []
    for first, last in ((0, 1), (1, 4), (4, 9)):
        piece = Inputs(speaker=seen.speaker[:, first:last], audio=seen.audio[:, 640 * first : 640 * last])
        state, part = jax.jit(lambda state, piece: row.step(variables, state, piece))(state, piece)
        parts.append(part)
    np.testing.assert_allclose(jnp.concatenate(parts, axis=2), whole, rtol=0, atol=2e-4)


@by_name
def test_what_is_measured(row: LearnedMethod):
    """Faces of both people over the first two batches, channel by channel."""
    measured = begun(row).state["moments"]["face"]
    some = [make_batch(seed) for seed in (0, 1)]
    faces = np.concatenate([x.reshape(-1, 58) for batch in some for x in (batch.speaker, batch.listener)])
    np.testing.assert_allclose(measured["mean"], faces.mean(0), rtol=0, atol=1e-4)
    np.testing.assert_allclose(measured["std"], faces.std(0), rtol=1e-4)


@by_name
def test_data_that_does_not_fit_gets_a_sentence(row: LearnedMethod):
    variables = begun(row)
    with pytest.raises(UserError, match=rf"--data.clip-frames 3 is too few for {row.name}; give \d or more"):
        row.loss(variables, make_batch(frames=3), key=jax.random.key(0), step=jnp.int32(0))
    narrow = Inputs(speaker=inputs().speaker[..., :56], audio=inputs().audio)
    with pytest.raises(UserError, match=f"{row.name} was made for 58 coefficients a frame, and the data has 56"):
        row.answer(variables, narrow, 1, keys=jax.random.split(jax.random.key(0), 2))


def test_settings_that_contradict_each_other():
    with pytest.raises(UserError, match=r"lfi.window 24 must be above 24"):
        LfiConfig(window=24)
    with pytest.raises(UserError, match=r"lfi.channels 57 must be even"):
        LfiConfig(channels=57)
    with pytest.raises(UserError, match=r"zhou.shortest 91 must be at most zhou.window 90"):
        ZhouConfig(shortest=91)


# LFI ---------------------------------------------------------------------------------------------------------------


def lfi_loss(config: LfiConfig, variables: Variables, **state: Any) -> tuple[float, dict, dict]:
    row = Lfi(config)
    variables = Variables(variables.params, {**variables.state, **state})
    loss, (figures, following) = jax.jit(lambda v: row.loss(v, make_batch(), key=jax.random.key(3), step=jnp.int32(0)))(
        variables
    )
    return float(loss), {name: float(value) for name, value in figures.items()}, following


def test_mismatched_batches_as_long_as_they_are_likely():
    """The loss is turned round and a tenth; what is kept is the log-likelihood, which decides about the next one."""
    always, never = (dataclasses.replace(LFI, mismatched_rate=rate) for rate in (1.0, 0.0))
    variables = stirred(begun(Lfi(always)))
    assert np.isinf(variables.state["mismatched_log_likelihood"])
    loss, figures, state = lfi_loss(always, variables)
    assert figures["mismatched"] == 1
    assert loss == pytest.approx(-0.1 * figures["bits"])
    assert float(state["mismatched_log_likelihood"]) == pytest.approx(-figures["bits"])
    assert figures["bits"] > 0  # unlikely already: no more of them
    usual, figures_usual, after = lfi_loss(always, variables, **state)
    assert figures_usual["mismatched"] == 0
    assert usual == figures_usual["bits"] != figures["bits"]
    assert after["mismatched_log_likelihood"] == state["mismatched_log_likelihood"]
    loss, figures, state = lfi_loss(never, variables)
    assert (loss, figures["mismatched"]) == (usual, 0)
    assert np.isinf(state["mismatched_log_likelihood"])


def test_noise_gives_a_channel_that_moves_later_a_density():
    """Actnorm starts from a batch in which a channel stands still: what it does later is some 10^12 bits otherwise."""
    batch = make_batch()
    still = jax.tree.map(np.copy, batch)
    for faces in (still.speaker, still.listener):
        faces[..., 3] = 0.2
    unlikely, likely = (
        bits_of(dataclasses.replace(LFI, noise=noise, mismatched_rate=0.0), still, batch) for noise in (0.0, 0.1)
    )
    assert unlikely > 1e9
    assert likely < 1e5


def bits_of(config: LfiConfig, first: Batch, later: Batch) -> float:
    row = Lfi(config)
    loss = jax.jit(functools.partial(row.loss, key=jax.random.key(1), step=jnp.int32(0)))
    variables = row.begin(0, jax.jit(row.init)(jax.random.key(0)), [first])
    return float(loss(variables, later)[1][0]["bits"])


def test_dropout_takes_whole_frames_of_the_other_person_only():
    """Without the other person's frames, the loss is the same for any speaker."""
    blind = dataclasses.replace(LFI, face_dropout=0.999999, speech_dropout=0.999999, mismatched_rate=0.0)
    row = Lfi(blind)
    variables, batch = stirred(begun(row)), make_batch()

    def loss(row: Lfi, batch: Batch) -> float:
        return float(jax.jit(lambda b: row.loss(variables, b, key=jax.random.key(0), step=jnp.int32(0))[0])(batch))

    another = batch._replace(speaker=batch.speaker + 1, audio=batch.audio[::-1])
    assert loss(row, batch) == loss(row, another)
    assert loss(row, batch) != loss(row, batch._replace(listener=batch.listener + 1))
    seeing = Lfi(dataclasses.replace(LFI, mismatched_rate=0.0))
    assert loss(seeing, batch) != loss(seeing, another)


def test_actnorm_starts_once():
    """A second beginning, of a converted checkpoint for one, measures but keeps actnorm."""
    row = Lfi(LFI)
    fresh = jax.jit(row.init)(jax.random.key(0))
    assert not fresh.state["has_actnorm"]
    started = row.begin(0, fresh, batches())
    assert started.state["has_actnorm"]
    bias = started.params["step_0"]["actnorm_bias"]
    first = make_batch().listener[:, LFI.context]
    measured = started.state["moments"]["face"]
    np.testing.assert_allclose(bias, -((first.mean(0) - measured["mean"]) / measured["std"]), rtol=0, atol=1e-4)
    again = row.begin(0, started, (make_batch(seed) for seed in range(50, 60)))
    chex.assert_trees_all_equal(again.params, started.params)
    assert np.any(again.state["moments"]["face"]["mean"] != measured["mean"])


def test_lfis_learning_rate_and_clipping():
    """Adam's first update is the rate; a gradient of any size is clipped, which Adam does not notice."""
    optimizer = Lfi(dataclasses.replace(LFI, decay_steps=2)).optimizer()
    params = {"x": jnp.zeros(3)}
    state, sizes = optimizer.init(params), []
    for _ in range(4):
        updates, state = optimizer.update({"x": jnp.full(3, 1e6)}, state, params)
        sizes.append(-float(updates["x"][0]))
    np.testing.assert_allclose(sizes, 1e-2 * np.array([1, 1, 0.72992, 0.72992]), rtol=1e-3)
    first_moment = optax.tree.get(state, "mu")["x"]
    np.testing.assert_allclose(np.linalg.norm(first_moment), 20 * (1 - 0.9**4), rtol=1e-4)


# Zhou et al. -------------------------------------------------------------------------------------------------------


def test_zhous_learning_rate_and_decay():
    """Halved after the first epoch of three updates, then after every second one; the decay pulls at all numbers."""
    optimizer = Zhou(dataclasses.replace(ZHOU, learning_rate=2e-3, epoch_steps=3, halving=2)).optimizer()
    params = {"bias": jnp.ones(1)}
    state, sizes = optimizer.init(params), []
    for _ in range(10):
        updates, state = optimizer.update({"bias": jnp.zeros(1)}, state, params)
        sizes.append(-float(updates["bias"][0]))
    np.testing.assert_allclose(sizes, 2e-3 * 0.05 * np.array([1] * 3 + [0.5] * 6 + [0.25]), rtol=1e-5)


def test_zhou_starts_from_the_mean_face_and_answers_a_frame_later():
    """What happens at a frame changes the next one and not this."""
    row = Zhou(ZHOU)
    variables, seen = begun(row), inputs()
    keys = jax.random.split(jax.random.key(1), 2)
    answer = jax.jit(lambda seen: row.answer(variables, seen, 1, keys=keys))
    before = answer(seen)
    np.testing.assert_allclose(before[0, 0, 0], variables.state["moments"]["face"]["mean"], rtol=1e-6)
    after = answer(seen._replace(speaker=seen.speaker.at[:, 4].add(1.0)))
    changed = np.any(np.asarray(before != after), axis=(0, 1, 3))
    np.testing.assert_array_equal(changed, np.arange(9) > 4)


def test_windows_at_the_end_of_a_clip_are_shorter():
    """With a whole clip as window the loss of a clip of four frames is that of its three targets."""
    config = dataclasses.replace(ZHOU, window=90, shortest=4, dropout=0.0)
    row = Zhou(config)
    variables, batch = begun(row), make_batch(frames=4)
    loss, (parts, _) = jax.jit(lambda b: row.loss(variables, b, key=jax.random.key(0), step=jnp.int32(0)))(batch)
    keys = jax.random.split(jax.random.key(0), 4)
    seen = Inputs(jnp.asarray(batch.speaker), jnp.asarray(batch.audio))
    answer = jax.jit(lambda seen: row.answer(variables, seen, 1, keys=keys))(seen)
    std = variables.state["moments"]["face"]["std"]
    difference = (np.asarray(answer)[:, 0, 1:] - batch.listener[:, 1:]) / np.asarray(std)
    assert float(parts["rotation"]) == pytest.approx(np.linalg.norm(difference[..., 52:55], axis=-1).mean(), rel=1e-4)
    assert float(loss) > float(parts["rotation"])


def test_the_release_counts_what_has_no_target_and_sees_the_real_first_frame():
    """Three of four frames have a target, so distances are three quarters of what they are."""
    config = dataclasses.replace(ZHOU, window=90, dropout=0.0)
    variables, batch = begun(Zhou(config)), make_batch(frames=4)
    still = np.tile(np.asarray(variables.state["moments"]["face"]["mean"]), (4, 4, 1))
    started = still.copy()
    started[:, 0] += 1

    def of(released: bool, listener: np.ndarray) -> float:
        row = Zhou(dataclasses.replace(config, released=released))
        # Of silence, loudness and crossings are 0 in both forms.
        silent = batch._replace(listener=listener, audio=np.zeros_like(batch.audio))
        loss = jax.jit(functools.partial(row.loss, key=jax.random.key(0), step=jnp.int32(0)))
        return float(loss(variables, silent)[1][0]["rotation"])

    right, released = of(False, still), of(True, still)
    assert released == pytest.approx(0.75 * right, rel=1e-4)
    assert of(False, started) == right  # no target
    assert of(True, started) != released
