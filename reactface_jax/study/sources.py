"""Where a study's videos come from: folders of videos, or evaluations whose reactions are drawn."""

import base64
import binascii
import functools
import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from reactface_jax.errors import UserError
from reactface_jax.evaluation.page.html import PAGE_NAME
from reactface_jax.evaluation.page.packing import unpack_tracks
from reactface_jax.text_reading import read_text

SUFFIXES = (".mp4", ".m4v", ".webm")
"""Videos that browsers play."""
GROUND_TRUTH = "GT"
"""The name under which an evaluation's real listener is drawn."""


@runtime_checkable
class Source(Protocol):
    """A method's reactions."""

    def clips(self) -> Sequence[str]:
        """Names of the clips that it has, sorted."""
        ...

    def frames(self, clip: str) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """Pictures of the listener at 25 fps."""
        ...

    def digest(self, clip: str) -> bytes:
        """SHA-256 of what the pictures are made from."""
        ...


@dataclass(frozen=True)
class Folder:
    """A video a clip."""

    path: Path
    files: Mapping[str, Path]
    """By the clip's name, which is the file's without its ending."""

    def clips(self) -> Sequence[str]:
        return sorted(self.files)

    def frames(self, clip: str) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        from reactface_jax.media.video import iterate_video

        return iterate_video(self.files[clip])

    def digest(self, clip: str) -> bytes:
        """SHA-256 of a clip's file. Raises `UserError` if it can't be read."""
        try:
            with self.files[clip].open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        except OSError as error:
            raise UserError(f"{self.files[clip]} can't be read: {error.strerror or error}") from error


def open_folder(path: Path) -> Folder:
    """The videos of a folder.

    Raises:
      UserError: it is no folder, has no videos that browsers play, or two of one name.
    """
    if not path.is_dir():
        raise UserError(f"{path} is no folder; give a folder of videos, or of an evaluation")
    files: dict[str, Path] = {}
    for file in sorted(path.iterdir()):
        if file.suffix.lower() not in SUFFIXES or file.name.startswith("."):
            continue
        if file.stem in files:
            raise UserError(f"{path} has {files[file.stem].name} and {file.name}, one clip twice; remove one of them")
        files[file.stem] = file
    if not files:
        raise UserError(f"{path} has no video that browsers play ({', '.join(SUFFIXES)}); convert them to mp4")
    return Folder(path, files)


class EvaluationPage:
    """What an evaluation's report.html holds: coefficients of its clips, and recordings of the people.

    Raises:
      UserError: the page is missing or damaged, or has no recordings.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / PAGE_NAME
        advice = "evaluate again, with --page-clips above 0"
        self._text = read_text(self.path, advice=advice)
        try:
            self._page: dict[str, Any] = json.loads(self._script("page"))
            self._about = {clip_name(clip["name"]): clip for clip in self._page["clips"] if clip["recorded"]}
            self.channels: list[str] = list(self._page["channels"])
            self.methods: list[str] = list(self._page["methods"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{self.path} is no page of an evaluation, or is damaged; {advice}") from error
        if not self._about:
            raise UserError(
                f"{self.path} has no recordings of its speakers; evaluate a data set with videos and without "
                "--no-recordings, or give folders of videos"
            )

    def clips(self) -> Sequence[str]:
        return sorted(self._about)

    @functools.cached_property
    def digest(self) -> bytes:
        """SHA-256 of the page."""
        return hashlib.sha256(self._text.encode()).digest()

    def coefficients(self, clip: str, method: str) -> Float[np.ndarray, "T C"]:
        """The first reaction of a method to a clip, or of the real listener."""
        about = self._about[clip]
        try:
            tracks = unpack_tracks(about, self._script(f"tracks-{about['clip']}"), len(self.channels))
        except (KeyError, TypeError, ValueError, OSError, EOFError) as error:
            raise UserError(f"{self.path} is damaged at {clip}; evaluate again") from error
        for track in tracks:
            if (track.kind, track.method) == ("listener", "") and method == GROUND_TRUTH:
                return track.values
            if (track.kind, track.method) == ("reaction", method):
                return track.values
        raise UserError(f"{self.path} has no reaction of {method} to {clip}; evaluate again")

    @contextmanager
    def recording(self, clip: str) -> Iterator[Path]:
        """A video of the speaker, left, and the listener, with the speaker's voice."""
        try:
            content = base64.b64decode(self._script(f"recording-{self._about[clip]['clip']}"), validate=True)
        except (binascii.Error, KeyError) as error:
            raise UserError(f"{self.path} is damaged at {clip}; evaluate again") from error
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "recording.mp4"
            path.write_bytes(content)
            yield path

    def _script(self, name: str) -> str:
        found = re.search(rf'<script type="[\w/]+" id="{re.escape(name)}">([^<]*)</script>', self._text)
        if found is None:
            raise KeyError(name)
        return found[1]


@dataclass(frozen=True)
class Drawn:
    """A method's reactions in an evaluation, drawn as the project's head."""

    page: EvaluationPage
    method: str

    def clips(self) -> Sequence[str]:
        return self.page.clips()

    def frames(self, clip: str) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        from reactface_jax.rendering.listener_drawers import HeadDrawer

        drawer = HeadDrawer(self.page.channels)
        try:
            for (picture,) in drawer.pictures(self.page.coefficients(clip, self.method)[None]):
                yield picture
        finally:
            drawer.close()

    def digest(self, clip: str) -> bytes:
        return self.page.digest


def open_source(name: str, path: Path, pages: dict[Path, EvaluationPage]) -> Source:
    """A method's reactions.

    Args:
      name: of the method, for the participants' answers; in an evaluation of several methods, which of them, or `GT`.
      path: folder of videos, or of an evaluation.
      pages: evaluations that were opened, by their folders; a new one is added.

    Raises:
      UserError: as `open_folder`, `EvaluationPage`, or the evaluation has no such method.
    """
    if not (path / PAGE_NAME).is_file():
        return open_folder(path)
    if path not in pages:
        pages[path] = EvaluationPage(path)
    page = pages[path]
    if name == GROUND_TRUTH or name in page.methods:
        return Drawn(page, name)
    if len(page.methods) == 1:
        return Drawn(page, page.methods[0])
    raise UserError(f"{path} evaluates {', '.join(page.methods)}, and not {name}; name one of them, or {GROUND_TRUTH}")


def check_same_clips(methods: Mapping[str, Source], speakers: Folder | None) -> tuple[str, ...]:
    """The clips that all methods have.

    Raises:
      UserError: one method lacks a clip of another, or there is no video of a clip's speaker.
    """
    every = sorted({clip for source in methods.values() for clip in source.clips()})
    for name, source in methods.items():
        if missing := [clip for clip in every if clip not in source.clips()]:
            owner = next(other for other, its in methods.items() if missing[0] in its.clips())
            raise UserError(
                f"{name} has no clip {missing[0]}{_more(missing)}, which {owner} has; "
                "all methods must have files of the same names"
            )
    if speakers is not None and (missing := [clip for clip in every if clip not in speakers.files]):
        raise UserError(
            f"--speakers {speakers.path} has no video {missing[0]}{_more(missing)}; "
            "speakers' files must have the names of the listeners'"
        )
    return tuple(every)


def clip_name(identity: str) -> str:
    """A clip's name as a file's: its folders with hyphens."""
    return re.sub(r"[^\w.+-]+", "-", identity).strip("-") or "clip"


def _more(missing: Sequence[str]) -> str:
    return f" and {len(missing) - 1} more" if len(missing) > 1 else ""
