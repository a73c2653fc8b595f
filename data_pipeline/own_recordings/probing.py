"""What a clip's files say of themselves, without decoding pictures and sound: enough to find most damage in minutes."""

from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from data_pipeline.raw_tree.clip_arrays import read_attributes, read_coefficients
from data_pipeline.raw_tree.clips import UNREADABLE, check_duration, common_length, frame_files
from data_pipeline.raw_tree.react2023 import Person
from data_pipeline.shards.remote import AnyPath
from reactface_jax.errors import UserError
from reactface_jax.media.open_media import open_media
from reactface_jax.types import FRAME_RATE


@dataclass(frozen=True)
class Probe:
    """What was found of a person's clip. Lengths are in frames of 25 a second."""

    form: str  # "mp4", "png folders" or "no videos"
    damage: str = ""  # what is wrong, in a sentence; then nothing else is known
    lengths: dict[AnyPath, int] = field(default_factory=dict)  # of video, coefficients and attributes
    size: tuple[int, int] | None = None  # height and width, if the video was opened
    audio: int | None = None  # length, if it was opened

    @property
    def is_short(self) -> bool:
        """Whether the sound ends a frame or more before the picture."""
        return self.audio is not None and self.audio < min(self.lengths.values())


def probe(person: Person) -> Probe:
    """Looks at a person's files. In a bucket, videos and sounds are not opened: that would fetch them."""
    form = "no videos" if person.video is None else "png folders" if person.video.is_dir() else "mp4"
    try:
        lengths: dict[AnyPath, int] = {person.coefficients: len(read_coefficients(person.coefficients))}
        if person.attributes is not None:
            lengths[person.attributes] = len(read_attributes(person.attributes))
        if not isinstance(person.audio, Path) or not isinstance(person.video, Path | None):
            common_length(lengths)
            return Probe(form, lengths=lengths)
        size = None
        if person.video is not None:
            lengths[person.video], size = _probe_video(person.video)
        audio = _probe_audio(person.audio)
        common_length(lengths)
        check_duration(person.audio, audio / FRAME_RATE, lengths)
        return Probe(form, lengths=lengths, size=size, audio=audio)
    except UserError as error:
        return Probe(form, damage=str(error))


def _probe_video(path: Path) -> tuple[int, tuple[int, int]]:
    if path.is_dir():
        return _probe_frames(path)
    with open_media(path) as container:
        if not container.streams.video:
            raise UserError(f"{path} has no video track; give a video with a picture")
        stream = container.streams.video[0]
        if stream.duration is not None and stream.time_base is not None:
            seconds = float(stream.duration * stream.time_base)
        else:
            seconds = (container.duration or 0) / 1_000_000
        return round(seconds * FRAME_RATE), (stream.height, stream.width)


def _probe_frames(folder: Path) -> tuple[int, tuple[int, int]]:
    files = frame_files(folder)
    try:
        with Image.open(files[0]) as image:
            return len(files), (image.height, image.width)
    except UNREADABLE as error:
        raise UserError(f"{files[0]} is not a png; unpack the frames again") from error


def _probe_audio(path: Path) -> int:
    with open_media(path) as container:
        if not container.streams.audio:
            raise UserError(f"{path} has no sound track; give a file with sound")
        if not container.duration:
            raise UserError(f"{path} has an empty sound track; record or convert it again")
        return round(container.duration / 1_000_000 * FRAME_RATE)
