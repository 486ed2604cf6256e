"""The added rows of a version against kept rows like them: features, ranks among like rows, and phrases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import HashedRecord, Record
from monitor.calibration.params import CalibrationParams
from monitor.calibration.topics import ROWS_PER_TOPIC, cluster_vectors
from monitor.like_rows.answer_fit import Sides, measure_answer_mismatch
from monitor.like_rows.length_effect import take_off_length
from monitor.like_rows.neighbours import Neighbours, find_neighbours, flag_new_kinds, rank_among
from monitor.like_rows.phrases import Phrase, find_phrases
from monitor.like_rows.rank_comparison import MIN_GROUP_ROWS, MIN_KEPT_ROWS
from monitor.like_rows.row_features import count_answers, measure_row_features
from monitor.like_rows.row_reading import RowReading, read_rows
from monitor.like_rows.side_order import measure_side_order
from monitor.like_rows.traces import TRACES
from monitor.measures.agreement import centre_vectors
from monitor.measures.row_split import RowSplit
from monitor.verdict import RuleStatus

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The rows are dealt to so many folds by their hashes. A row is read by what the kept rows of the other folds teach.
FOLDS = 4
# A source that the parent did not have is a new kind as a whole if so many of its rows ask for something new. Another
# name alone is none: some data names its sources by month.
NEW_SOURCE_SHARE = 0.25
# The feature that a version has only where a second model reads it.
SECOND_LOSS = "second loss"
# The feature that is freed of the length of the answer.
RATIO = "answer compression ratio"
# Kept rows that stand together in the file are taken for batches that were added together: at least so many of them.
MIN_BATCHES = 8


@dataclass(frozen=True)
class LikeComparison:
    """The rows that were read, kept ones first, and where each lies among the kept rows like it.

    - ``rows``: their indices in the version, shape (m,). ``kept``: how many of them the parent had.
    - ``features``: by name, shape (m,) each, nan where a row has none. ``by_prompt``, ``by_answer``: the kept rows with
      the most similar prompts, and with the most similar answers, of each row.
    - ``is_new_source``: added rows of a source that the parent did not have. ``is_new``: added rows whose prompts are
      like no kept row's, and all rows of a new source with many such rows. They have no like rows, so they are left out
      where rows are compared. A row with unmistakable traces of damage is damaged, and not new.
    - ``tie``: a uniform number for each row, by its hash, that decides among equal values, shape (m,).
    - ``groups``: ways to divide the kept rows into batches, shape (kept,) each; see ``rank_comparison.compare_ranks``.
    - ``phrases``: that burst in, by side.
    - ``is_edited``: added rows whose past is known, shape (m,); None where no row is known to be edited.
    """

    rows: NDArray[np.int64]
    kept: int
    features: dict[str, NDArray[np.float64]]
    by_prompt: Neighbours
    by_answer: Neighbours
    is_new_source: NDArray[np.bool_]
    is_new: NDArray[np.bool_]
    tie: NDArray[np.float64]
    groups: tuple[NDArray[np.int64], ...]
    phrases: dict[str, list[Phrase]]
    is_edited: NDArray[np.bool_] | None = None

    @property
    def is_fresh(self) -> NDArray[np.bool_]:
        """Added rows that have like rows, and no past of their own to be compared with, shape (m,)."""
        fresh = ~self.is_new & (np.arange(len(self.rows)) >= self.kept)
        return fresh if self.is_edited is None else fresh & ~self.is_edited

    def rank(self, values: NDArray[np.float64], like: str) -> NDArray[np.float64]:
        """The rank of each row's value among its like rows', shape (m,). ``like``: "prompt" or "answer"."""
        return rank_among(values, self._neighbours(like), self.tie)

    def like_rows(self, like: str) -> int:
        """How many like rows a row is compared with."""
        return int(self._neighbours(like).index.shape[1])

    def edge(self, like: str) -> float:
        """The rank from which on a row lies beyond all of its like rows."""
        return self.like_rows(like) / (self.like_rows(like) + 1)

    def middle_of_like_rows(self, values: NDArray[np.float64], like: str) -> NDArray[np.float64]:
        """The mean value of each row's like rows, shape (m,), nan where none of them has one."""
        others = values[self._neighbours(like).index]
        count = (~np.isnan(others)).sum(axis=1)
        return np.where(count > 0, np.nansum(others, axis=1) / np.maximum(count, 1), np.nan)

    def worst_of_graded(self) -> RuleStatus:
        """The gravest status that a graded difference, such as a higher loss, may be given.

        Where half or more of the compared rows are of new sources, they may be harder or shorter and yet be wanted.
        """
        labelled = self.is_new_source & self.is_fresh
        return "warn" if 2 * np.count_nonzero(labelled) >= np.count_nonzero(self.is_fresh) else "risky"

    def _neighbours(self, like: str) -> Neighbours:
        return self.by_prompt if like == "prompt" else self.by_answer


def compare_like_with_like(
    records: Sequence[HashedRecord],
    split: RowSplit,
    is_new_source: NDArray[np.bool_],
    losses: NDArray[np.float64],
    topics: CalibrationParams,
    rare_bits: float,
    reading: RowReading | None = None,
    second_losses: NDArray[np.float64] | None = None,
) -> LikeComparison | None:
    """Compare the added rows with kept rows like them.

    ``is_new_source``, ``losses``: of all rows, shape (records,); losses in nats per token, nan where not probed.
    ``reading``: of the same records, where they were read before. ``second_losses``: by the second model, where there
    is one. None where no row was added or fewer than MIN_KEPT_ROWS were kept. Rows of which it is not known whether the
    parent had them are left out.
    """
    reading = reading or read_rows(records, split.is_kept, split.is_added)
    places = np.concatenate([np.flatnonzero(flags[reading.rows]) for flags in (split.is_kept, split.is_added)])
    kept = int(np.count_nonzero(split.is_kept[reading.rows]))
    if kept < MIN_KEPT_ROWS or kept == len(places):
        return None
    read = reading.take(places)
    sides, indices = read.sides, read.rows
    fold = np.arange(len(indices)) % FOLDS
    is_kept = np.arange(len(indices)) < kept
    by_prompt, by_answer = (
        find_neighbours(vectors, kept) for vectors in (sides.prompt_vectors, sides.response_vectors)
    )
    new_source = is_new_source[indices] & ~is_kept
    # Where the parent has several sources, a row that carries the name of one of them is said to be of a known kind.
    told = len({record.source for record in read.records[:kept]}) > 1
    is_new = flag_new_kinds(sides.prompt_vectors, kept, by_prompt, new_source if told else ~is_kept)
    is_new |= new_source & _flag_unlike_sources(read.records, is_new)
    is_new &= ~_flag_traces(read.features)
    in_order, fold_in_order = split.is_kept[reading.rows], np.full(len(reading.rows), -1)
    fold_in_order[places] = fold
    measured = measure_row_features(reading.texts, reading.records, in_order, fold_in_order, rare_bits)
    return LikeComparison(
        rows=indices,
        kept=kept,
        features={
            **read.features,
            RATIO: take_off_length(read.features[RATIO], read.features["answer length"], is_kept),
            **{name: values[places] for name, values in measured.items()},
            "answer elsewhere": count_answers(reading.texts.answer[places]),
            "answer mismatch": measure_answer_mismatch(sides, fold, is_kept, reading.texts.side_words.take(places)),
            "sides exchanged": measure_side_order(sides, fold, is_kept),
            "agreement": _measure_agreement(sides, is_kept),
            "loss": losses[indices],
            **({} if second_losses is None else {SECOND_LOSS: second_losses[indices]}),
        },
        by_prompt=by_prompt,
        by_answer=by_answer,
        is_new_source=new_source,
        is_new=is_new,
        tie=np.array([int(records[i].hash[13:26], 16) / 16**13 for i in indices]),
        groups=_divide_into_batches(indices, kept, sides, topics),
        phrases={
            "prompts": find_phrases(reading.texts.prompt_runs, places, kept, by_answer, ~is_new),
            "answers": find_phrases(reading.texts.answer_runs, places, kept, by_prompt, ~is_new),
        },
    )


def _flag_traces(features: dict[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
    """For each row, whether it has a trace that is damage in data of any kind. Such a row is damaged, and not new."""
    counts = [
        features[f"{side} {trace.name}"] for side in ("prompt", "answer") for trace in TRACES if trace.unmistakable
    ]
    flags: NDArray[np.bool_] = np.stack(counts).max(axis=0) > 0
    return flags


def _flag_unlike_sources(records: Sequence[Record], is_new_kind: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """For each row, whether its source is one of which at least NEW_SOURCE_SHARE of the rows are of a new kind."""
    sources, number = np.unique([record.source for record in records], return_inverse=True)
    share = np.bincount(number, is_new_kind, len(sources)) / np.bincount(number, minlength=len(sources))
    unlike: NDArray[np.bool_] = share[number] >= NEW_SOURCE_SHARE
    return unlike


def _measure_agreement(sides: Sides, is_kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The cosine of prompt and answer, what all kept rows have in common taken off; nan where one is blank."""
    known = np.logical_and(sides.prompt_vectors.any(axis=1), sides.response_vectors.any(axis=1))
    prompts, answers = (centre_vectors(v, known & is_kept) for v in (sides.prompt_vectors, sides.response_vectors))
    return np.where(known, np.einsum("ij,ij->i", prompts, answers).astype(np.float64), np.nan)


def _divide_into_batches(
    indices: NDArray[np.int64], kept: int, sides: Sides, topics: CalibrationParams
) -> tuple[NDArray[np.int64], ...]:
    """The kept rows by topic, and by their place in the file."""
    vectors = (sides.prompt_vectors + sides.response_vectors)[:kept]
    number = max(1, min(topics.topics, kept // ROWS_PER_TOPIC))
    by_topic = np.unique(cluster_vectors(vectors, number, topics.seed), return_inverse=True)[1]
    added = len(indices) - kept
    size = min(max(added, MIN_GROUP_ROWS), max(kept // MIN_BATCHES, 1))
    place = np.empty(kept, dtype=np.int64)
    place[np.argsort(indices[:kept], kind="stable")] = np.arange(kept)
    return by_topic, place // size
