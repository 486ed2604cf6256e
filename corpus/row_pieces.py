"""Rows of a version in pieces of some megabytes, each of which can be read by another worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from corpus.errors import PreparedRowsError
from corpus.prepared_rows import MAKE_IT, LightRow, PreparedRow, explain_bad_row
from corpus.records import HashedRecord
from corpus.stored_rows import StoredRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What a worker reads at once: some tenths of a second of work, and with its records some 20 MB of memory.
PIECE_BYTES = 2**22
# Rows in a piece at most: what is known of each of them, 2 KB for its embeddings, travels back.
PIECE_ROWS = 4096


class RowPiece(NamedTuple):
    """Some rows, in order: their indices, and their lines in the prepared file ``name``, or their records.

    It holds the bytes and not their place in the file. So it can travel to a machine that does not see the file, and
    nothing can take the file's place in the meantime.
    """

    rows: NDArray[np.int64]
    content: bytes | Sequence[HashedRecord]
    name: str = ""

    def read(self) -> list[HashedRecord]:
        """The records, for those who only read the texts of their messages: see `LightRow`.

        Raises PreparedRowsError where the lines are not what ``prepare_file`` wrote.
        """
        if not isinstance(self.content, bytes):
            return list(self.content)
        try:
            found = msgspec.json.Decoder(LightRow).decode_lines(self.content)
        except (ValueError, RecursionError):
            self._explain(msgspec.json.Decoder(PreparedRow))
            raise
        if len(found) != len(self.rows):
            raise PreparedRowsError(self.name, f"changed while it was read; {MAKE_IT}")
        return [HashedRecord(row.build(), row.hash) for row in found]

    def _explain(self, decoder: msgspec.json.Decoder[PreparedRow]) -> None:
        """Raise the error of the first line that cannot be read."""
        assert isinstance(self.content, bytes)
        for row, line in zip(self.rows.tolist(), self.content.splitlines(keepends=True), strict=False):
            try:
                decoder.decode(line)
            except (ValueError, RecursionError) as error:
                raise explain_bad_row(self.name, error, row + 1) from None


def cut_rows(records: Sequence[HashedRecord], rows: NDArray[np.int64] | None = None) -> Iterator[RowPiece]:
    """The rows of these indices, in order, by default all, in pieces of PIECE_BYTES or PIECE_ROWS.

    >>> from corpus.records import Conversation, Message
    >>> row = HashedRecord(Conversation((Message("user", "Hi"), Message("assistant", "Hello!"))), "0" * 32)
    >>> [piece.rows.tolist() for piece in cut_rows([row] * 5000, np.array([1, 4999]))]
    [[1, 4999]]
    """
    if rows is None:
        rows = np.arange(len(records))
    if not isinstance(records, StoredRows):
        for start in range(0, len(rows), PIECE_ROWS):
            part = rows[start : start + PIECE_ROWS]
            yield RowPiece(part, [records[i] for i in part.tolist()])
        return
    before = np.concatenate([[0], np.cumsum(records.line_bytes(rows))])
    start = 0
    while start < len(rows):
        stop = int(np.searchsorted(before, before[start] + PIECE_BYTES, side="right")) - 1
        stop = min(max(stop, start + 1), start + PIECE_ROWS)
        part = rows[start:stop]
        yield RowPiece(part, records.read_lines(part), records.name)
        start = stop
