"""Rows of the table by the checkpoints of their authors: a line a row."""

from collections.abc import Callable, Mapping

from reactface_jax.convert import belfusion_table, lfi_table, ng_table, trans_vae_table, zhou_table
from reactface_jax.convert.converted_method import ConvertedMethod
from reactface_jax.convert.mapping import StateDict
from reactface_jax.errors import UserError
from reactface_jax.methods.learned import LearnedMethod, Variables

CONVERTERS: Mapping[str, Callable[[StateDict], ConvertedMethod]] = {
    "ng": ng_table.convert,
    "belfusion": belfusion_table.convert,
    "trans-vae": trans_vae_table.convert,
    "lfi": lfi_table.convert,
    "zhou": zhou_table.convert,
}
"""By the names of `config.method`."""


def method(name: str, state_dict: StateDict) -> tuple[LearnedMethod, Variables]:
    """A row and its variables from its authors' state dict, with or without `module.`.

    Args:
      name: "ng", "belfusion", "trans-vae", "lfi" or "zhou".
      state_dict: names to numpy arrays or torch tensors. A row that is trained in two parts has the keys of both:
        `{**vqvae, **predictor}`, or `{**vae, **denoiser, "statistics.min": …, "statistics.max": …}`.

    Raises:
      UserError: no such row; or the state dict is another model's, lacks keys, or has keys too many.
    """
    converted = method_with_report(name, state_dict)
    return converted.method, converted.variables


def method_with_report(name: str, state_dict: StateDict) -> ConvertedMethod:
    """As `method`, and what became of each key."""
    if name not in CONVERTERS:
        raise UserError(f"no checkpoints of {name} are converted; give {', '.join(CONVERTERS)}")
    return CONVERTERS[name](state_dict)
