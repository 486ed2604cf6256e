"""Answers that belong to other prompts: judged on a sample, by what prompts and their answers have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import Conversation, Message
from monitor.lint.check import Check, Hit, Observer
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.like_rows.answer_fit import Sides

MISMATCH = Issue(
    "W308",
    "answer-mismatch",
    "Answers that fit other prompts better than their own",
    "In a sample of up to 3,000 rows, some answers have as little in common with their prompts as answers of other "
    "rows have. It is reported only where there are more such rows than honest data has.",
    "Look at these rows. If prompts and answers were joined by position or by a key, look for rows that are missing on "
    "one side.",
)
SHIFTED = Issue(
    "W309",
    "shifted-answers",
    "Answers that belong to the row before or after",
    "In a run of rows of that sample, the answers fit the prompt one, two or three rows away clearly better than their "
    "own: a row is missing in one of two lists that were joined by position.",
    "Join prompts and answers again, by a key. Every row from there on is likely to be wrong, not only those sampled.",
)

# The sample is made of runs of neighbouring rows, spread evenly over the files.
RUN_ROWS = 50
# Enough for a share of half a per cent to be seen, and embedded in a few seconds.
RUNS = 60
# Of each text so much is read: the embedder's own limit.
READ_CHARACTERS = 2_000
# With fewer rows nothing can be learned.
MIN_ROWS = 100
# Log-odds that an answer is another row's, and the share of the rows that must have them. The regression takes wrong
# pairs for right ones, so the more there are, the less sure it gets: with a share p of wrong pairs, the log-odds end
# near log(1 / p). In five honest corpora (maths, code, role play, tool use, chat) 0.0% to 0.3%, 0.1% to 1.8% and 0.3%
# to 6.1% of the rows lay above these three; with 2% to 40% of the answers exchanged, one level was reached in all five.
LEVELS = ((3.0, 0.005), (2.0, 0.025), (1.0, 0.1))
# Fewer rows may be chance, whatever their share.
MIN_SURE_ROWS = 5
# Once it is known that answers were exchanged, rows from here on are named: less than a hundredth of the honest rows in
# most corpora, and most of the others.
LIKELY = 2.0
# How far answers are shifted.
SHIFTS = (-3, -2, -1, 1, 2, 3)
# A run counts where the mean gain in cosine lies so many standard errors above zero. In the honest corpora it lay 3.7
# or more below it, in every run.
MIN_STANDARD_ERRORS = 4.0
# Folds of the regression: a row is judged by one that has not seen it.
FOLDS = 5


@dataclass
class MismatchObserver(Observer):
    rows: int = 0
    sampled: list[int] = field(default_factory=list)
    pairs: list[Conversation] = field(default_factory=list)

    def look(self, row: LintRow) -> tuple[Hit, ...]:
        self.rows += 1
        return ()

    def wanted_again(self) -> Iterable[int]:
        if self.rows < MIN_ROWS:
            return ()
        if self.rows <= RUN_ROWS * RUNS:
            return range(self.rows)
        starts = np.linspace(0, self.rows - RUN_ROWS, RUNS).astype(int)
        return [int(start) + i for start in starts for i in range(RUN_ROWS)]

    def look_again(self, row: LintRow) -> None:
        prompt, answer = (text[:READ_CHARACTERS] for text in row.sides)
        self.sampled.append(row.index)
        self.pairs.append(Conversation((Message("user", prompt), Message("assistant", answer))))

    def finish(self) -> Iterator[Hit]:
        if not self.pairs:
            return
        from monitor.like_rows.answer_fit import embed_sides, measure_answer_mismatch

        sides = embed_sides(self.pairs)
        known = np.logical_and(sides.prompt_vectors.any(axis=1), sides.response_vectors.any(axis=1))
        mismatch = measure_answer_mismatch(sides, np.arange(len(self.pairs)) % FOLDS)
        for level, share in LEVELS:
            if np.count_nonzero(mismatch > level) >= max(MIN_SURE_ROWS, share * len(self.pairs)):
                for i in np.flatnonzero(mismatch > min(level, LIKELY)).tolist():
                    yield Hit(MISMATCH, self.sampled[i])
                break
        for i, shift in enumerate(find_shifts(sides, known, np.array(self.sampled))):
            if shift:
                where = f"{abs(shift)} row{'s' if abs(shift) > 1 else ''} {'before' if shift < 0 else 'after'}"
                yield Hit(SHIFTED, self.sampled[i], f"fits the prompt {where}")


def find_shifts(sides: Sides, known: NDArray[np.bool_], index: NDArray[np.int64]) -> list[int]:
    """For each row by how many rows its answer was shifted, 0 where it was not.

    ``known``: which rows have both sides. ``index``: where each row stands among all rows; only rows that are as far
    apart there as in the sample are compared. Rows are judged in runs of RUN_ROWS.
    """
    from monitor.measures.agreement import centre_vectors

    prompts, answers = (centre_vectors(vectors, known) for vectors in (sides.prompt_vectors, sides.response_vectors))
    own = np.einsum("ij,ij->i", prompts, answers)
    found = [0] * len(index)
    best = np.zeros(len(index))
    for shift in SHIFTS:
        here = np.arange(max(0, -shift), len(index) - max(0, shift))
        there = here + shift
        usable = (index[there] - index[here] == shift) & known[here] & known[there]
        here, there = here[usable], there[usable]
        gain = np.einsum("ij,ij->i", prompts[there], answers[here]) - own[here]
        for start in range(0, len(here), RUN_ROWS):
            run = slice(start, start + RUN_ROWS)
            if len(gain[run]) < RUN_ROWS // 2:
                continue
            score = gain[run].mean() / max(1e-9, gain[run].std(ddof=1) / len(gain[run]) ** 0.5)
            for i in here[run][score > np.maximum(best[here[run]], MIN_STANDARD_ERRORS)].tolist():
                found[i], best[i] = shift, score
    return found


CHECK = Check((MISMATCH, SHIFTED), lambda settings: MismatchObserver())
