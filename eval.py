"""Measures a model: `python eval.py --checkpoint runs/reference [--data SHARDS] [--split test] [--out DIR]`.

The same as `reactface eval`. Anyone's reactions are measured with `--predictions [NAME=]FILE … --speaker S --listener L
--neighbours M --out DIR`; docs/metrics.md explains the figures.
"""

from reactface_jax.commands.evaluate import main

if __name__ == "__main__":
    main()
