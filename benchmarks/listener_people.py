"""Does the listener react to real people? On two of a real conversation, measured by MediaPipe.

    python benchmarks/listener_people.py CLIP.mp4 [--weights W.safetensors]

CLIP: a talking person on the right and a silent one on the left, as in the clip that `sample_clip` fetches. Printed for
three reactions each: nods to the talking person; events to the silent one, in silence; answers to smiles that are added
to the silent one's real face (measured noise and all), .3 and .6 above rest.
"""

import argparse
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from reactface_jax.errors import reports_user_errors
from reactface_jax.extraction.coefficient_names import COEFFICIENT_NAMES
from reactface_jax.extraction.people import find_people, measure
from reactface_jax.media.audio import read_audio
from reactface_jax.media.face import choose
from reactface_jax.methods import Inputs
from reactface_jax.methods.listener import Listener, load_weights
from reactface_jax.methods.pretrained import load_pretrained
from reactface_jax.types import FRAME_RATE, SAMPLES_PER_FRAME

NUM_REACTIONS = 3
SMILE_SECONDS, RISE = 1.6, 0.3
SMILE = {"mouthSmile": 1.0, "cheekSquint": 0.6, "mouthDimple": 0.3, "eyeSquint": 0.4}
"""A smile in MediaPipe's channels, relative to mouthSmile."""


def where(*starts: str) -> list[int]:
    return [i for i, name in enumerate(COEFFICIENT_NAMES) if name.startswith(starts)]


def track(reactions: Float[np.ndarray, "K T C"], *starts: str) -> Float[np.ndarray, "K T"]:
    """Mean of some channels above each reaction's own lower tenth."""
    mean = reactions[..., where(*starts)].mean(-1)
    return mean - np.quantile(mean, 0.1, axis=1, keepdims=True)


def nods(reactions: Float[np.ndarray, "K T C"]) -> list[list[float]]:
    """When each reaction's head goes down by more than .08 rad (s)."""
    pitch = reactions[..., where("rotation_x")[0]]
    down = pitch - np.median(pitch, axis=1, keepdims=True) > 0.08
    return [[round(float(t) / FRAME_RATE, 2) for t in np.flatnonzero(row[1:] & ~row[:-1])] for row in down]


def events(reactions: Float[np.ndarray, "K T C"]) -> dict[str, list[float]]:
    """Largest smile, brow raise, frown and open jaw above rest, of each reaction."""
    names = {"smile": ("mouthSmile",), "brows": ("browInnerUp",), "frown": ("browDown",), "jaw": ("jawOpen",)}
    return {name: [round(float(x.max()), 2) for x in track(reactions, *parts)] for name, parts in names.items()}


def with_smile(face: Float[np.ndarray, "T C"], start: float, height: float) -> Float[np.ndarray, "T C"]:
    """The same person, smiling once: up in .3 s, and down again."""
    time = np.arange(len(face)) / FRAME_RATE - start
    course = np.clip(np.minimum(time / RISE, (SMILE_SECONDS - time) / RISE), 0, 1)
    smiling = face.copy()
    for channel, share in SMILE.items():
        smiling[:, where(channel)] = np.clip(smiling[:, where(channel)] + height * share * course[:, None], 0, 1)
    return smiling


@reports_user_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--weights", type=Path)
    arguments = parser.parse_args()
    listener = load_pretrained() if arguments.weights is None else Listener(load_weights(arguments.weights))
    tracks, num_frames = find_people(arguments.clip)
    people = measure(arguments.clip, [choose(tracks, side) for side in ("left", "right")], num_frames)
    silent, talking = (np.where(p.usable[:, None], p.coefficients, np.nan) for p in people)
    sound = read_audio(arguments.clip)
    sound = np.pad(sound, (0, max(0, num_frames * SAMPLES_PER_FRAME - len(sound))))[: num_frames * SAMPLES_PER_FRAME]
    key = jax.random.key(0)

    def answer(face: np.ndarray, sound: np.ndarray) -> np.ndarray:
        return listener.generate(Inputs(face[None], sound[None]), NUM_REACTIONS, key=key)[0]

    answers = answer(talking, sound)
    print(f"talking face: nods at (s) {nods(answers)}; largest {events(answers)}")
    quiet = 1e-3 * np.random.default_rng(0).standard_normal(len(sound)).astype(np.float32)
    answers = answer(silent, quiet)
    print(f"silent, neutral face: nods at (s) {nods(answers)}; largest {events(answers)}")
    for height in (0.3, 0.6):
        for start in (2.0, 4.0, 6.0):
            smiles = track(answer(with_smile(silent, start, height), quiet), "mouthSmile")
            first, last = (round((start + wait) * FRAME_RATE) for wait in (0.2, 1.5))
            found = [round(float(s[first:last].max() - s[first]), 2) for s in smiles]
            count = sum(f >= 0.15 for f in found)
            print(f"smile of {height} at {start} s: rises within .2 to 1.5 s {found}, {count} of {NUM_REACTIONS}")


if __name__ == "__main__":
    main()
