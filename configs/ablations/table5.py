"""Point-to-point alignment with speech instead of MIM's biased past: `--set table5`."""

from reactface_jax.evaluation.ablation_sets import Ablation, Variant

config = Ablation(
    title="Table V: alignment with speech",
    variants=(
        Variant("point-to-point", ("--model.alignment", "point_to_point"), (0.0129, 0.0321, 594.14, 0.185, 44.40)),
    ),
)
