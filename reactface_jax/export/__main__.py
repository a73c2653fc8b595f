"""Writes reactions for avatars: `reactface export answer.npy --format livelink-csv|json|glb|bvh-head`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import tyro

from reactface_jax import arguments
from reactface_jax.errors import UserError, reports_user_errors
from reactface_jax.export.gltf import glb
from reactface_jax.export.motion import Motion, find_names, motion, read_names, read_reactions
from reactface_jax.export.text_formats import arkit_json, bvh, live_link_csv
from reactface_jax.files import replacing
from reactface_jax.output_files import check_folder_of, check_outputs

Format = Literal["livelink-csv", "json", "glb", "bvh-head"]

_FORMATS: dict[str, tuple[str, Callable[[Motion], str | bytes]]] = {
    "livelink-csv": (".csv", live_link_csv),
    "json": (".json", arkit_json),
    "glb": (".glb", glb),
    "bvh-head": (".bvh", bvh),
}


def export(
    reactions: tyro.conf.Positional[Path],
    format: Format,
    out: Path | None = None,
    names: Path | None = None,
    reaction: int | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Writes one file a reaction.

    Args:
      reactions: the .npy that `reactface react` wrote, [K, T, 58] or [T, 58].
      format: livelink-csv, json, glb or bvh-head.
      out: the file to write; with several reactions, _1, _2 … come before its ending. Beside the .npy by default.
      names: the data's coefficient_names.json; by default the one beside the .npy.
      reaction: write only this one, counted from 1.
      overwrite: replace files that are there.

    Returns:
      The files.

    Raises:
      UserError: an input is unusable, or a file is there already; nothing is written then.
    """
    suffix, encode = _FORMATS[format]
    coefficients = read_reactions(reactions)
    out = out or reactions.with_suffix(suffix)
    if out.suffix.lower() != suffix:
        raise UserError(f"--out {out} must end in {suffix} for --format {format}")
    check_folder_of(out)
    if reaction is not None and not 1 <= reaction <= len(coefficients):
        raise UserError(f"--reaction {reaction}: {reactions} holds {len(coefficients)}; give a number from 1 to that")
    channel_names = read_names(names, reactions)
    chosen = range(1, len(coefficients) + 1) if reaction is None else [reaction]
    several = len(chosen) > 1
    places = {k: out.with_stem(f"{out.stem}_{k}") if several else out for k in chosen}
    inputs: dict[str, Path | None] = {"REACTIONS": reactions, "--names": find_names(names, reactions)}
    check_outputs(list(places.values()), inputs, overwrite=overwrite)
    contents = {path: encode(motion(coefficients[k - 1], channel_names)) for k, path in places.items()}
    for path, content in contents.items():
        with replacing(path) as file:
            file.write(content.encode() if isinstance(content, str) else content)
        print(f"wrote {path}: {coefficients.shape[1]} frames")
    return list(contents)


@reports_user_errors
def main(words: Sequence[str] | None = None) -> None:
    """Runs `export` on the words of a command line, the program's own by default."""
    arguments.run(export, words, prog="reactface export", description=__doc__)


if __name__ == "__main__":
    main()
