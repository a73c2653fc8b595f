"""A study's page: one HTML file beside its videos, which works from disk and behind the study's server."""

import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from reactface_jax.study.design import Trial
from reactface_jax.study.questions import SPEAKER_QUESTION
from reactface_jax.study.study_file import STEPS, VIDEOS, Study

PAGE_NAME = "index.html"
_SIDES = {
    True: "on the left somebody who speaks, on the right somebody who listens",
    False: "somebody who speaks and somebody who listens",
}
_TEMPLATE = Path(__file__).parent / "template"
HEADERS = {
    # Nothing is loaded from elsewhere and nothing is sent elsewhere, whatever a script may try.
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "connect-src 'self'; img-src 'self' data:; media-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def write_page(study: Study, folder: Path) -> None:
    """Writes index.html."""
    (folder / PAGE_NAME).write_text(html(study, served=False), encoding="utf-8")


def html(study: Study, *, served: bool) -> str:
    """The page.

    Args:
      study: what it asks. Methods, clips and right answers do not get into the page.
      served: whether a server collects; else the page hands the participant a file at the end.
    """
    about = {
        "study": study.id,
        "served": served,
        "videos": f"{VIDEOS}/",
        "steps": STEPS,
        "questions": {question.name: [question.pair, question.rating] for question in study.questions},
        "speaker": SPEAKER_QUESTION,
        "plans": [] if served else [[shown(study, trial) for trial in plan] for plan in study.plans],
    }
    slots = {
        "sides": _SIDES[study.composed],
        "title": escape(study.title),
        "style": _read("study.css"),
        # "<" can't end the script early.
        "about": json.dumps(about, ensure_ascii=False).replace("<", "\\u003c"),
        "script": _read("study.js"),
    }
    # One pass, so that nothing inside the data is taken for a slot.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: slots[match[1]], _read("study.html"))


def shown(study: Study, trial: Trial) -> dict[str, Any]:
    """What the page may know of a trial."""
    asked: Sequence[str] = study.questions_of(trial)
    content: dict[str, Any] = {"kind": trial.kind, "videos": trial.videos, "asked": asked}
    if trial.kind == "check":
        content["choose"] = trial.right
    return content


def _read(name: str) -> str:
    return (_TEMPLATE / name).read_text(encoding="utf-8")
