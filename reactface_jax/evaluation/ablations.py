"""Trains and evaluates what the paper's Tables III to VII compare, and prints their form.

    reactface ablations --set table3 --config demo --data SHARDS --out runs/ablations

Every variant is a run of `reactface train` and one of `reactface eval`; finished ones are not repeated, a killed one is
resumed. Fields of the configuration can be changed for all of them, such as `--train.steps 200`. docs/ablations.md
explains the rest.
"""

import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from reactface_jax.arguments import Give
from reactface_jax.config import Config, load_config
from reactface_jax.config_flags import parse_with_fields
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.evaluation.ablation_sets import Ablation, Variant, load_ablation
from reactface_jax.evaluation.legend import RESAMPLED
from reactface_jax.evaluation.prediction_files import CLIP_IDS
from reactface_jax.evaluation.report import JSON_NAME
from reactface_jax.files import make_folder, replacing
from reactface_jax.processes import command_ending_with_us
from reactface_jax.weights.run import FOLDER

COLUMNS = ("FRVar", "FRDiv", "FRRea", "FRCorr", "FRSyn")
"""Of Tables III to VII."""
FULL = "full model"
PUBLISHED_FULL = (0.0159, 0.0395, 424.46, 0.197, 43.94)

Run = Callable[[Sequence[str]], None]
"""Starts a command of `reactface`."""


@dataclass(frozen=True)
class Arguments:
    """Trains and compares the variants of the paper's ablations. Fields of the configuration are flags for all."""

    set: Annotated[tuple[str, ...], Give("a table such as table3, or several of these")]
    """Tables, such as table3, or files like configs/ablations/*.py."""
    config: Annotated[str, Give("a name such as demo, or a file")]
    """The full model: a configuration's name, such as demo, or a file."""
    data: Annotated[str, Give("the shards that `reactface prepare shards` wrote")]
    """The shards."""
    out: Path
    """Folder of the runs and of the tables."""
    i3d: str | None = None
    """A converted I3D, for FRRea of drawn reactions."""
    truth: Path | None = None
    """Of made conversations, their dyads.json: intervals are over scripts, and planted events are counted."""


@reports_user_errors
def main(words: Sequence[str] | None = None, run: Run | None = None) -> None:
    """Runs the command line `words`; `run` starts a command, in a process of its own by default."""
    arguments, overrides = parse_with_fields(
        Arguments,
        words,
        prog="reactface ablations",
        fields_of=lambda _: Config,
        shown=lambda given: Config() if given is None else load_config(given.config),
    )
    if not arguments.set:
        raise UserError("--set is empty; give a table such as table3")
    if arguments.truth is not None and not arguments.truth.is_file():
        raise UserError(f"--truth {arguments.truth} does not exist; give the dyads.json of made conversations")
    measured = folder_of(FULL, arguments.out) / "evaluation"
    if arguments.truth is not None and (measured / JSON_NAME).is_file() and not (measured / CLIP_IDS).is_file():
        raise UserError(f"{measured} has no {CLIP_IDS} yet, which --truth needs; remove that folder to make it again")
    sets = {name: load_ablation(name) for name in arguments.set}
    for ablation in sets.values():  # mistakes are found before hours of training
        for variant in (Variant(FULL, ()), *ablation.variants):
            load_config(arguments.config, [*overrides, *variant.overrides])
    window = load_config(arguments.config, overrides).model.window
    run = run or _run_command
    for name, ablation in sets.items():
        folders = {}
        for variant in (Variant(FULL, ()), *ablation.variants):
            words_of_variant = [
                "--config",
                arguments.config,
                "--data.dir",
                arguments.data,
                *overrides,
                *variant.overrides,
            ]
            folders[variant.name] = train_and_evaluate(variant.name, words_of_variant, arguments.out, run)
        compared = compare(folders, arguments.out / Path(name).stem, arguments, window, run)
        text = form(ablation, compared, arguments.config, overrides)
        with replacing(arguments.out / Path(name).stem / "ablation.md") as file:
            file.write(text.encode())
        print(text)


def folder_of(name: str, out: Path) -> Path:
    """Of a variant's run."""
    return out / re.sub(r"\W+", "-", name)


def train_and_evaluate(name: str, words: Sequence[str], out: Path, run: Run) -> Path:
    """Leaves a trained run and its evaluation in a folder of `out`, and returns that.

    Raises:
      UserError: the folder holds a run of another command, or a program failed.
    """
    folder = folder_of(name, out)
    make_folder(folder)
    note = folder / "command.json"
    if note.is_file() and json.loads(note.read_text()) != list(words):
        raise UserError(f"{folder} holds a run of another command ({note}); remove it, or give another --out")
    with replacing(note) as file:
        file.write(json.dumps(list(words)).encode())
    if not (folder / "evaluation" / JSON_NAME).is_file():
        resume = ["--resume"] if (folder / FOLDER).is_dir() else []
        run(["train", *words, "--workdir", str(folder), *resume])
        run(["eval", "--checkpoint", str(folder), "--out", str(folder / "evaluation"), "--page-clips", "0"])
    return folder


def compare(folders: Mapping[str, Path], out: Path, given: Arguments, window: int, run: Run) -> dict[str, Any]:
    """One table of all variants, compared with the full model clip by clip.

    Args:
      folders: of the runs, by the variants' names.
      out: folder of the report.
      given: the data, and what is measured besides.
      window: of the full model (frames).
      run: starts the evaluation.

    Returns:
      The report's JSON.
    """
    people = folders[FULL] / "evaluation"
    words = ["eval", "--predictions"]
    words += [f"{name}={folder / 'evaluation' / 'prediction.npy'}" for name, folder in folders.items()]
    for name in ("speaker", "listener", "neighbours"):
        words += [f"--{name}", str(people / f"{name}.npy")]
    words += ["--window", str(window)]
    if (people / CLIP_IDS).is_file():
        words += ["--clip-ids", str(people / CLIP_IDS)]
    make_folder(out)
    names = folders[FULL] / "coefficient_names.json"
    channels = json.loads((Path(given.data) / "description.json").read_text())["coefficient_names"]
    with replacing(names) as file:
        file.write(json.dumps(channels).encode())
    words += ["--coefficient-names", str(names), "--compare-with", FULL, "--page-clips", "3"]
    words += ["--out", str(out), "--overwrite"]  # the table of all runs is made again by every call
    words += ["--i3d", given.i3d] if given.i3d else []
    run(words + (["--truth", str(given.truth)] if given.truth else []))
    compared: dict[str, Any] = json.loads((out / JSON_NAME).read_text())
    return compared


def form(ablation: Ablation, compared: Mapping[str, Any], config: str, overrides: Sequence[str]) -> str:
    """The table as Markdown: ours in clean mode, the paper's rows, and whose changes have the paper's sign."""
    rows = {row["method"]: row for row in compared["rows"]}
    size = f"{compared['data']['clips']} clips of {compared['data']['frames']} frames"
    lines = [
        f"## {ablation.title}",
        "",
        f"{size}; {' '.join([config, *overrides])}. Clean mode; ≈: no significant difference from the full model. "
        f"Resampled: {compared['data'][RESAMPLED]}.",
        "",
    ]
    lines += [*_row("", COLUMNS), "|---|" + "---:|" * len(COLUMNS)]
    names = [FULL, *(variant.name for variant in ablation.variants)]
    for name in names:
        lines += _row(name, [_figure(rows[name], column) for column in COLUMNS])
    lines += ["", "The paper's:", "", *_row("", COLUMNS), "|---|" + "---:|" * len(COLUMNS)]
    published = [(FULL, PUBLISHED_FULL)] + [(v.name, v.published) for v in ablation.variants if v.published is not None]
    published += [("one of these", figures) for figures in ablation.unassigned]
    for name, figures in published:
        lines += _row(name, [f"{figure:g}" for figure in figures])
    lines += ["", *_signs(ablation, rows)]
    return "\n".join(lines).rstrip() + "\n"


def _row(name: str, cells: Sequence[str]) -> list[str]:
    return [f"| {name} | " + " | ".join(cells) + " |"]


def _value(row: Mapping[str, Any], column: str) -> float | None:
    if column == "FRRea":
        return None if row["realism"] is None else float(row["realism"]["clean"]["distance"])
    value = row["scores"]["clean"][column]
    return None if value is None else float(value)


def _figure(row: Mapping[str, Any], column: str) -> str:
    value = _value(row, column)
    if value is None:
        return "-"
    digits = {"FRVar": 4, "FRDiv": 4, "FRRea": 2, "FRCorr": 3, "FRSyn": 2}[column]
    return f"{value:.{digits}f}" + ("≈" if column in row["not_different"]["clean"] else "")


def _signs(ablation: Ablation, rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence a variant: which figures change as in the paper, which the other way, which not significantly.

    FRRea has an interval but no paired difference, and of a single conversation nothing is tested.
    """
    sentences = []
    for variant in ablation.variants:
        if variant.published is None:
            continue
        row = rows[variant.name]
        found: dict[str, list[str]] = {
            how: [] for how in ("as in the paper", "the other way", "not significantly", "not tested")
        }
        for column, theirs, full in zip(COLUMNS, variant.published, PUBLISHED_FULL, strict=True):
            ours, before = _value(row, column), _value(rows[FULL], column)
            if ours is None or before is None:
                continue
            if column in row["different"]["clean"]:
                found["as in the paper" if (ours > before) == (theirs > full) else "the other way"].append(column)
            else:
                found["not significantly" if column in row["not_different"]["clean"] else "not tested"].append(column)
        parts = [f"{how}: {', '.join(columns)}" for how, columns in found.items() if columns]
        sentences.append(f"- {variant.name}: " + ("; ".join(parts) or "nothing to compare"))
    return ["Against the full model, figures change", "", *sentences] if sentences else []


def _run_command(words: Sequence[str]) -> None:
    print("$ reactface " + " ".join(words), flush=True)
    code = subprocess.run(command_ending_with_us("reactface_jax", words), check=False).returncode
    if code:
        raise UserError(f"`reactface {words[0]}` ended with code {code}; mend what it says above and start this again")


if __name__ == "__main__":
    main()
