"""An evaluation as a folder: report, arrays and page, which take their place together."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped
from rich.console import Console

from reactface_jax.errors import UserError
from reactface_jax.evaluation import report
from reactface_jax.evaluation.attention_maps import AttentionMap
from reactface_jax.evaluation.console_tables import tables
from reactface_jax.evaluation.page import PAGE_NAME, PageHead, build_page
from reactface_jax.evaluation.prediction_files import CLIP_IDS
from reactface_jax.files import replacing_folder, require_replaceable
from reactface_jax.types import Clips

ARRAYS = ("prediction", "speaker", "listener", "neighbours")
_NAMES = {
    report.JSON_NAME,
    report.MARKDOWN_NAME,
    report.LATEX_NAME,
    PAGE_NAME,
    *(f"{name}.npy" for name in ARRAYS),
    CLIP_IDS,
    "ablation.md",  # which `reactface ablations` makes of the report, and makes again
}
_WHAT = "an evaluation"


@dataclass(frozen=True)
class Evaluation:
    """What was measured, ready to be written."""

    report: report.Report
    clips: Clips
    reactions: Mapping[str, Float[np.ndarray, "N K T C"]]
    """By method: those that the page plays."""
    arrays: Mapping[str, Shaped[np.ndarray, "..."]]
    """By the names of their files, some of `ARRAYS`."""
    recording: Callable[[int], bytes] | None = None
    """A clip's real people as an mp4; None where there are no recordings."""
    attention: Iterable[AttentionMap] = ()
    head: PageHead | None = None
    """Of the page, from `head_for`."""
    no_head: str = ""
    """Why there is none."""


def check_out(out: Path, inputs: Mapping[str, Path | None], *, overwrite: bool) -> None:
    """Refuses a folder for the report before anything is computed.

    Args:
      out: the folder, which is replaced as a whole where it holds an evaluation.
      inputs: files and folders that are read, by their flags; they must not lie in it.
      overwrite: whether an evaluation that is there may be replaced.

    Raises:
      UserError: an input or an evaluation would be lost, the folder holds other things, or it can't be written.
    """
    for flag, path in inputs.items():
        if path is not None and path.resolve().is_relative_to(out.resolve()):
            raise UserError(f"--out {out} would replace {flag} {path}; give another folder")
    require_replaceable(out, _is_evaluation, _WHAT)
    if not overwrite and out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} holds an evaluation already; give --overwrite to replace it, or another --out")


def write(evaluation: Evaluation, out: Path, console: Console, page_clips: int) -> None:
    """Writes everything aside, then in place of an older evaluation, and prints the tables.

    Where only the page fails, everything else is written all the same, and what the page raised comes last.

    Args:
      evaluation: what was measured.
      out: folder, checked by `check_out`.
      console: of tables and messages.
      page_clips: clips that the page plays; 0: no page.

    Raises:
      UserError: a file can't be read or written.
    """
    failed: Exception | None = None
    with replacing_folder(out, _is_evaluation, _WHAT) as folder:
        for name, array in evaluation.arrays.items():
            np.save(folder / f"{name}.npy", array)
        if evaluation.arrays:
            lines = (" ".join(name.splitlines()) + "\n" for name in evaluation.clips.clip_ids)
            (folder / CLIP_IDS).write_text("".join(lines), encoding="utf-8")
        report.write(evaluation.report, folder)
        if page_clips > 0:
            try:
                page = build_page(
                    evaluation.report,
                    evaluation.clips,
                    evaluation.reactions,
                    folder,
                    console,
                    page_clips,
                    evaluation.recording,
                    evaluation.attention,
                    evaluation.head,
                    evaluation.no_head,
                )
            except Exception as error:  # of whatever kind: what was measured in hours is not lost for it
                failed = error
    for table in tables(evaluation.report):
        console.print(table, end="\n\n")
    also = " and the arrays that were measured" if evaluation.arrays else ""
    console.print(f"wrote {out}: {report.JSON_NAME}, {report.MARKDOWN_NAME}, {report.LATEX_NAME}{also}")
    if isinstance(failed, UserError):
        raise UserError(f"{out / PAGE_NAME} could not be written, the rest was: {failed}") from failed
    if failed is not None:
        raise failed
    if page_clips > 0:
        console.print(f"wrote {out / PAGE_NAME}: {page}")


def _is_evaluation(folder: Path) -> bool:
    """Whether all that a folder holds has the names that are written here."""
    return all(path.name in _NAMES and path.is_file() and not path.is_symlink() for path in folder.iterdir())
