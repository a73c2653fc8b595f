"""Draws the 3-D head with known coefficients, measures them with MediaPipe and prints how well they are found again.

python benchmarks/head_pose.py [--heads 60]
"""

import numpy as np

from reactface_jax.extraction.head_pose import head_pose
from reactface_jax.media.face import FaceLandmarker
from reactface_jax.rendering.arkit_head.look import Look
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES
from reactface_jax.rendering.arkit_head.renderer import NEUTRAL, HeadRenderer

RANGES = (0.3, 0.4, 0.3, 0.12, 0.12, 0.5)
SHAPES = ("jawOpen", "mouthSmileLeft", "browInnerUp", "eyeBlinkLeft", "mouthPucker")


def main(heads: int = 60, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    drawn, found, weights, scores = [], [], [], []
    for _ in range(heads):
        coefficients = NEUTRAL.copy()
        coefficients[52:] += rng.uniform(-1, 1, 6) * RANGES
        shapes = [ARKIT_NAMES.index(name) for name in SHAPES]
        coefficients[shapes] = rng.uniform(0, 1, len(shapes)) * (rng.random(len(shapes)) < 0.5)
        renderer = HeadRenderer((256, 256), Look.sample(rng))
        picture = renderer.render(coefficients)
        look = renderer.look
        renderer.close()
        with FaceLandmarker(measures=True) as landmarker:
            faces = [landmarker.measure(picture) for _ in range(3)][-1]
        if not faces:
            continue
        drawn.append(coefficients[52:] + np.array([0, look.yaw, 0, *look.offset, 0]))
        found.append(head_pose(faces[0].matrix))
        weights.append(coefficients[shapes])
        scores.append([faces[0].weights[name] for name in SHAPES])
    print(f"{len(drawn)} of {heads} drawn heads found\n{'':16}slope  offset  error  correlation")
    poses = [f"{kind} {axis}" for kind in ("rotation", "translation") for axis in "xyz"]
    table = [(name, np.array(drawn)[:, c], np.array(found)[:, c]) for c, name in enumerate(poses)]
    table += [(name, np.array(weights)[:, c], np.array(scores)[:, c]) for c, name in enumerate(SHAPES)]
    for name, truth, measured in table:
        slope, offset = np.polyfit(truth - truth.mean(), measured, 1)
        error, correlation = np.std(measured - truth), np.corrcoef(truth, measured)[0, 1]
        print(f"{name:14}  {slope:5.2f}  {offset - truth.mean():6.3f}  {error:5.3f}  {correlation:11.3f}")


if __name__ == "__main__":
    import tyro

    tyro.cli(main, description=__doc__)
