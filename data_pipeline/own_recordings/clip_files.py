"""Writes what was measured of people in a video, clip by clip: crops, sound, coefficients and a preview."""

import contextlib
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from data_pipeline.own_recordings.mouth_and_sound import envelope
from data_pipeline.own_recordings.preview import Preview, jaw_figure
from reactface_jax.extraction.people import Measured
from reactface_jax.media.face import CROP_SIZE, crop
from reactface_jax.media.picture_grid import layout_size
from reactface_jax.media.video import VideoWriter, iterate_video
from reactface_jax.rendering.arkit_head.mesh import ARKIT_NAMES
from reactface_jax.types import FRAME_RATE, SAMPLE_RATE, SAMPLES_PER_FRAME

COEFFICIENT_NAMES = (*ARKIT_NAMES, *(f"{kind}_{axis}" for kind in ("rotation", "translation") for axis in "xyz"))
"""As made conversations call them."""

Clips = Sequence[tuple[int, int]]
"""First frame of each clip, and the one after its last."""


@dataclass(frozen=True)
class Recorded:
    """One person of a recording."""

    video: Path
    measured: Measured
    audio: Float[np.ndarray, " L"] | None
    """16 kHz, from the first frame on; None: no sound is written."""


@dataclass(frozen=True)
class Places:
    """Where the files of one person in one clip go, without their suffixes; folders are made."""

    video: Path
    audio: Path
    coefficients: Path


def write_clips(
    people: Mapping[str, Recorded],
    clips: Clips,
    place: Callable[[str, int], Places],
    preview: Callable[[int], Path] | None,
    on_frame: Callable[[], None] = lambda: None,
) -> None:
    """Writes all clips in one pass over the videos.

    Args:
      people: by role.
      clips: in order, none within another.
      place: role and number of the clip, from 1, to the files.
      preview: number of the clip to the preview's file, without its suffix; None: no previews.
      on_frame: called for each frame of the video up to the last clip's end.
    """
    crops, at = _crops(people, on_frame), 0
    with contextlib.ExitStack() as stack:
        pictures = Preview(list(people)) if preview else None
        if pictures:
            stack.callback(pictures.close)
        for number, (start, stop) in enumerate(clips, 1):
            for _ in range(start - at):
                next(crops)
            at = stop
            places = {role: _made(place(role, number)) for role in people}
            for role, person in people.items():
                _write_arrays(places[role], person, start, stop)
            with contextlib.ExitStack() as files:
                size = (CROP_SIZE, CROP_SIZE)
                writers = [files.enter_context(VideoWriter(_mp4(p.video), size=size)) for p in places.values()]
                shown = None
                if preview:
                    preview(number).parent.mkdir(parents=True, exist_ok=True)
                    sound = next((p.audio for p in people.values() if p.audio is not None), None)
                    part = None if sound is None else _sound(sound, start, stop)
                    shown = VideoWriter(_mp4(preview(number)), size=layout_size(2 * len(people)), audio=part)
                    files.enter_context(shown)
                for t in range(start, stop):
                    faces = next(crops)
                    for writer, face in zip(writers, faces, strict=True):
                        writer.write(face)
                    if shown and pictures:
                        measured = [person.measured for person in people.values()]
                        shown.write(
                            pictures.frame(
                                faces, [landmarks(m, t) for m in measured], [m.coefficients[t] for m in measured]
                            )
                        )
            if preview:
                _write_figure(preview(number), people, start, stop)


def landmarks(measured: Measured, t: int) -> Float[np.ndarray, "478 2"] | None:
    """Of the picture that frame t shows; None where the face was not found in it."""
    if not measured.measured[t]:
        return None
    while t not in measured.landmarks:  # the frame repeats an earlier one's picture
        t -= 1
    return measured.landmarks[t]


def _crops(
    people: Mapping[str, Recorded], on_frame: Callable[[], None]
) -> Iterator[list[UInt8[np.ndarray, "256 256 3"]]]:
    """Everyone's crop of each frame; a video of several people is decoded once."""
    videos = list(dict.fromkeys(person.video for person in people.values()))
    for t, frames in enumerate(zip(*(iterate_video(video) for video in videos), strict=False)):
        frame = dict(zip(videos, frames, strict=True))
        yield [crop(frame[person.video], person.measured.squares[t]) for person in people.values()]
        on_frame()


def _made(places: Places) -> Places:
    for path in (places.video, places.audio, places.coefficients):
        path.parent.mkdir(parents=True, exist_ok=True)
    return places


def _write_arrays(places: Places, person: Recorded, start: int, stop: int) -> None:
    # REACT2023 has an axis of length 1 there.
    np.save(_suffixed(places.coefficients, ".npy"), person.measured.coefficients[start:stop, None], allow_pickle=False)
    if person.audio is None:
        return
    with wave.open(str(_suffixed(places.audio, ".wav")), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.round(_sound(person.audio, start, stop) * 32767).astype("<i2").tobytes())


def _sound(audio: Float[np.ndarray, " L"], start: int, stop: int) -> Float[np.ndarray, " l"]:
    part = audio[start * SAMPLES_PER_FRAME : stop * SAMPLES_PER_FRAME]
    return np.pad(part, (0, (stop - start) * SAMPLES_PER_FRAME - len(part)))


def _write_figure(path: Path, people: Mapping[str, Recorded], start: int, stop: int) -> None:
    audio = next((person.audio for person in people.values() if person.audio is not None), None)
    loudness = envelope(np.zeros(0, np.float32) if audio is None else audio, stop)[start:]
    jaws = {role: person.measured.jaw_open[start:stop] for role, person in people.items()}
    title = f"the clip, from {start / FRAME_RATE:.1f} s of the recording on"
    _suffixed(path, ".png").write_bytes(jaw_figure(jaws, loudness, title))


def _mp4(path: Path) -> Path:
    return _suffixed(path, ".mp4")


def _suffixed(place: Path, suffix: str) -> Path:
    return place.with_name(place.name + suffix)
