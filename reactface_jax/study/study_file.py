"""study.json: what a study shows to whom, with the names behind the blind ones. Participants never get it."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reactface_jax.errors import UserError
from reactface_jax.files import replacing
from reactface_jax.study.design import Trial
from reactface_jax.study.questions import Question
from reactface_jax.text_reading import json_from_text, read_text

STUDY_NAME = "study.json"
VIDEOS = "videos"
RESULTS = "results"
FORMAT = "reactface study 1"
CHOICES = 2
STEPS = 5
"""Of a rating: 1 to 5."""


@dataclass(frozen=True)
class Study:
    """A study that was built."""

    id: str
    """In every answer, so that answers of two studies are not mixed: a digest of what is asked and shown."""
    title: str
    seed: int
    composed: bool
    """Whether speakers stand on the left of all videos, and listeners on the right."""
    methods: tuple[str, ...]
    clips: tuple[str, ...]
    questions: tuple[Question, ...]
    plans: tuple[tuple[Trial, ...], ...]
    """The trials of each participant."""

    def questions_of(self, trial: Trial) -> tuple[str, ...]:
        """Names of what is asked at a trial."""
        if trial.kind in ("speaker", "check"):
            return (trial.kind,)
        return tuple(question.name for question in self.questions)


def write_study(study: Study, folder: Path) -> None:
    """Writes study.json. Raises `UserError` if that is not possible."""
    content = {"format": FORMAT, **dataclasses.asdict(study)}
    with replacing(folder / STUDY_NAME) as file:
        file.write(json.dumps(content, ensure_ascii=False, indent=1).encode())


def is_study(folder: Path) -> bool:
    """Whether a folder holds a study, by its description."""
    try:
        read_study(folder)
    except UserError:
        return False
    return True


def read_study(folder: Path) -> Study:
    """The study of a folder.

    Raises:
      UserError: there is none, or study.json is damaged.
    """
    path = folder / STUDY_NAME
    advice = "give a folder that `reactface study build` wrote"
    content: Any = json_from_text(read_text(path, advice=advice), name=str(path), advice=advice)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} describes no study of this version; {advice}")
    try:
        return Study(
            id=str(content["id"]),
            title=str(content["title"]),
            seed=int(content["seed"]),
            composed=bool(content["composed"]),
            methods=tuple(map(str, content["methods"])),
            clips=tuple(map(str, content["clips"])),
            questions=tuple(Question(**each) for each in content["questions"]),
            plans=tuple(tuple(_trial(each) for each in plan) for plan in content["plans"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); build the study again") from error


def _trial(content: dict[str, Any]) -> Trial:
    return Trial(**{**content, "videos": tuple(content["videos"]), "methods": tuple(content["methods"])})
