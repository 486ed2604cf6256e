"""Row features, made without the base model: what a row repeats, its spelling, its shape, and how its answers fit."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.records import Message, Record
from corpus.row_sides import normalise_text
from monitor.like_rows.answer_fit import Sides, measure_answer_mismatch
from monitor.like_rows.character_model import measure_surprisal
from monitor.measures.row_sketch import mix_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A run of so many words counts as repeated where it stands in another row, too.
COPIED_WORDS = 3
# Words that stand side by side.
PAIR_WORDS = 2
# A prompt is looked for in its answer by its runs of so many words: fewer are shared by chance.
QUOTED_WORDS = 4
# Each message is read with one more number before its characters, for its speaker, and one after them, for its end.
END = 6
SPEAKERS = {"system": 1, "user": 2, "assistant": 3, "tool": 4}
# Added to every code point, so that no character has the number of a speaker or an end.
FIRST_CHARACTER = 16


@dataclass(frozen=True)
class _Messages:
    """All messages of all rows, in order; arrays of shape (messages,).

    ``row``: the index of the message's row. ``fold``: of the first kept row that has the message, otherwise of its row.
    """

    messages: tuple[Message, ...]
    row: NDArray[np.int64]
    is_answer: NDArray[np.bool_]
    is_kept: NDArray[np.bool_]
    fold: NDArray[np.int64]


def measure_row_features(
    records: Sequence[Record],
    sides: Sides,
    is_kept: NDArray[np.bool_],
    fold: NDArray[np.int64],
    rare_bits: float,
) -> dict[str, NDArray[np.float64]]:
    """The features of every row, by name, shape (rows,) each, nan where a row has none.

    The higher a value, the further the row lies from the kept rows.

    - ``sides``: of the same rows. ``is_kept``: shape (rows,).
    - ``fold``: a number from 0 for each row, shape (rows,). A row is compared with kept rows of other folds only, so
      that kept and added rows are read in the same way; −1: with all kept rows.
    - ``rare_bits``: a character is rare if its probability among the kept rows is below two to the power of minus this.

    A message that stands in several rows (an answer in many pairs, a system prompt) has one fold everywhere, so it is
    never compared with itself.
    """
    found = [(i, message) for i, record in enumerate(records) for _, message in record.turns()]
    row = np.array([i for i, _ in found], dtype=np.int64)
    first_fold: dict[str, int] = {}
    for i, message in found:
        if is_kept[i]:
            first_fold.setdefault(message.text, int(fold[i]))
    messages = _Messages(
        tuple(message for _, message in found),
        row,
        np.array([message.role == "assistant" for _, message in found], dtype=bool),
        is_kept[row],
        np.array([first_fold.get(message.text, int(fold[i])) for i, message in found], dtype=np.int64),
    )
    return {
        **_measure_words(messages, is_kept),
        **_measure_characters(messages, len(records), rare_bits),
        **_measure_shape(messages, records, is_kept),
        **_measure_sides(sides),
        "answer mismatch": measure_answer_mismatch(sides, fold, is_kept),
    }


# --- words ---------------------------------------------------------------------------------------------------------


def _measure_words(messages: _Messages, is_kept: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    rows = len(is_kept)
    import pandas as pd

    words, lengths = _number_words(messages.messages)
    keys, message = _shingles(words, lengths, COPIED_WORDS)
    row, is_answer = messages.row[message], messages.is_answer[message]
    copied = _stands_elsewhere(keys, row, is_kept[row])
    pairs, of_message = _shingles(words, lengths, PAIR_WORDS)
    of_row = messages.row[of_message]
    unknown = ~_stands_elsewhere(pairs, messages.fold[of_message], is_kept[of_row])
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
    # Repetition: words of an answer that stood earlier in the same row.
    seen = pd.Series(mix_bits(keys ^ mix_bits(row.astype(np.uint64)))).duplicated().to_numpy()
    again = np.bincount(row[is_answer], seen[is_answer], rows)
    features["repetition"] = _divide(again, np.bincount(row[is_answer], minlength=rows))
    return features


def _number_words(messages: Sequence[Message]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The words of all messages, in lower case, as numbers from 1; and how many words each message has.

    A message without any word, such as "?!", counts as one word.
    """
    words: list[str] = []
    lengths: list[int] = []
    for message in messages:
        found = re.findall(r"\w+", message.text.lower()) or [message.text.strip()]
        words += found
        lengths.append(len(found))
    numbers = {word: number for number, word in enumerate(dict.fromkeys(words), start=1)}
    numbered = np.fromiter(map(numbers.__getitem__, words), dtype=np.uint64, count=len(words))
    return numbered, np.array(lengths, dtype=np.int64)


def _shingles(
    word: NDArray[np.uint64], length: NDArray[np.int64], words: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """A key for each run of ``words`` words, and the index of its message. A shorter message is one run."""
    number = np.repeat(np.arange(len(length)), length)
    index = np.arange(len(word)) - np.repeat(np.cumsum(length) - length, length)
    keys = mix_bits(word)
    for step in range(1, words):
        after = np.zeros_like(word)
        after[:-step] = word[step:]
        after[index + step >= length[number]] = 0
        keys = mix_bits(keys ^ after)
    starts = (index == 0) | (index + words <= length[number])
    return keys[starts], number[starts]


def _stands_elsewhere(
    keys: NDArray[np.uint64], group: NDArray[np.int64], counts: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """For each key, whether the same key stands in another group. Only keys that ``counts`` marks can be found."""
    import pandas as pd

    number, different = pd.factorize(keys)
    order = np.argsort(group, kind="stable")
    order = order[counts[order]]
    lowest, highest = (np.full(len(different), -1) for _ in range(2))
    # Of several values for one index numpy keeps the last.
    highest[number[order]] = group[order]
    lowest[number[order[::-1]]] = group[order[::-1]]
    lowest, highest = lowest[number], highest[number]
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


def _measure_characters(messages: _Messages, rows: int, rare_bits: float) -> dict[str, NDArray[np.float64]]:
    # A system message is often the same before many rows, and says nothing of how a row is written.
    spoken = [message.role != "system" for message in messages.messages]
    characters = _encode([message for message, flag in zip(messages.messages, spoken, strict=True) if flag])
    lengths = np.array([len(m.text) + 2 if flag else 0 for m, flag in zip(messages.messages, spoken, strict=True)])
    row, is_answer = np.repeat(messages.row, lengths), np.repeat(messages.is_answer, lengths)
    of_row = np.bincount(row, minlength=rows)
    index_in_row = np.arange(len(characters)) - (np.cumsum(of_row) - of_row)[row]
    fold, is_kept = np.repeat(messages.fold, lengths), np.repeat(messages.is_kept, lengths)
    surprisal = measure_surprisal(characters, index_in_row, fold, is_kept)
    ends = np.cumsum(lengths) - 1
    ends = ends[messages.is_answer]
    endings, row_of_ending = surprisal.bits[ends], row[ends]
    worst = np.full(rows, -np.inf)
    np.maximum.at(worst, row_of_ending, endings)

    def mean(values: NDArray[np.float64], of: NDArray[np.int64]) -> NDArray[np.float64]:
        return _divide(np.bincount(of, values, rows), np.bincount(of, minlength=rows))

    return {
        "characters": mean(surprisal.bits, row),
        "answer characters": mean(surprisal.bits[is_answer], row[is_answer]),
        "rare characters": mean((surprisal.bits_alone > rare_bits).astype(np.float64), row),
        "answer endings": mean(endings, row_of_ending),
        "an answer's ending": np.where(np.isfinite(worst), worst, np.nan),
    }


def _encode(messages: Sequence[Message]) -> NDArray[np.uint64]:
    """The characters of all messages, each message between the number of its speaker and that of its end."""
    text = "".join(f"\0{message.text}\0" for message in messages)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4") + np.uint64(FIRST_CHARACTER)
    ends = np.cumsum([len(message.text) + 2 for message in messages], dtype=np.int64)
    codes[ends - 1] = END
    codes[np.concatenate([[0], ends[:-1]])[: len(ends)]] = [SPEAKERS.get(message.role, 5) for message in messages]
    return codes


# --- shape ---------------------------------------------------------------------------------------------------------


def _measure_shape(
    messages: _Messages, records: Sequence[Record], is_kept: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    length = np.array([len(message.text) for message in messages.messages], dtype=np.float64)
    features: dict[str, NDArray[np.float64]] = {}
    for name, side in (("short answers", messages.is_answer), ("short prompts", ~messages.is_answer)):
        row = messages.row[side]
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


# --- both sides of a row -------------------------------------------------------------------------------------------


def _measure_sides(sides: Sides) -> dict[str, NDArray[np.float64]]:
    """How much of a prompt its answer says again, and in how many other rows the same answer stands."""
    quoted = np.full(len(sides.prompts), np.nan)
    answers = [normalise_text(answer) or answer for answer in sides.responses]
    for i, (prompt, answer) in enumerate(zip(sides.prompts, answers, strict=True)):
        asked = _list_runs(normalise_text(prompt).split())
        if asked:
            quoted[i] = len(asked.intersection(_list_runs(answer.split()))) / len(asked)
    times = Counter(answers)
    return {
        "prompt in answer": quoted,
        "answer elsewhere": np.array([math.log2(times[answer]) for answer in answers]),
    }


def _list_runs(words: Sequence[str]) -> set[tuple[str, ...]]:
    """The runs of QUOTED_WORDS words, each once; of fewer words there is none."""
    return set(zip(*(words[k:] for k in range(QUOTED_WORDS)), strict=False))
