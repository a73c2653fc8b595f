"""Cepstra and prosody of LFI, against SciPy and against what is known of tones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft

from reactface_jax.methods.features import SPEECH_LEVEL
from reactface_jax.methods.features.cepstra import cepstra
from reactface_jax.methods.features.prosody import pitch, prosody
from reactface_jax.methods.features.speech import speech_features
from reactface_jax.methods.features.windows import in_windows

RATE = 16_000


def tone(frequency: float, samples: int, harmonics: int = 1) -> np.ndarray:
    """Unit variance."""
    time = np.arange(samples) / RATE
    wave = sum(np.sin(2 * np.pi * frequency * n * time + n) / n for n in range(1, harmonics + 1))
    return (wave / np.std(wave)).astype(np.float32)


def test_cepstra_are_scipys():
    """Four windows of 320 samples, the first of which begins 160 samples before the frame."""
    sound = np.random.default_rng(0).standard_normal(1280)
    emphasised = sound[1:] - 0.97 * sound[:-1]  # index i is sample i + 1
    mel = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 28)
    bins = np.floor(1025 * 700 * (10 ** (mel / 2595) - 1) / RATE).astype(int)
    bank = np.zeros((26, 513))
    for j in range(26):
        bank[j, bins[j] : bins[j + 1]] = (np.arange(bins[j], bins[j + 1]) - bins[j]) / (bins[j + 1] - bins[j])
        falling = np.arange(bins[j + 1], bins[j + 2])
        bank[j, bins[j + 1] : bins[j + 2]] = (bins[j + 2] - falling) / (bins[j + 2] - bins[j + 1])
    expected = []
    for start in (480, 640, 800, 960):
        power = np.abs(np.fft.rfft(emphasised[start - 1 : start + 319], 1024)) ** 2 / 1024
        coefficients = scipy.fft.dct(np.log(bank @ power), norm="ortho")
        coefficients *= 1 + 11 * np.sin(np.pi * np.arange(26) / 22)
        coefficients[0] = np.log(power.sum())
        expected.append(coefficients)
    found = jax.jit(cepstra)(sound.astype(np.float32))
    np.testing.assert_allclose(found, np.mean(expected, axis=0), rtol=0, atol=2e-3)


@pytest.mark.parametrize(("frequency", "harmonics"), [(90.0, 8), (131.0, 5), (220.0, 1), (410.0, 3)])
def test_pitch_of_tones(frequency: float, harmonics: int):
    windows = in_windows(tone(frequency, 6400, harmonics), 640, 320)
    found = jax.jit(pitch)(windows - windows.mean(-1, keepdims=True))
    np.testing.assert_allclose(found, frequency, rtol=0.01)


def test_noise_and_silence_have_no_pitch():
    noise = np.random.default_rng(0).standard_normal((20, 640)).astype(np.float32)
    quiet = 0.01 * tone(200, 640)
    assert (jax.jit(pitch)(np.asarray([*noise, np.zeros(640, np.float32), quiet])) == 0).all()


def test_prosody_of_a_tone_that_starts_in_the_middle_of_a_frame():
    """Energy and pitch of the last window are the tone's; before it there is nothing."""
    sound = np.concatenate([np.zeros(640), np.zeros(320), tone(200, 320)]).astype(np.float32)
    heard = jax.jit(prosody)
    silent = heard(np.zeros(1280, np.float32))
    np.testing.assert_array_equal(silent, 0)
    steady = heard(tone(200, 1280))
    decibels = 10 * np.log10(SPEECH_LEVEL**2 / 4e-10)
    np.testing.assert_allclose(steady, [np.log(decibels) - 3, 0, np.log(201) - 4, 0], rtol=0, atol=0.01)
    energy, change, _, _ = heard(sound)
    assert 0 < energy < steady[0]
    np.testing.assert_allclose(change, 2 * energy / 40, rtol=1e-5)  # from 0 over 40 ms; its mean has one value of two


def test_a_stream_hears_what_a_clip_does():
    sound = np.random.default_rng(0).standard_normal((2, 5 * 640)).astype(np.float32)
    features = jax.jit(speech_features)
    whole = features(sound)
    assert whole.shape == (2, 5, 30)
    parts = [features(sound[:, :1280]), features(sound[:, 1280:], sound[:, 640:1280])]
    np.testing.assert_allclose(jnp.concatenate(parts, axis=1), whole, rtol=0, atol=1e-4)
