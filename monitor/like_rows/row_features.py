"""Row features, made without the base model: what a row repeats, its spelling, and its shape."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.records import Record
from monitor.like_rows.character_model import measure_surprisal
from monitor.like_rows.row_texts import RowTexts, WordRuns

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows are gone through in blocks of about so many characters, so that memory does not grow with several numbers for
# each character.
BLOCK_CHARACTERS = 1 << 18


def measure_row_features(
    texts: RowTexts,
    records: Sequence[Record],
    is_kept: NDArray[np.bool_],
    fold: NDArray[np.int64],
    rare_bits: float,
) -> dict[str, NDArray[np.float64]]:
    """The features of every row, by name, shape (rows,) each, nan where a row has none.

    The higher a value, the further the row lies from the kept rows.

    - ``texts``: of the ``records``. ``is_kept``: shape (rows,).
    - ``fold``: a number from 0 for each row, shape (rows,). A row is compared with kept rows of other folds only, so
      that kept and added rows are read in the same way; −1: with all kept rows. A kept row has one.
    - ``rare_bits``: a character is rare if its probability among the kept rows is below two to the power of minus this.

    A message that stands in several rows (an answer in many pairs, a system prompt) has one fold everywhere, so it is
    never compared with itself: that of the first kept row that has it.
    """
    of_message = fold[texts.row]
    taught = np.flatnonzero(is_kept[texts.row])[::-1]
    first_fold = np.full(int(texts.text.max(initial=-1)) + 1, -1)
    # Of several values for one index numpy keeps the last.
    first_fold[texts.text[taught]] = of_message[taught]
    of_message = np.where(first_fold[texts.text] >= 0, first_fold[texts.text], of_message)
    return {
        **_measure_words(texts, is_kept, of_message),
        **_measure_characters(texts, is_kept, of_message, rare_bits),
        **_measure_shape(texts, records, is_kept),
        "repetition": texts.repetition,
        "prompt in answer": texts.quoted,
    }


# --- words ---------------------------------------------------------------------------------------------------------


def _measure_words(
    texts: RowTexts, is_kept: NDArray[np.bool_], fold: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """``fold``: of each message."""
    row, is_answer = texts.row[texts.triples.message], texts.is_answer[texts.triples.message]
    copied = _stands_elsewhere(texts.triples, row, is_kept[row])
    of_row = texts.row[texts.pairs.message]
    unknown = ~_stands_elsewhere(texts.pairs, fold[texts.pairs.message], is_kept[of_row])
    everywhere = np.ones(len(row), dtype=bool)
    features: dict[str, NDArray[np.float64]] = {
        name: _excess(copied[side], row[side], is_kept)
        for name, side in (
            ("row repeated", everywhere),
            ("prompt repeated", ~is_answer),
            ("answer repeated", is_answer),
        )
    }
    features["word pairs"] = _excess(unknown, of_row, is_kept)
    return features


def _stands_elsewhere(runs: WordRuns, group: NDArray[np.int64], counts: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """For each run, whether the same run stands in another group. Only runs that ``counts`` marks can be found.

    ``group``: of each run, shape (n,), from 0 where it counts.
    """
    lowest, highest = np.full(runs.different, np.iinfo(np.int64).max), np.full(runs.different, -1)
    np.minimum.at(lowest, runs.number[counts], group[counts])
    np.maximum.at(highest, runs.number[counts], group[counts])
    lowest, highest = lowest[runs.number], highest[runs.number]
    stands: NDArray[np.bool_] = (highest >= 0) & ((lowest != group) | (highest != group))
    return stands


def _excess(hits: NDArray[np.bool_], row: NDArray[np.int64], is_kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How many binomial standard deviations a row's hits lie above the kept rows' rate; nan for a row without trials.

    A share would not do: all runs of a short row may be known by chance, while a long row of known runs is a copy.
    """
    found = np.bincount(row, hits, len(is_kept))
    tried = np.bincount(row, minlength=len(is_kept))
    usual = (found[is_kept].sum() + 0.5) / (tried[is_kept].sum() + 1)
    sd = np.sqrt(tried * usual * (1 - usual))
    return np.where(tried > 0, (found - tried * usual) / np.where(tried > 0, sd, 1.0), np.nan)


def _divide(total: NDArray[Any], count: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


# --- characters ----------------------------------------------------------------------------------------------------


def _measure_characters(
    texts: RowTexts, is_kept: NDArray[np.bool_], fold: NDArray[np.int64], rare_bits: float
) -> dict[str, NDArray[np.float64]]:
    """``fold``: of each message."""
    rows = len(is_kept)
    number, small = texts.grams.number, fold.astype(np.int32)
    surprisal = measure_surprisal(
        texts.grams, np.repeat(small, texts.length), np.repeat(is_kept[texts.row], texts.length)
    )
    folds = surprisal.bits.shape[1]
    total, of_answers, rare = np.zeros(rows), np.zeros(rows), np.zeros(rows)
    for messages, characters in _split_rows(texts):
        length = texts.length[messages]
        row = np.repeat(texts.row[messages], length)
        place = number[characters] * np.int64(folds) + np.repeat(small[messages] % folds, length)
        bits = surprisal.bits.take(place)
        first, last = int(row[0]), int(row[-1]) + 1
        of_block = row - first
        said = np.repeat(texts.is_answer[messages], length)
        total[first:last] = np.bincount(of_block, bits)
        of_answers[first:last] = np.bincount(of_block[said], bits[said], last - first)
        rare[first:last] = np.bincount(of_block, surprisal.bits_alone.take(place) > rare_bits)
    spoken, answered = (
        np.bincount(texts.row[side], texts.length[side], rows)
        for side in (np.ones(len(texts.row), dtype=bool), texts.is_answer)
    )
    ends = (np.cumsum(texts.length) - 1)[texts.is_answer]
    row_of_ending = texts.row[texts.is_answer]
    endings = surprisal.bits[number[ends], fold[texts.is_answer]]
    answers = np.bincount(row_of_ending, minlength=rows)
    worst = np.full(rows, -np.inf)
    np.maximum.at(worst, row_of_ending, endings)
    return {
        "characters": _divide(total, spoken),
        "answer characters": _divide(of_answers, answered),
        "rare characters": _divide(rare, spoken),
        "answer endings": _divide(np.bincount(row_of_ending, endings, rows), answers),
        "an answer's ending": np.where(np.isfinite(worst), worst, np.nan),
    }


def _split_rows(texts: RowTexts) -> Iterator[tuple[slice, slice]]:
    """Blocks of whole rows with characters: their messages, and their characters."""
    ends = np.cumsum(texts.length)
    # A message that is the last one of its row.
    last = np.flatnonzero(np.diff(texts.row, append=-1))
    message = character = 0
    for stop in last.tolist():
        end = int(ends[stop])
        if end - character >= BLOCK_CHARACTERS or (stop == last[-1] and end > character):
            yield slice(message, stop + 1), slice(character, end)
            message, character = stop + 1, end


# --- shape ---------------------------------------------------------------------------------------------------------


def _measure_shape(
    texts: RowTexts, records: Sequence[Record], is_kept: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    length = np.array([len(message.text) for record in records for _, message in record.turns()], dtype=np.float64)
    features: dict[str, NDArray[np.float64]] = {}
    for name, side in (("short answers", texts.is_answer), ("short prompts", ~texts.is_answer)):
        row = texts.row[side]
        total = np.bincount(row, length[side], len(records))
        features[name] = -np.log1p(_divide(total, np.bincount(row, minlength=len(records))))
    patterns = [_role_pattern(record) for record in records]
    kept = Counter(pattern for pattern, flag in zip(patterns, is_kept, strict=True) if flag)
    times = np.array([kept[pattern] for pattern in patterns])
    features["roles"] = -np.log2((times + 0.5) / (is_kept.sum() + 0.5))
    return features


def _role_pattern(record: Record) -> tuple[str, str, bool]:
    """Who speaks first, who last, and whether they take turns, system messages aside."""
    roles = [tag for tag, _ in record.turns()]
    roles = [tag for tag in roles if tag != "system"] or roles
    return roles[0], roles[-1], all(a != b for a, b in pairwise(roles))


# --- answers -------------------------------------------------------------------------------------------------------


def count_answers(answer: NDArray[np.int64]) -> NDArray[np.float64]:
    """In how many of the rows each row's answer stands, as a logarithm to base 2; shape (rows,).

    ``answer``: equal answers have the same number, see `RowTexts`.

    >>> count_answers(np.array([3, 3, 0])).tolist()
    [1.0, 1.0, 0.0]
    """
    return np.array([math.log2(times) for times in np.bincount(answer)[answer].tolist()])
