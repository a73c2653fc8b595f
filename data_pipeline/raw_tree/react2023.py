"""The raw REACT2023 tree, as its users hold it: list the pairs of a split, check them, find and read their files.

    ROOT/train.csv val.csv test.csv             running index, speaker_path, listener_path
    ROOT/Video_files/<path>.mp4                 25 fps, 256x256; or a folder <path>/ of 1.png, 2.png, ...;
                                                a tree without this folder has no pictures
    ROOT/Audio_files/<path>.wav
    ROOT/3D_FV_files/<path>.npy                 squeezes to [T, 58]
    ROOT/Emotion/<path>.csv                     25 attributes a frame, optional
    ROOT/neighbour_emotion[_new]_<split>.npy    appropriateness, [2n, 2n], optional
    ROOT/mean_face.npy std_face.npy             58 numbers each, optional
    ROOT/coefficient_names.json                 names of the 58 coefficients, optional

The challenge's form has ROOT/{train,val,test}/ with the same below; both are read.

Order of a split, of its matrix and of every array: the csv's n pairs, then the same pairs with the roles swapped.
"""

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from data_pipeline.raw_tree.clip_arrays import read_bytes
from data_pipeline.shards.remote import AnyPath
from reactface_jax.array_reading import npy_from_bytes
from reactface_jax.errors import UserError
from reactface_jax.text_reading import json_from_text, table_from_text, text_from_bytes

SPLITS = ("train", "val", "test")
_LOOKERS = 32  # threads that look for files: in a bucket each look takes its time

_FOLDERS = {"video": "Video_files", "audio": "Audio_files", "coefficients": "3D_FV_files", "attributes": "Emotion"}
# The csvs spell the sites in different cases; these are the data sets' own spellings.
_SITES = {"noxi": "NoXI", "recola": "RECOLA", "udiva": "UDIVA"}


@dataclass(frozen=True)
class Person:
    """The files of one person in one clip."""

    id: str  # path within the tree's folders, such as NoXI/065_2016-04-14_Nottingham/Expert_video/1
    video: AnyPath | None  # an mp4, or a folder of numbered pngs; None in a tree without pictures
    audio: AnyPath
    coefficients: AnyPath
    attributes: AnyPath | None


@dataclass(frozen=True)
class LeftOut:
    """A row of a csv that can't be used."""

    row: int  # counted from 0, without the header
    speaker: str
    listener: str
    reason: str  # such as "speaker has no video and no audio"
    damaged: bool = False  # the files are there, but one of them can't be used


@dataclass(frozen=True)
class Split:
    """The usable pairs of a split."""

    name: str
    pairs: list[tuple[Person, Person]]  # (speaker, listener) in the csv's order
    rows: list[int]  # the csv row of each pair
    num_rows: int  # of the csv, with those left out
    left_out: list[LeftOut]

    @property
    def directions(self) -> list[tuple[Person, Person]]:
        """(speaker, listener) of every example: the pairs, then the same pairs with the roles swapped."""
        return self.pairs + [(listener, speaker) for speaker, listener in self.pairs]


def list_splits(root: AnyPath) -> list[Split]:
    """Lists the splits whose csv the tree has, and which of their rows can be used.

    Raises:
      UserError: there is no such tree or none of its csvs, a csv has not the columns, or no row of a split is usable.
    """
    if not root.is_dir():
        raise UserError(f"raw tree {root} does not exist; give the folder that holds train.csv and Video_files")
    found = {split: path for split in SPLITS if (path := _first_file(root, split, f"{split}.csv"))}
    if not found:
        raise UserError(f"{root} has none of train.csv, val.csv and test.csv; give the folder that holds them")
    return [_list_split(root, split, path) for split, path in found.items()]


def _list_split(root: AnyPath, name: str, path: AnyPath) -> Split:
    base = root / name if (root / name / _FOLDERS["coefficients"]).is_dir() else root
    split = Split(name, pairs=[], rows=[], num_rows=0, left_out=[])
    lines = _read_pairs(path)
    people = sorted({person for pair in lines for person in pair})
    find = functools.partial(_find, base, (base / _FOLDERS["video"]).is_dir())
    with ThreadPoolExecutor(_LOOKERS) as pool:
        found = dict(zip(people, pool.map(find, people), strict=True))
    for row, (speaker, listener) in enumerate(lines):
        one, other = found[speaker], found[listener]
        if isinstance(one, Person) and isinstance(other, Person):
            split.pairs.append((one, other))
            split.rows.append(row)
        else:
            roles = {"speaker": one, "listener": other}
            missing = [f"{role} has {reason}" for role, reason in roles.items() if isinstance(reason, str)]
            split.left_out.append(LeftOut(row, speaker, listener, ", ".join(missing)))
    if not split.pairs:
        why = f": in the first, the {split.left_out[0].reason}" if split.left_out else ""
        raise UserError(f"{path} has {len(lines)} rows and none can be used{why}; check that {base} is complete")
    return Split(name, split.pairs, split.rows, len(lines), split.left_out)


def _read_pairs(path: AnyPath) -> list[tuple[str, str]]:
    """The (speaker, listener) columns of a csv, by name, with or without the running index before them."""
    name = str(path)
    text = text_from_bytes(read_bytes(path), name=name, advice="save it as csv in UTF-8")
    _, rows = table_from_text(text, ["speaker_path", "listener_path"], name=name)
    pairs = [(row["speaker_path"].strip(), row["listener_path"].strip()) for row in rows]
    for number, pair in enumerate(pairs):
        if not all(pair):
            raise UserError(f"{path}, row {number}, has no path for the speaker or the listener; complete or remove it")
    return [(_spelt(speaker), _spelt(listener)) for speaker, listener in pairs]


def _spelt(person: str) -> str:
    """A person's path with the site as its data set spells it."""
    site, _, rest = person.strip("/").partition("/")
    return f"{_SITES.get(site.lower(), site)}/{rest}"


def people_in_several_splits(splits: Sequence[Split]) -> dict[str, list[str]]:
    """Paths of people that more than one split uses, with the splits' names: their figures would include training."""
    found: dict[str, list[str]] = {}
    for split in splits:
        for person in dict.fromkeys(person.id for pair in split.pairs for person in pair):
            found.setdefault(person, []).append(split.name)
    return {person: names for person, names in found.items() if len(names) > 1}


def warning_of_shared_people(splits: Sequence[Split]) -> str:
    """A sentence about clips that several splits use; empty if there are none."""
    shared = people_in_several_splits(splits)
    if not shared:
        return ""
    person, names = next(iter(shared.items()))
    return (
        f"warning: {len(shared)} clips are in more than one split, such as {person} in {' and '.join(names)}; figures "
        "of one split then count what was trained on: take them out of one of the csvs"
    )


def warning_of_repeated_rows(splits: Sequence[Split]) -> str:
    """A sentence about pairs that a csv lists more than once, in either order of the roles; empty if there are none."""
    repeated: list[tuple[str, int, int, str]] = []
    for split in splits:
        rows: dict[frozenset[str], int] = {}
        for row, (speaker, listener) in zip(split.rows, split.pairs, strict=True):
            if (first := rows.setdefault(frozenset((speaker.id, listener.id)), row)) != row:
                repeated.append((split.name, first, row, speaker.id))
    if not repeated:
        return ""
    name, first, row, speaker_id = repeated[0]
    return (
        f"warning: {len(repeated)} rows list a pair again, such as rows {first} and {row} of {name}.csv, {speaker_id}; "
        "every pair stands for both orders of its roles: take all but one of its rows out"
    )


def site_of(person: str) -> str:
    """The data set that a person's clip comes from: NoXI, RECOLA, UDIVA, or that of a tree of one's own."""
    return person.partition("/")[0]


@functools.lru_cache
def _site_folders(folder: AnyPath) -> dict[str, list[str]]:
    """Spellings of a folder's children, such as RECOLA and Recola, by their lower-case one."""
    found: dict[str, list[str]] = {}
    for name in sorted(child.name for child in folder.iterdir()) if folder.is_dir() else ():
        found.setdefault(name.lower(), []).append(name)
    return found


def _stems(base: AnyPath, kind: str, person: str) -> list[AnyPath]:
    """Where a person's file of a kind may be, without its suffix; the site's folder may be spelt in any case."""
    folder = base / _FOLDERS[kind]
    site, _, rest = person.partition("/")
    return [folder / spelling / rest for spelling in _site_folders(folder).get(site.lower(), [site])]


def _video(base: AnyPath, person: str) -> AnyPath | None:
    for stem in _stems(base, "video", person):
        if (mp4 := _suffixed(stem, ".mp4")).is_file():
            return mp4
        if stem.is_dir():
            return stem
    return None


def _file(base: AnyPath, kind: str, person: str, suffix: str) -> AnyPath | None:
    return next((path for stem in _stems(base, kind, person) if (path := _suffixed(stem, suffix)).is_file()), None)


def _suffixed(stem: AnyPath, suffix: str) -> AnyPath:
    return stem.with_name(stem.name + suffix)  # with_suffix would eat what follows a dot in the name


def _find(base: AnyPath, pictures: bool, person: str) -> Person | str:
    """The files of a person's clip; or which are missing, in words. `pictures`: whether the tree has any."""
    try:
        return _find_files(base, pictures, person)
    except (OSError, ValueError) as error:  # a name that is too long, or a folder that may not be read
        return f"no readable files ({getattr(error, 'strerror', None) or error})"


def _find_files(base: AnyPath, pictures: bool, person: str) -> Person | str:
    audio = _file(base, "audio", person, ".wav")
    coefficients = _file(base, "coefficients", person, ".npy")
    video = _video(base, person) if pictures else None
    there = {"audio": audio, "coefficients": coefficients}
    if pictures:
        there = {"video": video, **there}
    if audio is None or coefficients is None or None in there.values():
        return " and ".join(f"no {kind}" for kind, path in there.items() if path is None)
    return Person(person, video, audio, coefficients, _file(base, "attributes", person, ".csv"))


def _first_file(root: AnyPath, split: str, *names: str) -> AnyPath | None:
    """The first of some files that exists, in the root or in the challenge's folder of the split."""
    return next(_files(root, split, *names), None)


def _files(root: AnyPath, split: str, *names: str) -> Iterator[AnyPath]:
    paths = (folder / name for name in names for folder in (root, root / split))
    return (path for path in paths if path.is_file())


def find_matrices(root: AnyPath, split: str) -> list[AnyPath]:
    """All matrices of a split that the tree has. The first is read, the others are not."""
    return list(_files(root, split, f"neighbour_emotion_new_{split}.npy", f"neighbour_emotion_{split}.npy"))


def read_appropriateness(root: AnyPath, split: Split) -> tuple[Bool[np.ndarray, "N N"], AnyPath] | None:
    """Reads which listeners are appropriate reactions to which speakers of a split, in the order of its directions.

    The matrix may be that of all rows of the csv, from which the usable rows are cut, or that of just the usable ones.
    The file that ReactFace reads (`_new_`) comes first.

    Returns:
      The matrix with a true diagonal, and the file it comes from; None when the tree has none.

    Raises:
      UserError: the matrix is not square, not of zeros and ones, or fits neither number of rows; or `prepare labels`
        made it, and of other rows. Then it no longer lines up with the clips.
    """
    paths = find_matrices(root, split.name)
    if not paths:
        return None
    path = paths[0]
    content = read_bytes(path)
    matrix = npy_from_bytes(content, name=str(path))
    whole, usable = 2 * split.num_rows, 2 * len(split.pairs)
    if matrix.shape not in ((whole, whole), (usable, usable)):
        raise UserError(
            f"{path} has shape {matrix.shape}, but {split.name}.csv has {split.num_rows} rows, {len(split.pairs)} "
            f"usable, so it must be [{whole}, {whole}] or [{usable}, {usable}]; make it again for this csv"
        )
    if not np.isin(matrix, (0, 1)).all():
        raise UserError(f"{path} has values other than 0 and 1; give the matrix after the threshold")
    if _rows_when_made(path, content) not in (None, digest_of_rows(split, len(matrix))):
        raise UserError(
            f"{path} was made for other rows than {split.name}.csv has now, or for another order of them; make it "
            "again with `prepare labels --overwrite`"
        )
    if len(matrix) != usable:
        kept = np.concatenate([np.array(split.rows), np.array(split.rows) + split.num_rows])
        matrix = matrix[np.ix_(kept, kept)]
    return matrix.astype(bool) | np.eye(usable, dtype=bool), path


def digest_of_rows(split: Split, size: int) -> str:
    """SHA-256 of the people, in order, in the rows that a matrix of this size is of: the usable ones, or the csv's."""
    pairs = [(speaker.id, listener.id) for speaker, listener in split.pairs]
    if size != 2 * len(pairs):
        all_rows = dict(zip(split.rows, pairs, strict=True))
        all_rows |= {left.row: (left.speaker, left.listener) for left in split.left_out}
        pairs = [all_rows[row] for row in range(split.num_rows)]
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()


def _rows_when_made(path: AnyPath, matrix: bytes) -> object:
    """`digest_of_rows` as `prepare labels` noted it beside this very matrix; None for one that others made."""
    beside = path.with_suffix(".json")
    try:
        text = text_from_bytes(read_bytes(beside), name=str(beside))
        description = json_from_text(text, name=str(beside), advice="")
    except UserError:
        return None
    if not isinstance(description, dict) or description.get("sha256") != hashlib.sha256(matrix).hexdigest():
        return None
    return description.get("sha256_of_rows")


def neighbours(root: AnyPath, split: Split) -> tuple[Bool[np.ndarray, "N N"], str]:
    """The split's matrix as `read_appropriateness` reads it, and where it is from.

    Without one a clip's only known appropriate reaction is its own listener's.
    """
    found = read_appropriateness(root, split)
    if found is None:
        return np.eye(2 * len(split.pairs), dtype=bool), "no matrix: each clip's own listener only"
    return found[0], found[1].name
