"""A piece of a conversation of any form: who is in it, where their files are, and how it becomes two examples."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from data_pipeline.open_data import faces
from data_pipeline.open_data.features import Feature, rows_at, stretch
from data_pipeline.open_data.media import pictures, sound
from data_pipeline.open_data.members import Member
from data_pipeline.raw_tree.clip_arrays import NUM_ATTRIBUTES, finite
from data_pipeline.raw_tree.clips import Clip, as_integers, jpeg
from data_pipeline.raw_tree.reader import ReadPiece, Tables
from reactface_jax.errors import UserError
from reactface_jax.media.face import CROP_SIZE
from reactface_jax.media.video import resize
from reactface_jax.types import FRAME_RATE, NUM_COEFFICIENTS, SAMPLES_PER_FRAME

_TOLERANCE = FRAME_RATE
"""A piece that ends earlier than its files promise by more is damaged (frames)."""


@dataclass(frozen=True)
class Voice:
    """Where one person is heard."""

    file: Member
    channel: int | None = None
    """None: the mean of all channels."""


@dataclass(frozen=True)
class Given:
    """Coefficients that come with the data, instead of measured ones."""

    coefficients: tuple[Feature, ...]
    """Their columns come one after the other; columns that are wanting to 58 are 0."""
    columns: tuple[tuple[int, int], ...]
    """Of each, the first column and the one after the last."""
    attributes: Feature | None = None

    @property
    def features(self) -> tuple[Feature, ...]:
        return (*self.coefficients, *([self.attributes] if self.attributes else []))


@dataclass(frozen=True)
class Side:
    """One person's files of a conversation."""

    id: str
    """Of the person in the conversation."""
    seconds: float
    """Length of the recording, by which its arrays' rates are known."""
    view: faces.View | None
    """None: the form has no pictures."""
    voice: Voice | None
    """None: nothing is heard of the person."""
    given: Given | None = None
    kept: tuple[tuple[Feature, Feature | None], ...] = ()
    """The data set's own arrays that a user wants beside the examples, each with where it is valid."""

    def files(self) -> list[Member]:
        """All that a piece is read from."""
        features = [feature for pair in self.kept for feature in pair if feature is not None]
        if self.given:
            features += self.given.features
        if self.view and self.view.boxes:
            features += [self.view.boxes.box, self.view.boxes.is_valid]
        media = [self.view.video] if self.view else []
        return [*media, *([self.voice.file] if self.voice else []), *(feature.file for feature in features)]


@dataclass(frozen=True)
class OpenPiece:
    """A stretch of a conversation; who mostly talks comes first."""

    people: tuple[Side, Side]
    start: int
    """Frames of 25 a second from the beginning."""
    num_frames: int
    min_seen: float

    @property
    def ids(self) -> tuple[str, str]:
        """Each person's, with the second at which the piece begins."""
        at = f"{self.start / FRAME_RATE:g}"
        return f"{self.people[0].id}/{at}", f"{self.people[1].id}/{at}"

    def stamp(self) -> list[object]:
        """Ids, place, settings, and what each file is known by."""
        names = [[feature.name for feature, _ in side.kept] for side in self.people]
        files = [member.stamp() for side in self.people for member in side.files()]
        return [*self.ids, self.start, self.num_frames, self.min_seen, names, files]

    def read(self) -> ReadPiece:
        """Measures both people.

        Raises:
          NotUsable: a face is not seen for long enough.
          UserError: a file is damaged.
        """
        found = [self._person(side) for side in self.people]
        length = min(len(person.coefficients) for person in found)
        if length < self.num_frames - _TOLERANCE:
            raise UserError(
                f"{' and '.join(self.ids)}: only {length} of {self.num_frames} frames can be decoded; download the "
                "videos again"
            )
        one, other = (person.shortened(length) for person in found)
        return ReadPiece(
            clips=(_clip(self.ids, one, other), _clip(self.ids[::-1], other, one)),
            tables=(one.tables, other.tables),
            measured=True,
        )

    def _person(self, side: Side) -> "_Person":
        start = self.start / FRAME_RATE
        tables: Tables = {}
        attributes = np.zeros((0, NUM_ATTRIBUTES), np.float32)
        if side.given is None:
            assert side.view is not None
            face = faces.measure_face(side.id, side.view, start, self.num_frames, self.min_seen)
            frames, coefficients = face.frames, face.coefficients
            tables["confidence"] = face.confidence[:, None]
        else:
            frames = _encoded(side.view, start, self.num_frames) if side.view else []
            length = len(frames) if side.view else self.num_frames
            coefficients = _given(side, side.given, start, length)
            if side.given.attributes is not None:
                attributes = _checked(side.given.attributes, NUM_ATTRIBUTES, side.seconds, start, length)
        for feature, valid in side.kept:
            rows = stretch(feature, valid, side.seconds, start, len(coefficients))
            if rows is not None:
                tables[table_name(feature.name)] = rows
        voice = np.zeros(len(coefficients) * SAMPLES_PER_FRAME, np.float32)
        if side.voice is not None:
            voice = sound(side.voice.file, start, len(voice), side.voice.channel)
        return _Person(frames, coefficients, voice, attributes, tables)


def table_name(feature: str) -> str:
    """Under which name a data set's array lies beside the examples."""
    return "theirs_" + "".join(letter if letter.isalnum() else "_" for letter in feature)


@dataclass(frozen=True)
class _Person:
    frames: list[bytes]
    coefficients: Float[np.ndarray, "T 58"]
    voice: Float[np.ndarray, " L"]
    attributes: Float[np.ndarray, "T_or_0 25"]
    tables: Tables

    def shortened(self, length: int) -> "_Person":
        tables = {name: table[:length] for name, table in self.tables.items()}
        voice = self.voice[: length * SAMPLES_PER_FRAME]
        return _Person(self.frames[:length], self.coefficients[:length], voice, self.attributes[:length], tables)


def _clip(ids: tuple[str, str], speaker: _Person, listener: _Person) -> Clip:
    pictures_there = bool(speaker.frames and listener.frames)
    return Clip(
        speaker_id=ids[0],
        listener_id=ids[1],
        frames=speaker.frames if pictures_there else [],
        size=(CROP_SIZE, CROP_SIZE) if pictures_there else (0, 0),
        audio=as_integers(speaker.voice),
        speaker=speaker.coefficients,
        listener=listener.coefficients,
        speaker_attributes=speaker.attributes,
        listener_attributes=listener.attributes,
        portrait=listener.frames[0] if pictures_there else jpeg(np.zeros((1, 1, 3), np.uint8)),
    )


def _encoded(view: faces.View, start: float, num_frames: int) -> list[bytes]:
    """Pictures that are crops of faces already."""
    frames: list[bytes] = []
    last = None
    for picture in pictures(view.video, start, num_frames):
        frames.append(frames[-1] if picture is last else jpeg(resize(picture.rgb, (CROP_SIZE, CROP_SIZE))))
        last = picture
    return frames


def _given(side: Side, given: Given, start: float, length: int) -> Float[np.ndarray, "T 58"]:
    parts = []
    for feature, (first, stop) in zip(given.coefficients, given.columns, strict=True):
        rows = _checked(feature, None, side.seconds, start, length)
        if rows.shape[1] < stop:
            raise UserError(
                f"{feature.name} of {feature.file} has {rows.shape[1]} columns, not {stop}; download it again"
            )
        parts.append(rows[:, first:stop])
    joined = np.concatenate(parts, axis=1)
    return np.pad(joined, ((0, 0), (0, NUM_COEFFICIENTS - joined.shape[1])))


def _checked(
    feature: Feature, columns: int | None, seconds: float, start: float, length: int
) -> Float[np.ndarray, "T C"]:
    """A feature's rows of a stretch, all of them usable numbers."""
    array = feature.rows()
    array = array.reshape(len(array), -1) if len(array) else np.zeros((0, 0))
    if not len(array) or (columns is not None and array.shape[1] != columns):
        raise UserError(f"{feature.name} of {feature.file} has shape {list(array.shape)}; download it again")
    array = finite(array, f"{feature.name} of {feature.file}", "download it again")
    return array[rows_at(len(array), seconds, start, length)]
