"""What the 58 coefficients are called, in their order."""

from collections.abc import Sequence

from reactface_jax.errors import UserError
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES

POSE_NAMES = ("rotation_x", "rotation_y", "rotation_z", "translation_x", "translation_y", "translation_z")
COEFFICIENT_NAMES = (*ARKIT_NAMES, *POSE_NAMES)


def places_of_names(names: Sequence[str], source: object) -> tuple[int, ...]:
    """Where each of `COEFFICIENT_NAMES` is among the names of some data.

    Args:
      names: of the data's 58 coefficients, in any order.
      source: whose they are, for the message.

    Raises:
      UserError: they are other names.
    """
    if sorted(names) != sorted(COEFFICIENT_NAMES):
        raise UserError(
            f"{source} was trained on coefficients called {names[0]!r} …, which no avatar knows; train on data with "
            "the 52 ARKit names and the pose"
        )
    return tuple([*names].index(name) for name in COEFFICIENT_NAMES)
