"""Accidents of training data, injected into a version on purpose, so that it is known which rows are damaged.

They were written without looking at the rules that are to find them: nothing here comes from `monitor`. An accident
either *replaces* rows in the data, like a job that processes part of it again, or *adds* rows at the end, like a job
that is retried.

No package ships text in another language, so *another language* is made up: every English word becomes a made-up word
of similar length in Latin letters, always the same one. As in a translation, word frequencies, repetitions and the
words that prompt and answer share stay the same. A real language that shares words with English would be harder to
detect, one in another alphabet easier.
"""

from __future__ import annotations

import hashlib
import html
import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from corpus.errors import EntropylawError
from corpus.records import Conversation, Message, Preference, Record, Role

# Damages rows: one damaged row for each. The last argument holds rows that the version does not have.
Damage = Callable[[Sequence[Record], np.random.Generator, Sequence[Record]], list[Record]]

BOILERPLATE = (
    "I'm sorry, but as an AI language model I can't help with that.",
    "As an AI language model, I don't have personal opinions or feelings.",
    "I'm sorry, I can't assist with that request.",
    "I'm an AI assistant and don't have access to that information.",
    "Sorry, I am not able to answer this question. Is there anything else I can help you with?",
)
EMPTYISH = (".", "-", "...", "?", "ok", "n/a", "none", "null")
# UTF-8 text read in one of these code pages raises no error in any program.
WRONG_CODECS = ("utf-16-le", "cp500")
TYPOGRAPHY = {"'": "’", '"': "”", "...": "…", " - ": " — "}
ONSETS = ("b", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "st", "tr", "br", "kl", "")
NUCLEI = ("a", "e", "i", "o", "u", "ai", "ei", "ou")
CODAS = ("", "", "", "n", "r", "s", "l", "t")
SYLLABLE_LETTERS = 2.5


@dataclass(frozen=True)
class Accident:
    """A kind of accident. ``way``: damaged rows replace rows, or are added. ``verbatim``: they are exact copies."""

    name: str
    kind: Literal["conversations", "preferences"]
    way: Literal["replaces", "adds"]
    damage: Damage
    verbatim: bool = False


@dataclass(frozen=True)
class DamagedVersion:
    """A version after an accident. ``rows``: the numbers, from 1, of the damaged records."""

    records: tuple[Record, ...]
    rows: frozenset[int]


def inject(
    records: Sequence[Record],
    accident: Accident,
    share: float,
    rng: np.random.Generator,
    spare: Sequence[Record] = (),
) -> DamagedVersion:
    """Damage ``round(share * len(records))`` rows drawn by ``rng``; ``spare``: rows that the version does not have.

    When the accident does not change a row, or would make it unusable, another row is taken in its place. Raises
    EntropylawError where too few rows can be damaged.
    """
    count = round(share * len(records))
    order = rng.permutation(len(records)).tolist()
    chosen, reserve = order[:count], order[count:]
    while True:
        originals = [records[i] for i in chosen]
        damaged = accident.damage(originals, rng, spare)
        unfit = [
            k
            for k, (before, after) in enumerate(zip(originals, damaged, strict=True))
            if not is_usable(after) or (before.turns() == after.turns()) != accident.verbatim
        ]
        if not unfit:
            break
        if len(unfit) > len(reserve):
            raise EntropylawError(f"{accident.name}: fewer than {count} of {len(records)} rows can be damaged")
        for k in unfit:
            chosen[k] = reserve.pop(0)
    version = list(records)
    if accident.way == "adds":
        chosen = list(range(len(version), len(version) + count))
        version += damaged
    else:
        for i, record in zip(chosen, damaged, strict=True):
            version[i] = record
    return DamagedVersion(tuple(version), frozenset(i + 1 for i in chosen))


def is_usable(record: Record) -> bool:
    """Whether the last answer of a conversation, or of each side of a preference, is not blank."""
    sides = [record.messages] if isinstance(record, Conversation) else [record.chosen, record.rejected]
    answers = [[m.content for m in side if m.role == "assistant"] for side in sides if side]
    return bool(answers) and all(answer and answer[-1].strip() for answer in answers)


# --- how a row is damaged ------------------------------------------------------------------------------------------


def _contents(change: Callable[[str, np.random.Generator], str], answers_only: bool) -> Damage:
    """The damage that changes the contents of conversations, message by message."""

    def damage(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
        damaged: list[Record] = []
        for row in map(_conversation, rows):
            messages = [
                replace(message, content=change(message.content, rng))
                if message.role == "assistant" or not answers_only
                else message
                for message in row.messages
            ]
            damaged.append(replace(row, messages=tuple(messages)))
        return damaged

    return damage


def _conversation(row: Record) -> Conversation:
    if isinstance(row, Preference):
        raise EntropylawError("this accident happens to conversations, not to preferences")
    return row


def copy_rows(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    return list(rows)


def recase(text: str, rng: np.random.Generator) -> str:
    """The text as another program might clean it: lower case, no punctuation, one word in twenty lost.

    >>> recase("Hello, my  Friend!", np.random.default_rng(1))
    'hello my friend'
    """
    words = re.sub(r"[^\w\s']", "", text.lower()).split()
    kept = [word for word, lost in zip(words, rng.random(len(words)) < 0.05, strict=True) if not lost]
    return " ".join(kept or words) or text


def answer_boilerplate(text: str, rng: np.random.Generator) -> str:
    return BOILERPLATE[rng.integers(len(BOILERPLATE))]


def read_wrongly(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    """Read all text of the rows in a code page that it was not written in, the same for all of them."""
    codec = WRONG_CODECS[rng.integers(len(WRONG_CODECS))]
    garble = _contents(lambda text, _: text.encode().decode(codec, errors="replace"), answers_only=False)
    return garble(rows, rng, spare)


def garble_punctuation(text: str, rng: np.random.Generator) -> str:
    """The text with typographic punctuation, its UTF-8 read as Windows-1252.

    >>> garble_punctuation("don't", np.random.default_rng(0))
    'donâ€™t'
    """
    for plain, typographic in TYPOGRAPHY.items():
        text = text.replace(plain, typographic)
    return text.encode().decode("cp1252", errors="replace")


def type_randomly(text: str, rng: np.random.Generator) -> str:
    """As many random characters as the text has, with blanks as often as in English."""
    alphabet = string.ascii_letters + string.digits + string.punctuation
    characters = [alphabet[i] for i in rng.integers(len(alphabet), size=max(1, len(text)))]
    return "".join(
        " " if blank and 0 < i < len(characters) - 1 else character
        for i, (character, blank) in enumerate(zip(characters, rng.random(len(characters)) < 0.18, strict=True))
    )


def truncate(text: str, rng: np.random.Generator) -> str:
    """The first sixth of the text.

    >>> truncate("I would buy an island.", np.random.default_rng(0))
    'I w'
    """
    return text[: max(1, len(text) // 6)]


def empty_nearly(text: str, rng: np.random.Generator) -> str:
    return EMPTYISH[rng.integers(len(EMPTYISH))]


def leave_html(text: str, rng: np.random.Generator) -> str:
    """The text with the HTML of a web page around it.

    >>> leave_html("That's it. Bye", np.random.default_rng(0))
    '<div class="message" id="msg-850624"><p>That&#x27;s it.<br/>&nbsp;Bye</p></div>'
    """
    lines = re.sub(r"(?<=[.!?]) ", "<br/>&nbsp;", html.escape(text))
    return f'<div class="message" id="msg-{rng.integers(10**6)}"><p>{lines}</p></div>'


def translate(text: str, rng: np.random.Generator) -> str:
    """The text word by word in a made-up language, with its punctuation and capitals.

    >>> translate("Yes, we can!", np.random.default_rng(0))
    'Voul, be nin!'
    """
    return re.sub(r"[A-Za-z']+", lambda match: translate_word(match.group()), text)


def translate_word(word: str) -> str:
    digest = hashlib.blake2b(word.lower().encode()).digest()
    syllables = max(1, round(len(word) / SYLLABLE_LETTERS))
    parts = [
        ONSETS[digest[3 * i] % len(ONSETS)]
        + NUCLEI[digest[3 * i + 1] % len(NUCLEI)]
        + CODAS[digest[3 * i + 2] % len(CODAS)]
        for i in range(min(syllables, len(digest) // 3))
    ]
    made_up = "".join(parts)
    return made_up.capitalize() if word[0].isupper() else made_up


def swap_answers(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    """Rows with about as many answers exchange them in pairs; of an odd number, the last three in a circle."""
    order = sorted(rng.permutation(len(rows)).tolist(), key=lambda i: len(_answers(rows[i])))
    donor: dict[int, int] = {}
    while order:
        group = [order.pop() for _ in range(3 if len(order) == 3 else min(2, len(order)))]
        donor.update(zip(group, group[1:] + group[:1], strict=True))
    return [with_answers(row, _answers(rows[donor[i]])) for i, row in enumerate(rows)]


def contradict(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    """The rows' prompts again with other answers, which come from rows that the version does not have."""
    if len(spare) < len(rows):
        raise EntropylawError(f"contradictory copies: {len(rows)} rows to take answers from are needed")
    donors = rng.permutation(len(spare)).tolist()
    return [with_answers(row, _answers(spare[donor])) for row, donor in zip(rows, donors, strict=False)]


def _answers(row: Record) -> list[str]:
    return [message.content for message in _conversation(row).messages if message.role == "assistant"]


def with_answers(row: Record, answers: Sequence[str]) -> Record:
    """The conversation with other answers; it ends after the last of them where they are fewer."""
    row = _conversation(row)
    messages: list[Message] = []
    waiting = list(answers)
    for message in row.messages:
        if message.role == "assistant":
            if not waiting:
                break
            message = replace(message, content=waiting.pop(0))
        messages.append(message)
    while len(messages) > 1 and messages[-1].role != "assistant":
        messages.pop()
    return replace(row, messages=tuple(messages))


def swap_roles(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    other: dict[Role, Role] = {"user": "assistant", "assistant": "user"}
    return [
        replace(row, messages=tuple(replace(m, role=other.get(m.role, m.role)) for m in row.messages))
        for row in map(_conversation, rows)
    ]


def echo_prompts(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    """Replace every answer by the message before it."""
    echoed: list[Record] = []
    for row in map(_conversation, rows):
        messages = list(row.messages)
        for i in range(1, len(messages)):
            if messages[i].role == "assistant":
                messages[i] = replace(messages[i], content=messages[i - 1].content)
        echoed.append(replace(row, messages=tuple(messages)))
    return echoed


def flip_preferences(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    flipped: list[Record] = []
    for row in rows:
        if not isinstance(row, Preference):
            raise EntropylawError("flipped preferences: the rows are not preferences")
        flipped.append(replace(row, chosen=row.rejected, rejected=row.chosen))
    return flipped


ACCIDENTS = (
    Accident("exact duplicates", "conversations", "adds", copy_rows, verbatim=True),
    Accident("near-duplicates", "conversations", "adds", _contents(recase, answers_only=False)),
    Accident("boilerplate answers", "conversations", "replaces", _contents(answer_boilerplate, answers_only=True)),
    Accident("wrong code page", "conversations", "replaces", read_wrongly),
    Accident("garbled punctuation", "conversations", "replaces", _contents(garble_punctuation, answers_only=False)),
    Accident("random characters", "conversations", "replaces", _contents(type_randomly, answers_only=True)),
    Accident("truncated answers", "conversations", "replaces", _contents(truncate, answers_only=True)),
    Accident("empty-ish answers", "conversations", "replaces", _contents(empty_nearly, answers_only=True)),
    Accident("answers swapped", "conversations", "replaces", swap_answers),
    Accident("roles swapped", "conversations", "replaces", swap_roles),
    Accident("contradictory copies", "conversations", "adds", contradict),
    Accident("another language", "conversations", "replaces", _contents(translate, answers_only=False)),
    Accident("HTML left in", "conversations", "replaces", _contents(leave_html, answers_only=False)),
    Accident("prompts echoed", "conversations", "replaces", echo_prompts),
    Accident("flipped preferences", "preferences", "replaces", flip_preferences),
)
