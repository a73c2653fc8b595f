"""Pictures of faces from coefficients.

The portrait's names are imported when they are first used: drawing the 3-D head needs no JAX.
"""

from typing import TYPE_CHECKING

from reactface_jax.rendering.arkit_head.look import Look
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES
from reactface_jax.rendering.arkit_head.renderer import HeadRenderer

if TYPE_CHECKING:
    from reactface_jax.rendering.portrait.portrait import PortraitRenderer, pirender

__all__ = ["ARKIT_NAMES", "HeadRenderer", "Look", "PortraitRenderer", "pirender"]


def __getattr__(name: str) -> object:
    if name in ("PortraitRenderer", "pirender"):
        from reactface_jax.rendering.portrait import portrait

        return getattr(portrait, name)
    raise AttributeError(f"module 'reactface_jax.rendering' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
