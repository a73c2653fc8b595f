"""NN motion and NN audio: the nearest key is found, and its listener answers."""

import dataclasses

import jax
import numpy as np
import pytest
import small_model

from reactface_jax.errors import UserError
from reactface_jax.media.log_mel import log_mel
from reactface_jax.methods import Inputs, NearestSegment, nearest_segment
from reactface_jax.methods.frozen_wav2vec2 import frozen_wav2vec2
from reactface_jax.methods.nearest_segment import SEGMENT, nearest_keys
from reactface_jax.models.wav2vec2 import Wav2Vec2Encoder
from reactface_jax.weights.params_file import save_params

KEY = jax.random.key(0)
FRAMES = 2 * SEGMENT + 10


@pytest.fixture(scope="module")
def training() -> tuple[Inputs, np.ndarray]:
    generator = np.random.default_rng(0)
    speaker = generator.standard_normal((6, FRAMES, 3)).cumsum(1).astype(np.float32)
    loudness = generator.uniform(0.01, 1, (6, FRAMES, 1))
    audio = (generator.standard_normal((6, FRAMES, 640)) * loudness).reshape(6, -1).astype(np.float32)
    return Inputs(speaker, audio), generator.standard_normal((6, FRAMES, 3)).astype(np.float32)


def test_the_nearest_keys_are_those_of_brute_force(monkeypatch):
    monkeypatch.setattr(nearest_segment, "_CHUNK", 7)
    generator = np.random.default_rng(1)
    query, keys = (generator.standard_normal((count, 5)).astype(np.float32) for count in (4, 30))
    distance = np.square(query[:, None].astype(np.float64) - keys).sum(-1)
    clips = np.arange(30) // 3
    found = nearest_keys(query, keys, 9, np.full(4, -1), clips)
    np.testing.assert_array_equal(found, np.argsort(distance, axis=1)[:, :9])
    excluded = clips[found[:, 0]]
    without = nearest_keys(query, keys, 1, excluded, clips)
    distance[excluded[:, None] == clips] = np.inf
    np.testing.assert_array_equal(without[:, 0], distance.argmin(1))


@pytest.mark.parametrize("by", ["speaker", "audio"])
def test_a_training_clip_finds_itself_unless_it_is_left_out(by, training):
    speakers, listener = training
    method = NearestSegment(by=by).fit_to_pairs(speakers, listener)
    assert method.needs == (by,)
    reactions = method.generate(speakers, 2, key=KEY)
    assert reactions.shape == (6, 2, FRAMES, 3)
    np.testing.assert_array_equal(reactions[:, 0, : 2 * SEGMENT], listener[:, : 2 * SEGMENT])
    np.testing.assert_array_equal(reactions[:, 0], reactions[:, 1])
    alone = dataclasses.replace(method, own=np.arange(6)).generate(speakers, 1, key=KEY)[:, 0]
    assert not (alone[:, :SEGMENT] == listener[:, :SEGMENT]).all((1, 2)).any()

    # The last segment is aligned with the clip's end, and trimmed.
    feature = {
        "speaker": lambda start: speakers.speaker[:, start : start + SEGMENT].reshape(6, -1),
        "audio": lambda start: log_mel(speakers.audio[:, 640 * start : 640 * (start + SEGMENT)]).mean(1),
    }[by]
    keys = np.concatenate([feature(0), feature(SEGMENT)]).astype(np.float64)
    std = keys.std(0)
    distance = np.square((feature(FRAMES - SEGMENT)[:, None] - keys) / std).sum(-1)
    row = distance.argmin(1)
    expected = [listener[r % 6, SEGMENT * (r // 6) :][:SEGMENT][-10:] for r in row]
    np.testing.assert_array_equal(reactions[:, 0, -10:], expected)


def test_causal_looks_back_and_top_k_draws(training):
    speakers, listener = training
    method = NearestSegment(causal=True).fit_to_pairs(speakers, listener)
    reactions = method.generate(speakers, 1, key=KEY)[:, 0]
    np.testing.assert_array_equal(reactions[:, SEGMENT : 2 * SEGMENT], listener[:, :SEGMENT])
    changed = speakers.speaker.copy()
    changed[:, SEGMENT:] += 5
    np.testing.assert_array_equal(method.generate(Inputs(changed), 1, key=KEY)[:, 0, : 2 * SEGMENT], reactions[:, :128])

    several = dataclasses.replace(method, causal=False, top_k=3).generate(speakers, 20, key=KEY)
    parts = {part.tobytes() for part in several[0, :, :SEGMENT]}
    assert len(parts) == 3
    assert listener[0, :SEGMENT].tobytes() in parts


def test_a_clip_never_answers_itself_however_few_others_there_are(training):
    speakers, listener = (training[0].speaker[:2, :SEGMENT], training[1][:2, :SEGMENT])
    method = NearestSegment(top_k=2, own=np.arange(2)).fit_to_pairs(Inputs(speakers), listener)
    reactions = method.generate(Inputs(speakers), 20, key=KEY)
    np.testing.assert_array_equal(reactions, listener[::-1, None].repeat(20, axis=1))
    single = NearestSegment(own=np.zeros(1, int)).fit_to_pairs(Inputs(speakers[:1]), listener[:1])
    with pytest.raises(UserError, match="leaves a clip's own answer out, and no other was learnt; give more clips"):
        single.generate(Inputs(speakers[:1]), key=KEY)


def test_voices_are_compared_by_frozen_wav2vec2(training, tmp_path):
    speakers, listener = training
    config = small_model.AUDIO
    encoder = Wav2Vec2Encoder(config)
    shapes = jax.eval_shape(encoder.init, jax.random.key(0), np.zeros((1, 6400), np.float32))["params"]
    params = small_model.drawn(shapes)
    save_params(tmp_path / "audio", params, {"audio": dataclasses.asdict(config)})
    embed = frozen_wav2vec2(tmp_path / "audio")
    voices = speakers.audio[:3, : 640 * 20]
    np.testing.assert_allclose(embed(voices), jax.jit(encoder.apply)({"params": params}, voices), atol=1e-4)

    method = NearestSegment(by="audio", embed=embed).fit_to_pairs(speakers, listener)
    assert method.index.keys.shape == (12, 2 * config.hidden_size)
    reactions = method.generate(Inputs(audio=speakers.audio[:, : 640 * SEGMENT]), 1, key=KEY)[:, 0]
    np.testing.assert_array_equal(reactions, listener[:, :SEGMENT])
    save_params(tmp_path / "other", {"kernel": np.zeros(1)}, {"model": {}})
    with pytest.raises(UserError, match=r"holds no wav2vec 2.0; convert one"):
        frozen_wav2vec2(tmp_path / "other")


def test_what_it_needs_is_said(training):
    speakers, listener = training
    with pytest.raises(UserError, match="NN motion has no training data; call fit_to_pairs first"):
        NearestSegment().generate(speakers, key=KEY)
    with pytest.raises(UserError, match="takes segments of 64 frames; the training clips have 63"):
        NearestSegment().fit_to_pairs(Inputs(speakers.speaker[:, :63]), listener[:, :63])
    with pytest.raises(UserError, match="NN audio needs the speaker's voice"):
        NearestSegment(by="audio").fit_to_pairs(Inputs(speakers.speaker), listener)
    with pytest.raises(UserError, match="top_k 0 must be at least 1"):
        NearestSegment(top_k=0)
    with pytest.raises(UserError, match="top_k 13 is more than the 12 training segments"):
        NearestSegment(top_k=13).fit_to_pairs(speakers, listener).generate(speakers, key=KEY)
