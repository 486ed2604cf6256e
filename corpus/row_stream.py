"""The rows of a dataset one by one, and from some point on the lines of its JSON lines in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from corpus.files import BadRows, LinePiece, NumberedFile, Row, read_rows_or_pieces


class RowStream:
    """What ``read_rows_or_pieces`` yields, in turns of rows and of pieces.

    ``files``: those that were begun. ``may_cut``: whether there are pieces at all, after ``begin_pieces``.
    ``is_open``: whether there may be more.
    """

    def __init__(self, source: str | Path, max_row_bytes: int, bad_rows: BadRows, may_cut: bool) -> None:
        self.files: list[NumberedFile] = []
        self.is_open = True
        self._cuts = False
        wants_pieces = (lambda: self._cuts) if may_cut else None
        self._items = read_rows_or_pieces(source, max_row_bytes, bad_rows, self.files.append, wants_pieces)
        self._next: LinePiece | tuple[int, Row] | None = None
        self._error: Exception | None = None

    def begin_pieces(self) -> None:
        """From the next piece of a file on, pieces come whole."""
        self._cuts = True

    def rows(self) -> Iterator[tuple[int, Row]]:
        """The next rows, up to a piece. Raises what reading raises, also that which ``pieces`` met."""
        if self._error:
            raise self._error
        while (item := self._pull()) is not None:
            if isinstance(item, LinePiece):
                self._next = item
                return
            yield item

    def pieces(self) -> Iterator[LinePiece]:
        """The next pieces, up to a row. They are taken ahead of their turn, so an error waits for ``rows`` to raise it:
        the pieces before it come first.
        """
        try:
            while (item := self._pull()) is not None:
                if not isinstance(item, LinePiece):
                    self._next = item
                    return
                yield item
        except Exception as error:
            self._error = error

    def _pull(self) -> LinePiece | tuple[int, Row] | None:
        item, self._next = self._next, None
        if item is None:
            item = next(self._items, None)
            self.is_open = item is not None
        return item
