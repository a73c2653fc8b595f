"""ReactFace in plain PyTorch, written from the paper and the description of the authors' code: the tests' oracle.

Parameter names are those of the authors' checkpoints. It favours plainness over speed: Python loops over windows and
reactions, buffers that grow, masks built number by number. Every method that reads like `protocol_*` is one way in
which the authors run their model. Shapes use the letters of `reactface_jax.types`; video is B T H W 3 as ours.
"""

import math
from typing import NamedTuple

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F

from reactface_jax.config import AudioConfig, ModelConfig

NUM_COEFFICIENTS = 58


class Speaker(NamedTuple):
    """Features of the speaker, stage by stage."""

    video: Tensor  # B T D
    audio: Tensor  # B S hidden
    speech: Tensor  # B S D
    vector: Tensor  # B T D
    motion: Tensor  # B T D


class Window(NamedTuple):
    """The speaker's features of one window."""

    speech: Tensor  # B 2w D
    motion: Tensor  # B w D


class Outputs(NamedTuple):
    listener: Tensor  # B K T 58
    mean: Tensor  # B K N D
    std: Tensor  # B K N D
    z: Tensor  # B K N D, after momentum


# Positions and masks ------------------------------------------------------------------------------------------------


def encode_positions(positions: Tensor, dim: int) -> Tensor:
    """Sinusoidal encoding [len(positions), dim]; channel 2i is a sine, 2i+1 a cosine of the same frequency."""
    dtype = torch.get_default_dtype()
    angles = positions[:, None].to(dtype) * torch.exp(torch.arange(0, dim, 2, dtype=dtype) * (-math.log(10000.0) / dim))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def slopes(heads: int) -> list[float]:
    """ALiBi's slopes (Press et al. 2022): 2^-1 ... 2^-8 for 8 heads; other counts borrow from the next power of two."""
    power = 2 ** math.floor(math.log2(heads))
    first = [2.0 ** (-8 * (k + 1) / power) for k in range(power)]
    return first if power == heads else first + slopes(2 * power)[0::2][: heads - power]


def causal_bias(queries: int, memory: int, heads: int, period: int) -> Tensor:
    """[heads, queries, memory]: 0, -slope, -2 slope, ... back through the periods; -inf ahead of query i.

    The last query sits on the last memory frame: with as many of both this is the temporal bias, else the
    alignment bias of listener frames to speaker features.
    """
    past = torch.arange(queries)[:, None] + (memory - queries) - torch.arange(memory)
    bias = torch.stack([-slope * past.div(period, rounding_mode="floor") for slope in slopes(heads)])
    return bias.masked_fill(past < 0, -torch.inf)


def point_to_point_mask(frames: int, heads: int) -> Tensor:
    """[heads, frames, 2 frames]: video frame i sees the speech frames 2i and 2i+1."""
    mask = torch.full((heads, frames, 2 * frames), -torch.inf)
    for i in range(frames):
        mask[:, i, 2 * i : 2 * i + 2] = 0
    return mask


# Blocks -------------------------------------------------------------------------------------------------------------


class Decoder(nn.TransformerDecoder):
    """PyTorch's post-norm decoder, feed-forward of twice the width, with masks [heads, queries, memory]."""

    def __init__(self, dim: int, heads: int, layers: int = 1):
        layer = nn.TransformerDecoderLayer(dim, heads, dim_feedforward=2 * dim, dropout=0.1, batch_first=True)
        super().__init__(layer, layers)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None, memory_mask: Tensor | None = None):
        def per_clip(mask: Tensor | None) -> Tensor | None:
            return None if mask is None else mask.repeat(len(x), 1, 1)

        return super().forward(x, memory, tgt_mask=per_clip(mask), memory_mask=per_clip(memory_mask))


class Conv3D(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.conv1 = nn.Conv3d(3, dim // 4, (5, 7, 7), stride=(1, 2, 2), padding=(2, 3, 3), bias=False)
        self.conv2 = nn.Conv3d(dim // 4, dim, (5, 7, 7), stride=(1, 2, 2), padding=(2, 3, 3), bias=False)
        self.conv3 = nn.Conv3d(dim, dim, 3, stride=(1, 2, 2), padding=1, bias=False)
        self.conv4 = nn.Conv3d(dim, dim, 3, padding=1, bias=False)
        self.conv5 = nn.Conv3d(dim, dim, 3, stride=(1, 2, 2), padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # B 3 T H W -> B D T
        def norm_relu(x: Tensor) -> Tensor:
            return F.relu(F.instance_norm(x, eps=1e-5))

        x = F.max_pool3d(norm_relu(self.conv1(x)), (1, 3, 3), stride=(1, 2, 2))
        x = norm_relu(self.conv2(x))
        if x.shape[-2:] != (28, 28):
            x = F.interpolate(x, size=(x.shape[2], 28, 28), mode="nearest")
        x = norm_relu(self.conv3(x))
        x = x + norm_relu(self.conv4(x))
        return norm_relu(self.conv5(x)).mean((-1, -2))


class VideoEncoder(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.Conv3D = Conv3D(dim)
        self.fc = nn.Linear(dim, dim)

    def forward(self, video: Tensor) -> Tensor:  # B T H W 3 -> B T D
        return self.fc(self.Conv3D(video.movedim(-1, 1)).transpose(1, 2))


class AudioEncoder(nn.Module):
    """Hugging Face's wav2vec 2.0 and a CTC head that nothing uses."""

    def __init__(self, audio: AudioConfig):
        super().__init__()
        config = transformers.Wav2Vec2Config(
            hidden_size=audio.hidden_size,
            num_hidden_layers=audio.num_layers,
            num_attention_heads=audio.num_heads,
            intermediate_size=audio.intermediate_size,
            conv_dim=(audio.conv_dim,) * 7,
            num_conv_pos_embeddings=audio.num_conv_pos_embeddings,
            num_conv_pos_embedding_groups=audio.num_conv_pos_groups,
            mask_time_prob=0.0,
            layerdrop=0.0,
            attn_implementation="eager",
        )
        self.wav2vec2 = transformers.Wav2Vec2Model(config)
        self.wav2vec2.freeze_feature_encoder()
        self.lm_head = nn.Linear(audio.hidden_size, 32)

    def forward(self, audio: Tensor, frames: int) -> Tensor:  # B L -> B 2T hidden
        features = self.wav2vec2(audio).last_hidden_state
        return F.pad(features, (0, 0, 0, 1))[:, : 2 * frames]


class SpeakerReactionDecoder(nn.Module):
    """A-Enc, the alignment of face and speech, and the speaker's motion."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        dim, self.heads, self.period = config.feature_dim, config.num_heads, config.period
        self.audio_encoder = AudioEncoder(config.audio)
        self.audio_feature_map = nn.Linear(config.audio.hidden_size, dim)
        self.speaker_transformer_decoder1 = Decoder(dim, self.heads)
        self.speaker_transformer_decoder2 = Decoder(dim, self.heads)
        self.speaker_transformer_decoder3 = Decoder(dim, self.heads)

    def forward(self, video: Tensor, audio: Tensor) -> Speaker:  # video: features B T D
        frames = video.shape[1]
        hidden = self.audio_encoder(audio, frames)
        speech = self.audio_feature_map(hidden)
        x = video + encode_positions(torch.arange(frames) % self.period, video.shape[-1])
        bias = causal_bias(frames, frames, self.heads, self.period)
        aligned = point_to_point_mask(frames, self.heads)
        face = self.speaker_transformer_decoder1(x, x, bias)
        vector = self.speaker_transformer_decoder2(face, speech, bias, aligned)
        motion = self.speaker_transformer_decoder3(vector, speech, bias, aligned)
        return Speaker(video, hidden, speech, vector, motion)


class InteractionVAE(nn.Module):
    def __init__(self, dim: int, layers: int):
        super().__init__()
        self.linear = nn.Linear(dim, dim)
        layer = nn.TransformerEncoderLayer(dim, 4, dim_feedforward=1024, dropout=0.1, batch_first=True)
        self.seqTransEncoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.mu_token = nn.Parameter(torch.randn(dim))
        self.logvar_token = nn.Parameter(torch.randn(dim))

    def forward(self, past: Tensor) -> tuple[Tensor, Tensor]:  # B F D -> mean, std B D
        tokens = torch.stack([self.mu_token, self.logvar_token]).expand(len(past), 2, -1)
        x = self.seqTransEncoder(torch.cat([tokens, self.linear(past)], dim=1))
        return x[:, 0], torch.exp(0.5 * x[:, 1])


class ListenerReactionDecoder(nn.Module):
    """LRD and SLBS: the tokens of a window and the speaker's features to coefficients."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        dim, self.heads, self.period = config.feature_dim, config.num_heads, config.period
        self.sync_order = config.sync_order
        self.transformer_decoder = Decoder(dim, self.heads, layers=2)
        self.transformer_fusion_decode1 = Decoder(dim, self.heads)
        self.transformer_fusion_decode2 = Decoder(dim, self.heads)
        self.listener_reaction_3dmm_map_layer = nn.Linear(dim, NUM_COEFFICIENTS)

    def forward(self, tokens: Tensor, positions: Tensor, speech: Tensor, motion: Tensor) -> Tensor:
        window = len(positions)
        queries = encode_positions(positions, tokens.shape[-1]).expand(len(tokens), -1, -1)
        x = self.transformer_decoder(queries, tokens)
        bias = causal_bias(window, window, self.heads, self.period)
        speech_bias = causal_bias(window, 2 * window, self.heads, self.period)
        steps = [
            (self.transformer_fusion_decode1, speech, speech_bias),
            (self.transformer_fusion_decode2, motion, bias),
        ]
        for decoder, memory, memory_bias in steps if self.sync_order == "speech_first" else reversed(steps):
            x = decoder(x, memory, bias, memory_bias)
        return self.listener_reaction_3dmm_map_layer(x)


# The model ----------------------------------------------------------------------------------------------------------


class ReactFace(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        dim, heads = config.feature_dim, config.num_heads
        self.past_motion_linear = nn.Linear(NUM_COEFFICIENTS, dim)
        self.speaker_reaction_decoder = SpeakerReactionDecoder(config)
        self.speaker_decoder = Decoder(dim, heads)
        self.speaker_vector_map_layer = nn.Linear(dim, NUM_COEFFICIENTS)
        self.video_encoder = VideoEncoder(dim)
        self.transformer_fusion_plm2sm = Decoder(dim, heads)
        self.transformer_fusion_plm2sa = Decoder(dim, heads)
        self.interaction_VAE = InteractionVAE(dim, config.interaction_layers)
        self.transformer_listener_vectors = Decoder(dim, heads, layers=2)  # in checkpoints, unused
        self.listener_reaction_decoder = ListenerReactionDecoder(config)

    def encode_speaker(self, video: Tensor, audio: Tensor) -> Speaker:
        return self.speaker_reaction_decoder(self.video_encoder(video), audio)

    def reconstruct_speaker(self, speaker: Speaker) -> Tensor:  # -> B T 58
        return self.speaker_vector_map_layer(self.speaker_decoder(speaker.vector, speaker.vector))

    def encode_interaction(self, past: Tensor, speech: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
        """CIE: past reactions [B F 58] beside the speaker's features of F frames, to a mean and a deviation [B D]."""
        heads, period, frames = self.config.num_heads, self.config.period, past.shape[1]
        x = self.past_motion_linear(past)
        x = x + (x + encode_positions(torch.arange(frames) % period, x.shape[-1]))  # the authors add x twice
        bias = causal_bias(frames, frames, heads, period)
        x = self.transformer_fusion_plm2sa(x, speech, bias, causal_bias(frames, 2 * frames, heads, period))
        x = self.transformer_fusion_plm2sm(x, motion, bias, bias)
        return self.interaction_VAE(x)

    def blend(self, z: Tensor, previous: Tensor | None) -> tuple[Tensor, Tensor]:
        """Momentum, then the memory tokens: only z in the first window, else w steps from the previous z to z."""
        if previous is None:
            return z, z[:, None]
        z = self.config.momentum * previous + (1 - self.config.momentum) * z
        pair = torch.stack([previous, z], dim=-1)  # B D 2
        tokens = F.interpolate(pair, size=self.config.window, mode="linear", align_corners=False)
        return z, tokens.transpose(1, 2)

    def generate(self, windows: list[Window], eps: Tensor, online: bool) -> Outputs:
        """Generates window after window. eps: B K N D.

        Offline, the CIE sees all reactions generated so far beside the speaker's features of the same frames, and
        positions count from the clip's start. Online, it sees the last window's reactions beside the speaker's
        features of the current window, and positions count from the window's start. In both, the first past is zeros.
        """
        w, samples = self.config.window, []
        for noise in eps.unbind(1):
            reactions = [eps.new_zeros(len(eps), w, NUM_COEFFICIENTS)]
            z, stages = None, []
            for n, window in enumerate(windows):
                if online or n == 0:
                    past, beside = reactions[-1], [window]
                else:
                    past, beside = torch.cat(reactions[1:], dim=1), windows[:n]
                mean, std = self.encode_interaction(
                    past, *(torch.cat(parts, dim=1) for parts in zip(*beside, strict=True))
                )
                z, tokens = self.blend(mean + std * noise[:, n], z)
                positions = torch.arange(w) if online else torch.arange(n * w, (n + 1) * w)
                reactions.append(self.listener_reaction_decoder(tokens, positions, *window))
                stages.append((mean, std, z))
            stacked = (torch.stack(stage, dim=1) for stage in zip(*stages, strict=True))
            samples.append((torch.cat(reactions[1:], dim=1), *stacked))
        return Outputs(*(torch.stack(sample, dim=1) for sample in zip(*samples, strict=True)))

    def protocol_clip(self, video: Tensor, audio: Tensor, eps: Tensor) -> tuple[Outputs, Speaker]:
        """Training: the whole clip is encoded once, then answered offline."""
        w, speaker = self.config.window, self.encode_speaker(video, audio)
        speech, motion = speaker.speech.split(2 * w, dim=1), speaker.motion.split(w, dim=1)
        windows = [Window(*features) for features in zip(speech, motion, strict=True)]
        return self.generate(windows, eps, online=False), speaker

    def protocol_prefix(self, video: Tensor, audio: Tensor, eps: Tensor) -> Outputs:
        """Evaluation: every window encodes the clip up to its own end from scratch."""
        w, windows = self.config.window, []
        for end in range(w, video.shape[1] + 1, w):
            speaker = self.encode_speaker(video[:, :end], audio[:, : 640 * end])
            windows.append(Window(speaker.speech[:, -2 * w :], speaker.motion[:, -w:]))
        return self.generate(windows, eps, online=True)

    def protocol_window(self, video: Tensor, audio: Tensor, eps: Tensor) -> Outputs:
        """Custom videos: every window is encoded by itself."""
        w, windows = self.config.window, []
        for frames, samples in zip(video.split(w, dim=1), audio.split(640 * w, dim=1), strict=True):
            speaker = self.encode_speaker(frames, samples)
            windows.append(Window(speaker.speech, speaker.motion))
        return self.generate(windows, eps, online=True)
