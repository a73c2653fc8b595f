"""FRRea of a real clip and itself is 0, and grows with blur, noise and shuffled frames.

I3D's weights are drawn at random, from a fixed seed: its architecture alone already sees all three. The clip is the
conversation that lies beside the repository.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from reactface_jax.media.video import read_video
from reactface_jax.metrics.video_distance import MIN_FRAMES, activations, frechet
from reactface_jax.models.i3d import I3D

pytestmark = pytest.mark.long
CLIP = Path(__file__).parents[3] / "shared" / "assets" / "dyad_speaker_listener_9s.mp4"


@pytest.fixture(scope="module")
def params() -> dict:
    shapes = jax.eval_shape(lambda: I3D().init(jax.random.key(0), jnp.zeros((1, MIN_FRAMES, 224, 224, 3))))["params"]
    generator = np.random.default_rng(0)

    def fill(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        name = jax.tree_util.keystr(path)
        if leaf.ndim > 1:
            scale = np.sqrt(2 / np.prod(leaf.shape[:-1]))
            return (scale * generator.standard_normal(leaf.shape)).astype(np.float32)
        return (np.ones if "variance" in name or "scale" in name else np.zeros)(leaf.shape, np.float32)

    return jax.tree_util.tree_map_with_path(fill, shapes)


@pytest.fixture(scope="module")
def real() -> list[np.ndarray]:
    """The listener in the picture's left half and the speaker in its right, a moment each."""
    if not CLIP.is_file():
        pytest.skip("the real conversation is not beside the repository")
    frames = read_video(CLIP, size=(112, 150))
    return [frames[start : start + MIN_FRAMES, :, left : left + 75] for start, left in ((0, 75), (100, 0), (190, 75))]


def blurred(video: np.ndarray, level: float) -> np.ndarray:
    return gaussian_filter(video.astype(np.float32), (0, 2 * level, 2 * level, 0)).round().astype(np.uint8)


def noisy(video: np.ndarray, level: float) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, 20 * level, video.shape)
    return np.clip(video + noise, 0, 255).round().astype(np.uint8)


def shuffled(video: np.ndarray, level: float) -> np.ndarray:
    """Frames change places within their neighbourhood, or anywhere."""
    place = np.arange(len(video)) + np.random.default_rng(2).uniform(0, 4 * level**2, len(video))
    return video[np.argsort(place, kind="stable")]


def test_it_grows_with_blur_noise_and_shuffling(params, real):
    reference = activations(params, real, "pooled")
    assert frechet(reference, reference) == pytest.approx(0, abs=1e-6 * np.square(reference).sum(1).mean())
    found = {}
    for disturb in (blurred, noisy, shuffled):
        levels = [activations(params, [disturb(video, level) for video in real], "pooled") for level in (1, 2)]
        found[disturb.__name__] = [frechet(reference, seen) for seen in levels]
    floor = 1e-4 * np.square(reference - reference.mean(0)).sum(1).mean()
    for weak, strong in found.values():
        assert floor < weak
        assert 1.2 * weak < strong
