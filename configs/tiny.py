"""The whole model in miniature, for tests and for a first look at the commands: seconds on a CPU.

Command:   reactface train --config tiny --workdir runs/tiny --data.dir SHARDS
Hardware:  any.
Time:      20 steps; most of it is compilation.
Expected:  a falling loss; it is far too small and too short to learn reactions.
"""

from reactface_jax.config import AudioConfig, Config, DataConfig, EvalConfig, ModelConfig, OptimizerConfig, TrainConfig

config = Config(
    model=ModelConfig(
        feature_dim=16,
        audio=AudioConfig(
            hidden_size=32,
            num_layers=1,
            num_heads=2,
            intermediate_size=32,
            conv_dim=8,
            num_conv_pos_embeddings=16,
            num_conv_pos_groups=4,
        ),
    ),
    data=DataConfig(image_size=32, clip_frames=24, eval_frames=32, max_neighbours=8),
    optimizer=OptimizerConfig(learning_rate=1e-3),
    train=TrainConfig(steps=20, batch_size=2, window=8, log_every=5, eval_every=10, checkpoint_every=10),
    eval=EvalConfig(num_reactions=3, batch_size=2),
)
