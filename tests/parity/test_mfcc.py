"""Cepstral coefficients, loudness and zero crossings against torchaudio's and librosa's."""

from pathlib import Path

import jax
import numpy as np
import pytest

from reactface_jax.methods.features.kaldi_mfcc import kaldi_mfcc, with_deltas
from reactface_jax.methods.features.rms_zcr import released_rms_zcr, rms_zcr
from reactface_jax.methods.features.windows import in_frames


@pytest.fixture(scope="module")
def mfcc_a(goldens: Path) -> dict[str, np.ndarray]:
    return dict(np.load(goldens / "mfcc_a.npz"))


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_golden_frame_by_frame(mfcc_a: dict[str, np.ndarray], rate: int):
    frames = in_frames(mfcc_a[f"audio_{rate}"], rate // 25)
    features = jax.jit(lambda x: (with_deltas(kaldi_mfcc(x, rate)), released_rms_zcr(x, rate)))(frames)
    for name, value in zip((f"mfcc_{rate}", f"rms_zcr_released_{rate}"), features, strict=True):
        golden = mfcc_a[name]
        assert value.shape == golden.shape
        np.testing.assert_allclose(value, golden, rtol=0, atol=1e-5 * np.abs(golden).max(), err_msg=name)
    assert (mfcc_a[f"mfcc_{rate}"][1, :2] == 0).all()  # the silent frame: the floor of its energy


def test_loudness_and_crossings_of_a_square_wave():
    """Amplitude 1/2, a crossing every 40 samples, the first after 40: 9 of them in the first window of 400 samples,
    and 10 in the second, which starts at sample 160, where the sign changes outside of it."""
    wave = np.where(np.arange(640) // 40 % 2 == 0, 0.5, -0.5).astype(np.float32)
    np.testing.assert_allclose(rms_zcr(wave), [0.5, 0.5, 9 / 400, 9 / 400], rtol=1e-6)
