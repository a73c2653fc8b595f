"""No momentum between the latents of windows: `--set table6`."""

from reactface_jax.evaluation.ablation_sets import Ablation, Variant

config = Ablation(
    title="Table VI: momentum",
    variants=(Variant("no momentum", ("--model.momentum", "0"), (0.0035, 0.1002, 614.36, 0.146, 45.56)),),
)
