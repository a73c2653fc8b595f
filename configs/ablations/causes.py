"""What each change of configs/reacting.py does, taken back; what another target does, and what makes reactions differ.

`reactface ablations --set causes --config reacting --data SHARDS --out runs/causes --train.seed 0`
"""

from reactface_jax.evaluation.ablation_sets import Ablation, Variant

config = Ablation(
    title="ReactFace that reacts",
    variants=(
        Variant("pose weighs ten times", ("--loss.pose", "10")),
        Variant("diversity loss of the demo", ("--loss.diversity", "0.035", "--train.num-reactions", "3")),
        Variant("trained on all of the past", ("--model.past", "all")),
        Variant("biases fade by windows", ("--model.bias-period", "0")),
        Variant(
            "speech and face as published", ("--model.alignment", "reference", "--model.face-alignment", "reference")
        ),
        Variant(
            "the window before instead of the own frame",
            (
                *("--model.sync-memory", "previous"),
                *("--model.alignment", "reference", "--model.face-alignment", "reference"),
            ),
        ),
        Variant("no warm-up of F-Enc", ("--train.video-warmup", "0")),
        Variant("features from all frames", ("--model.memory", "all")),
        Variant("the own listener as target", ("--loss.target", "paired")),
        Variant("each frame's own latent", ("--model.latent-alignment", "point_to_point")),
        Variant("variety", ("--loss.nearest", "reaction", "--train.num-reactions", "4")),
    ),
)
