"""What the 58 coefficients are called, in their order."""

from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES

POSE_NAMES = ("rotation_x", "rotation_y", "rotation_z", "translation_x", "translation_y", "translation_z")
COEFFICIENT_NAMES = (*ARKIT_NAMES, *POSE_NAMES)
