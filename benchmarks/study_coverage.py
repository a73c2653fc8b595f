"""How often a study's intervals hold the strengths that were planted: simulated studies, some seconds on one core.

`python benchmarks/study_coverage.py`, with `--studies 200` and `--pairs 20` as the default.
"""

from collections.abc import Sequence

import numpy as np
import tyro

from reactface_jax.study.simulation import simulate_wins
from reactface_jax.study.strengths import scores_of

PEOPLE = (10, 20, 40, 80)
STRENGTHS: tuple[tuple[float, ...], ...] = ((0.0, 0.0, 0.0), (1.2, 0.4, -0.3, -1.3), (2.0, 0.0, -2.0))


def main(studies: int = 200, pairs: int = 20, resamples: int = 500, seed: int = 0) -> None:
    """Prints a table: coverage of the 95 % interval, its half width and the scores' bias.

    Args:
      studies: that are simulated for a line.
      pairs: that each participant compares.
      resamples: of participants, for the interval.
      seed: of everything.
    """
    print("| planted | participants | inside, % | half width | bias of the strongest |\n|---|---|---|---|---|")
    for strengths in STRENGTHS:
        for people in PEOPLE:
            print(line(strengths, people, studies, pairs, resamples, seed))


def line(strengths: Sequence[float], people: int, studies: int, pairs: int, resamples: int, seed: int) -> str:
    wins = simulate_wins(strengths, studies, people, pairs, seed)
    found = scores_of(wins, resamples=resamples, seed=seed)
    inside = 100 * np.mean((found.low <= strengths) & (strengths <= found.high))
    half, bias = np.mean(found.high - found.score), np.mean(found.score[:, 0]) - strengths[0]
    planted = ", ".join(f"{x:g}" for x in strengths)
    return f"| {planted} | {people} | {inside:.1f} | {half:.2f} | {bias:+.3f} |"


if __name__ == "__main__":
    tyro.cli(main)
