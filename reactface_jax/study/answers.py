"""One file of JSON lines for each participant: written answer by answer, and read.

The first line says who answers which plan of which study, each other one holds a trial's answers. Lines are only ever
appended and reach the disk before the page is answered, so that a kill costs no answer: at most half a line, which
nobody was said to have, and which is left out when the file is read.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reactface_jax.errors import UserError
from reactface_jax.study.design import Trial
from reactface_jax.study.study_file import CHOICES, STEPS, Study
from reactface_jax.text_reading import text_from_bytes

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
    """A new participant's file. Raises `FileExistsError` if there is one."""
    head = {"study": study.id, "participant": participant, "plan": plan, "began": _now()}
    descriptor = os.open(folder / (participant + SUFFIX), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
    _append(descriptor, head)


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
    try:
        lines = text_from_bytes(path.read_bytes(), name=str(path)).splitlines()
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from error
    records = [record for record in map(_record, lines) if record is not None]
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
    """All participants' answers, by their files' names.

    Raises:
      UserError: as `read_answers`, or two files are of one participant.
    """
    found: dict[str, tuple[Path, Answers]] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        answers = read_answers(path, study)
        if answers.participant in found:
            first = found[answers.participant][0]
            raise UserError(f"{first} and {path} are of the same participant; keep the one that counts")
        found[answers.participant] = (path, answers)
    return [answers for _, answers in found.values()]


def _record(line: str) -> dict[str, Any] | None:
    """A line's content; None for an empty one, and for half a one."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
