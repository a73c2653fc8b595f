"""Whether a causal ReactFace reacts in minute 60 as in minute 1: `python benchmarks/causal_hour.py RUN --data SHARDS`.

All clips of the test split, one after the other, are one conversation of one stream, which never starts anew and goes
through them again and again until an hour is over. Each pass is measured as an evaluation of its own: had the model's
age, its positions or its running statistics any effect, the last pass would differ from the first. Another speaker
every few seconds is harder than one for an hour.
"""

import argparse
from pathlib import Path

import jax
import numpy as np

from reactface_jax.evaluation.rows import evaluate
from reactface_jax.evaluation.split import SplitPeople
from reactface_jax.methods import Inputs
from reactface_jax.methods.streamed_reactface import streamed_reactface
from reactface_jax.shard_set import open_shards
from reactface_jax.types import FRAME_RATE
from reactface_jax.weights.run import load_run

_WINDOWS_A_STEP = 30
_FIGURES = {"FRCorr": "FRCorr", "FRVar": "FRVar", "smile_answered": "smiles", "frown_answered": "frowns"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a training's folder")
    parser.add_argument("--data", required=True, help="its shards")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--reactions", type=int, default=1)
    arguments = parser.parse_args()
    run = load_run(arguments.run)
    model = streamed_reactface(run, arguments.run)
    people = SplitPeople(open_shards(arguments.data), "test", run.config.data.eval_frames)
    batches = list(people.batches(1, model.image_size))
    video = np.concatenate([batch.video for batch in batches], axis=1)
    sound = np.concatenate([batch.audio for batch in batches], axis=1)
    step = _WINDOWS_A_STEP * model.chunk
    missing = -video.shape[1] % step  # the last step of a pass is filled with the first frames
    video = np.concatenate([video, video[:, :missing]], axis=1)
    sound = np.concatenate([sound, sound[:, : missing * sound.shape[1] // (video.shape[1] - missing)]], axis=1)
    pieces = video.shape[1] // step
    videos, sounds = np.split(video, pieces, axis=1), np.split(sound, pieces, axis=1)

    state = model.start(arguments.reactions, jax.random.key(0))
    minutes = video.shape[1] / FRAME_RATE / 60
    print(f"{people.num_clips} clips, {minutes:.1f} minutes a pass")
    print("minutes            " + "".join(f"{name:>10}" for name in _FIGURES.values()))
    for number in range(max(1, round(arguments.minutes / minutes))):
        parts = []
        for seen, heard in zip(videos, sounds, strict=True):
            state, reactions = model.step(state, Inputs(video=seen, audio=heard))
            parts.append(np.asarray(reactions[0]))
        whole = np.concatenate(parts, axis=1)[:, : people.num_clips * people.num_frames]  # K T C
        prediction = whole.reshape(len(whole), people.num_clips, people.num_frames, -1).swapaxes(0, 1)
        scores = evaluate("ReactFace", prediction, people.clips).scores["clean"]
        figures = "".join(f"{scores.get(name, np.nan):10.4g}" for name in _FIGURES)
        print(f"{number * minutes:5.1f} to {(number + 1) * minutes:5.1f}     {figures}", flush=True)


if __name__ == "__main__":
    main()
