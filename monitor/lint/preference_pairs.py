"""Preferences that prefer nothing, and preferences that contradict each other."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np

from corpus.records import Message, Preference
from monitor.lint.check import Check, Hit, Observer
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow, text_key

EQUAL = Issue(
    "W801",
    "equal-pair",
    "Pairs whose two answers are the same",
    "The chosen and the rejected answer have the same words, so nothing can be learned from the pair.",
    "Remove these pairs.",
)
FLIPPED = Issue(
    "W802",
    "flipped-pair",
    "Pairs that prefer the opposite of another pair",
    "Another row with the same prompt chooses the answer that this one rejects, and rejects the one it chooses.",
    "Decide which of the two is right, and remove the other.",
)


class PairObserver(Observer):
    def __init__(self) -> None:
        self.chosen, self.rejected = array("Q"), array("Q")

    def look(self, row: LintRow) -> Iterator[Hit]:
        chosen = rejected = 0
        record = row.record
        if isinstance(record, Preference):
            chosen, rejected = (self._key(row, side) for side in (record.chosen, record.rejected))
            if chosen and chosen == rejected:
                chosen = rejected = 0
                yield Hit(EQUAL, row.index)
        self.chosen.append(chosen)
        self.rejected.append(rejected)

    @staticmethod
    def _key(row: LintRow, answer: tuple[Message, ...]) -> int:
        text = "\n".join(message.text for message in answer)
        return text_key(f"{row.prompt_key} {text}") if text.strip() else 0

    def finish(self) -> Iterator[Hit]:
        # A pair is flipped where the pair the other way round is there; an unpaired row, where its one answer is.
        chosen, rejected = (np.frombuffer(keys, dtype=np.uint64) for keys in (self.chosen, self.rejected))
        pairs = set(zip(chosen.tolist(), rejected.tolist(), strict=True)) - {(0, 0)}
        for index, (a, b) in enumerate(zip(chosen.tolist(), rejected.tolist(), strict=True)):
            if (a or b) and (b, a) in pairs:
                yield Hit(FLIPPED, index)


CHECK = Check((EQUAL, FLIPPED), lambda settings: PairObserver())
