"""How exactly matrix products and convolutions of float32 numbers are computed: a choice, not the backend's mood.

By default GPUs round the factors of a float32 product to TF32 (10 bits after the point) and TPUs to bfloat16 (7 bits).
That suits training; it does not suit a converted model, whose reactions are to be those of the original.
"""

from contextlib import AbstractContextManager, nullcontext

import jax

from reactface_jax.config import ModelConfig


def exact_products() -> AbstractContextManager[object]:
    """Products that are traced inside keep all of float32's digits, on every backend."""
    return jax.default_matmul_precision("highest")


def products(config: ModelConfig, *, training: bool) -> AbstractContextManager[object]:
    """Products that are traced inside are computed as `model.precision` says; trace the gradient inside as well."""
    return exact_products() if is_exact(config, training=training) else nullcontext()


def is_exact(config: ModelConfig, *, training: bool) -> bool:
    """Whether `model.precision` means float32 products without rounded factors; `auto` does outside training."""
    return config.precision == "highest" or (config.precision == "auto" and not training)


def described(config: ModelConfig, backend: str) -> str:
    """The precision of a training's products, for its log."""
    if is_exact(config, training=True) or backend == "cpu":
        return "float32 products exact"
    rounded = {"tpu": "bfloat16", "gpu": "TF32", "cuda": "TF32"}.get(backend, "the backend's type")
    return f"factors of float32 products rounded to {rounded}, the default of {backend}"
