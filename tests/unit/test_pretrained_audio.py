"""`train.pretrained_audio`: a converted wav2vec 2.0 takes the place of the random one."""

import dataclasses

import chex
import jax
import numpy as np
import pytest
from small_model import AUDIO, CONFIG, random_params

import reactface_jax as rf
from reactface_jax.errors import UserError
from reactface_jax.training.init import pretrained_audio, with_audio_encoder
from reactface_jax.weights.params_file import save_params


def test_audio_encoder_is_replaced_and_nothing_else(tmp_path):
    model = rf.build_model(CONFIG)
    params, others = random_params(model), random_params(model, seed=1)
    theirs = others["speaker_encoder"]["audio_encoder"]
    save_params(tmp_path / "wav2vec2", theirs, {"audio": AUDIO})
    read = pretrained_audio(jax.eval_shape(lambda: params), str(tmp_path / "wav2vec2"))
    assert read is not None
    replaced = with_audio_encoder(params, read)
    chex.assert_trees_all_equal(replaced["speaker_encoder"]["audio_encoder"], jax.tree.map(np.asarray, theirs))
    replaced["speaker_encoder"]["audio_encoder"] = params["speaker_encoder"]["audio_encoder"]
    chex.assert_trees_all_equal(replaced, params)


def test_an_encoder_of_other_sizes_is_refused(tmp_path):
    params = random_params(rf.build_model(CONFIG))
    wider = dataclasses.replace(CONFIG, audio=dataclasses.replace(AUDIO, intermediate_size=64))
    theirs = random_params(rf.build_model(wider))["speaker_encoder"]["audio_encoder"]
    save_params(tmp_path / "wav2vec2", theirs, {"audio": wider.audio})
    with pytest.raises(UserError, match="does not fit the sizes"):
        pretrained_audio(params, str(tmp_path / "wav2vec2"))
