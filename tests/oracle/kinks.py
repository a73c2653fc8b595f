"""How near a PyTorch computation comes to points where its gradient jumps.

Two correct implementations round differently. Where the argument of a ReLU is nearer to zero than they round, one of
them may pass a gradient that the other stops; likewise where two candidates of a maximum or minimum are equal. A test
that compares gradients measures this distance in float64, where no instruction set changes it, and refuses a point
that is too near.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class Kinks(TorchFunctionMode):
    """Watches ReLU, spatial max-pooling and `Tensor.min`; `nearest` is the least distance to a jump so far."""

    def __init__(self):
        super().__init__()
        self.nearest = torch.inf

    def __torch_function__(self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if function in (F.relu, torch.relu, torch.Tensor.relu):
            self._saw(args[0].detach().abs())
        elif function in (F.max_pool3d, torch.max_pool3d):
            (_, height, width), (_, *strides) = args[1], kwargs["stride"]
            windows = args[0].detach().unfold(-2, height, strides[0]).unfold(-2, width, strides[1])
            first, second = windows.flatten(-2).topk(2).values.unbind(-1)
            self._saw((first - second)[first > 0])  # zeros are what ReLU stopped: no gradient goes there
        elif function is torch.Tensor.min:
            first, second = args[0].detach().topk(2, dim=kwargs["dim"], largest=False).values.unbind(kwargs["dim"])
            self._saw(second - first)
        return function(*args, **kwargs)

    def _saw(self, distances: torch.Tensor) -> None:
        self.nearest = min(self.nearest, distances.min().item())


@contextmanager
def float64() -> Iterator[None]:
    """PyTorch makes tensors in float64."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(default)
