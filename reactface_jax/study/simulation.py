"""Simulated participants whose preferences are known: for tests, and to ask how many people a study needs."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int


def simulate_wins(
    strengths: Sequence[float], studies: int, participants: int, pairs: int, seed: int
) -> Int[np.ndarray, "S P M M"]:
    """Choices by Bradley and Terry's model.

    Args:
      strengths: log-strengths of the M methods.
      studies: S.
      participants: P of each study.
      pairs: choices of each participant, spread evenly over the pairs of methods.
      seed: of everything that is drawn.

    Returns:
      How often each participant chose the row before the column.
    """
    generator = np.random.default_rng(seed)
    strength: Float[np.ndarray, " M"] = np.asarray(strengths, np.float64)
    first, second = np.triu_indices(len(strength), 1)
    # As the design does: participants go on in one sequence of pairs.
    number = np.arange(participants * pairs).reshape(participants, pairs) % len(first)
    asked = np.stack([(number == pair).sum(1) for pair in range(len(first))], axis=1)
    chance = 1 / (1 + np.exp(strength[second] - strength[first]))
    won = generator.binomial(asked, chance, size=(studies, *asked.shape))
    wins = np.zeros((studies, participants, len(strength), len(strength)), np.int64)
    wins[:, :, first, second] = won
    wins[:, :, second, first] = asked - won
    return wins
