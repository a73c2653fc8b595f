"""The losses on numbers worked out by hand, and against the values of the reference."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from reactface_jax import losses
from reactface_jax.config import LossConfig
from reactface_jax.types import Reactions

# Compiled once a shape: faster here than operation by operation.
reconstruction = jax.jit(losses.reconstruction, static_argnames=("pose_weight", "together"))
variety = jax.jit(losses.variety, static_argnames=("pose_weight", "of_course"))
total = jax.jit(losses.total, static_argnames="weights")
validation = jax.jit(losses.validation, static_argnames="weights")


def constant(expression: float, pose: float, frames: int = 4) -> np.ndarray:
    return np.concatenate([np.full((frames, 52), expression), np.full((frames, 6), pose)], axis=-1).astype(np.float32)


def reactions(listener, speaker=None, mean=0.0, std=1.0) -> Reactions:
    b, k, t, _ = listener.shape
    shape = (b, k, 1, 8)
    speaker = np.zeros((b, t, 58), np.float32) if speaker is None else speaker
    return Reactions(jnp.asarray(listener), jnp.full(shape, mean), jnp.full(shape, std), jnp.asarray(speaker))


def test_smooth_l1_is_quadratic_below_one_and_linear_above():
    np.testing.assert_allclose(
        losses.smooth_l1(jnp.array([0.0, 0.5, -1.0, 3.0]), jnp.zeros(4)), [0, 0.125, 0.5, 2.5], rtol=1e-6
    )


def test_reconstruction_takes_the_nearest_neighbour_of_expression_and_pose_separately():
    reaction = constant(0, 0)[None]
    # The first neighbour is nearest in expression (0.5 * 0.2²), the second in pose (0.5 * 0.4²).
    neighbours = np.stack([constant(0.2, 2.0), constant(1.0, 0.4)])[None]
    np.testing.assert_allclose(reconstruction(reaction, neighbours), 0.02 + 10 * 0.08, rtol=1e-6)
    np.testing.assert_allclose(reconstruction(reaction, neighbours, pose_weight=1.0), 0.02 + 0.08, rtol=1e-6)


def test_one_neighbour_for_expression_and_pose_is_the_nearest_in_their_weighted_sum():
    reaction = constant(0, 0)[None]
    # 0.02 + w 1.5 of the first, 0.5 + w 0.08 of the second: equal at w = 0.338.
    neighbours = np.stack([constant(0.2, 2.0), constant(1.0, 0.4)])[None]
    for weight, expected in ((10.0, 0.5 + 0.8), (0.3, 0.02 + 0.45)):
        found = reconstruction(reaction, neighbours, pose_weight=weight, together=True)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    masked = reconstruction(reaction, neighbours, np.array([[True, False]]), pose_weight=10.0, together=True)
    np.testing.assert_allclose(masked, 0.02 + 15, rtol=1e-6)


def test_variety_leaves_no_appropriate_reaction_without_its_nearest():
    listener = np.stack([constant(0, 0), constant(1, 0), constant(9, 9)])[None]
    # The nearest are the first, the first (0.5 * 0.4² against 0.5 * 0.6²) and the second; nothing is near the third.
    neighbours = np.stack([constant(0.2, 0), constant(0.4, 0.2), constant(0.8, 0), constant(5, 5)])[None]
    mask = np.array([[True, True, True, False]])
    expected = np.mean([0.02, 0.08 + 10 * 0.02, 0.02])
    np.testing.assert_allclose(variety(listener, neighbours, mask), expected, rtol=1e-6)
    np.testing.assert_allclose(variety(listener, neighbours[:, :3]), expected, rtol=1e-6)
    np.testing.assert_allclose(variety(listener, neighbours, mask, pose_weight=0.0), 0.04, rtol=1e-6)
    one = variety(listener[:, :1], neighbours[:, :1])
    np.testing.assert_allclose(one, losses.reconstruction(listener[:, 0], neighbours[:, :1]), rtol=1e-6)


def test_variety_of_the_course_seeks_the_nearest_without_constants():
    """A rise is nearest to the reaction that rises, however far off that is as a whole."""
    rise = np.linspace(-1, 1, 4)[:, None] * np.ones(58)
    listener = np.stack([constant(0, 0), constant(3, 0) + rise])[None].astype(np.float32)
    neighbours = rise.astype(np.float32)[None, None]
    squares = np.mean(np.linspace(-1, 1, 4) ** 2) / 2
    np.testing.assert_allclose(variety(listener, neighbours, pose_weight=0.0), squares, rtol=1e-6)
    of_course = variety(listener, neighbours, pose_weight=0.0, of_course=True)
    np.testing.assert_allclose(of_course, 3 - 0.5, rtol=1e-6)


def test_the_gradient_of_variety_reaches_the_nearest_only():
    listener = np.stack([constant(0, 0), constant(1, 0), constant(9, 9)])[None]
    gradient = jax.jit(jax.grad(losses.variety))(listener, np.stack([constant(0.2, 0), constant(0.8, 0)])[None])
    # Half of each target's mean over 4 frames and 52 expressions; the difference is 0.2 either way.
    share = 0.5 * 0.2 / (4 * 52)
    np.testing.assert_allclose(gradient[0, 0, :, :52], -share, rtol=1e-5)
    np.testing.assert_allclose(gradient[0, 1, :, :52], share, rtol=1e-5)
    np.testing.assert_array_equal(gradient[0, 2], 0)


def test_masked_neighbours_and_padding_of_1e5_are_never_the_nearest():
    reaction = constant(1, 1)[None]
    real, zero, padding = constant(0.8, 0.6), constant(1, 1), constant(1e5, 1e5)
    expected = reconstruction(reaction, real[None, None])
    masked = reconstruction(reaction, np.stack([zero, real])[None], np.array([[False, True]]))
    padded = reconstruction(reaction, np.stack([padding, real, padding])[None])
    np.testing.assert_allclose([masked, padded], [expected, expected], rtol=1e-6)


def test_reconstruction_is_the_mean_over_clips():
    reaction = np.stack([constant(0, 0), constant(0, 0)])
    neighbours = np.stack([constant(0.2, 0), constant(2.0, 0)])[:, None]
    np.testing.assert_allclose(reconstruction(reaction, neighbours), (0.02 + 1.5) / 2, rtol=1e-6)


def test_gradient_of_reconstruction_is_that_of_the_plain_minimum():
    rng = np.random.default_rng(0)
    reaction, neighbours = rng.standard_normal((2, 5, 58)), rng.standard_normal((2, 7, 5, 58))
    reaction, neighbours = reaction.astype(np.float32), neighbours.astype(np.float32)

    def plain(reaction):
        distance = losses.smooth_l1(reaction[:, None], neighbours)
        parts = distance[..., :52].mean((2, 3)).min(1), distance[..., 52:].mean((2, 3)).min(1)
        return jnp.mean(parts[0] + 10 * parts[1])

    actual = jax.jit(jax.grad(losses.reconstruction))(reaction, neighbours)
    np.testing.assert_allclose(actual, jax.jit(jax.grad(plain))(reaction), rtol=1e-5, atol=1e-8)


def test_backward_pass_keeps_no_differences_to_all_neighbours():
    b, m, t = 2, 80, 64
    reaction, neighbours = (jnp.zeros((b, t, 58)), jnp.zeros((b, m, t, 58)))
    compiled = jax.jit(jax.grad(losses.reconstruction)).lower(reaction, neighbours).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < neighbours.nbytes / 4


def test_kl_is_zero_for_the_prior_and_known_elsewhere():
    zeros, ones = jnp.zeros((2, 3, 8)), jnp.ones((2, 3, 8))
    np.testing.assert_allclose(losses.kl(zeros, ones), 0, atol=1e-7)
    np.testing.assert_allclose(losses.kl(2 * ones, ones), 2.0, rtol=1e-6)
    np.testing.assert_allclose(losses.kl(zeros, 2 * ones), 1.5 - np.log(2), rtol=1e-6)


def test_diversity_counts_every_pair_once():
    same = np.zeros((2, 3, 4, 58), np.float32)
    np.testing.assert_allclose(losses.diversity(same), 3.0, rtol=1e-6)  # three pairs, each exp(0)
    np.testing.assert_allclose(losses.diversity(same[:, :1]), 0.0)
    apart = same.copy()
    apart[:, 1] = np.sqrt(100 / (4 * 58))  # squared norm 100: exp(-1) to both others
    np.testing.assert_allclose(losses.diversity(apart), 1 + 2 * np.exp(-1), rtol=1e-5)


def test_diversity_of_the_course_does_not_see_an_offset():
    listener = np.zeros((1, 2, 4, 58), np.float32)
    listener[:, 1] = 7.0
    np.testing.assert_allclose(losses.diversity(listener, of_course=True), 1.0, rtol=1e-6)
    listener[:, 1, :2] += np.sqrt(100 / (4 * 58))  # half of the frames: a mean of half, so 4 frames of a quarter
    np.testing.assert_allclose(losses.diversity(listener, of_course=True), np.exp(-0.25), rtol=1e-4)


def test_total_takes_the_nearest_and_the_diversity_that_the_weights_name():
    listener = np.stack([constant(0, 0), constant(7, 7)])[None]
    neighbours = np.stack([constant(0.2, 2.0), constant(1.0, 0.4)])[None]
    _, apart = total(reactions(listener), np.zeros((1, 4, 58), np.float32), neighbours, weights=LossConfig())
    weights = LossConfig(nearest="together", diversity_of="course")
    _, together = total(reactions(listener), np.zeros((1, 4, 58), np.float32), neighbours, weights=weights)
    np.testing.assert_allclose([apart["reconstruction"], together["reconstruction"]], [0.82, 1.3], rtol=1e-6)
    np.testing.assert_allclose([apart["diversity"], together["diversity"]], [0, 1], atol=1e-6)
    weights = LossConfig(nearest="reaction")
    _, each = total(reactions(listener), np.zeros((1, 4, 58), np.float32), neighbours, weights=weights)
    np.testing.assert_allclose(each["reconstruction"], np.mean([0.02 + 15, 0.5 + 0.8]), rtol=1e-6)


def test_smooth_is_zero_at_constant_velocity_and_weighs_pose_ten_times_expression():
    ramp = np.arange(5, dtype=np.float32)[None, :, None] * np.ones((1, 5, 58), np.float32)
    np.testing.assert_allclose(losses.smooth(ramp), 0, atol=1e-7)
    # Frames 0, 0, 1: velocities 0 and 1, whose smooth L1 is 0.5.
    step = np.zeros((1, 3, 58), np.float32)
    step[:, 2, :52] = 1
    np.testing.assert_allclose(losses.smooth(step), 0.05, rtol=1e-6)
    step[:, 2] = 1
    np.testing.assert_allclose(losses.smooth(step), 0.55, rtol=1e-6)


def test_total_weighs_the_parts_and_uses_the_first_reaction_alone():
    listener = np.stack([constant(0.2, 0.4), constant(5, 5), constant(9, 9)])[None]
    speaker = constant(0, 0)[None]
    neighbours = constant(0, 0)[None, None]
    loss, parts = total(reactions(listener, speaker + 1, mean=2.0), speaker, neighbours)
    expected = {"reconstruction": 0.02 + 10 * 0.08, "kl": 2.0, "diversity": 0.0, "smooth": 0.0, "speaker": 0.5}
    for name, value in expected.items():
        np.testing.assert_allclose(parts[name], value, rtol=1e-5, atol=1e-7, err_msg=name)
    np.testing.assert_allclose(loss, 0.82 + 2e-5 + 0.5, rtol=1e-6)


def test_a_loss_of_weight_zero_takes_no_part_even_when_it_is_not_finite():
    listener = constant(0, 0)[None, None]
    off = LossConfig(kl=0.0, diversity=0.0, smooth=0.0, speaker=0.0)
    loss, parts = total(reactions(listener, std=0.0), listener[:, 0], listener, weights=off)
    assert np.isinf(parts["kl"])
    np.testing.assert_allclose(loss, 0.0)


def test_validation_counts_valid_clips_only():
    listener = np.stack([constant(0, 0), constant(9, 9)])
    ours = np.stack([constant(0.2, 0.4), constant(0, 0)])[:, None]
    loss, parts = validation(reactions(ours, mean=2.0), listener, np.array([True, False]))
    np.testing.assert_allclose(parts["reconstruction"], 0.82, rtol=1e-5)
    np.testing.assert_allclose(loss, 0.82 + 2e-5, rtol=1e-5)
    both, _ = validation(reactions(ours), listener)
    np.testing.assert_allclose(both, (0.82 + 8.5 + 85) / 2, rtol=1e-5)


def test_losses_are_float32_for_bfloat16_reactions():
    listener = jnp.asarray(constant(0.3, 0.7)[None, None], jnp.bfloat16)  # squares need more than its 8 bits
    zeros = jnp.zeros((1, 4, 58), jnp.bfloat16)
    given = Reactions(listener, jnp.zeros((1, 1, 1, 8), jnp.bfloat16), jnp.ones((1, 1, 1, 8), jnp.bfloat16), zeros)
    loss, parts = total(given, zeros, zeros[:, None])
    assert all(value.dtype == jnp.float32 for value in [loss, *parts.values()])
    expression, pose = np.float64(jnp.bfloat16(0.3)), np.float64(jnp.bfloat16(0.7))
    np.testing.assert_allclose(parts["reconstruction"], 0.5 * expression**2 + 5 * pose**2, rtol=1e-6)


def test_losses_of_the_reference(goldens: Path):
    golden = np.load(goldens / "losses_a.npz", allow_pickle=False)
    weights = json.loads(str(golden["meta"]))
    listener, neighbours = golden["listener"], golden["neighbours"]
    close = {"rtol": 1e-5, "atol": 1e-7}
    np.testing.assert_allclose(reconstruction(listener[:, 0], neighbours), golden["rec"], **close)
    np.testing.assert_allclose(losses.diversity(listener), golden["div"], **close)
    np.testing.assert_allclose(losses.smooth(listener[:, 0]), golden["smooth"], **close)
    _, parts = validation(reactions(listener), neighbours[:, 0])
    np.testing.assert_allclose(parts["reconstruction"], golden["vae_rec"], **close)
    reference = LossConfig(kl=weights["kl_p"], diversity=weights["div_p"], smooth=weights["sm_p"])
    assert reference == losses.REFERENCE_WEIGHTS
