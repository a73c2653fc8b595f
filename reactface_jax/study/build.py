"""From videos to a study: a folder with blind videos, a page, plans for its participants, and HEMVIP's files."""

import dataclasses
import hashlib
import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from reactface_jax.errors import UserError
from reactface_jax.files import lie_apart, replacing_folder, require_replaceable
from reactface_jax.study import hemvip
from reactface_jax.study.answers import SUFFIX
from reactface_jax.study.design import Amounts, Stimuli, plan_trials
from reactface_jax.study.page import write_page
from reactface_jax.study.questions import Question
from reactface_jax.study.sources import EvaluationPage, Folder, Source, check_same_clips, open_folder, open_source
from reactface_jax.study.study_file import RESULTS, VIDEOS, Study, is_study, write_study

_WHAT = "a study"
MOST_PARTICIPANTS = 2000
MOST_TRIALS = 500


@dataclass(frozen=True)
class Wanted:
    """What a study should be."""

    title: str
    questions: tuple[Question, ...]
    amounts: Amounts
    participants: int
    seed: int
    video_address: str = ""
    """Where HEMVIP's participants find the videos."""


def build_study(paths: Mapping[str, Path], speakers: Path | None, wanted: Wanted, out: Path, console: Console) -> Study:
    """Writes a study's folder, as a whole.

    Args:
      paths: by the method's name, a folder of videos or of an evaluation.
      speakers: folder of the speakers' videos; without it, folders of videos are shown as they are.
      wanted: what the study should be.
      out: folder; an older study without answers is replaced.
      console: of progress and messages.

    Raises:
      UserError: the videos do not fit together or can't be read, the numbers do not, or `out` can't be replaced.
    """
    for flag, path in [*paths.items(), *([("--speakers", speakers)] if speakers else [])]:
        if not lie_apart(path, out):
            raise UserError(f"--out {out} and {flag} {path} lie in each other; give another folder")
    require_replaceable(out, _is_unanswered, _WHAT + " without answers")
    pages: dict[Path, EvaluationPage] = {}
    methods = {name: open_source(name, path, pages) for name, path in paths.items()}
    filmed = None if speakers is None else open_folder(speakers)
    clips = check_same_clips(methods, filmed)
    _check_amounts(wanted, len(methods), len(clips), composed=bool(filmed or pages))
    with replacing_folder(out, _is_unanswered, _WHAT + " without answers") as folder:
        (folder / VIDEOS).mkdir()
        names = _Names(wanted.seed)
        if filmed is None and not pages:
            stimuli = _copy(methods, clips, folder / VIDEOS, names)
        else:
            page = next(iter(pages.values()), None)
            stimuli = _compose(methods, clips, filmed, page, folder / VIDEOS, names, wanted, console)
        plans = plan_trials(stimuli, wanted.amounts, wanted.participants, wanted.seed)
        study = Study(
            id="",
            title=wanted.title,
            seed=wanted.seed,
            composed=bool(filmed or pages),
            methods=tuple(methods),
            clips=clips,
            questions=wanted.questions,
            plans=tuple(map(tuple, plans)),
        )
        study = dataclasses.replace(study, id=_identity(study, [*methods.values(), *([filmed] if filmed else [])]))
        write_study(study, folder)
        write_page(study, folder)
        hemvip.write_configurations(study, folder, wanted.video_address)
        (folder / RESULTS).mkdir()
    return study


def _is_unanswered(folder: Path) -> bool:
    """A study that nobody answered yet: no answers are ever lost by building again."""
    results = folder / RESULTS
    return is_study(folder) and not any(results.glob(f"*{SUFFIX}"))


def _check_amounts(wanted: Wanted, methods: int, clips: int, *, composed: bool) -> None:
    amounts = wanted.amounts
    if not 1 <= wanted.participants <= MOST_PARTICIPANTS:
        raise UserError(f"--participants {wanted.participants} is out of range; give 1 to {MOST_PARTICIPANTS}")
    flags = {
        "pairs": amounts.pairs,
        "speaker-trials": amounts.speakers,
        "ratings": amounts.ratings,
        "checks": amounts.checks,
    }
    for name, number in flags.items():
        if not 0 <= number <= MOST_TRIALS:
            raise UserError(f"--{name} {number} is out of range; give 0 to {MOST_TRIALS}")
    if not amounts.pairs + amounts.speakers + amounts.ratings:
        raise UserError("nothing is asked; give --pairs, --speaker-trials or --ratings above 0")
    if amounts.pairs and methods < 2:
        raise UserError("pairs need two methods; give another to --methods, or --pairs 0")
    if amounts.speakers and not composed:
        raise UserError(
            "--speaker-trials shows speakers with wrong listeners, which needs the speakers' videos; give --speakers, "
            "or an evaluation"
        )
    if amounts.speakers and clips < 2:
        raise UserError("--speaker-trials needs a second clip, whose reaction is the wrong one; give more clips")


class _Names:
    """Blind names: they say nothing, and are the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def blind(self, *words: str) -> str:
        return hashlib.sha256("\0".join([str(self._seed), *words]).encode()).hexdigest()[:12]


def _identity(study: Study, sources: Sequence[Source]) -> str:
    """A digest of everything that participants are asked and shown, the same for the same input built again.

    Videos count by what they are made from: the bytes that an encoder writes change with the number of cores.
    """
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(study)).encode())
    for source, clip in itertools.product(sources, study.clips):
        digest.update(source.digest(clip))
    return digest.hexdigest()[:12]


def _copy(methods: Mapping[str, Source], clips: Sequence[str], folder: Path, names: _Names) -> Stimuli:
    right = {}
    for name, clip in itertools.product(methods, clips):
        source = methods[name]
        assert isinstance(source, Folder)
        file = source.files[clip]
        right[name, clip] = names.blind(name, clip) + file.suffix.lower()
        try:
            shutil.copyfile(file, folder / right[name, clip])
        except OSError as error:
            raise UserError(f"{file} can't be copied: {error.strerror or error}") from error
    return Stimuli(tuple(methods), clips, right, {}, {})


def _compose(
    methods: Mapping[str, Source],
    clips: Sequence[str],
    filmed: Folder | None,
    page: EvaluationPage | None,
    folder: Path,
    names: _Names,
    wanted: Wanted,
    console: Console,
) -> Stimuli:
    from reactface_jax.study.composing import FilmedSpeakers, RecordedSpeakers, compose

    assert filmed is not None or page is not None
    speakers = FilmedSpeakers(filmed) if filmed is not None else RecordedSpeakers(page)  # type: ignore[arg-type]
    right: dict[tuple[str, str], str] = {}
    matched: dict[tuple[str, str], str] = {}
    wrong: dict[tuple[str, str], str] = {}
    others = _derangement(clips, wanted.seed) if wanted.amounts.speakers else {}
    whole = list(itertools.product(methods, clips))
    for name, clip in track(whole, "writing videos", console=console, transient=True):
        right[name, clip] = names.blind(name, clip) + ".mp4"
        length = compose(speakers, clip, methods[name].frames(clip), folder / right[name, clip])
        if not others:
            continue
        wrong[name, clip] = names.blind("wrong", name, clip) + ".mp4"
        cut = compose(speakers, clip, methods[name].frames(others[clip]), folder / wrong[name, clip], length)
        matched[name, clip] = right[name, clip]
        if cut < length:  # else the longer one would be known for the right one
            matched[name, clip] = names.blind("cut", name, clip) + ".mp4"
            compose(speakers, clip, methods[name].frames(clip), folder / matched[name, clip], cut)
    return Stimuli(tuple(methods), clips, right, matched, wrong)


def _derangement(clips: Sequence[str], seed: int) -> dict[str, str]:
    """Another clip for each, every one once."""
    order = [clips[i] for i in np.random.default_rng(seed).permutation(len(clips))]
    return dict(zip(order, [*order[1:], order[0]], strict=True))
