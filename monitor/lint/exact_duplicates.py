"""Rows that say exactly what an earlier row says, in any of the files."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np

from monitor.lint.check import Check, Hit, Observer
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow

DUPLICATE = Issue(
    "W401",
    "exact-duplicate",
    "Rows that repeat an earlier row",
    "All messages are the same, letter by letter; ids and other metadata do not count. The row is trained on "
    "twice, and "
    "if the files are training and test data, the test is worth nothing.",
    "Remove the copies.",
)


class DuplicateObserver(Observer):
    def __init__(self) -> None:
        self.keys = array("Q")

    def look(self, row: LintRow) -> tuple[Hit, ...]:
        # 64 of the hash's 128 bits: among ten million rows, two differ and share them once in 370,000 files.
        self.keys.append(int(row.hash[:16], 16))
        return ()

    def finish(self) -> Iterator[Hit]:
        keys = np.frombuffer(self.keys, dtype=np.uint64)
        _, first, which = np.unique(keys, return_index=True, return_inverse=True)
        earliest = first[which]
        for index in np.flatnonzero(earliest != np.arange(len(keys))).tolist():
            yield Hit(DUPLICATE, index, other=int(earliest[index]))


CHECK = Check((DUPLICATE,), lambda settings: DuplicateObserver())
