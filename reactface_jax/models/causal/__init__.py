"""The blocks of a model that sees only the past: causal twins of the files in the folder above."""
