"""The lines of JSON-lines files by their hashes, and some of them copied: what two versions share is not parsed."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from corpus.errors import DataError
from corpus.files import is_hub_name, list_files
from corpus.files.contents import READING_ERRORS, open_contents, reading_error
from corpus.files.kinds import tell_kind
from corpus.progress import Progress
from corpus.row_hashes import RowHashes

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A line is read in pieces of so many bytes, so that a file without line breaks is not held as a whole.
PIECE_BYTES = 2**20
# Lines between two reports of progress.
PROGRESS_STEP = 10_000


@dataclass(frozen=True)
class LineHashes:
    """The lines of a file that are not blank: their ``numbers`` from 1, shape (lines,), and the ``hashes`` of their
    bytes without the line break.
    """

    numbers: NDArray[np.int64]
    hashes: RowHashes


def find_lines(source: Path) -> Path | None:
    """The file of a dataset that is a single file of JSON lines, None of any other dataset."""
    if is_hub_name(source):
        return None
    files = list_files(source)
    return files[0] if len(files) == 1 and tell_kind(files[0]).form == "json lines" else None


def hash_lines(path: Path, progress: Progress) -> LineHashes:
    """Hash every line. ``progress`` counts lines. Raises DataError where the file cannot be read."""
    numbers, digests = array("q"), bytearray()
    for number, pieces in _read_lines(path):
        if number % PROGRESS_STEP == 0:
            progress(number, None)
        if len(pieces) > 1 or not pieces[0].isspace():
            digest = hashlib.blake2b(digest_size=16)
            for piece in pieces:
                digest.update(piece.rstrip(b"\r\n"))
            numbers.append(number)
            digests += digest.digest()
    return LineHashes(np.array(numbers, dtype=np.int64), RowHashes.of_bytes(digests))


def copy_lines(path: Path, numbers: NDArray[np.int64], target: IO[bytes]) -> None:
    """Write the lines of these ``numbers``, which ascend, to ``target``; each ends in a line break."""
    wanted = iter(numbers.tolist())
    next_one = next(wanted, None)
    for number, pieces in _read_lines(path):
        if next_one is None:
            return
        if number == next_one:
            target.writelines(pieces)
            if not pieces[-1].endswith(b"\n"):
                target.write(b"\n")
            next_one = next(wanted, None)
    if next_one is not None:
        raise DataError(path, "changed while it was read; run the command again")


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Every line with its number, from 1."""
    return ((number, pieces[0] if len(pieces) == 1 else b"".join(pieces)) for number, pieces in _read_lines(path))


def _read_lines(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    number = 0
    try:
        with open_contents(path, tell_kind(path).compression) as handle:
            read = handle.readline
            while piece := read(PIECE_BYTES):
                pieces = [piece]
                while len(piece) == PIECE_BYTES and not piece.endswith(b"\n") and (piece := read(PIECE_BYTES)):
                    pieces.append(piece)
                number += 1
                yield number, pieces
    except READING_ERRORS as error:
        raise reading_error(path, error, number + 1) from None
