"""Whether a method that streams reacts in minute 60 as in minute 1: `python benchmarks/stream_hour.py --data SHARDS`.

The run of a causal ReactFace, of a row that streams or of a listener; without `--checkpoint` the one in the package.

All clips of the test split, one after the other, are one conversation of one stream, which never starts anew and goes
through them again and again until an hour is over. Each pass is measured as an evaluation of its own: had the method's
age, its positions, its running statistics or what it feeds back any effect, the last pass would differ from the first.
Another speaker every few seconds is harder than one for an hour.
"""

import argparse
from pathlib import Path

import jax
import numpy as np

from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.evaluation.rows import evaluate
from reactface_jax.evaluation.split import SplitPeople
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.live.listening import load_listener, view_size
from reactface_jax.methods import Inputs
from reactface_jax.shard_set import open_shards
from reactface_jax.types import FRAME_RATE, SAMPLES_PER_FRAME

_CHUNKS_A_STEP = 30
_FIGURES = {"FRCorr": "FRCorr", "FRVar": "FRVar", "smile_answered": "smiles", "frown_answered": "frowns"}


@reports_user_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="a training's folder (default: the listener in the package)")
    parser.add_argument("--data", required=True, help="its shards")
    parser.add_argument("--frames", type=int, default=750, help="of each clip at most (default: 750)")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--reactions", type=int, default=1)
    arguments = parser.parse_args()
    for name in ("frames", "reactions"):
        if getattr(arguments, name) < 1:
            raise UserError(f"--{name} {getattr(arguments, name)} must be at least 1")
    method = load_listener(arguments.checkpoint)
    people = SplitPeople(open_shards(arguments.data), "test", arguments.frames)
    if people.clips.coefficient_names != COEFFICIENT_NAMES:
        raise UserError(f"--data {arguments.data} has other coefficients than what streams answers; give others")
    clips, frames = people.num_clips, people.num_frames
    step = _CHUNKS_A_STEP * method.chunk
    pieces = -(-clips * frames // step)
    order = np.arange(pieces * step) % (clips * frames)  # the last step of a pass is filled with the first frames

    def in_pieces(parts: list[np.ndarray]) -> list[np.ndarray]:
        return np.split(np.concatenate(parts)[order][None], pieces, axis=1)

    batches = list(people.batches(1, view_size(method) or 1))
    sounds = in_pieces([batch.audio[0].reshape(frames, SAMPLES_PER_FRAME) for batch in batches])
    faces = in_pieces(list(people.clips.speaker))
    videos = in_pieces([batch.video[0] for batch in batches]) if view_size(method) else [None] * pieces

    state = method.start(arguments.reactions, jax.random.key(0))
    minutes = pieces * step / FRAME_RATE / 60
    print(f"{method.name}: {clips} clips, {minutes:.1f} minutes a pass")
    print("minutes            " + "".join(f"{name:>10}" for name in _FIGURES.values()))
    for number in range(max(1, round(arguments.minutes / minutes))):
        parts = []
        for video, face, sound in zip(videos, faces, sounds, strict=True):
            state, reactions = method.step(state, Inputs(face, sound.reshape(1, -1), video))
            parts.append(np.asarray(reactions[0]))
        whole = np.concatenate(parts, axis=1)[:, : clips * frames]  # K T C
        prediction = whole.reshape(len(whole), clips, frames, -1).swapaxes(0, 1)
        scores = evaluate(method.name, prediction, people.clips).scores["clean"]
        figures = "".join(f"{scores.get(name, np.nan):10.4g}" for name in _FIGURES)
        print(f"{number * minutes:5.1f} to {(number + 1) * minutes:5.1f}     {figures}", flush=True)


if __name__ == "__main__":
    main()
