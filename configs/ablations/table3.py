"""What the speaker's voice and face give: `reactface ablations --set table3 …` (docs/ablations.md)."""

from reactface_jax.evaluation.ablation_sets import Ablation, Variant

config = Ablation(
    title="Table III: the speaker's modalities",
    variants=(
        Variant("speech only", ("--model.no-use-video",), (0.0173, 0.0351, 450.33, 0.168, 46.33)),
        Variant("face only", ("--model.no-use-audio",), (0.0155, 0.0217, 597.35, 0.123, 44.38)),
    ),
)
