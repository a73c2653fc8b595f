"""A study's server, for browsers on this machine: the page, its videos, and a file of answers for each participant.

What a participant answered is on the disk before the page gets its reply, so that a killed server loses nothing;
started again it goes on where each one was. Nothing that is there is ever changed: answers are appended, and a second
answer to a trial is not taken.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from reactface_jax.study import page
from reactface_jax.study.answers import (
    Answers,
    append_answers,
    begin_file,
    is_participant,
    problem_with,
    read_all,
)
from reactface_jax.study.study_file import RESULTS, VIDEOS, Study

LARGEST = 64 * 1024
"""Bytes of a request."""
MOST_PARTICIPANTS = 10_000


class Refused(Exception):
    """A request that does not fit; the message is for the participant."""


class Collector:
    """The answers of a study, on the disk and in memory. May be used by several threads.

    Args:
      study: what is asked.
      folder: of the study; answers go into its results/.

    Raises:
      UserError: a file of answers can't be read.
    """

    def __init__(self, study: Study, folder: Path) -> None:
        self.study = study
        self._results = folder / RESULTS
        self._lock = threading.Lock()
        self._answers = {each.participant: each for each in read_all(self._results, study)}

    def begin(self, participant: object) -> tuple[int, list[int]]:
        """The plan of a participant, new or known, and the trials that he has answered."""
        if not is_participant(participant):
            raise Refused("The code in the address does not fit: letters, digits, hyphens and underscores.")
        name = str(participant)
        with self._lock:
            if name not in self._answers:
                if len(self._answers) >= MOST_PARTICIPANTS:
                    raise Refused("The study is full.")
                used = Counter(each.plan for each in self._answers.values())
                plan = min(range(len(self.study.plans)), key=lambda number: (used[number], number))
                try:
                    begin_file(self._results, self.study, name, plan)
                except FileExistsError as error:  # the warning at the start named it
                    raise Refused(
                        "A damaged file of answers has this code; please tell whoever sent you the link."
                    ) from error
                self._answers[name] = Answers(name, plan)
            found = self._answers[name]
            return found.plan, sorted(found.by_trial)

    def answer(self, participant: object, trial: object, answers: object, seconds: object) -> None:
        """Stores the answers to a trial, unless there are some."""
        with self._lock:
            found = self._answers.get(participant) if isinstance(participant, str) else None
            if found is None:
                raise Refused("Nobody began under this code; reload the page.")
            plan = self.study.plans[found.plan]
            if type(trial) is not int or not 0 <= trial < len(plan):
                raise Refused("The study has no such page; reload the page.")
            if problem := problem_with(self.study, plan[trial], answers):
                raise Refused(f"The answer does not fit: {problem}.")
            if trial in found.by_trial:
                return
            assert isinstance(answers, dict)
            time = round(float(seconds), 3) if isinstance(seconds, int | float) and 0 <= seconds < 1e6 else None
            append_answers(self._results, found.participant, trial, answers, time)
            found.by_trial[trial] = answers


def make_app(collector: Collector, folder: Path) -> Starlette:
    """The server's routes: `/`, `/videos/NAME`, and what the page sends to `/begin` and `/answer`."""
    study = collector.study
    videos = {video for plan in study.plans for trial in plan for video in trial.videos}
    text = page.html(study, served=True)

    async def show_page(request: Request) -> Response:
        return Response(text, media_type="text/html", headers=page.HEADERS)

    async def show_video(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in videos:
            return PlainTextResponse("not found", 404)
        return FileResponse(folder / VIDEOS / name, headers={"X-Content-Type-Options": "nosniff"})

    def begin(content: dict[str, Any]) -> dict[str, Any]:
        plan, answered = collector.begin(content.get("participant"))
        return {"trials": [page.shown(study, trial) for trial in study.plans[plan]], "answered": answered}

    def answer(content: dict[str, Any]) -> dict[str, Any]:
        collector.answer(
            content.get("participant"), content.get("trial"), content.get("answers"), content.get("seconds")
        )
        return {"stored": True}

    routes = [Route("/", show_page), Route(f"/{VIDEOS}/{{name}}", show_video)]
    routes += [Route(f"/{call.__name__}", _taking(call), methods=["POST"]) for call in (begin, answer)]
    return Starlette(routes=routes)


def _taking(call: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Request], Any]:
    """An endpoint for JSON from our own page."""

    async def endpoint(request: Request) -> Response:
        if not _is_from_our_page(request):
            return JSONResponse({"says": "Another page may not answer here."}, 403)
        content = bytearray()
        async for piece in request.stream():
            content += piece
            if len(content) > LARGEST:
                return JSONResponse({"says": "The answer is too long."}, 413)
        try:
            sent = _object_of(bytes(content))
            return JSONResponse(await run_in_threadpool(call, sent), headers={"Cache-Control": "no-store"})
        except Refused as error:
            return JSONResponse({"says": str(error)}, 400)
        except OSError as error:
            return JSONResponse({"says": f"The answer can't be stored: {error.strerror}."}, 503)

    return endpoint


def _is_from_our_page(request: Request) -> bool:
    """Whether our own page sent a request, or no page.

    Browsers say so themselves to https addresses, whatever name a server in front of this one passes on; without that,
    the page's origin must be the name under which this one was asked.
    """
    if (site := request.headers.get("sec-fetch-site")) is not None:
        return site == "same-origin"
    origin, host = request.headers.get("origin"), request.headers.get("host")
    return origin is None or origin.split("://")[-1] == host


def _object_of(content: bytes) -> dict[str, Any]:
    try:
        sent = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refused("The answer is no JSON.") from error
    if not isinstance(sent, dict):
        raise Refused("The answer is no JSON object.")
    return sent
