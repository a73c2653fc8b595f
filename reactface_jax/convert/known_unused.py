"""Keys of real checkpoints that no parameter comes from: a pattern of the whole name, and the reason."""

WAV2VEC2 = {
    r"lm_head\..+": "letter head of speech recognition",
    r"(quantizer|project_q|project_hid)\..+": "heads of self-supervised pre-training",
}

REACTFACE = {
    r"(.+\.)?pe": "table of positional encodings, computed here",
    r"speaker_reaction_decoder\.audio_encoder\.lm_head\..+": "letter head of speech recognition",
    r"transformer_listener_vectors\..+": "defined by the authors' code but never called",
    r"(.+\.)?num_batches_tracked": "counter of a norm, no parameter",
}

PIRENDER = {
    r"editing_net\.decoder\.res\d\.res\d\.(conv1|norm1)\..+": "computed and discarded by the authors' code",
}

I3D = {
    r"(.+\.)?num_batches_tracked": "counter of a norm, no parameter",
}

NG = {
    r"(.+\.)?num_batches_tracked": "counter of a norm, no parameter",
    r"listener_past_transformer\..+": "defined by the authors' code but never called",
}

NG_STATISTICS = {
    r"statistics\.body_(mean|std)_Y": "the listener's own: this row has the speaker's moments for both people",
}

BELFUSION = {
    r"layers\.\d+\.cond_layers\.1\.(weight|bias)": "the layer's linear_emb under a second name",
}

BELFUSION_STATISTICS = {
    r"statistics\.(mean|std|var)": "latents are scaled by their smallest and largest values",
}

TRANS_VAE = {
    r"(.+\.)?pe": "table of positional encodings, computed here",
}

TRANS_VAE_OFFLINE = {
    r"fusion\.(weight|bias)": "used online only",
    **TRANS_VAE,
}
