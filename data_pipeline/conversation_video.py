"""One recorded conversation: both people measured, who speaks, and which clips can be cut."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from data_pipeline.own_recordings.clip_files import Recorded
from data_pipeline.own_recordings.mouth_and_sound import envelope, follows
from data_pipeline.own_recordings.pairs import SILENT, Pair, Side
from reactface_jax.errors import UserError
from reactface_jax.extraction.people import Measured, choose_two, find_people, measure, segments
from reactface_jax.media.audio import read_audio, read_audio_or_none
from reactface_jax.media.face import choose
from reactface_jax.types import FRAME_RATE, SAMPLE_RATE

OnFrame = Callable[[], None]


@dataclass(frozen=True)
class Conversation:
    """What is to be written."""

    people: dict[str, Recorded]
    """Speaker and listener."""
    clips: list[tuple[int, int]]
    facts: dict[str, Any]
    """For those who want to know whether it went well: JSON-able."""


def read_conversation(
    pair: Pair, clip_seconds: float, min_seconds: float, on_frame: OnFrame = lambda: None
) -> Conversation:
    """Measures both people of a pair.

    Raises:
      UserError: sound or a face is missing, or there is no stretch in which both faces are seen for long enough.
    """
    sounds = {role: _sound(pair, role, side) for role, side in pair.sides.items()}
    measured = _one_video(pair, sounds["speaker"], on_frame) if pair.one_video else _two_videos(pair, on_frame)
    num_frames = min(len(person.usable) for person in measured.values())
    lengths = {role: len(person.usable) / FRAME_RATE for role, person in measured.items()}
    measured = {role: _shortened(person, num_frames) for role, person in measured.items()}
    usable = np.logical_and(*(person.usable for person in measured.values()))
    clips = segments(usable, round(clip_seconds * FRAME_RATE), round(min_seconds * FRAME_RATE))
    if not clips:
        raise UserError(
            f"{pair.name}: speaker and listener are not both seen for {min_seconds:g} s on end, but for "
            f"{_longest_run(usable) / FRAME_RATE:.1f} s at most; give a smaller --min-seconds, or another video"
        )
    loudness = envelope(sounds["speaker"], num_frames)
    facts = {
        "seconds": lengths,
        "sound_seconds": {role: round(len(sound) / SAMPLE_RATE, 2) for role, sound in sounds.items()},
        "cut_seconds": sum(stop - start for start, stop in clips) / FRAME_RATE,
        "frames_without_face": {role: int((~person.measured).sum()) for role, person in measured.items()},
        "jaw_open_std": {role: round(float(p.jaw_open[usable].std()), 4) for role, p in measured.items()},
        "jaw_open_follows_speaker_sound": {
            role: round(follows(person.jaw_open, loudness, usable), 3) for role, person in measured.items()
        },
    }
    people = {role: Recorded(pair.sides[role].video, measured[role], sounds[role]) for role in pair.sides}
    return Conversation(people, clips, facts)


def _sound(pair: Pair, role: str, side: Side) -> Float[np.ndarray, " L"]:
    if side.audio == SILENT:
        return np.zeros(0, np.float32)
    if side.audio:
        return read_audio(Path(side.audio))
    sound = read_audio_or_none(side.video)
    if sound is None:
        raise UserError(
            f"{pair.name}: {side.video} has no sound track; give a sound file in the column {role}_audio, or "
            f"{SILENT} for silence"
        )
    return sound


def _one_video(pair: Pair, sound: Float[np.ndarray, " L"], on_frame: OnFrame) -> dict[str, Measured]:
    """Both in one picture; the speaker is who the csv says, or whose mouth moves with the sound."""
    video, faces = pair.speaker.video, (pair.speaker.face, pair.listener.face)
    if not any(faces) and not len(sound):
        raise UserError(f"{pair.name}: without sound it can't be found who speaks; give speaker_face as left or right")
    tracks, num_frames = find_people(video, on_frame)
    first, second = measure(video, choose_two(tracks, *faces, video), num_frames, on_frame)
    if not any(faces):
        loudness = envelope(sound, num_frames)
        spoken = [follows(p.jaw_open, loudness, p.usable) * p.jaw_open[p.usable].std() for p in (first, second)]
        if spoken[1] > spoken[0]:
            first, second = second, first
    return {"speaker": first, "listener": second}


def _two_videos(pair: Pair, on_frame: OnFrame) -> dict[str, Measured]:
    people = {}
    for role, side in pair.sides.items():
        tracks, num_frames = find_people(side.video, on_frame)
        track = choose(tracks, side.face or "largest", str(side.video))
        (people[role],) = measure(side.video, [track], num_frames, on_frame)
    return people


def _shortened(person: Measured, num_frames: int) -> Measured:
    arrays = {name: getattr(person, name)[:num_frames] for name in ("squares", "coefficients", "usable", "measured")}
    return replace(person, **arrays)


def _longest_run(usable: np.ndarray) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], usable, [False]]).astype(np.int8)))
    return int(np.diff(edges.reshape(-1, 2), axis=1).max(initial=0))
