"""Which listeners are appropriate reactions to which speakers: a split's matrix, cut from the full one or built.

M[i, j] = 1 when speaker j behaves as speaker i does, so that listener j is an appropriate reaction to speaker i. Rows
and columns are a split's directions: the csv's pairs, then the same pairs with the roles swapped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from data_pipeline.raw_tree.clip_arrays import (
    NUM_ATTRIBUTES,
    read_array,
    read_attributes,
    read_bytes,
    read_coefficients,
)
from data_pipeline.raw_tree.react2023 import Person, Split, site_of
from reactface_jax.errors import UserError
from reactface_jax.media.audio import read_audio
from reactface_jax.metrics.dtw import channel_groups
from reactface_jax.metrics.dtw_pairs import Term, closest_pairs, median_distance
from reactface_jax.text_reading import table_from_text, text_from_bytes
from reactface_jax.types import SAMPLE_RATE, SAMPLES_PER_FRAME

FULL_MATRIX = "Approprirate_facial_reaction.npy"  # sic
INDICES = "data_indices.csv"
Behaviour = Literal["attributes", "coefficients"]

_NOXI_ROLES = ("Expert_video", "Novice_video")
_NUM_BANDS = 20
_STILL = 1e-6  # a channel with less standard deviation (of what is standardised) is constant


@dataclass(frozen=True)
class Labels:
    """A split's matrix, and how it came about."""

    matrix: Bool[np.ndarray, "N N"]
    threshold: float | None
    """The largest distance of two neighbours; None for a matrix that was cut."""

    @property
    def degrees(self) -> np.ndarray:
        """Appropriate reactions of each clip, its own counted."""
        return self.matrix.sum(axis=1)


def cut(root: Path, split: Split) -> Labels:
    """Cuts the matrix of all rows of a split's csv out of the full one.

    The full matrix is [2R, 2R] for the R rows of data_indices.csv (site, chat_index, clip_index): index r means row r
    with the csv's speaker as speaker, r + R the same with the roles swapped. UDIVA's chat_index is session_task.

    Raises:
      UserError: a file is missing or is not what it should be, or a row of the csv matches no row of the indices, or
        several, or the same as another row does. Left out, they would shift the matrix against the clips.
    """
    indices = _read_indices(root / INDICES)
    path = root / FULL_MATRIX
    if not path.is_file():
        raise UserError(f"{path} does not exist; copy it there, or build labels with --source attributes")
    full = read_array(path)
    total = len(indices)
    if full.shape != (2 * total, 2 * total):
        raise UserError(
            f"{path} has shape {list(full.shape)}, but {root / INDICES} has {total} rows, so it must be "
            f"[{2 * total}, {2 * total}]; take both from the same release"
        )
    rows: dict[tuple[str, ...], list[int]] = {}
    for row, key in enumerate(indices):
        rows.setdefault(key, []).append(row)
    chosen = _match(root, split, rows)
    both = np.concatenate([chosen, chosen + total])
    matrix = full[np.ix_(both, both)]
    if not np.isin(matrix, (0, 1)).all():
        raise UserError(f"{path} has values other than 0 and 1; give the matrix after the threshold")
    return Labels(matrix.astype(bool) | np.eye(len(matrix), dtype=bool), threshold=None)


def _read_indices(path: Path) -> list[tuple[str, ...]]:
    """The key of each row: site in capitals, chat, clip."""
    if not path.is_file():
        raise UserError(f"{path} does not exist; it says which row of {FULL_MATRIX} is which clip: copy it there")
    columns = ("site", "chat_index", "clip_index")
    text = text_from_bytes(read_bytes(path), name=str(path), advice="save it as csv in UTF-8")
    _, table = table_from_text(text, columns, name=str(path))
    for number, row in enumerate(table):
        if empty := [column for column in columns if not row[column].strip()]:
            raise UserError(f"{path}, row {number}, has no {empty[0]}; its columns must be {', '.join(columns)}")
    return [(row["site"].strip().upper(), row["chat_index"].strip(), row["clip_index"].strip()) for row in table]


def _match(root: Path, split: Split, rows: dict[tuple[str, ...], list[int]]) -> np.ndarray:
    """The row of the indices for every row of a split's csv."""
    lines = {row: (speaker.id, listener.id) for row, (speaker, listener) in zip(split.rows, split.pairs, strict=True)}
    lines |= {left.row: (left.speaker, left.listener) for left in split.left_out}
    name = f"{split.name}.csv"
    unmatched: list[tuple[int, str]] = []
    chosen: list[int] = []
    speakers: dict[tuple[str, ...], str] = {}
    for row in range(split.num_rows):
        speaker, listener = lines[row]
        key = _key(speaker)
        if key != _key(listener):
            raise UserError(f"{name}, row {row}: {speaker} and {listener} are not of one conversation; correct the row")
        found = rows.get(key, [])
        if len(found) > 1:
            raise UserError(
                f"{name}, row {row}, {speaker}, matches rows {found[0]} and {found[1]} of {root / INDICES}; remove one "
                f"of them and of {FULL_MATRIX}"
            )
        if key in speakers:
            how = "again" if speakers[key] == speaker else "with the roles swapped"
            raise UserError(f"{name}, row {row}, {speaker}, is an earlier row {how}; remove one of them")
        speakers[key] = speaker
        if not found:
            unmatched.append((row, speaker))
        chosen += found
    if unmatched:
        row, speaker = unmatched[0]
        raise UserError(
            f"{len(unmatched)} of {split.num_rows} rows of {name} match no row of {root / INDICES}, such as row {row}, "
            f"{speaker}; a matrix without them would not line up with the clips: take them out of the csv, or complete "
            "the indices"
        )
    _check_roles(name, list(speakers.values()))
    return np.array(chosen)


def _key(person: str) -> tuple[str, ...]:
    """Site, chat and clip of a path such as NoXI/chat/Expert_video/1, or UDIVA/task/session/FC1/8."""
    parts = person.split("/")
    chat = f"{parts[2]}_{parts[1]}" if len(parts) > 4 else parts[1] if len(parts) > 1 else ""
    return site_of(person).upper(), chat, parts[-1]


def _check_roles(name: str, speakers: list[str]) -> None:
    """The full matrix has one order of the roles: refuses a csv with experts and with novices as speakers."""
    expert, novice = (next((s for s in speakers if role in s.split("/")), None) for role in _NOXI_ROLES)
    if expert and novice:
        raise UserError(
            f"{name} has both {expert} and {novice} as speakers, but the full matrix has one order of the roles; "
            "write all rows in the same order"
        )


def build(
    split: Split,
    source: Behaviour,
    mean_degree: float,
    audio_weight: float = 0.0,
    average: int = 1,
    workers: int = 1,
    on_row: Callable[[], None] = lambda: None,
) -> Labels:
    """Builds the matrix of a split's usable rows: neighbours are the closest speakers by dynamic time warping.

    Args:
      split: the rows.
      source: what behaviour is: the 25 attributes, warped in the challenge's three groups with its weights, or the 58
        coefficients, standardised (see `standardised`).
      mean_degree: appropriate reactions a clip on average, its own counted.
      audio_weight: how much the voices' distance counts beside the faces', both relative to their medians.
      average: frames that are averaged before warping; 5 takes about a 15th of the time.
      workers: threads.
      on_row: called 2n times meanwhile.

    Raises:
      UserError: attributes are missing, or the degree can't be reached.
    """
    people = [speaker for speaker, _ in split.directions]
    if source == "attributes":
        for person in people:
            if person.attributes is None:
                raise UserError(f"{person.id} of {split.name} has no Emotion file; use --source coefficients")
        sequences = [read_attributes(person.attributes) for person in people if person.attributes]
    else:
        sequences = [read_coefficients(person.coefficients) for person in people]
    voices = [voice(person, len(s)) for person, s in zip(people, sequences, strict=True)] if audio_weight else None
    return neighbours(sequences, mean_degree, voices, audio_weight, average, workers, on_row)


def neighbours(
    sequences: Sequence[Float[np.ndarray, "_ C"]],
    mean_degree: float,
    voices: Sequence[Float[np.ndarray, "_ B"]] | None = None,
    audio_weight: float = 0.0,
    average: int = 1,
    workers: int = 1,
    on_row: Callable[[], None] = lambda: None,
) -> Labels:
    """As `build`, from the 2n speakers' attributes or coefficients (and voices) themselves.

    The matrix is symmetric with a true diagonal; the two people of one conversation are never each other's neighbours.

    Args:
      sequences: the speakers of a split's directions, in order: 25 attributes or 58 coefficients a frame.
      mean_degree: appropriate reactions a clip on average, its own counted.
      voices: bands of their voices, see `voice`.
      audio_weight: how much the voices' distance counts beside the faces', both relative to their medians.
      average: frames that are averaged before warping.
      workers: threads.
      on_row: called 2n times meanwhile.

    Raises:
      UserError: the degree can't be reached, or distances are not finite.
    """
    total = len(sequences)
    counterparts = np.stack([np.arange(total // 2), np.arange(total // 2) + total // 2], axis=1)
    most = total - 1.0  # all but the counterpart
    if not 1 <= mean_degree <= most:  # NaN is not either
        raise UserError(f"--mean-degree {mean_degree:g} can't be reached: {total} clips allow 1 to {most:g}")
    count = round((mean_degree - 1) * total / 2)
    if count == 0:
        return Labels(np.eye(total, dtype=bool), threshold=0.0)
    if sequences[0].shape[1] == NUM_ATTRIBUTES:
        groups = channel_groups(NUM_ATTRIBUTES)
        terms = [Term(centred([s[:, channels] for s in sequences], average), weight) for channels, weight in groups]
    else:
        terms = [Term(standardised(sequences, average), 1.0)]
    if voices is not None and audio_weight:
        terms = [*terms, _voice_term(terms, standardised(voices, average), audio_weight)]
    try:
        distances, threshold = closest_pairs(terms, count, counterparts, workers, on_row=on_row)
    except ValueError as error:  # sums beyond float32, which only an extreme weight brings about
        raise UserError(
            f"the distances of clips can't be compared: {error}; check the data, or give a smaller --audio-weight"
        ) from error
    return Labels(np.isfinite(distances) | np.eye(total, dtype=bool), threshold)


def _voice_term(terms: list[Term], voices: list[np.ndarray], weight: float) -> Term:
    """Brings the voices' distances to the faces' size, times the weight."""
    term = Term(voices, 1.0)
    faces = sum(t.weight * median_distance(t) for t in terms)
    term.weight = weight * faces / max(median_distance(term), 1e-9)
    return term


def centred(sequences: Sequence[Float[np.ndarray, "_ C"]], average: int = 1) -> list[Float[np.ndarray, "_ C"]]:
    """Sequences about the mean of all frames, with every `average` frames averaged."""
    shorter = [_averaged(np.asarray(sequence, np.float32), average) for sequence in sequences]
    mean = np.mean([sequence.mean(axis=0, dtype=np.float64) for sequence in shorter], axis=0)
    return [(sequence - mean).astype(np.float32) for sequence in shorter]


def standardised(sequences: Sequence[Float[np.ndarray, "_ C"]], average: int = 1) -> list[Float[np.ndarray, "_ c"]]:
    """Each channel about its clip's mean, by its standard deviation about these means over all clips.

    A clip's mean holds the person's face at rest and where the camera stood, not what the person does. Divided by the
    square root of their number; channels that are constant in every clip are left out.
    """
    shorter = [_averaged(np.asarray(sequence, np.float32), average) for sequence in sequences]
    moving = [sequence - sequence.mean(axis=0, dtype=np.float64) for sequence in shorter]
    std = np.sqrt(np.mean([np.square(sequence).mean(axis=0) for sequence in moving], axis=0))
    kept = std > _STILL
    if not kept.any():
        raise UserError("nothing moves in any clip of the split, so no clip is nearer than another; check the data")
    return [(sequence[:, kept] / (std[kept] * np.sqrt(kept.sum()))).astype(np.float32) for sequence in moving]


def _averaged(sequence: Float[np.ndarray, "T C"], average: int) -> Float[np.ndarray, "t C"]:
    starts = np.arange(0, len(sequence), average)
    counts = np.diff(np.append(starts, len(sequence)))[:, None]
    return (np.add.reduceat(sequence, starts, axis=0) / counts).astype(np.float32)


def voice(person: Person, num_frames: int) -> Float[np.ndarray, "T 20"]:
    """What a person's voice sounds like in each frame: logarithmic energies of 20 bands, equally wide in mel."""
    audio = read_audio(person.audio, SAMPLE_RATE)[: num_frames * SAMPLES_PER_FRAME]
    audio = np.pad(audio, (0, num_frames * SAMPLES_PER_FRAME - len(audio)))
    spectrum = np.abs(np.fft.rfft(audio.reshape(num_frames, SAMPLES_PER_FRAME) * np.hanning(SAMPLES_PER_FRAME))) ** 2
    frequencies = np.fft.rfftfreq(SAMPLES_PER_FRAME, 1 / SAMPLE_RATE)
    mel = np.log1p(frequencies / 700)
    band = np.minimum((mel / mel[-1] * _NUM_BANDS).astype(np.int64), _NUM_BANDS - 1)
    energies = np.stack([spectrum[:, band == b].sum(axis=1) for b in range(_NUM_BANDS)], axis=1)
    return np.log(energies + 1e-4).astype(np.float32)
