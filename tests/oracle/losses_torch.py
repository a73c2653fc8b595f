"""The five losses of ReactFace in plain PyTorch, as the authors' code computes them: the tests' oracle."""

from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F

from reactface_jax.config import LossConfig

EXPRESSION, POSE = slice(0, 52), slice(52, 58)


def reconstruction(listener: Tensor, neighbours: Tensor, pose_weight: float) -> Tensor:
    """Distance to the nearest appropriate reaction, found for expression and pose apart. B T 58, B M T 58."""

    def nearest(channels: slice) -> Tensor:
        listeners = listener[:, None, :, channels].expand_as(neighbours[..., channels])
        distance = F.smooth_l1_loss(listeners, neighbours[..., channels], reduction="none").mean((2, 3))
        return distance.min(dim=1).values

    return (nearest(EXPRESSION) + pose_weight * nearest(POSE)).mean()


def kl(mean: Tensor, std: Tensor) -> Tensor:
    """Divergence from the standard normal distribution, a mean over everything. B N D."""
    posterior = torch.distributions.Normal(mean, std)
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(std))
    return torch.distributions.kl_divergence(posterior, prior).mean()


def diversity(samples: Tensor) -> Tensor:
    """Likeness of reactions to one clip, summed over the pairs. B K T 58."""
    return sum(
        torch.exp(-((samples[:, a] - samples[:, b]) ** 2).sum((1, 2)) / 100).mean()
        for a, b in combinations(range(samples.shape[1]), 2)
    )


def smoothness(listener: Tensor) -> Tensor:
    """Change of velocity. B T 58."""
    velocity = listener[:, 1:] - listener[:, :-1]

    def change(channels: slice) -> Tensor:
        return F.smooth_l1_loss(velocity[:, 1:, channels], velocity[:, :-1, channels])

    return change(POSE) + 0.1 * change(EXPRESSION)


def total(
    listener: Tensor,  # B K T 58
    mean: Tensor,  # B K N D
    std: Tensor,  # B K N D
    speaker_prediction: Tensor,  # B T 58
    speaker: Tensor,  # B T 58
    neighbours: Tensor,  # B M T 58; those that only fill up the array hold 1e5
    weights: LossConfig,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum and its parts. All but diversity look only at the first reaction."""
    parts = {
        "reconstruction": reconstruction(listener[:, 0], neighbours, weights.pose),
        "kl": kl(mean[:, 0], std[:, 0]),
        "diversity": diversity(listener),
        "smooth": smoothness(listener[:, 0]),
        "speaker": F.smooth_l1_loss(speaker_prediction, speaker),
    }
    return sum(getattr(weights, name) * part for name, part in parts.items()), parts
