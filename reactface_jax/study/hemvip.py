"""The study as HEMVIP's experiment files, one a participant.

HEMVIP (P. Jonell, Y. Yoon, P. Wolfert, T. Kucherenko and G. E. Henter, "HEMVIP: Human Evaluation of Multiple Videos in
Parallel", ICMI 2021) is the page with which the GENEA challenges ask. Its server gives each participant one file of
`configs/<test>/` with "testname", "stopOnErrors", "remoteService" and "pages". A page of type "videopc" shows two
videos and asks which is better, one of type "video" shows videos with sliders from 0 to 100, "generic" shows a text,
"finish" ends. A stimulus is a name, which comes back with the answer, and an address. A name with "_att_" is an
attention check, and says the answer: "_att_Left_is_clearly_better".
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reactface_jax.study.design import Trial
from reactface_jax.study.questions import SPEAKER_QUESTION
from reactface_jax.study.study_file import VIDEOS, Study

FOLDER = "hemvip"
_CHECK = "This page checks your attention: choose “{}”."
_ANSWERS = ("Left is clearly better", "Right is clearly better")


def write_configurations(study: Study, folder: Path, video_address: str) -> None:
    """Writes hemvip/subj_001.json and so on.

    Args:
      study: with a plan for each participant.
      folder: of the study.
      video_address: what stands before a video's name; the videos' folder by default.
    """
    target = folder / FOLDER
    target.mkdir()
    for number, plan in enumerate(study.plans, 1):
        content = configuration(study, plan, video_address or f"{VIDEOS}/")
        text = json.dumps(content, ensure_ascii=False, indent=1)
        (target / f"subj_{number:03d}.json").write_text(text, encoding="utf-8")


def configuration(study: Study, plan: tuple[Trial, ...], video_address: str) -> dict[str, Any]:
    """One participant's experiment. HEMVIP asks one question a page, so a trial becomes a page for each question."""
    pages = list(_pages(study, plan, video_address))
    return {
        "testname": study.title,
        "testId": study.id,
        "stopOnErrors": True,
        "remoteService": "/save",
        "remoteFailService": "/fail",
        "pages": [
            {"type": "generic", "id": "first_page", "name": study.title, "content": _INSTRUCTIONS},
            *[page | {"name": f"Page {number} of {len(pages)}"} for number, page in enumerate(pages, 1)],
            {
                "type": "finish",
                "name": "Thank you",
                "content": "Thank you for taking part.",
                "showResults": False,
                "writeResults": True,
                "questionnaire": [],
            },
        ],
    }


_INSTRUCTIONS = "Each video shows a speaker and a listener. Watch both videos to their ends, then answer."


def _pages(study: Study, plan: tuple[Trial, ...], video_address: str) -> Iterator[dict[str, Any]]:
    for number, trial in enumerate(plan):
        addresses = [video_address + video for video in trial.videos]
        identity = f"trial_{number:03d}"
        if trial.kind == "check":
            assert trial.right is not None
            answer = _ANSWERS[trial.right]
            names = [f"check_att_{answer.replace(' ', '_')}"] * 2
            yield _page("videopc", f"{identity}_check", _CHECK.format(answer), names, addresses)
        elif trial.kind == "speaker":
            names = [f"{trial.methods[0]}_{'right' if place == trial.right else 'wrong'}" for place in range(2)]
            yield _page("videopc", f"{identity}_speaker", SPEAKER_QUESTION, names, addresses)
        elif trial.kind == "rating":
            for question in study.questions:
                yield _page("video", f"{identity}_{question.name}", question.rating, trial.methods, addresses)
        else:
            for question in study.questions:
                yield _page("videopc", f"{identity}_{question.name}", question.pair, trial.methods, addresses)


def _page(kind: str, identity: str, question: str, names: Any, addresses: list[str]) -> dict[str, Any]:
    return {
        "type": kind,
        "id": identity,
        "content": question,
        "question": question,
        "stimuli": [list(pair) for pair in zip(names, addresses, strict=True)],
    }
