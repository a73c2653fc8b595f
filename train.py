"""Trains a model: `python train.py --config reference --workdir runs/reference --data.dir SHARDS`.

The same as `reactface train`. Every field of the configuration is a flag, such as `--train.batch-size 4`;
docs/training.md explains the rest.
"""

from reactface_jax.commands.train import main

if __name__ == "__main__":
    main()
