"""Random weights for the oracle, under which no parameter is without effect."""

import torch
from torch import nn


def randomise(module: nn.Module, seed: int = 0) -> None:
    """Kernels of unit gain, normalisation scales near 1, small biases."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.normal_(generator=generator)
            if parameter.ndim > 1:
                parameter /= parameter[0].numel() ** 0.5
            elif name.endswith("weight"):
                parameter.mul_(0.1).add_(1)
            elif not name.endswith("token"):
                parameter *= 0.1


def older_spelling(name: str) -> str:
    """The name before PyTorch 2.0 renamed what weight norm holds."""
    name = name.replace("parametrizations.weight.original0", "weight_g")
    return name.replace("parametrizations.weight.original1", "weight_v")
