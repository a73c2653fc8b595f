"""The blocks of a model that sees only the past, one for each file of the folder above."""
