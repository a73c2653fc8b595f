"""What each command needs beyond the base: extras, and things that must work."""

from typing import NamedTuple


class Needs(NamedTuple):
    """Of a command."""

    extras: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()
    """Names of `probes.PROBES`."""
    note: str = ""
    """What of it works without."""


NEEDS = {
    "train": Needs(("data", "render")),
    "eval": Needs(("data", "render"), (), "of arrays, with --predictions, it needs the latter only"),
    "react": Needs(("render",), ("drawing", "faces", "codecs"), "--renderer none draws nothing"),
    "live": Needs(("render", "live"), ("faces",)),
    "export": Needs(("render",)),
    "convert": Needs(("convert",)),
    "prepare": Needs(("data", "render"), ("codecs",)),
    "dyads": Needs(("data", "render"), ("drawing", "codecs"), "--no-pictures draws nothing"),
    "ablations": Needs(("data", "render")),
    "realism": Needs(("render",), ("codecs",)),
    "study": Needs(("render", "live"), ("codecs",), "analyse, and build from folders without --speakers, need neither"),
    "replay": Needs(("data", "render")),
    "sample-clip": Needs(("render",)),
}
"""By the command's name."""
