"""How one person's 3-D head looks: everything in a picture that does not follow from the coefficients."""

import colorsys
from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]
"""Red, green, blue in [0, 1]."""


@dataclass(frozen=True)
class Look:
    """One identity: colours, light, and where the head stands in the picture."""

    skin: Colour = (0.80, 0.60, 0.48)
    lips: Colour = (0.70, 0.33, 0.34)
    hair: Colour = (0.16, 0.11, 0.08)
    iris: Colour = (0.30, 0.42, 0.52)
    shirt: Colour = (0.22, 0.28, 0.38)
    background: Colour = (0.12, 0.13, 0.15)
    light_azimuth: float = 0.5
    """Where the key light stands, radians to the right of the camera."""
    light_elevation: float = 0.5
    """Radians above the camera."""
    light_intensity: float = 0.9
    ambient: float = 0.42
    scale: float = 0.75
    """Size of the head in the model's units; at translation z 1.84 the default fills the picture."""
    width: float = 1.0
    """Breadth of the face relative to its height."""
    yaw: float = 0.0
    """Turn of the whole person relative to the camera, rad."""
    offset: tuple[float, float] = (0.0, 0.0)
    """Shift to the right and downwards, in units of translation."""

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Look":
        """A random person: skin from pale to dark, natural hair and eyes, any shirt and wall."""

        def colour(hue: tuple[float, float], saturation: tuple[float, float], value: tuple[float, float]) -> Colour:
            return colorsys.hsv_to_rgb(rng.uniform(*hue) % 1.0, rng.uniform(*saturation), rng.uniform(*value))

        depth = rng.uniform()  # of the skin's tone
        skin = colorsys.hsv_to_rgb(rng.uniform(0.045, 0.075), 0.34 + 0.3 * depth, 0.93 - 0.5 * depth)
        rose = colorsys.hsv_to_rgb(rng.uniform(0.95, 1.0), 0.6, 0.75 - 0.3 * depth)
        red, green, blue = (0.3 * s + 0.7 * r for s, r in zip(skin, rose, strict=True))
        return cls(  # drawn in this order, on which each seed's person depends
            skin=skin,
            lips=(red, green, blue),
            hair=colour((0.04, 0.09), (0.3, 0.7), (0.06, 0.4)),
            iris=colour((0.05, 0.65), (0.3, 0.7), (0.25, 0.6)),
            shirt=colour((0.0, 1.0), (0.1, 0.6), (0.2, 0.7)),
            background=colour((0.0, 1.0), (0.05, 0.35), (0.1, 0.75)),
            light_azimuth=rng.uniform(-0.9, 0.9),
            light_elevation=rng.uniform(0.1, 0.9),
            light_intensity=rng.uniform(0.8, 1.0),
            ambient=rng.uniform(0.35, 0.5),
            scale=rng.uniform(0.69, 0.79),
            width=rng.uniform(0.93, 1.06),
            yaw=rng.uniform(-0.15, 0.15),
            offset=(rng.uniform(-0.1, 0.1), rng.uniform(-0.06, 0.06)),
        )
