"""What a user may turn while a listener runs, without training; each knob acts in one direction only."""

import re
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from reactface_jax.errors import UserError
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES
from reactface_jax.types import NUM_COEFFICIENTS, NUM_EXPRESSION

_SMILE = re.compile("mouthSmile|cheekSquint|mouthDimple")
_BLINK = re.compile("eyeBlink")
_NOD = (NUM_EXPRESSION, NUM_EXPRESSION + 4)
"""rotation_x and translation_y."""


class Control(NamedTuple):
    """Knobs. The defaults are those of the training, but for `guidance`: of the values tried, the best one."""

    temperature: float = 1.0
    """Of the draws, 0 to 2. 0 gives the mean of all appropriate listeners, which is one reaction, K times."""
    guidance: float = 1.2
    """0 to 5. Above 1, what the speaker does changes more; 1 is the trained distribution, at half the cost."""
    amplitude: float = 1.0
    """Factor of all motion, 0 to 1.5. At 0 the face rests, but for blinks."""
    smiles: float = 0.0
    """Changes smiles by a factor 1 + this, -1 to 1."""
    nods: float = 0.0
    """Changes nods by a factor 1 + this, -1 to 1."""
    blinks: bool = True
    """Whether lids keep blinking at any amplitude."""
    sensitivity: float = 1.0
    """Factor of the speaker's expressions, 0.5 to 4. Above 1, small smiles count, and so does a tracker's noise."""
    talks: bool = False
    """Whether the listener takes the floor when the speaker leaves it; else its mouth opens in answers only."""

    def checked(self) -> "Control":
        """Itself. Raises `UserError` for a value out of range."""
        for name, low, high in (
            ("temperature", 0.0, 2.0),
            ("guidance", 0.0, 5.0),
            ("amplitude", 0.0, 1.5),
            ("sensitivity", 0.5, 4.0),
            ("smiles", -1.0, 1.0),
            ("nods", -1.0, 1.0),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"{name} {value:g} is out of range; give a number from {low:g} to {high:g}")
        return self


def gains(control: Control) -> Float[np.ndarray, " C"]:
    """The factor of each channel's deviation from rest."""
    factor = np.full(NUM_COEFFICIENTS, control.amplitude, np.float32)
    factor[_where(_SMILE)] *= 1 + control.smiles
    factor[list(_NOD)] *= 1 + control.nods
    if control.blinks:
        factor[_where(_BLINK)] = 1.0
    return factor


def _where(pattern: re.Pattern[str]) -> Bool[np.ndarray, " C"]:
    found = np.array([bool(pattern.match(name)) for name in ARKIT_NAMES])
    return np.concatenate([found, np.zeros(NUM_COEFFICIENTS - NUM_EXPRESSION, bool)])


def show(
    deviation: Float[Array, "*B T C"], rest: Float[Array, "*B C"], gain: Float[Array, " C"]
) -> Float[Array, "*B T C"]:
    """Raw coefficients of a face that rests at `rest`; expressions stay in [0, 1]."""
    face = rest[..., None, :] + gain.reshape((1,) * (deviation.ndim - 1) + (-1,)) * deviation
    expressions = jnp.clip(face[..., :NUM_EXPRESSION], 0.0, 1.0)
    return jnp.concatenate([expressions, face[..., NUM_EXPRESSION:]], axis=-1)
