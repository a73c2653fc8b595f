"""How MediaPipe responds to made people who are drawn: the asset that the listener's training reads.

    python -m benchmarks.mediapipe_response --out mediapipe_response.npz

Draws the speakers of other conversations than the benchmarks judge, each with a face of his own, measures them by
MediaPipe and fits, by ridge regression, how far each measured coefficient follows each true one (deviations from the
clip's median), and what is left over. Printed for each coefficient: how much of its own true movement it shows, and the
share of what is measured that the fit explains, on a quarter of the directions that the fit has not seen.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from benchmarks.listener import seen_by_mediapipe
from data_pipeline.dyads import Recipe, play
from data_pipeline.dyads.scripts import ROLES
from reactface_jax.errors import reports_user_errors
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.files import replacing
from reactface_jax.output_files import check_outputs

_RIDGE = 0.01
"""Of each true coefficient's variance."""
_LEAST_VARIANCE = 1.01e-4
"""Added to it: some coefficients never move."""


class Response(NamedTuple):
    """Of a tracker."""

    slope: Float[np.ndarray, "C C"]
    """Change of each measured coefficient (columns) by that of each true one (rows)."""
    residual: Float[np.ndarray, " C"]
    """Standard deviation, within a clip, of what the slopes do not explain."""


def fit(true: Float[np.ndarray, "N T C"], measured: Float[np.ndarray, "N T C"]) -> Response:
    """By ridge regression. Frames in which no face was found count as at the clip's median."""
    x, y = deviations(true), deviations(measured)
    rows, columns = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    penalty = _RIDGE * len(rows) * np.diag(rows.var(0) + _LEAST_VARIANCE)
    slope = np.linalg.solve(rows.T @ rows + penalty, rows.T @ columns)
    residual = (y - x @ slope).std(axis=1).mean(axis=0)
    return Response(slope.astype(np.float32), residual.astype(np.float32))


def deviations(faces: Float[np.ndarray, "N T C"]) -> Float[np.ndarray, "N T C"]:
    """From each clip's median; 0 where there is no face."""
    faces = faces.astype(np.float64)
    return np.nan_to_num(faces - np.nanmedian(faces, axis=1, keepdims=True))


@reports_user_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a .npz")
    parser.add_argument("--scripts", type=int, default=12)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--overwrite", action="store_true", help="replace --out")
    arguments = parser.parse_args()
    check_outputs([arguments.out], {}, overwrite=arguments.overwrite)
    test = play(
        Recipe(num_clips=3 * (arguments.scripts + 4), test_scripts=arguments.scripts, seed=arguments.seed), "test"
    )
    looks = [c.people[role].look for role in ROLES for c in test.conversations]
    measured = np.stack([seen_by_mediapipe(*each) for each in zip(test.speaker, looks, strict=True)])
    learnt_from = 3 * len(measured) // 4
    x, y = (deviations(faces[learnt_from:]) for faces in (test.speaker, measured))
    missed = y - x @ fit(test.speaker[:learnt_from], measured[:learnt_from]).slope
    whole = fit(test.speaker, measured)
    print(f"{len(measured)} directions of {arguments.scripts} scripts\n{'':20s}  own slope  explained")
    for i, name in enumerate(COEFFICIENT_NAMES):
        own = (x[..., i] * y[..., i]).sum() / max((x[..., i] ** 2).sum(), 1e-9)
        explained = 1 - missed[..., i].var() / max(y[..., i].var(), 1e-12)
        print(f"{name:20s} {own:10.3f} {explained:10.2f}")
    with replacing(arguments.out) as file:
        np.savez_compressed(file, **whole._asdict())


if __name__ == "__main__":
    main()
