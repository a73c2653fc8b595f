"""The time of a file's packets on one clock that never jumps, for picture and sound alike.

A file's timestamps are taken as they are, with their gaps. Only where its clock was set anew, as in transport streams
joined by their bytes, what follows is moved to where what came before has ended, and picture and sound by the same
time. The packets are read once for that, without decoding them.
"""

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
import av.error
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from reactface_jax.errors import UserError
from reactface_jax.media.avi import AviClock, is_avi
from reactface_jax.media.open_media import audio_track, open_media, video_track

F = TypeVar("F", VideoFrame, AudioFrame)

_BACK = Fraction(1, 2)
"""In formats without an index, a clock that goes back by more was set anew; by less, packets came late (s)."""
_FORWARD = Fraction(10)
"""In formats without an index, a gap of all tracks beyond this is a clock that was set anew (s)."""
_APART = Fraction(1)
"""Tracks lie within this of each other in a file, so that one clock is set anew in all of them (s)."""
_LONGEST_GAP = Fraction(60)
"""In other formats a gap of all tracks is believed up to this (s)."""
_MOST_BACK = Fraction(1)
"""In other formats decoding times that go back by more than this are damage (s)."""
_TRUNCATION_TOLERANCE = Fraction(1, 2)
"""A file that ends this much earlier than its header says was cut off (s)."""
_LONGER = Fraction(1)
"""Nor does a whole file end by more than this later (s)."""
_LENGTH_OF_ALL = ("matroska,webm",)
"""Formats whose headers have the length of the whole instead of each track's."""
_LENGTH_OF_SOUND = ("mov,mp4,m4a,3gp,3g2,mj2",)
"""Formats whose headers have the true length of a sound track."""
_MAY_JUMP = 0x0200
"""FFmpeg's AVFMT_TS_DISCONT: a format of broadcasts and live streams."""


@dataclass(frozen=True)
class Timeline:
    """Where a file's packets belong in time."""

    shifts: dict[int, list[tuple[int, Fraction]]]
    """Index of a track → number of a packet and the seconds to add from it on."""
    promised: dict[int, Fraction]
    """Index of a track → where it ends by the file's header (s)."""

    def check_end(self, path: str | Path, stream: VideoStream | AudioStream, end: Fraction | float) -> None:
        """Raises `UserError` where the header promises more of a track than there is up to `end` (s)."""
        _check_end(path, self.promised.get(stream.index), end)


def may_jump(container: InputContainer) -> bool:
    """Whether the clock may be set anew within a file, by its format."""
    return bool(container.format.flags & _MAY_JUMP)


@dataclass
class _Part:
    """What was read under one setting of the clock; times are the file's own (s), by index of the track."""

    begun: Fraction
    """Decoding time of its first packet."""
    newest: Fraction
    """Latest decoding time or end of a packet."""
    first: dict[int, Fraction] = field(default_factory=dict)
    last: dict[int, Fraction] = field(default_factory=dict)
    """When the last packet is shown."""
    ends: dict[int, Fraction] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)

    def add(self, index: int, shown: Fraction, length: Fraction) -> None:
        self.first[index] = min(self.first.get(index, shown), shown)
        self.last[index] = max(self.last.get(index, shown), shown)
        self.ends[index] = max(self.ends.get(index, shown), shown + length)
        self.newest = max(self.newest, shown + length)
        self.counts[index] += 1

    def end(self, index: int) -> Fraction:
        """When the track ends; where packets do not say how long they last, as long as they do on average."""
        if self.ends[index] > self.last[index] or self.counts[index] < 2:
            return self.ends[index]
        return self.last[index] + (self.last[index] - self.first[index]) / (self.counts[index] - 1)


def read_timeline(path: str | Path) -> Timeline:
    """Reads all packets of a file's first video and sound tracks.

    Raises:
      UserError: the file can't be read, is cut off, or nothing is in it for over a minute.
    """
    with open_media(path) as container:
        video = video_track(container)
        tracks = [track for track in (video, audio_track(container)) if track is not None]
        jumps = may_jump(container)
        parts, begins, others_end = _read_parts(path, container, tracks, jumps) if tracks else ([], {}, Fraction(0))
        offsets = _offsets(parts, None if video is None else video.index)
        promised = {} if jumps else {track.index: end for track in tracks if (end := _promised(container, track))}
        if container.format.name in _LENGTH_OF_ALL and container.duration is not None:
            ends = [part.end(index) for part in parts for index in part.ends]
            end = max(ends, default=Fraction(0))
            _check_whole(path, Fraction(container.duration, av.time_base), end, others_end)
    shifts = {index: [(number, offsets[part]) for number, part in steps] for index, steps in begins.items()}
    return Timeline(shifts, promised)


def decode(
    container: InputContainer, stream: VideoStream | AudioStream, timeline: Timeline, kind: type[F]
) -> Iterator[F]:
    """Decodes a track; frames have their times on the timeline.

    Packets before the first that can be decoded are passed over: a recording may begin between keyframes. Pictures of
    an avi, whose timestamps are none, have the times that `media.avi` says.

    Raises:
      UserError: FFmpeg has no decoder for the track.
    """
    if stream.codec_context is None:
        what = "picture" if stream.type == "video" else "sound"
        raise UserError(f"the {what} of {container.name} is in no form that FFmpeg knows; convert it")
    shifts, shift = iter(timeline.shifts.get(stream.index, [])), Fraction(0)
    following = next(shifts, None)
    begun = False
    avi = AviClock() if is_avi(container) else None
    packets = (packet for packet in _packets(container) if packet.stream.index == stream.index)
    for number, packet in enumerate(packets):
        if following is not None and number >= following[0]:
            shift, following = following[1], next(shifts, None)
        if shift:
            _move(packet, shift)
        if avi is not None:
            avi.enter(packet)
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            if begun:
                raise
            continue
        for frame in frames:
            begun = True
            if avi is not None and isinstance(frame, VideoFrame):
                avi.leave(frame)
            if isinstance(frame, kind):
                yield frame


def picture_begins(path: str | Path, timeline: Timeline) -> Fraction | None:
    """When the first picture that can be decoded is shown (s, on the timeline); None for a file without a picture."""
    with open_media(path) as container:
        stream = video_track(container)
        if stream is None:
            return None
        first = next(decode(container, stream, timeline, VideoFrame), None)
        return None if first is None else time_of(first, Fraction(0))


def time_of(frame: VideoFrame | AudioFrame, otherwise: Fraction) -> Fraction:
    """When a frame is shown or sounds (s); raw streams have no timestamps."""
    if frame.pts is None or frame.time_base is None:
        return otherwise
    return frame.pts * frame.time_base


def _promised(container: InputContainer, track: VideoStream | AudioStream) -> Fraction | None:
    """Where a track ends by the header (s). Of sounds that have none, FFmpeg guesses by the bit rate."""
    if track.duration is None or track.time_base is None:
        return None
    if track.type == "audio" and container.format.name not in _LENGTH_OF_SOUND:
        return None
    return (track.duration + (track.start_time or 0)) * track.time_base


def _check_end(path: str | Path, promised: Fraction | None, end: Fraction | float) -> None:
    if promised is not None and end < promised - _TRUNCATION_TOLERANCE:
        raise UserError(f"{path} is cut off: {float(end):.1f} of {float(promised):.1f} s are there; copy it again")


def _read_parts(
    path: str | Path, container: InputContainer, tracks: list[VideoStream | AudioStream], jumps: bool
) -> tuple[list[_Part], dict[int, list[tuple[int, int]]], Fraction]:
    """The settings of the clock, with which packet of a track each of them begins, and when other tracks end (s)."""
    parts: list[_Part] = []
    begins: dict[int, list[tuple[int, int]]] = {track.index: [] for track in tracks}
    numbers = dict.fromkeys(begins, -1)
    latest: dict[int, Fraction] = {}  # decoding time of a track's last packet
    before: dict[int, Fraction] = {}  # the same when the clock was set last
    others_end = Fraction(0)
    for packet in _packets(container):
        index = packet.stream.index  # packets at the end have no number of their own
        if index not in numbers:  # of another track, such as subtitles
            if packet.pts is not None:
                others_end = max(others_end, (packet.pts + (packet.duration or 0)) * packet.time_base)
            continue
        numbers[index] += 1
        ticks = packet.dts if packet.pts is None else packet.pts
        if ticks is None:
            continue
        shown = ticks * packet.time_base
        decoded = shown if packet.dts is None else packet.dts * packet.time_base
        part = begins[index][-1][1] if begins[index] else 0
        if not parts:
            parts.append(_Part(decoded, decoded))
        elif packet.dts is not None and _was_set_anew(path, parts[part], latest.get(index), decoded, jumps):
            part += 1
            if part == len(parts) or abs(decoded - parts[part].begun) > _FORWARD:
                part = len(parts)
                parts.append(_Part(decoded, decoded))
                before = dict(latest)
        if part < len(parts) - 1 and decoded > before.get(index, decoded) + _APART:
            raise UserError(
                f"the clocks of picture and sound of {path} differ from {float(decoded):.1f} s on: its timestamps are "
                "damaged; convert it again"
            )
        if not begins[index] or begins[index][-1][1] != part:
            begins[index].append((numbers[index], part))
        parts[part].add(index, shown, (packet.duration or 0) * packet.time_base)
        latest[index] = decoded
    return parts, begins, others_end


def _packets(container: InputContainer) -> Iterator[Packet]:
    """All packets; at the end PyAV stumbles over tracks that FFmpeg found midway, after ours have had their last."""
    with contextlib.suppress(IndexError):
        yield from container.demux()


def _was_set_anew(path: str | Path, part: _Part, latest: Fraction | None, decoded: Fraction, jumps: bool) -> bool:
    """Whether a track's next packet is of another setting of the clock than its last."""
    back = Fraction(0) if latest is None else latest - decoded
    ahead = decoded - part.newest
    if jumps:
        return back > _BACK or ahead > _FORWARD
    if back > _MOST_BACK or ahead > _LONGEST_GAP:
        what = f"goes back by {float(back):.1f} s" if back > 0 else f"holds nothing for {float(ahead):.0f} s"
        raise UserError(
            f"{path} {what} before {float(decoded):.1f} s: its timestamps are damaged, or two recordings were joined; "
            "cut it there, or convert it again"
        )
    return False


def _offsets(parts: list[_Part], video: int | None) -> list[Fraction]:
    """Seconds to add to each part's times: pictures follow those before, or sound does where there are none."""
    offsets = [Fraction(0)]
    for before, after in itertools.pairwise(parts):
        if video in before.ends and video in after.ends:
            assert video is not None
            gap = after.first[video] - before.end(video)
        else:
            gap = min(after.first.values()) - max(before.end(index) for index in before.ends)
        offsets.append(offsets[-1] - gap)
    return offsets


def _check_whole(path: str | Path, promised: Fraction, end: Fraction, others_end: Fraction) -> None:
    _check_end(path, promised, max(end, others_end))  # the header's length is that of the longest track
    if end > promised + _LONGER:
        raise UserError(
            f"{path} goes to {float(end):.1f} s, but its header says {float(promised):.1f} s: its timestamps are "
            "damaged; convert it again"
        )


def _move(packet: Packet, seconds: Fraction) -> None:
    ticks = round(seconds / packet.time_base)
    if packet.pts is not None:
        packet.pts += ticks
    if packet.dts is not None:
        packet.dts += ticks
