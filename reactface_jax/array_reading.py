"""Arrays from files that anyone may have written: .npy and .npz, read without trusting a byte of them.

NumPy's own reader evaluates the header as Python text and believes the sizes in it: random bytes end in a TokenError or
a RecursionError, a header of a few bytes asks for terabytes, and pickles run code. Here the header is matched against
the three fields that NumPy writes, sizes are held against the bytes that are there, and everything else is one
`UserError` that says what is wrong.
"""

import io
import math
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from reactface_jax.errors import UserError

NUMBERS = "fiub"
"""Kinds of element: floats, integers, unsigned integers, booleans."""
TEXT = "U"

COPY_AGAIN = "copy it again"

_MAGIC = b"\x93NUMPY"
_MOST_HEADER = 10_000  # bytes, as NumPy's own limit
_CHUNK = 1 << 20
_FIELD = re.compile(
    r"\s*(['\"])(?P<key>descr|fortran_order|shape)\1\s*:\s*"
    r"(?:(['\"])(?P<descr>[^'\"\\]{1,32})\3|(?P<order>True|False)|\((?P<shape>[\dL,\s]*)\)|(?P<records>\[.*\]))\s*(?:,|$)",
    re.DOTALL,
)
_DTYPE = re.compile(r"[<>|=]?[biufcOSUVMm]\d{0,9}")
_ODD = re.compile(r"[^\x20-\x7e\t\n]")
_LENGTH = re.compile(r"\s*(\d{1,18})L?\s*")


class _Header(NamedTuple):
    """What an .npy file says of itself, held against its size."""

    dtype: np.dtype
    shape: tuple[int, ...]
    order: Literal["C", "F"]
    offset: int

    @property
    def num_elements(self) -> int:
        return math.prod(self.shape)


def read_npy(
    path: str | Path, *, name: str = "", advice: str = COPY_AGAIN, kinds: str = NUMBERS, mapped: bool = False
) -> np.ndarray:
    """Reads an .npy file.

    Args:
      path: the file.
      name: what the message calls it, such as "--mean-face x.npy"; the path if not given.
      advice: what the person should do if it is of no use; ends the message.
      kinds: NumPy's letters of the kinds of element that are wanted.
      mapped: map the file into memory, read-only, instead of reading it.

    Raises:
      UserError: the file is missing, is none, holds other elements, or has another size than its header says.
    """
    name = name or str(path)
    try:
        with Path(path).open("rb") as file:
            header = _read_header(file, os.fstat(file.fileno()).st_size, kinds)
            if mapped and header.num_elements and header.dtype.itemsize:
                return np.memmap(path, header.dtype, "r", header.offset, header.shape, header.order)
            return _elements(header, file)
    except _NotUsableError as error:
        raise UserError(f"{name} {error}; {advice}") from error
    except (OSError, MemoryError) as error:
        raise UserError(f"{name} {_why(error)}; {advice}") from error


def npy_from_bytes(content: bytes, *, name: str, advice: str = COPY_AGAIN, kinds: str = NUMBERS) -> np.ndarray:
    """The array in the bytes of an .npy file, wherever they come from; as `read_npy`."""
    try:
        return _from_bytes(content, kinds)
    except _NotUsableError as error:
        raise UserError(f"{name} {error}; {advice}") from error


def read_npz(
    path: str | Path, *, most_bytes: int, name: str = "", advice: str = COPY_AGAIN, kinds: str = NUMBERS + TEXT
) -> dict[str, np.ndarray]:
    """Reads all arrays of an .npz file.

    Args:
      path: the file.
      most_bytes: what all arrays together may unpack to: a small file can hold gigabytes of zeros.
      name: what the message calls the file; its path if not given.
      advice: what the person should do if it is of no use; ends the message.
      kinds: NumPy's letters of the kinds of element that are wanted.

    Raises:
      UserError: the file is missing, is none, is damaged, unpacks to more, or holds other elements.
    """
    return _read_npz(path, most_bytes, name or str(path), advice, kinds)


def npz_from_bytes(
    content: bytes, *, most_bytes: int, name: str, advice: str = COPY_AGAIN, kinds: str = NUMBERS + TEXT
) -> dict[str, np.ndarray]:
    """The arrays in the bytes of an .npz file, wherever they come from; arguments and errors as of `read_npz`."""
    return _read_npz(io.BytesIO(content), most_bytes, name, advice, kinds)


def _read_npz(
    source: str | Path | io.BytesIO, most_bytes: int, name: str, advice: str, kinds: str
) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(source) as archive:
            return _members(archive, most_bytes, kinds)
    except _NotUsableError as error:
        raise UserError(f"{name} {error}; {advice}") from error
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError, NotImplementedError) as e:
        raise UserError(f"{name} is no .npz file, or damaged; {advice}") from e
    except (OSError, MemoryError) as error:
        raise UserError(f"{name} {_why(error)}; {advice}") from error


class _NotUsableError(Exception):
    """What is wrong with a file, as the part of a sentence that follows its name."""


def _read_header(file: io.BufferedIOBase, size: int, kinds: str) -> _Header:
    start = file.read(12)
    if start[:2] == b"PK":
        raise _NotUsableError("holds several arrays (.npz), not one (.npy)")
    if start[:1] == b"\x80":
        raise _NotUsableError("is a pickle, which is not read, since that could run code")
    if start[:6] != _MAGIC or len(start) < 12:
        raise _NotUsableError("can't be read as an array of numbers: it is no .npy file")
    if start[6] not in (1, 2, 3) or start[7]:
        raise _NotUsableError(
            f"can't be read as an array of numbers: version {start[6]}.{start[7]} of .npy is not known"
        )
    begin, form = (10, "<H") if start[6] == 1 else (12, "<I")
    (length,) = struct.unpack(form, start[8:begin])
    offset = begin + length
    if length > _MOST_HEADER or offset > size:
        raise _damaged()
    text = (start[begin:] + file.read(max(0, offset - 12))).decode("utf-8" if start[6] == 3 else "latin1", "replace")
    if offset < 12:  # a header of one byte; more was read already
        raise _damaged()
    dtype, shape, order = _parse(text, kinds)
    promised = math.prod(shape) * dtype.itemsize
    if promised > size - offset:
        raise _NotUsableError(
            f"is cut off or damaged: its header says {promised} bytes of numbers, but {size - offset} are there"
        )
    return _Header(dtype, shape, order, offset)


def _parse(text: str, kinds: str) -> tuple[np.dtype, tuple[int, ...], Literal["C", "F"]]:
    """Type, shape and order of a header: {'descr': '<f4', 'fortran_order': False, 'shape': (3,), }."""
    body = text.strip()
    if _ODD.search(text) or not (body.startswith("{") and body.endswith("}")):
        raise _damaged()
    body, position, found = body[1:-1].strip(), 0, {}
    while position < len(body):
        field = _FIELD.match(body, position)
        if field is None or field["key"] in found:
            raise _damaged()
        found[field["key"]] = field
        position = field.end()
    if len(found) != 3:
        raise _damaged()
    if found["descr"]["records"] is not None:
        raise _NotUsableError("holds records, not plain numbers")
    descr, order, lengths = found["descr"]["descr"], found["fortran_order"]["order"], found["shape"]["shape"]
    if descr is None or order is None or lengths is None:
        raise _damaged()
    return _dtype(descr, kinds), _shape(lengths), "F" if order == "True" else "C"


def _dtype(descr: str, kinds: str) -> np.dtype:
    if not _DTYPE.fullmatch(descr):
        raise _damaged()
    try:
        dtype = np.dtype(descr)
    except (TypeError, ValueError, OverflowError) as error:
        raise _damaged() from error
    if dtype.hasobject:
        raise _NotUsableError("is a pickle, which is not read, since that could run code")
    if dtype.kind not in kinds:
        raise _NotUsableError(f"can't be read as an array of numbers: it holds elements of type {dtype}")
    return dtype


def _shape(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not parts[-1].strip():  # "" or "3,"
        parts.pop()
    lengths = [_LENGTH.fullmatch(part) for part in parts]
    shape = tuple(int(length[1]) for length in lengths if length)
    # NumPy counts the elements of an empty array too, without its zeros.
    if len(shape) != len(parts) or len(shape) > 32 or math.prod(max(1, length) for length in shape) >= 1 << 56:
        raise _damaged()
    return shape


def _damaged() -> _NotUsableError:
    return _NotUsableError("can't be read as an array of numbers: its header is damaged")


def _elements(header: _Header, file: io.BufferedIOBase) -> np.ndarray:
    """The array that begins where the file stands: one of its own, which can be written to."""
    flat = np.empty(header.num_elements, header.dtype)
    if flat.nbytes:
        content = flat.view(np.uint8).data
        while len(content):
            if not (number := file.readinto(content)):
                raise _NotUsableError("was cut off while it was read")
            content = content[number:]
    return flat.reshape(header.shape, order=header.order)


def _from_bytes(content: bytes, kinds: str) -> np.ndarray:
    file = io.BytesIO(content)
    header = _read_header(file, len(content), kinds)
    return _elements(header, file)


def _members(archive: zipfile.ZipFile, most_bytes: int, kinds: str) -> dict[str, np.ndarray]:
    members = archive.infolist()
    total = sum(member.file_size for member in members)
    if total > most_bytes:
        raise _NotUsableError(
            f"would unpack to {total / 1e6:,.0f} MB, more than the {most_bytes / 1e6:,.0f} MB expected"
        )
    arrays: dict[str, np.ndarray] = {}
    for member in members:
        key = member.filename.removesuffix(".npy")
        if key == member.filename or key in arrays:
            raise _NotUsableError("is no .npz file, or damaged")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _NotUsableError("is packed in a way that NumPy does not use")
        with archive.open(member) as file:
            # By pieces: what is unpacked at once is then bounded, whatever the archive says of itself.
            content = b"".join(iter(lambda file=file: file.read(_CHUNK), b""))  # type: ignore[misc]
        try:
            arrays[key] = _from_bytes(content, kinds)
        except _NotUsableError as error:
            raise _NotUsableError(f"holds an array {key!r} that is of no use: it {error}") from error
    return arrays


def _why(error: OSError | MemoryError) -> str:
    match error:
        case FileNotFoundError():
            return "does not exist"
        case IsADirectoryError():
            return "is a folder, not a file"
        case MemoryError():
            return "is larger than this machine's memory"
        case _:
            return f"can't be read ({error.strerror or error})"
