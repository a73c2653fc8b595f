"""The losses, one left out in each row: `--set table7`."""

from reactface_jax.evaluation.ablation_sets import Ablation, Variant

config = Ablation(
    title="Table VII: losses",
    variants=tuple(
        Variant(f"without {name}", (f"--loss.{name}", "0"))
        for name in ("reconstruction", "kl", "diversity", "smooth", "speaker")
    ),
    unassigned=(
        (0.0220, 0.0433, 412.14, 0.166, 45.96),
        (0.0054, 0.0831, 596.22, 0.143, 46.26),
        (0.0156, 0.0238, 479.77, 0.186, 45.36),
        (0.0001, 0.0000, 590.24, 0.112, 43.39),
        (0.0171, 0.0248, 420.61, 0.139, 44.16),
    ),
)
