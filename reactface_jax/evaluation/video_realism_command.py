"""FRRea of two folders of videos: `reactface realism --real R --generated G --weights I3D`.

Weights come from `reactface convert i3d rgb_imagenet.pt --out I3D`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from reactface_jax import arguments
from reactface_jax.compiled_programs import keep_compiled_programs
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.evaluation.report import without_nan
from reactface_jax.metrics.video_distance import MIN_FRAMES, VideoDistance, compare_folders
from reactface_jax.weights.params_file import load_params


def realism(
    real: Path,
    generated: Path,
    weights: Path,
    mode: Literal["clean", "paper"] = "clean",
    pairs: int | None = None,
    seed: int = 0,
    frames: int = 750,
) -> VideoDistance:
    """Measures how far generated videos are from real ones.

    Args:
      real: folder of mp4 or avi files of real listeners.
      generated: folder of the answers, under the same names.
      weights: converted I3D.
      mode: paper (BGR, logits) or clean (RGB, the layer in front of them).
      pairs: compare as many pairs, drawn by the seed; all by default. Compare only values of the same number.
      seed: of the choice and of the interval, at least 0.
      frames: longer videos are cut to it.

    Raises:
      UserError: a folder, a video or the weights can't be used, or a number is out of range.
    """
    if seed < 0:
        raise UserError(f"--seed {seed} is negative; give 0 or more")
    if frames < MIN_FRAMES:
        raise UserError(f"--frames {frames} is too few; I3D needs at least {MIN_FRAMES}")
    params, description = load_params(weights)
    if "i3d" not in description:
        raise UserError(f"{weights} holds no I3D; convert one with `reactface convert i3d`")
    found = compare_folders(real, generated, params, mode, pairs, seed, frames)
    print(json.dumps(without_nan({"mode": mode, **found._asdict(), "frames": frames, "seed": seed})))
    return found


@reports_user_errors
def main(words: Sequence[str] | None = None) -> None:
    """Runs `realism` on the words of a command line, the program's own by default."""
    keep_compiled_programs()
    arguments.run(realism, words, prog="reactface realism", description=__doc__)


if __name__ == "__main__":
    main()
