"""The speaker as the listener sees him: without his own face at rest, and at his own scale, both estimated on the way.

People differ in their resting faces, in where their heads are and in how much they move, and a tracker adds its own: of
a real speaker, MediaPipe's rotation_x lies 7 and translation_z 18 standard deviations off made conversations. So a
running estimate of the rest is taken off, and what remains is divided by a running scale. Trackers also show some
movements hardly at all, of a drawn head's frown .08, and yet without noise: so what remains is given a second time,
against the usual change from frame to frame. All of these know only the past and begin with the first frame; no step of
any is so large that a tracker's jump could spoil it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reactface_jax.media.log_mel import NUM_BANDS
from reactface_jax.types import FRAME_RATE, NUM_COEFFICIENTS, NUM_EXPRESSION, AnyArray

NUM_FEATURES = 2 * NUM_COEFFICIENTS + NUM_BANDS + 2

_FIRST = FRAME_RATE
"""Frames over which the rest is a plain mean; then it follows slowly."""
_FALL, _RISE, _FOLLOW = 0.05, 0.002, 0.004
"""Of an expression's rest to lower and to higher values a frame (expressions add to a face, so its rest is low), and of
the pose's."""
_LARGEST = 0.1
"""Step of a rest's source, in weights or rad."""
_PRIOR = 10 * FRAME_RATE
"""Frames that the usual scale counts for against the person's own."""
_MEMORY = 60 * FRAME_RATE
_CLIP = 6.0
_NOISE, _FAINTEST = 3.0, 0.01
"""What a deviation is small against: so many usual changes from frame to frame, and this share of the usual scale."""
_FORGET = 0.01
"""Of the usual change, a frame."""
_SUDDEN, _SOME = 3.0, 0.003
"""Of the usual change, and of the usual scale: a larger change than both together counts as that large."""
_FADING = 0.01
"""Of the loudest sound so far, a frame (natural log of energy)."""


class RunningPerson(NamedTuple):
    """What is known of a speaker. B speakers."""

    rest: Float[Array, "B C"]
    power: Float[Array, "B C"]
    """Sum of the squared deviations, as far as they are remembered."""
    weight: Float[Array, " B"]
    """Frames in `power`."""
    found: Float[Array, " B"]
    """Frames so far in which the face was found."""
    change: Float[Array, "B C"]
    """Usual change from frame to frame: mostly the tracker's noise."""
    last: Float[Array, "B C"]
    """The face that was seen last: it stays while the tracker has lost it."""
    loudest: Float[Array, " B"]
    """Level of the loudest sound so far, fading; -inf until a sound is heard."""


def start(batch_size: int) -> RunningPerson:
    """Nobody yet."""
    zeros = jnp.zeros((batch_size, NUM_COEFFICIENTS), jnp.float32)
    none = jnp.zeros(batch_size, jnp.float32)
    return RunningPerson(zeros, zeros, none, none, zeros, zeros, jnp.full(batch_size, -jnp.inf, jnp.float32))


def observe(
    person: RunningPerson,
    coefficients: Float[AnyArray, "B T C"],
    bands: Float[AnyArray, "B T F"],
    heard: Float[AnyArray, " B"],
    usual_scale: Float[AnyArray, " C"],
    sensitivity: Float[AnyArray, ""] | float = 1.0,
) -> tuple[RunningPerson, Float[Array, "B T G"]]:
    """Features of the next frames, G = 58 + 58 + 24 + 2.

    Args:
        person: what is known so far.
        coefficients: raw; NaN where the face was lost.
        bands: from `sound.log_mel`, at any gain.
        heard: 1, or 0 where there is no sound at all.
        usual_scale: of the deviations, over many people.
        sensitivity: factor of the expressions: trackers show smaller ones than made people have.
    """

    gain = jnp.where(jnp.arange(NUM_COEFFICIENTS) < NUM_EXPRESSION, sensitivity, 1.0)[None]
    heard, usual_scale = jnp.asarray(heard, jnp.float32), jnp.asarray(usual_scale, jnp.float32)

    def frame(person: RunningPerson, seen: tuple[Array, Array]) -> tuple[RunningPerson, Array]:
        return _observe_frame(person, *seen, heard, usual_scale, gain)

    person, features = jax.lax.scan(
        frame,
        person,
        (jnp.moveaxis(jnp.asarray(coefficients), 1, 0), jnp.moveaxis(jnp.asarray(bands, jnp.float32), 1, 0)),
        unroll=5,
    )
    return person, jnp.moveaxis(features, 0, 1)


def _observe_frame(
    person: RunningPerson, face: Array, bands: Array, heard: Array, usual_scale: Array, gain: Array
) -> tuple[RunningPerson, Array]:
    first = person.found[:, None] == 0
    found = jnp.isfinite(face).all(-1, keepdims=True)
    face = jnp.where(found, face, person.last)
    ahead = face - person.rest
    is_expression = (jnp.arange(NUM_COEFFICIENTS) < NUM_EXPRESSION)[None]
    slow = jnp.where(is_expression, jnp.where(ahead < 0, _FALL, _RISE), _FOLLOW)
    pace = jnp.where(person.found < _FIRST, 1 / (person.found + 1), 0.0)[:, None]
    step = jnp.where(first, ahead, jnp.maximum(slow, pace) * jnp.clip(ahead, -_LARGEST, _LARGEST))
    rest = person.rest + jnp.where(found, step, 0.0)

    deviation = face - rest
    power, weight = (
        (1 - 1 / _MEMORY) * old + new
        for old, new in ((person.power, jnp.square(deviation)), (person.weight, jnp.ones_like(person.weight)))
    )
    scale = jnp.sqrt((_PRIOR * jnp.square(usual_scale)[None] + power) / (_PRIOR + weight[:, None]))
    seen = jnp.clip(gain * deviation / scale, -_CLIP, _CLIP)

    moved = jnp.where(first, 0.0, jnp.abs(face - person.last))
    at_most = jnp.where(pace > 0, moved, _SUDDEN * person.change + _SOME * usual_scale[None])
    step = jnp.maximum(_FORGET, pace) * (jnp.minimum(moved, at_most) - person.change)
    change = person.change + jnp.where(found, step, 0.0)
    against_noise = 0.5 * jnp.arcsinh(gain * deviation / (_NOISE * change + _FAINTEST * usual_scale[None]))

    level = jax.nn.logsumexp(bands, axis=-1)
    loudest = jnp.where(heard > 0, jnp.maximum(level, person.loudest - _FADING), person.loudest)
    sound = jnp.concatenate([bands - loudest[:, None] + 3.0, (level - loudest)[:, None] + 1.5], axis=-1)
    sound = jnp.clip(0.4 * sound, -3.0, 2.0) * heard[:, None]  # infinite before any sound, so clipped first
    features = jnp.concatenate([seen, against_noise, sound, heard[:, None]], axis=-1)
    return RunningPerson(rest, power, weight, person.found + found[:, 0], change, face, loudest), features
