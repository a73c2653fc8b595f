"""NN motion and NN audio: what the listener did in the training segment whose speaker is most like this one.

Keys are segments of training speakers, values those of their listeners in the same frames. The search is exact: squared
distances to all keys, by chunks of matrix products on the device. The paper names them and released no code; here
segments of 64 frames, answered one after the other, the last one right-aligned and trimmed.
"""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from reactface_jax.errors import UserError
from reactface_jax.media.log_mel import log_mel
from reactface_jax.methods.frozen_wav2vec2 import Embedding
from reactface_jax.methods.method import Inputs, seen_speaker
from reactface_jax.methods.ready import held
from reactface_jax.types import SAMPLES_PER_FRAME, AnyArray

SEGMENT = 64
"""Frames of a segment, and from one to the next."""
_CHUNK = 8192
"""Keys whose distances are computed at once."""


class _Index(NamedTuple):
    keys: Float[np.ndarray, "J F"]
    """Standardised."""
    values: Float[np.ndarray, "J S C"]
    clips: Int[np.ndarray, " J"]
    """Training clips that the keys are of."""
    mean: Float[np.ndarray, " F"]
    std: Float[np.ndarray, " F"]


@dataclass(frozen=True, eq=False)
class NearestSegment:
    """Answers with segments of training listeners. Causal, it looks for the segment that has just ended."""

    by: Literal["speaker", "audio"] = "speaker"
    causal: bool = False
    top_k: int = 1
    """Reactions are drawn among the values of so many nearest keys; 1: all are the same."""
    embed: Embedding | None = None
    """Of voices: NN audio's key is the mean and deviation of its features; None: mean log-mel energies."""
    own: Int[np.ndarray, " N"] | None = None
    """Where training clips are asked about: which each is, to leave it out."""
    index: _Index | None = None

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise UserError(f"top_k {self.top_k} must be at least 1")

    @property
    def name(self) -> str:
        return "NN motion" if self.by == "speaker" else "NN audio"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.by,)

    def fit_to_pairs(self, speakers: Inputs, listener: Float[np.ndarray, "M T C"]) -> "NearestSegment":
        """Takes all segments. Raises `UserError` if the clips are shorter than one, or what it needs is missing."""
        num_clips, num_frames = listener.shape[:2]
        if num_frames < SEGMENT:
            raise UserError(f"{self.name} takes segments of {SEGMENT} frames; the training clips have {num_frames}")
        speakers = self._held(speakers)
        starts = range(0, num_frames - SEGMENT + 1, SEGMENT)
        keys = np.concatenate([self._features(speakers, start) for start in starts])
        values = np.concatenate([listener[:, start : start + SEGMENT] for start in starts]).astype(np.float32)
        # A channel that stands still says nothing: without this its noise would count as much as any other.
        mean, std = keys.mean(0, dtype=np.float64), keys.std(0, dtype=np.float64)
        std = np.where(std > 1e-6, std, np.inf)
        clips = np.tile(np.arange(num_clips), len(starts))
        standard = ((keys - mean) / std).astype(np.float32)
        made = _Index(standard, values, clips, mean.astype(np.float32), std.astype(np.float32))
        return dataclasses.replace(self, index=made)

    def generate(
        self, inputs: Inputs, num_reactions: int = 1, *, key: Key[AnyArray, ""]
    ) -> Float[np.ndarray, "N K T C"]:
        if self.index is None:
            raise UserError(f"{self.name} has no training data; call fit_to_pairs first")
        if self.top_k > len(self.index.keys):
            raise UserError(f"top_k {self.top_k} is more than the {len(self.index.keys)} training segments")
        inputs = self._held(inputs)
        num_clips, num_frames = self._size(inputs)
        reactions = np.empty((num_clips, num_reactions, num_frames, self.index.values.shape[-1]), np.float32)
        excluded = np.full(num_clips, -1) if self.own is None else np.asarray(self.own)
        number = np.minimum(self.top_k, self._others(excluded))
        for place, start in enumerate(range(0, num_frames, SEGMENT)):
            length = min(SEGMENT, num_frames - start)
            seen = start - SEGMENT if self.causal else start + length - SEGMENT
            query = (self._features(inputs, seen) - self.index.mean) / self.index.std
            nearest = nearest_keys(query, self.index.keys, self.top_k, excluded, self.index.clips)
            ranks = jax.random.randint(jax.random.fold_in(key, place), (num_clips, num_reactions), 0, number[:, None])
            chosen = np.take_along_axis(nearest, np.asarray(ranks), axis=1)
            part = self.index.values[chosen]  # N K S C
            reactions[:, :, start : start + length] = part[:, :, :length] if self.causal else part[:, :, -length:]
        return reactions

    def _others(self, excluded: Int[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
        """How many keys are left for each clip without those of the training clip that it is."""
        assert self.index is not None
        left = (len(self.index.keys) - (self.index.clips[None] == excluded[:, None]).sum(1)).astype(np.int32)
        if not left.all():
            raise UserError(f"{self.name} leaves a clip's own answer out, and no other was learnt; give more clips")
        return left

    def _size(self, inputs: Inputs) -> tuple[int, int]:
        if self.by == "speaker":
            num_clips, num_frames = seen_speaker(inputs, self.name).shape[:2]
            return num_clips, num_frames
        if inputs.audio is None:
            raise UserError(f"{self.name} needs the speaker's voice; give clips with sound")
        return inputs.audio.shape[0], inputs.audio.shape[1] // SAMPLES_PER_FRAME

    def _held(self, inputs: Inputs) -> Inputs:
        """With faces that were lost as they were seen last, in whichever segment that was."""
        return inputs._replace(speaker=held(seen_speaker(inputs, self.name))) if self.by == "speaker" else inputs

    def _features(self, inputs: Inputs, start: int) -> Float[np.ndarray, "N F"]:
        """Of the segment that begins with a frame; before the clip its first frame, or silence, goes on."""
        num_frames = self._size(inputs)[1]
        frames = np.arange(start, start + SEGMENT)
        if self.by == "speaker":
            assert inputs.speaker is not None
            part = np.asarray(inputs.speaker)[:, np.clip(frames, 0, num_frames - 1)]
            return part.reshape(len(part), -1).astype(np.float32)
        assert inputs.audio is not None
        voice = np.asarray(inputs.audio).reshape(len(inputs.audio), num_frames, SAMPLES_PER_FRAME)
        heard = np.zeros((len(voice), SEGMENT, SAMPLES_PER_FRAME), np.float32)
        inside = (frames >= 0) & (frames < num_frames)
        heard[:, inside] = voice[:, frames[inside]]
        if self.embed is None:
            return log_mel(heard.reshape(len(voice), -1)).mean(1)
        features = self.embed(heard.reshape(len(voice), -1))
        return np.concatenate([features.mean(1), features.std(1)], axis=-1)


def nearest_keys(
    query: Float[np.ndarray, "N F"],
    keys: Float[np.ndarray, "J F"],
    count: int,
    excluded: Int[np.ndarray, " N"],
    clips: Int[np.ndarray, " J"],
) -> Int[np.ndarray, "N k"]:
    """The nearest keys of each query by squared Euclidean distance, nearest first; of equals the first.

    Excluded keys come last: where fewer than k are left, the rest of the row means nothing.

    Args:
      query: standardised.
      keys: likewise.
      count: k.
      excluded: a clip whose keys do not count, for each query; -1: none.
      clips: those of the keys.
    """
    best = np.full((len(query), count), np.inf, np.float32)
    rows = np.zeros((len(query), count), int)
    for start in range(0, len(keys), _CHUNK):
        part = keys[start : start + _CHUNK]
        found, which = _nearest_of(query, part, excluded, clips[start : start + _CHUNK], min(count, len(part)))
        distances = np.concatenate([best, np.asarray(found)], axis=1)
        places = np.concatenate([rows, start + np.asarray(which)], axis=1)
        order = np.argsort(distances, axis=1, kind="stable")[:, :count]
        best, rows = np.take_along_axis(distances, order, axis=1), np.take_along_axis(places, order, axis=1)
    return rows


@functools.partial(jax.jit, static_argnums=4)
def _nearest_of(
    query: Float[AnyArray, "N F"],
    keys: Float[AnyArray, "J F"],
    excluded: Int[AnyArray, " N"],
    clips: Int[AnyArray, " J"],
    count: int,
) -> tuple[Float[Array, "N k"], Int[Array, "N k"]]:
    query, keys = jnp.asarray(query, jnp.float32), jnp.asarray(keys)
    product = jnp.matmul(query, keys.T, precision=jax.lax.Precision.HIGHEST)
    distance = jnp.square(query).sum(1)[:, None] - 2 * product + jnp.square(keys).sum(1)[None]
    distance = jnp.where(jnp.asarray(excluded)[:, None] == jnp.asarray(clips)[None], jnp.inf, distance)
    nearest, which = jax.lax.top_k(-distance, count)
    return -nearest, which
