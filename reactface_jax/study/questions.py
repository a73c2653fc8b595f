"""What participants are asked."""

import re
from dataclasses import dataclass
from pathlib import Path

from reactface_jax.errors import UserError
from reactface_jax.text_reading import json_from_text, read_text

MOST_QUESTIONS = 12
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Question:
    """One question, asked of pairs and of ratings."""

    name: str
    """In answers and tables: small letters, digits and underscores."""
    pair: str
    """Asked of two videos."""
    rating: str
    """Asked of one, answered from 1 (not at all) to 5 (very much)."""


QUESTIONS = (
    Question(
        "realism",
        "In which video does the listener look more like a real person?",
        "How much does the listener look like a real person?",
    ),
    Question(
        "natural_motion",
        "In which video does the listener move more naturally?",
        "How naturally does the listener move?",
    ),
    Question(
        "appropriateness",
        "In which video does the listener's reaction fit better to what the speaker says and does?",
        "How well does the listener's reaction fit to what the speaker says and does?",
    ),
    Question(
        "synchrony",
        "In which video are the listener's reactions better timed with the speaker?",
        "How well are the listener's reactions timed with the speaker?",
    ),
)
"""Realism (of the face and of its motion), appropriateness and synchrony, which the paper's Table VIII compares. The
wording is this project's; `--questions` gives another."""

SPEAKER_QUESTION = "In which video does the listener react to this speaker?"
"""Of two videos with the same speaker, where one listener reacts to somebody else."""


def read_questions(path: Path) -> tuple[Question, ...]:
    """Questions of a JSON file: a list of objects with "name", "pair" and "rating", all texts.

    Raises:
      UserError: it is no such file.
    """
    advice = 'give a list such as [{"name": "realism", "pair": "Which …?", "rating": "How …?"}]'
    content = json_from_text(read_text(path, advice=advice), name=str(path), advice=advice)
    if not isinstance(content, list) or not 1 <= len(content) <= MOST_QUESTIONS:
        raise UserError(f"{path} is no list of 1 to {MOST_QUESTIONS} questions; {advice}")
    found: list[Question] = []
    for number, each in enumerate(content, 1):
        values = [each.get(key) for key in ("name", "pair", "rating")] if isinstance(each, dict) else []
        texts = [value for value in values if isinstance(value, str) and value.strip()]
        if len(texts) != 3:
            raise UserError(f"{path}, question {number}, lacks a text for name, pair or rating; {advice}")
        if not _NAME.fullmatch(texts[0]) or texts[0] in (question.name for question in found):
            raise UserError(
                f"{path}, question {number}: the name {texts[0]!r} is taken, or has other signs than small letters, "
                "digits and underscores; give another"
            )
        found.append(Question(*texts))
    return tuple(found)
