"""`reactface study build|serve|analyse`: a study with people, from videos to the table."""

import contextlib
import logging
import socket
import threading
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from reactface_jax import arguments
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.folder_lock import locked
from reactface_jax.study.answers import read_all
from reactface_jax.study.study_file import RESULTS, read_study

ANALYSIS = "analysis"


def build(
    methods: tuple[str, ...],
    out: Path,
    speakers: Path | None = None,
    pairs: int = 20,
    speaker_trials: int = 0,
    ratings: int = 0,
    checks: int = 2,
    participants: int = 40,
    title: str = "Listening faces",
    questions: Path | None = None,
    video_address: str = "",
    seed: int = 0,
) -> None:
    """Builds a study: blind videos, a page, balanced plans, and HEMVIP's files.

    Args:
      methods: NAME=FOLDER each: a folder of videos with the same file names, or of an evaluation, whose reactions are
        drawn (its GT is the real listener).
      out: folder of the study.
      speakers: folder of the speakers' videos, by the same names; they are shown beside the listeners, with sound.
      pairs: pairs of videos that each participant compares.
      speaker_trials: pairs of the right and a wrong speaker for each participant.
      ratings: videos that each participant rates.
      checks: attention checks for each participant.
      participants: how many plans; more people take them again.
      title: above the page.
      questions: a JSON file with questions of your own.
      video_address: for HEMVIP, what stands before a video's name on your server.
      seed: of all that is drawn.
    """
    from reactface_jax.study.build import Wanted, build_study
    from reactface_jax.study.design import Amounts
    from reactface_jax.study.questions import QUESTIONS, read_questions

    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    if not 0 <= seed < 2**31:
        raise UserError(f"--seed {seed} is out of range; give 0 to {2**31 - 1}")
    amounts = Amounts(pairs=pairs, speakers=speaker_trials, ratings=ratings, checks=checks)
    asked = QUESTIONS if questions is None else read_questions(questions)
    wanted = Wanted(title, asked, amounts, participants, seed, video_address)
    study = build_study(named_paths(methods), speakers, wanted, out, console)
    pages = len(study.plans[0])
    console.print(
        f"wrote {out}: {len(study.methods)} methods, {len(study.clips)} clips, {participants} plans of {pages} pages\n"
        f"from disk: open {out / 'index.html'}; to collect: reactface study serve --study {out}"
    )


def named_paths(methods: Sequence[str]) -> dict[str, Path]:
    """The folders of `--methods`, by name.

    Raises:
      UserError: a name or folder is missing, or a name is there twice.
    """
    paths: dict[str, Path] = {}
    for each in methods:
        name, equals, path = each.partition("=")
        if not (name.strip() and equals and path):
            raise UserError(f"--methods {each} does not fit; give NAME=FOLDER")
        if name in paths:
            raise UserError(f"--methods has {name} twice; give every method a name of its own")
        paths[name] = Path(path)
    return paths


def serve(study: Path, port: int = 8770, browser: bool = False) -> None:
    """Shows a study to people and collects their answers, a file for each of them in STUDY/results.

    It listens on this machine only (127.0.0.1); for people elsewhere, put a server with https before it.

    Args:
      study: folder that `reactface study build` wrote.
      port: of the page; 0 takes a free one.
      browser: open the page in this machine's browser.
    """
    import uvicorn

    from reactface_jax.study.server import Collector, make_app

    if not 0 <= port < 2**16:
        raise UserError(f"--port {port} is out of range; give 0 to 65535")
    content = read_study(study)
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(study / RESULTS))
        collector = Collector(content, study)
        listening = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(f"--port {port} is taken ({error.strerror}); give another, or 0 for a free one") from error
        listening.listen()  # before the address is printed, so that whoever reads it finds somebody
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        print(f"open {address}?participant=CODE\nanswers go to {study / RESULTS}; Ctrl-C ends it", flush=True)
        if browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        app = make_app(collector, study)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
        uvicorn.Server(config).run(sockets=[listening])


def analyse(
    study: Path,
    results: Path | None = None,
    out: Path | None = None,
    method: str | None = None,
    failures: int = 0,
    unfinished: bool = False,
    resamples: int = 1000,
) -> None:
    """Counts, tests and scores a study's answers, and writes its tables.

    Args:
      study: folder that `reactface study build` wrote.
      results: folder of answers; STUDY/results by default.
      out: folder of the tables; STUDY/analysis by default.
      method: whose preference over the others the table shows; the study's first by default.
      failures: attention checks that a participant may fail and still count.
      unfinished: count people who did not answer all pages, too.
      resamples: of participants, for the intervals of scores.
    """
    from reactface_jax.study.analysis import analyse as analyse_answers
    from reactface_jax.study.tables import everything, write_tables

    content = read_study(study)
    folder, out, method = results or study / RESULTS, out or study / ANALYSIS, method or content.methods[0]
    if method not in content.methods:
        raise UserError(f"--method {method} is none of {', '.join(content.methods)}")
    if failures < 0:
        raise UserError(f"--failures {failures} is out of range; give 0 or more")
    if not 100 <= resamples <= 100_000:
        raise UserError(f"--resamples {resamples} is out of range; give 100 to 100000")
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give the answers' folder to --results")
    everybody = read_all(folder, content)
    if not everybody:
        raise UserError(f"{folder} holds no answers yet (files that end in .jsonl)")
    found = analyse_answers(content, everybody, failures=failures, unfinished=unfinished, resamples=resamples)
    if not found.participants:
        name, reason = next(iter(found.excluded.items()))
        raise UserError(
            f"nobody of {len(everybody)} counts ({name}: {reason}); allow more with --failures or --unfinished"
        )
    write_tables(found, method, out)
    print(everything(found, method))
    print(f"wrote {out}")


COMMANDS: dict[str, Callable[..., None]] = {"build": build, "serve": serve, "analyse": analyse}


@reports_user_errors
def main(words: Sequence[str] | None = None) -> None:
    """Runs one of `COMMANDS` on the words of a command line, the program's own by default."""
    arguments.choose(COMMANDS, words, prog="reactface study", description=__doc__)


if __name__ == "__main__":
    main()
