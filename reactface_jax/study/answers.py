"""One file of JSON lines for each participant: written answer by answer, and read.

The first line says who answers which plan of which study, each other one holds a trial's answers. A file appears with
its whole first line; other lines are only ever appended. All reach the disk before the page is answered, so that a kill
costs no answer: at most half a line, which nobody was said to have, and which is left out when the file is read.
"""

import contextlib
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reactface_jax.errors import UserError
from reactface_jax.files import aside_name
from reactface_jax.study.design import Trial
from reactface_jax.study.study_file import CHOICES, STEPS, Study
from reactface_jax.text_reading import text_from_bytes

log = logging.getLogger(__name__)

SUFFIX = ".jsonl"
_PARTICIPANT = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass
class Answers:
    """What a participant answered."""

    participant: str
    plan: int
    by_trial: dict[int, dict[str, int]] = field(default_factory=dict)
    """By the trial's place in the plan and the question's name: 0 or 1 for the left or right video, or a rating."""


def is_participant(name: object) -> bool:
    """Whether this may be a participant's code, and so a file's name."""
    return isinstance(name, str) and _PARTICIPANT.fullmatch(name) is not None


def problem_with(study: Study, trial: Trial, answers: object) -> str:
    """What is wrong with answers to a trial; "" if nothing is."""
    asked = study.questions_of(trial)
    if not isinstance(answers, Mapping) or set(answers) != set(asked):
        return f"the answers must be to {', '.join(asked)}"
    allowed = range(1, STEPS + 1) if trial.kind == "rating" else range(CHOICES)
    if not all(type(value) is int and value in allowed for value in answers.values()):
        return f"an answer must be {allowed[0]} to {allowed[-1]}"
    return ""


# ---- Writing


def begin_file(folder: Path, study: Study, participant: str, plan: int) -> None:
    """A new participant's file, with its first line or not at all. Raises `FileExistsError` if there is one."""
    head = {"study": study.id, "participant": participant, "plan": plan, "began": _now()}
    path = folder / (participant + SUFFIX)
    aside = aside_name(path)
    try:
        _append(os.open(aside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666), head)
        _take_free_name(aside, path)
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def _take_free_name(aside: Path, path: Path) -> None:
    try:
        os.link(aside, path)  # which, unlike a rename, never takes another file's place
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        path.open("xb").close()
        aside.replace(path)


def append_answers(
    folder: Path, participant: str, trial: int, answers: Mapping[str, int], seconds: float | None
) -> None:
    """A trial's answers, at the end of the participant's file."""
    line = {"trial": trial, "answers": dict(answers), "seconds": seconds, "at": _now()}
    _append(os.open(folder / (participant + SUFFIX), os.O_RDWR | os.O_APPEND), line)


def _append(descriptor: int, line: Mapping[str, Any]) -> None:
    try:
        content = json.dumps(line).encode() + b"\n"
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            content = b"\n" + content  # half a line is there, of a server that was killed
        while content:
            content = content[os.write(descriptor, content) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


# ---- Reading


def read_answers(path: Path, study: Study) -> Answers:
    """A participant's answers, the first to each trial.

    Raises:
      UserError: the file can't be read, is of another study, or says something that the study does not ask.
    """
    return _answers_of(path, _records(path), study)


def _records(path: Path) -> list[dict[str, Any] | None]:
    """What each line says, but for empty ones; None for half a line."""
    try:
        lines = text_from_bytes(path.read_bytes(), name=str(path)).splitlines()
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from error
    return [_record(line) for line in lines if line.strip()]


def _answers_of(path: Path, lines: Sequence[dict[str, Any] | None], study: Study) -> Answers:
    records = [record for record in lines if record is not None]
    head = records[0] if records else {}
    if head.get("study") != study.id:
        raise UserError(f"{path} holds no answers to this study ({study.id}); move it out of the folder")
    plan, participant = head.get("plan"), head.get("participant")
    if type(plan) is not int or not 0 <= plan < len(study.plans) or not is_participant(participant):
        raise UserError(f"{path} names no participant or no plan of the study; correct or remove it")
    found = Answers(str(participant), plan)
    for record in records[1:]:
        number = record.get("trial")
        if type(number) is not int or not 0 <= number < len(study.plans[plan]):
            raise UserError(f"{path} answers trial {number}, which its plan does not have; correct or remove it")
        if problem := problem_with(study, study.plans[plan][number], record.get("answers")):
            raise UserError(f"{path}, trial {number}: {problem}; correct or remove it")
        found.by_trial.setdefault(number, dict(record["answers"]))
    return found


def read_all(folder: Path, study: Study) -> list[Answers]:
    """All participants' answers, by their files' names. Warns of a file without a whole first line, and leaves it out.

    Raises:
      UserError: as `read_answers`, or two files are of one participant.
    """
    found: dict[str, tuple[Path, Answers]] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        lines = _records(path)
        if not lines or lines[0] is None:
            log.warning("%s has no whole first line, so it is left out; move it out of the folder", path)
            continue
        answers = _answers_of(path, lines, study)
        if answers.participant in found:
            first = found[answers.participant][0]
            raise UserError(f"{first} and {path} are of the same participant; keep the one that counts")
        found[answers.participant] = (path, answers)
    return [answers for _, answers in found.values()]


def _record(line: str) -> dict[str, Any] | None:
    """A line's content; None for half a one."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
