"""The texts of the rows that are read, as numbers: words, runs of words, characters. The same for any comparison."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import Message, Preference, Record
from corpus.row_sides import split_sides
from monitor.like_rows.answer_fit import SideWords, list_side_words
from monitor.like_rows.character_model import Grams, number_grams
from monitor.like_rows.numbered_words import NumberedWords, key_runs, lower_words, number_keys, number_words
from monitor.like_rows.phrases import PhraseRuns, list_phrase_runs

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
# Which side of its row a message belongs to.
_NEITHER, _PROMPT, _ANSWER = 0, 1, 2


@dataclass(frozen=True)
class WordRuns:
    """Runs of words in lower case. ``number``: equal runs have the same, shape (n,), of ``different`` ones.
    ``message``: the index of each run's message, shape (n,).
    """

    number: NDArray[np.int32]
    different: int
    message: NDArray[np.int32]


@dataclass(frozen=True)
class RowTexts:
    """All messages of some rows, in order.

    - ``row``: the index of each message's row; ``is_answer``: whether the assistant says it; ``text``: messages with
      the same text have the same number; ``length``: in characters, with its speaker and its end, 0 of a system
      message, which is often the same before many rows and says nothing of how a row is written. Shape (messages,).
    - ``grams``: of all these characters. ``triples``, ``pairs``: runs of COPIED_WORDS and of PAIR_WORDS.
    - ``repetition``: the share of an answer's runs that stood earlier in its row. ``quoted``: the share of the prompt's
      runs that its answer says again. nan where there are no such runs. ``answer``: answers of the same words have the
      same number. Shape (rows,).
    - ``side_words``: which words each side has. ``prompt_runs``, ``answer_runs``: what may be a
      phrase in it.
    """

    row: NDArray[np.int64]
    is_answer: NDArray[np.bool_]
    text: NDArray[np.int64]
    length: NDArray[np.int64]
    grams: Grams
    triples: WordRuns
    pairs: WordRuns
    repetition: NDArray[np.float64]
    quoted: NDArray[np.float64]
    answer: NDArray[np.int64]
    side_words: SideWords
    prompt_runs: PhraseRuns
    answer_runs: PhraseRuns


def number_texts(records: Sequence[Record]) -> RowTexts:
    """Take the texts of some rows apart, each once."""
    rows = len(records)
    messages = [message for record in records for _, message in record.turns()]
    row = np.repeat(np.arange(rows), [len(record.turns()) for record in records])
    side = np.array([side for record in records for side in _locate_sides(record)], dtype=np.int64)
    is_answer = np.array([message.role == "assistant" for message in messages], dtype=bool)
    numbers: dict[str, int] = {}
    texts = [message.text for message in messages]
    text = np.array([numbers.setdefault(text, len(numbers)) for text in texts], dtype=np.int64)
    found = number_words(texts)
    of_prompt, of_answer = (np.where(side == wanted, row, -1) for wanted in (_PROMPT, _ANSWER))
    prompt_runs, answer_runs = (list_phrase_runs(found.join(group, rows)) for group in (of_prompt, of_answer))
    lower = lower_words(texts, found)
    side_words = list_side_words(lower.join(of_prompt, rows), lower.join(of_answer, rows))
    words = lower.only_words()
    prompts, answers = words.join(of_prompt, rows), words.join(of_answer, rows)
    triples, pairs = (_number_runs(_fill_wordless(words, texts), size) for size in (COPIED_WORDS, PAIR_WORDS))
    length, grams = _number_characters(messages, row)
    return RowTexts(
        row=row,
        is_answer=is_answer,
        text=text,
        length=length,
        grams=grams,
        triples=triples,
        pairs=pairs,
        repetition=_measure_repetition(triples, row, is_answer, rows),
        quoted=_measure_quoted(prompts, answers),
        answer=_number_answers(answers, records),
        side_words=side_words,
        prompt_runs=prompt_runs,
        answer_runs=answer_runs,
    )


def _locate_sides(record: Record) -> Iterator[int]:
    """For each message in ``record.turns()`` its side, as ``corpus.row_sides.split_sides`` has it."""
    if not isinstance(record, Preference):
        for _, message in record.turns():
            yield _NEITHER if message.role == "system" else _ANSWER if message.role == "assistant" else _PROMPT
        return
    answer = "chosen " if record.chosen else "rejected "
    for tag, message in record.turns():
        if message.role == "assistant":
            yield _ANSWER if tag.startswith(answer) else _NEITHER
        else:
            yield _PROMPT if tag == message.role and message.role != "system" else _NEITHER


# --- words ---------------------------------------------------------------------------------------------------------


def _fill_wordless(words: NumberedWords, texts: Sequence[str]) -> NumberedWords:
    """A message without any word, such as "?!", counts as one word."""
    wordless = np.flatnonzero(words.count == 0)
    numbers: dict[str, int] = {}
    more = [numbers.setdefault(texts[i].strip(), len(words.words) + len(numbers)) for i in wordless.tolist()]
    number = np.insert(words.number, (np.cumsum(words.count) - words.count)[wordless], more)
    return NumberedWords((*words.words, *numbers), number, np.maximum(words.count, 1))


def _number_runs(words: NumberedWords, size: int) -> WordRuns:
    """The runs of ``size`` words of each message. A shorter message is one run, of words and of none that follow."""
    short = words.count < size
    # Words that end a message are followed by a word that there is not.
    padding = np.where(short, size - words.count, 0)
    number = np.insert(words.number + 1, np.repeat(np.cumsum(words.count), padding), 0)
    padded = NumberedWords(("", *words.words), number, words.count + padding)
    runs = key_runs(padded, size)
    return WordRuns(*number_keys(runs.key), runs.text.astype(np.int32))


def _measure_repetition(
    triples: WordRuns, row: NDArray[np.int64], is_answer: NDArray[np.bool_], rows: int
) -> NDArray[np.float64]:
    import pandas as pd

    of_row, said = row[triples.message], is_answer[triples.message]
    seen = pd.Series(of_row * triples.different + triples.number).duplicated().to_numpy()
    again = np.bincount(of_row[said], seen[said], rows)
    runs = np.bincount(of_row[said], minlength=rows)
    return np.where(runs > 0, again / np.maximum(runs, 1), np.nan)


def _measure_quoted(prompts: NumberedWords, answers: NumberedWords) -> NDArray[np.float64]:
    import pandas as pd

    rows = len(prompts.count)
    asked, said = (key_runs(words, QUOTED_WORDS) for words in (prompts, answers))
    number, different = number_keys(np.concatenate([asked.key, said.key]))
    pairs = np.concatenate([asked.text, said.text]) * different + number
    in_prompt = np.sort(pairs[: len(asked.key)])
    in_prompt = in_prompt[np.flatnonzero(np.diff(in_prompt, prepend=-1))]
    again = pd.Index(in_prompt).isin(pairs[len(asked.key) :])
    runs, found = (np.bincount(taken // max(different, 1), minlength=rows) for taken in (in_prompt, in_prompt[again]))
    return np.where(runs > 0, found / np.maximum(runs, 1), np.nan)


def _number_answers(answers: NumberedWords, records: Sequence[Record]) -> NDArray[np.int64]:
    numbers: dict[Hashable, int] = {}
    parts = np.split(answers.number, np.cumsum(answers.count))[: len(records)]
    # An answer without words, such as "?!", is itself.
    keys = [
        part.tobytes() if len(part) else split_sides(record).answer for part, record in zip(parts, records, strict=True)
    ]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


# --- characters ----------------------------------------------------------------------------------------------------


def _number_characters(messages: Sequence[Message], row: NDArray[np.int64]) -> tuple[NDArray[np.int64], Grams]:
    is_spoken = np.array([message.role != "system" for message in messages], dtype=bool)
    spoken = [message for message, flag in zip(messages, is_spoken, strict=True) if flag]
    length = np.zeros(len(messages), dtype=np.int64)
    length[is_spoken] = [len(message.text) + 2 for message in spoken]
    return length, number_grams(_encode(spoken), np.bincount(row, length).astype(np.int64))


def _encode(messages: Sequence[Message]) -> NDArray[np.uint32]:
    """The characters of all messages, each message between the number of its speaker and that of its end."""
    text = "".join(f"\0{message.text}\0" for message in messages)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4") + np.uint32(FIRST_CHARACTER)
    ends = np.cumsum([len(message.text) + 2 for message in messages], dtype=np.int64)
    codes[ends - 1] = END
    codes[np.concatenate([[0], ends[:-1]])[: len(ends)]] = [SPEAKERS.get(message.role, 5) for message in messages]
    return codes
