"""The published design, small, on made conversations, for two CPU cores; `make demo` trains configs/reacting.py.

Command:   reactface train --config demo --workdir runs/demo/run --data.dir runs/demo/shards
Hardware:  2 CPU cores.
Time:      7 minutes: 1.5 to compile, then 1.3 steps a second with JAX_NUM_CPU_DEVICES=2, one device a core.
Expected:  docs/does_it_react.md, "On pictures": FRCorr 1.8, two of five smiles answered.

Made coefficients move less than real ones, so the losses are weighed anew: with the reference's weight of 100 the
diversity would outweigh everything that can be learnt from the speaker (at .06 it drowns the reactions, at .03 they can
become one). The speaker's reconstruction weighs more, since nothing is pretrained and it teaches the encoders to see.
"""

from reactface_jax.config import (
    AudioConfig,
    Config,
    DataConfig,
    EvalConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
)

config = Config(
    model=ModelConfig(
        feature_dim=32,
        num_heads=4,
        window=16,
        period=16,  # answers come 10 frames after their cause: with 8, delays of 2 and 10 would look the same
        dropout=0.0,
        video_grid=6,  # what frames of 48x48 come to after conv2
        video_gain=10.0,
        audio=AudioConfig(
            hidden_size=32,
            num_layers=1,
            num_heads=4,
            intermediate_size=64,
            conv_dim=16,
            num_conv_pos_embeddings=64,
            num_conv_pos_groups=4,
            hidden_dropout=0.0,
            attention_dropout=0.0,
            activation_dropout=0.0,
            layer_dropout=0.0,
            mask_time_prob=0.0,
            freeze_feature_extractor=False,  # there are no pretrained weights to keep
        ),
    ),
    data=DataConfig(image_size=48, clip_frames=64, eval_frames=150, max_neighbours=8),
    loss=LossConfig(reconstruction=10.0, diversity=0.035, smooth=1.0, speaker=50.0),
    optimizer=OptimizerConfig(
        learning_rate=1.5e-3, b2=0.99, weight_decay=1e-3, warmup_steps=50, schedule="cosine", clip_norm=1.0
    ),
    train=TrainConfig(
        steps=400, batch_size=4, window=16, log_every=20, eval_every=400, checkpoint_every=100, keep_checkpoints=2
    ),
    eval=EvalConfig(protocol="prefix", num_reactions=10, batch_size=4),
)
