"""The fields of Trans-AE (methods/trans_ae)."""

from dataclasses import dataclass

from reactface_jax.config.ranges import Count, Section


@dataclass(frozen=True)
class TransAeConfig(Section, name="trans_ae"):
    """The decoder; the speaker encoder has ReactFace's fields, of `model`, and so has the optimiser, of `optimizer`."""

    num_layers: Count = 2  # of the transformer decoder
