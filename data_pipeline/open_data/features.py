"""Arrays that a data set has of a recording: read from an npz without the rest of it, and brought to 25 a second."""

import contextlib
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from data_pipeline.open_data.members import Member
from reactface_jax.array_reading import npy_from_bytes
from reactface_jax.errors import UserError
from reactface_jax.types import FRAME_RATE

_MOST_BYTES = 4 << 30


@dataclass(frozen=True)
class Feature:
    """An array: a file of its own, or an entry of an npz."""

    name: str
    """The data set's own."""
    file: Member
    entry: str = ""
    """Of the npz; empty: the file is an npy."""

    def read(self) -> np.ndarray:
        """Raises `UserError` when it is not there or damaged."""
        if not self.entry:
            return npy_from_bytes(self.file.read(), name=str(self.file), kinds="biuf")
        try:
            with self.file.open() as file, zipfile.ZipFile(file) as archive:
                if archive.getinfo(f"{self.entry}.npy").file_size > _MOST_BYTES:
                    raise UserError(f"{self.entry} of {self.file} is too large to be a recording's; download it again")
                content = archive.read(f"{self.entry}.npy")
        except KeyError as error:
            raise UserError(f"{self.file} has no {self.entry}; download it again") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError) as error:
            raise UserError(f"{self.file} is no .npz file, or damaged; download it again") from error
        return npy_from_bytes(content, name=f"{self.entry} of {self.file}", kinds="biuf")

    def rows(self) -> np.ndarray:
        """As `read`, of an array whose first axis is time. Raises `UserError` also for a single number."""
        array = self.read()
        if not array.ndim:
            raise UserError(f"{self.name} of {self.file} is one number, not a row a moment; download it again")
        return array


def entries_of(file: Member) -> list[str]:
    """Names of an npz's arrays; empty where it can't be opened."""
    with contextlib.suppress(zipfile.BadZipFile, EOFError, OSError, UserError), file.open() as stream:
        names = zipfile.ZipFile(stream).namelist()
        return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]
    return []


def rows_at(count: int, seconds: float, start: float, num_frames: int) -> Int[np.ndarray, " n"]:
    """Which row of an array is nearest to each frame of a stretch.

    The array's own rate is its number of rows over the recording's length, whatever its documentation says: some arrays
    come at 240 a second beside others at 30.
    """
    times = start + np.arange(num_frames) / FRAME_RATE
    return np.clip(np.round(times * count / seconds).astype(np.int64), 0, count - 1)


def stretch(
    feature: Feature, valid: Feature | None, seconds: float, start: float, num_frames: int
) -> Float[np.ndarray, "n C"] | None:
    """A feature's rows for a stretch; NaN where it is not valid, None where the recording has not a row of it.

    Args:
      feature: what to read.
      valid: where it holds.
      seconds: length of the recording.
      start: of the stretch (s).
      num_frames: of the stretch.
    """
    array = feature.rows()
    if not len(array):
        return None
    rows = rows_at(len(array), seconds, start, num_frames)
    taken = array[rows].reshape(num_frames, -1).astype(np.float32)
    if valid is not None:
        holds = valid.read().reshape(-1)
        if len(holds):
            taken[~holds[rows_at(len(holds), seconds, start, num_frames)].astype(bool)] = np.nan
    return taken
