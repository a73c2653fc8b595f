"""Trains every row of the table on made conversations and compares them: `make table`.

    python benchmarks/table.py --out runs/table [--rows mirror trans-ae reactface]

makes the conversations, trains what needs training, evaluates all rows in one report, and writes table.md beside it.
Whatever is done is not done again, and a run that was stopped goes on: the same command finishes the table. Other
conversations or trainings than those in the folder are refused. With --no-pictures the conversations are made in a
minute, and the rows are those that need no eyes.
"""

import itertools
import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from reactface_jax import arguments
from reactface_jax.config import config_from_json
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.evaluation.legend import RESAMPLED
from reactface_jax.evaluation.published_table import TABLE_II
from reactface_jax.evaluation.reference_rows import REFERENCES
from reactface_jax.files import make_folder, replacing
from reactface_jax.methods.rows import ROWS
from reactface_jax.processes import command_ending_with_us
from reactface_jax.weights.run import FOLDER, load_run

SECONDS = 8
"""How long a conversation is."""

SEEING = ("reactface", "trans-ae", "trans-vae")
"""Rows that see the speaker's picture."""

NOTE = "table.json"
"""In a run's folder: the words of its training, when it ended and the minutes that it took."""

BEGIN, END = "<!-- written by benchmarks/table.py -->", "<!-- end of what benchmarks/table.py wrote -->"
"""Lines of a page between which the table goes."""

PLANS: Mapping[str, str] = {
    "reactface": "--train.steps 1500",
    "trans-ae": "--train.steps 600",
    "lfi": "--train.steps 800 --train.batch-size 16 --data.clip-frames 80 --lfi.flow-steps 8 --lfi.condition-width 128 "
    "--lfi.face-width 64 --lfi.speech-width 64 --lfi.hidden-width 64 --lfi.noise 0.1 --lfi.learning-rate 1e-3 "
    "--lfi.decay-steps 200",
    "ng": "--train.steps 2000 --train.batch-size 8 --data.clip-frames 64 --ng.width 64 --ng.num-heads 4 "
    "--ng.num-layers 2 --ng.feed-forward 128 --ng.num-codes 64 --ng.token-width 64 --ng.speaker-width 64 "
    "--ng.predictor-heads 4 --ng.predictor-layers 2 --ng.vqvae-steps 1000 --ng.vqvae-rate 0.14 "
    "--ng.predictor-rate 0.14 --ng.warmup-steps 300",
    "zhou": "--train.steps 1500 --train.batch-size 16 --data.clip-frames 90 --zhou.epoch-steps 15",
    "trans-vae": "--train.steps 600 --trans-vae.feature-dim 32 --trans-vae.learning-rate 1e-3",
    "belfusion": "--train.steps 2000 --train.batch-size 16 --belfusion.vae-steps 1200 --belfusion.denoiser-width 256 "
    "--belfusion.denoiser-rate 1e-3",
}
"""What a row's training changes of configs/demo.py, at a size for 2 CPU cores: schedules and learning rates are for
hours and not for days, so they are no longer the original's."""

COLUMNS = ("FRDvs", "FRVar", "FRDiv", "FRCorr", "FRDist", "FRSyn")
_DIGITS = {"FRDvs": 4, "FRVar": 4, "FRDiv": 4, "FRCorr": 2, "FRDist": 1, "FRSyn": 1}
_ORDERED = ("FRDvs", "FRDiv", "FRCorr", "FRSyn")
"""Figures whose order of rows is held against the paper's."""

Run = Callable[[Sequence[str]], None]


@dataclass(frozen=True)
class Arguments:
    """Trains every row of the table on made conversations, and compares them."""

    out: Path
    """Folder of data, runs and the table."""
    rows: tuple[str, ...] = ()
    """Rows such as mirror, trans-ae, reactface; all by default."""
    clips: int = 240
    """Conversations to make."""
    pictures: bool = True
    """--no-pictures draws no videos, and leaves out the rows that need them."""
    config: str = "demo"
    """The configuration that all trainings start from."""
    page: Path | None = None
    """Where the table goes as well, such as docs/table.md, between the two lines there that name this script."""
    steps: int | None = None
    """Of every training, instead of its own."""


@reports_user_errors
def main(words: Sequence[str] | None = None, run: Run | None = None) -> None:
    """Runs the words of a command line; `run` starts a command of `reactface`, in a process of its own by default."""
    given = arguments.run(Arguments, words, prog="benchmarks/table.py", description=__doc__)
    known = [*REFERENCES, *ROWS, "reactface"]
    able = [row for row in known if given.pictures or row not in SEEING]
    rows = given.rows or tuple(able)
    if blind := [row for row in rows if row in known and row not in able]:
        raise UserError(f"--rows {blind[0]} needs pictures; leave out --no-pictures")
    if unknown := [row for row in rows if row not in known]:
        raise UserError(f"--rows {unknown[0]} is none of {', '.join(known)}")
    run = run or _run_command
    raw, shards = given.out / "raw", given.out / "shards"
    make_folder(given.out)
    made = conversations(given, raw, run)
    if not (shards / "description.json").is_file():
        run(["prepare", "shards", "--raw", str(raw), "--out", str(shards), "--workers", "2"])
    trained = [row for row in rows if row not in REFERENCES]
    for row in trained:
        steps = () if given.steps is None else ("--train.steps", str(given.steps))
        train(row, [*PLANS.get(row, "").split(), *steps], given, shards, run)
    methods = [f"{row}={given.out / row}" if row in trained else row for row in rows if row != "gt"]
    runs = {row: json.loads((given.out / row / NOTE).read_text()) for row in trained}
    report = evaluate(methods, {"conversations": made, "methods": methods, "runs": runs}, given, shards, run)
    command = "make table" if given.pictures else "python benchmarks/table.py --no-pictures --out FOLDER"
    facts = {row: trained_facts(given.out / row) for row in trained}
    written = page(json.loads(report.read_text()), facts, command)
    if missing := [row for row in known if row not in rows and row != "gt"]:
        written += f"\nNot in this table: {', '.join(missing)}. `make table` trains and measures all rows.\n"
    for path in (given.out / "table.md", *((given.page,) if given.page else ())):
        text = _inserted(path.read_text() if path == given.page and path.is_file() else "", written)
        with replacing(path) as file:
            file.write(text.encode())
    print(written)


def conversations(given: Arguments, raw: Path, run: Run) -> list[str]:
    """Leaves made conversations in a folder.

    Args:
      given: the command line.
      raw: their folder.
      run: starts their making.

    Returns:
      The words that they were made with; beside the folder stands a note of them.

    Raises:
      UserError: those in the folder were made with other words, or the making failed.
    """
    words = ["--clips", str(given.clips), "--seconds", str(SECONDS), "--takes", "2", "--seed", "0"]
    words += [] if given.pictures else ["--no-pictures"]
    note = given.out / "conversations.json"
    if note.is_file() and (old := json.loads(note.read_text())["words"]) != words:
        asked, there = " ".join(words), " ".join(old)
        raise UserError(f"{raw} holds conversations made with {there}, not with {asked}; give another --out")
    if not note.is_file() or not (raw / "test.csv").is_file():  # the latter is written last
        run(["dyads", "--out", str(raw), *words])  # says itself if what is there was made otherwise
        _write(note, {"words": words})
    return words


def evaluate(methods: Sequence[str], of: Mapping[str, Any], given: Arguments, shards: Path, run: Run) -> Path:
    """Leaves a report of all rows; made anew unless the one that is there is of the same conversations and trainings.

    Args:
      methods: words of `reactface eval --methods`.
      of: what the report depends on. It is noted once the report is complete.
      given: the command line.
      shards: the data.
      run: starts the evaluation.

    Returns:
      The report's figures, a JSON file.
    """
    report, listed = given.out / "evaluation" / "report.json", given.out / "methods.txt"
    note, truth = given.out / "evaluated.json", given.out / "raw" / "dyads.json"
    if not report.is_file() or not note.is_file() or json.loads(note.read_text()) != of:
        note.unlink(missing_ok=True)
        with replacing(listed) as file:
            file.write(("\n".join(methods) + "\n").encode())
        words = ["--methods", str(listed), "--data", str(shards), "--out", str(report.parent), "--overwrite"]
        run(["eval", *words, *(["--truth", str(truth)] if truth.is_file() else [])])
        _write(note, of)
    return report


def train(row: str, more: Sequence[str], given: Arguments, shards: Path, run: Run) -> None:
    """Leaves a finished run in a folder of `given.out`; the minutes that it took, all tries together, stand beside it.

    Args:
      row: `config.method`.
      more: words that change the configuration.
      given: the command line.
      shards: the data.
      run: starts the training.

    Raises:
      UserError: the folder holds a run of another command, or the training failed.
    """
    folder = given.out / row
    words = ["--config", given.config, "--data.dir", str(shards), "--method", row, *more]
    note = folder / NOTE
    make_folder(folder)
    done = {"words": words, "minutes": 0.0, "finished": False, "ended": None}
    if note.is_file():
        done = json.loads(note.read_text())
        if done["words"] != words:
            raise UserError(f"{folder} holds a run of other words ({note}); remove it, or give another --out")
    if done["finished"]:
        return
    start = time.monotonic()
    try:
        _write(note, done)
        run(["train", *words, "--workdir", str(folder), *(["--resume"] if (folder / FOLDER).is_dir() else [])])
        done |= {"finished": True, "ended": time.strftime("%Y-%m-%d %H:%M:%S")}
    finally:
        done["minutes"] += (time.monotonic() - start) / 60
        _write(note, done)


def trained_facts(folder: Path) -> dict[str, Any]:
    """Steps, minutes and number of parameters of a run."""
    found = load_run(folder)
    count = sum(leaf.size for leaf in jax.tree.leaves(found.params))
    minutes = json.loads((folder / NOTE).read_text())["minutes"]
    name = "ReactFace" if found.config.method == "reactface" else ROWS[found.config.method](found.config).name
    return {"name": name, "steps": found.step, "minutes": minutes, "parameters": count}


def page(report: Mapping[str, Any], facts: Mapping[str, Mapping[str, Any]], command: str = "make table") -> str:
    """The table as Markdown: figures with intervals, what training took, and where the order is not the paper's.

    Args:
      report: of `reactface eval --methods`.
      facts: of each trained row, as `trained_facts` gives them.
      command: what makes this table.

    Returns:
      The page's part.
    """
    rows, data = report["rows"], report["data"]
    config = config_from_json(report["config"])
    trained = {each["name"]: each for each in facts.values()}
    lines = [
        "## The table on made conversations",
        "",
        f"`{command}`: {data['clips']} clips of {data['frames']} frames, {data['reactions']} reactions each; "
        f"ReactFace by protocol {config.eval.protocol}. Measured in clean mode; below each figure its 95 % interval. "
        f"Resampled: {data[RESAMPLED]}. FPS: reaction frames a second, those of all reactions counted, without "
        "rendering and without measuring the speaker. Minutes: of training, all tries together.",
        "",
        "| method | " + " | ".join((*COLUMNS, "FPS", "steps", "minutes", "parameters")) + " |",
        "|---|" + "---:|" * (len(COLUMNS) + 4),
    ]
    for row in rows:
        cells = [_cell(row, column) for column in COLUMNS]
        cells.append("-" if row["frames_per_second"] is None else f"{row['frames_per_second']:.0f}")
        own = trained.get(row["method"])
        cells += ["-"] * 3 if own is None else [f"{own['steps']}", f"{own['minutes']:.1f}", f"{own['parameters']:,}"]
        lines.append(f"| {row['method']} | " + " | ".join(cells) + " |")
    lines += ["", "### Where the order is not the paper's", "", *_order(rows), ""]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    return "\n".join([*lines, f"Versions: {versions}"]) + "\n"


def _inserted(page: str, written: str) -> str:
    """The page with the table between its two lines; the table by itself where the page lacks them."""
    before, begin, rest = page.partition(BEGIN + "\n")
    _, end, after = rest.partition(END + "\n")
    return before + begin + written + end + after if begin and end else written


def _cell(row: Mapping[str, Any], column: str) -> str:
    value, digits = row["scores"]["clean"].get(column), _DIGITS[column]
    if value is None:
        return "-"
    ends = row["intervals"]["clean"].get(column)
    if ends is None or None in ends:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f}<br>{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"


def _order(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a figure: pairs of rows that stand the other way round in Table II."""
    places = {"FRDvs": 0, "FRDiv": 2, "FRCorr": 4, "FRSyn": 5}
    lines = []
    for column in _ORDERED:
        turned = []
        for one, other in itertools.combinations([row for row in rows if row["method"] in TABLE_II], 2):
            ours = [row["scores"]["clean"].get(column) for row in (one, other)]
            theirs = [TABLE_II[row["method"]][places[column]] for row in (one, other)]
            if None in ours or None in theirs or theirs[0] == theirs[1] or ours[0] == ours[1]:
                continue
            if (ours[0] > ours[1]) != (theirs[0] > theirs[1]):
                low, high = (one, other) if ours[0] < ours[1] else (other, one)
                turned.append(f"{low['method']} below {high['method']}")
        lines.append(f"- {column}: " + (", ".join(turned) + " here, above in the paper" if turned else "as there"))
    return lines


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with replacing(path) as file:
        file.write((json.dumps(content, indent=1) + "\n").encode())


def _run_command(words: Sequence[str]) -> None:
    print("$ reactface " + " ".join(words), flush=True)
    code = subprocess.run(command_ending_with_us("reactface_jax", words), check=False).returncode
    if code:
        raise UserError(f"`reactface {words[0]}` ended with code {code}; mend what it says above and start this again")


if __name__ == "__main__":
    main()
