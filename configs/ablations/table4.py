"""What the interactions with speech (MIM) and face (VIM) give: `--set table4`."""

from reactface_jax.evaluation.ablation_sets import Ablation, Variant

config = Ablation(
    title="Table IV: synchronisation, MIM and VIM",
    variants=(
        Variant(
            "neither MIM nor VIM",
            ("--model.no-use-mim", "--model.no-use-vim"),
            (0.1824, 0.0001, 526.09, 0.102, 45.42),
        ),
        Variant("MIM only", ("--model.no-use-vim",)),
        Variant("VIM only", ("--model.no-use-mim",)),
    ),
    unassigned=((0.0107, 0.0180, 668.38, 0.123, 46.30), (0.0190, 0.0315, 460.75, 0.184, 45.36)),
)
