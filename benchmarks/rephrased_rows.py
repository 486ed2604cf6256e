"""Rows said again, as they leak from a benchmark: in other case, spacing and punctuation, and with other words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from corpus.records import Conversation, Record

# So many of the words are replaced, left out or put in.
CHANGED_WORDS = 0.1

# From a text, a source of chance, and words to put in, to another text.
Rephrase = Callable[[str, np.random.Generator, Sequence[str]], str]


def change_case(text: str, rng: np.random.Generator, words: Sequence[str]) -> str:
    """All capitals, no capitals, or each word with one."""
    return [str.upper, str.lower, str.title][rng.integers(3)](text)


def change_spacing(text: str, rng: np.random.Generator, words: Sequence[str]) -> str:
    """Some blanks are doubled, or become tabs or line breaks."""
    gaps = ("  ", "\t", "\n", " ")
    return re.sub(r"\s+", lambda found: gaps[rng.integers(len(gaps))], text) + " "


def change_punctuation(text: str, rng: np.random.Generator, words: Sequence[str]) -> str:
    """Half of the signs at the end of words are gone, and some words get one."""
    text = re.sub(r"(?<=\w)[.,!?;:]+(?=\s|$)", lambda found: "" if rng.random() < 0.5 else found[0], text)
    return re.sub(r"(?<=\w)(?=\s)", lambda found: "," if rng.random() < 0.05 else "", text)


def change_words(text: str, rng: np.random.Generator, words: Sequence[str]) -> str:
    """A tenth of the words, drawn at random: a third replaced, a third left out, a third followed by another one."""
    parts = re.split(r"(\s+)", text)
    said = [i for i, part in enumerate(parts) if part.strip()]
    for i in rng.permutation(said)[: round(CHANGED_WORDS * len(said))].tolist():
        other = words[rng.integers(len(words))]
        parts[i] = [other, "", f"{parts[i]} {other}"][rng.integers(3)]
    return "".join(parts)


def change_all(text: str, rng: np.random.Generator, words: Sequence[str]) -> str:
    for change in (change_words, change_punctuation, change_spacing, change_case):
        text = change(text, rng, words)
    return text


REPHRASINGS: dict[str, Rephrase] = {
    "copied": lambda text, rng, words: text,
    "case": change_case,
    "spacing": change_spacing,
    "punctuation": change_punctuation,
    "a tenth of the words": change_words,
    "all of these": change_all,
}


def rephrase(record: Record, how: Rephrase, rng: np.random.Generator, words: Sequence[str]) -> Record:
    """A conversation with all of its messages said otherwise; a message that would be blank stays as it is."""
    if not isinstance(record, Conversation):
        return record
    said = [(message, how(message.content, rng, words)) for message in record.messages]
    messages = tuple(replace(message, content=text) if text.strip() else message for message, text in said)
    return replace(record, messages=messages)


def list_words(records: Sequence[Record], rng: np.random.Generator) -> list[str]:
    """Words as they stand in some of the records, as often as they do."""
    some = [records[i] for i in rng.permutation(len(records))[:200].tolist()]
    return [word for record in some for _, message in record.turns() for word in message.content.split()]
