"""What it costs not to see the future: the reference's model, evaluated by prefixes, and the causal one, streamed.

`reactface ablations --set online --config demo --data SHARDS --out runs/online --train.seed 0`
"""

from reactface_jax.evaluation.ablation_sets import Ablation, Variant

config = Ablation(
    title="The causal model against the reference's",
    variants=(Variant("causal", ("--model.causal",)),),
)
