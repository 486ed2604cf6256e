"""Rows that say almost what an earlier row says: MinHash over runs of three words, in bounded memory."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from monitor.lint.check import Check, Hit, Observer
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow
from monitor.measures.consistency import ConsistencyParams
from monitor.measures.shingles import SHINGLE_WORDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEAR_DUPLICATE = Issue(
    "W402",
    "near-duplicate",
    "Rows that almost repeat an earlier row",
    "Four fifths or more of the runs of three words are those of an earlier row, in the row as a whole and in its "
    "answers, "
    "and the row is no exact copy. Runs of words that stand in many rows, such as a fixed instruction, do not count.",
    "Keep one of each group, unless the small difference is the point.",
)

# At a similarity of 0.8 the estimate then has a standard error of 0.035.
MINHASH_PERMUTATIONS = 128
# Two rows with a similarity of 0.8 have one of these bands in common in 95 cases of 100 (as in `consistency`).
BANDS = 16
# Values of a sketch that stand in one band.
ROWS_A_BAND = MINHASH_PERMUTATIONS // BANDS
# The answers are compared once more for themselves, because rows with one long prompt are alike whatever they answer.
ANSWER_PERMUTATIONS = 64
# How far below the wanted similarity the estimate for the answers may lie: about two of its standard errors.
ANSWER_ERROR = 0.1
# Sketches and bands take 320 bytes a row, so these take 320 MB. Rows after them are not compared.
MAX_ROWS = 1_000_000
# From so many rows it is learned which runs of words stand in many rows. Their words are held until then.
LEARNED_ROWS = 1_000
# What stands in so large a share of those rows is an instruction or a phrase that all rows have.
COMMON_SHARE = 0.05
# With fewer rows nothing can be told of what is common.
MIN_LEARNED_ROWS = 100
# A row with fewer runs of words of its own is not compared: of so few, four fifths are soon the same.
MIN_SHINGLES = 5
# In the low eight bits of a hash two different values agree by chance once in 256 times.
CHANCE = 1 / 256

# Odd numbers, by which the values of a band become one: fixed, so that the same files give the same findings.
_MIX = np.random.default_rng(0).integers(0, 2**63, ROWS_A_BAND, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


class NearDuplicateObserver(Observer):
    def __init__(self, similarity: float) -> None:
        self.similarity = similarity
        self.held: list[tuple[int, list[str], list[str]]] | None = []
        self.common: frozenset[str] = frozenset()
        self.rows, self.hashes = array("Q"), array("Q")
        self.bands, self.sketches, self.answers = bytearray(), bytearray(), bytearray()

    def look(self, row: LintRow) -> tuple[Hit, ...]:
        if len(self.rows) >= MAX_ROWS:
            return ()
        # Words with their punctuation: taking that off costs more time than all the rest.
        prompt, answers = row.sides.prompt.lower().split(), row.answers.lower().split()
        shingles = _shingles(prompt + answers)
        # Those that begin in the answers; answers of a word or two have none.
        of_answers = shingles[len(prompt) :] if len(answers) >= SHINGLE_WORDS else answers
        self.hashes.append(int(row.hash[:16], 16))
        if self.held is None:
            self._sketch(row.index, shingles, of_answers)
        else:
            self.held.append((row.index, shingles, of_answers))
            if len(self.held) == LEARNED_ROWS:
                self._learn()
        return ()

    def _learn(self) -> None:
        """Find out what the rows held have in common, and sketch them without it."""
        held, self.held = self.held or [], None
        if len(held) >= MIN_LEARNED_ROWS:
            counts = Counter(shingle for _, shingles, _ in held for shingle in set(shingles))
            self.common = frozenset(
                shingle for shingle, count in counts.items() if count > max(2, COMMON_SHARE * len(held))
            )
        for row in held:
            self._sketch(*row)

    def _sketch(self, index: int, shingles: list[str], answers: list[str]) -> None:
        own = [shingle for shingle in shingles if shingle not in self.common] if self.common else shingles
        self.rows.append(index if len(own) >= MIN_SHINGLES else 2**63 + index)
        values = _minhash(own, MINHASH_PERMUTATIONS)
        self.bands += (values.reshape(BANDS, ROWS_A_BAND) * _MIX).sum(axis=1, dtype=np.uint64).tobytes()
        self.sketches += values.astype(np.uint8).tobytes()
        self.answers += _minhash(answers, ANSWER_PERMUTATIONS).astype(np.uint8).tobytes()

    def finish(self) -> Iterator[Hit]:
        if self.held is not None:
            self._learn()
        rows = np.frombuffer(self.rows, dtype=np.uint64)
        compared = np.flatnonzero(rows < 2**63)
        hashes = np.frombuffer(self.hashes, dtype=np.uint64)
        bands = np.frombuffer(self.bands, dtype=np.uint64).reshape(-1, BANDS)
        sketches = np.frombuffer(self.sketches, dtype=np.uint8).reshape(-1, MINHASH_PERMUTATIONS)
        answers = np.frombuffer(self.answers, dtype=np.uint8).reshape(-1, ANSWER_PERMUTATIONS)
        earlier: dict[int, int] = {}
        for band in range(BANDS):
            for later, first in _pair_up(bands[:, band], compared):
                alike = _similarity(sketches[later], sketches[first]) >= self.similarity
                alike &= _similarity(answers[later], answers[first]) >= self.similarity - ANSWER_ERROR
                for a, b in zip(later[alike].tolist(), first[alike].tolist(), strict=True):
                    earlier[a] = min(b, earlier.get(a, b))
        first_of: dict[int, int] = {}
        for i, key in enumerate(hashes.tolist()):
            # An exact copy is reported as one.
            if first_of.setdefault(key, i) == i and i in earlier:
                yield Hit(NEAR_DUPLICATE, int(rows[i]), other=int(rows[earlier[i]]))


def _minhash(shingles: list[str], permutations: int) -> NDArray[np.uint64]:
    from rensa import RMinHash

    sketch = RMinHash(permutations, 0)
    sketch.update(shingles)
    return np.array(sketch.digest(), dtype=np.uint64)


def _similarity(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The estimated Jaccard similarity of pairs of sketches, shape (pairs,)."""
    agree: NDArray[np.float64] = ((a == b).mean(axis=1) - CHANCE) / (1 - CHANCE)
    return agree


def _shingles(words: list[str]) -> list[str]:
    parts = [words[i:] for i in range(SHINGLE_WORDS)]
    return [" ".join(run) for run in zip(*parts, strict=False)] or words


def _pair_up(
    keys: NDArray[np.uint64], compared: NDArray[np.int64]
) -> Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows with one key, each paired with the row before it among them and with the first of them."""
    order = compared[np.argsort(keys[compared], kind="stable")]
    same = keys[order[1:]] == keys[order[:-1]]
    yield order[1:][same], order[:-1][same]
    starts = np.maximum.accumulate(np.where(np.r_[True, ~same], np.arange(len(order)), 0)) if len(order) else order
    yield order[1:][same], order[starts][1:][same]


CHECK = Check((NEAR_DUPLICATE,), lambda settings: NearDuplicateObserver(ConsistencyParams().near_duplicate_jaccard))
