"""Rows, and answers, that stand in a version more than once: counted by full hashes over all rows, at any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import HashedRecord
from corpus.row_facts import hashes_of
from corpus.row_hashes import RowHashes
from corpus.side_facts import side_facts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.measures.row_split import RowSplit

# A shorter answer, such as "Yes." or a label, may be right for many prompts.
MIN_ANSWER_WORDS = 4


@dataclass(frozen=True)
class Repeats:
    """How many added and kept rows have a text that stands in this version more than once.

    - ``added``, ``kept``: how many rows were looked at. ``looked_at``: their share of all added rows.
    - ``repeated_added``, ``repeated_kept``: those with another row
      that has the same text. Any two of them count both, so that it does not matter which came first.
    - ``usual``: the share of the kept rows that repeat an earlier kept one.
    - ``is_repeat``: added rows that repeat a kept row or an earlier row, shape (rows,).
    """

    added: int
    kept: int
    looked_at: float
    repeated_added: int
    repeated_kept: int
    usual: float
    is_repeat: NDArray[np.bool_]

    @property
    def surplus(self) -> int:
        """How many added rows repeat another row."""
        return int(np.count_nonzero(self.is_repeat))


def count_repeated_rows(records: Sequence[HashedRecord], split: RowSplit) -> Repeats:
    """Exact copies of whole rows. A copy that the parent had as well is a kept row.

    >>> from corpus.records import Conversation
    >>> from monitor.measures.row_sketch import RowSketch
    >>> from monitor.measures.row_split import split_rows
    >>> old, new = "00" * 16, "11" * 16
    >>> version = [old, new, old]
    >>> rows = [HashedRecord(Conversation(()), row_hash) for row_hash in version]
    >>> count_repeated_rows(rows, split_rows(version, RowSketch.of([old]))).is_repeat.tolist()
    [False, False, True]
    """
    return _count(hashes_of(records), np.ones(len(records), dtype=bool), split)


def count_repeated_answers(records: Sequence[HashedRecord], split: RowSplit, known: NDArray[np.bool_]) -> Repeats:
    """Answers of at least MIN_ANSWER_WORDS words that other rows have too. Copies of whole rows are left out.

    ``known``: rows for which there is a reference; the others are left out, shape (records,).
    """
    facts = side_facts_of(records)
    has_answer = split.is_first & known & (facts.answer_words >= MIN_ANSWER_WORDS)
    return _count(facts.answers, has_answer, split)


def _count(texts: RowHashes, has: NDArray[np.bool_], split: RowSplit) -> Repeats:
    """Count rows whose text is not the only one of its kind. ``texts``: their hashes. ``has``: rows that have a text;
    no others are looked at. Shape (rows,).

    Rows of unknown standing are looked at as possible partners only.
    """
    is_kept, is_added = split.is_kept, split.is_added
    text = texts.number()
    text[~has] = -1
    times = np.bincount(text[has], minlength=1)
    shared = has & (times[text] > 1)
    kept, added = has & is_kept, has & is_added
    # Among equal rows the added ones come last, whatever their place in the file.
    order = np.lexsort((is_added, text))
    is_later = np.zeros(len(text), dtype=bool)
    is_later[order[1:]] = text[order[1:]] == text[order[:-1]]
    among_kept = np.unique(text[kept]).size
    rows = int(np.count_nonzero(kept))
    return Repeats(
        added=int(np.count_nonzero(added)),
        kept=rows,
        looked_at=int(np.count_nonzero(added)) / max(1, int(np.count_nonzero(is_added))),
        repeated_added=int(np.count_nonzero(shared & added)),
        repeated_kept=int(np.count_nonzero(shared & kept)),
        usual=1 - among_kept / rows if rows else 0.0,
        is_repeat=added & is_later,
    )
