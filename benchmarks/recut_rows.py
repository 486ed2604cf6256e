"""Data files of any size, cut anew from real conversations: no text is repeated as a block, and none is made up.

A turn is put together from two places of one source in turn, three to nine words from each. So a row keeps to the words
of two real conversations, and no run of words is copied that is longer. Whole turns or sentences would be copied some
fifty times each in a gigabyte: its long R would be far above that of real text, and a codec is faster on copies.

Every row is a function of the seed and its number alone. So a file of any size is written in constant memory, and a
version of it with some of its rows exchanged needs no earlier one.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.corpora import Part, read_part
from corpus.artifacts import atomic_writer
from corpus.errors import EntropylawError
from corpus.records import Conversation, Record

# Mean size of a row in the file, in bytes: an instruction with its answer, and a long conversation with an assistant.
SHAPES = {"short": 1_000, "long": 6_000}
# A passage has so many words. R and long R of 60 MB from chit-chat, whose own are 2.83 and 3.27: with 2 to 4 words 2.58
# and 3.04, with 3 to 9 words 2.62 and 3.37, with 6 to 18 words 2.64 and 3.85, with 20 to 60 words 2.64 and 5.33.
PASSAGE_WORDS = 3, 9
# Places that a row's passages are taken from in turn.
PLACES = 2
# Rows have 0.3 to 1.7 times the mean size, evenly: an update of the data then changes the mean length by little.
SPREAD = 0.3, 1.7
# What a message costs in the file beside its text: {"role": "assistant", "content": "…"} and a comma.
MESSAGE_BYTES = 40
ROLES = "user", "assistant"
# So many rows are another row with some words more. In chit-chat 2.3% are near-duplicates, in GSM8K and GPTeacher 0.6%.
NEAR_COPIES = 0.01
# Of less text than this, rows would soon be near-copies of each other.
FEWEST_WORDS = 10_000


@dataclass(frozen=True)
class RealText:
    """The conversations of one source, in their order.

    ``text``: what is said, one message after the other. ``starts``: where each word starts in it, and where the last
    one ends. ``turn_characters``: the length of each message.
    """

    source: str
    text: str
    starts: array[int]
    turn_characters: array[int]

    @property
    def message_bytes(self) -> float:
        """What a message takes in a file, on average."""
        return MESSAGE_BYTES + len(self.text) / len(self.turn_characters)


def join_records(source: str, records: Sequence[Record]) -> RealText:
    """The messages of conversations as one text.

    >>> from corpus.records import Message
    >>> chat = Conversation((Message("user", "Hi there!"), Message("assistant", "Hello.\\nTea?")))
    >>> join_records("chats", [chat]).text
    'Hi there! Hello.\\nTea? '
    """
    messages = [m.content for record in records if isinstance(record, Conversation) for m in record.messages]
    # A lone surrogate cannot be written to a file as it is.
    text = "".join(f"{message} " for message in messages).encode(errors="replace").decode()
    starts = array("Q", (word.start() for word in re.finditer(r"\S+\s*", text)))
    starts.append(len(text))
    return RealText(source, text, starts, array("Q", map(len, messages)))


def list_parts(folder: Path | None) -> list[Part]:
    """Every JSON file of a folder as a source of its own; without a folder, chit-chat."""
    if folder is None:
        return [Part(None)]
    parts = [Part(file) for file in sorted(folder.iterdir()) if {".json", ".jsonl"} & set(file.suffixes)]
    if not parts:
        raise EntropylawError(f"{folder}: no .json or .jsonl file is in it")
    return parts


def load_real_texts(parts: Sequence[Part]) -> tuple[RealText, ...]:
    """The conversations of each part. Raises EntropylawError where one has too little text to be cut anew."""
    texts = []
    for part in parts:
        texts.append(join_records(part.name, read_part(part)))
        if len(texts[-1].starts) < FEWEST_WORDS:
            raise EntropylawError(f"{part.name}: fewer than {FEWEST_WORDS:,} words of conversations")
    return tuple(texts)


@dataclass(frozen=True)
class Version:
    """One version of a data file: so many ``rows``, of which a share is ``changed``, against the version with none."""

    rows: int
    changed: float = 0.0

    def is_changed(self, number: int) -> bool:
        """Whether a row, by its number from 0, differs; they are spread evenly.

        >>> [number for number in range(10) if Version(10, 0.2).is_changed(number)]
        [4, 9]
        """
        return int((number + 1) * self.changed) > int(number * self.changed)


@dataclass(frozen=True)
class RecutRows:
    """Rows cut anew from real texts, each source as often as it has text. ``row_bytes``: their mean size in a file."""

    texts: tuple[RealText, ...]
    row_bytes: int
    seed: int = 0

    @cached_property
    def shares(self) -> list[int]:
        """The sizes of the texts, each added to those before it."""
        return list(accumulate(len(text.text) for text in self.texts))

    def make_row(self, number: int, edition: int = 0) -> dict[str, Any]:
        """The row with this number, from 0; another ``edition`` is another row. Some are near-copies."""
        random = Random(f"copy {self.seed} {edition} {number}")
        if number == 0 or random.random() >= NEAR_COPIES:
            return self.cut_row(number, edition)
        row = self.cut_row(random.randrange(number), 0)
        message = row["messages"][-1]
        message["content"] = f"{message['content']} {next(take_passages(random.choice(self.texts), random)).strip()}"
        return row

    def cut_row(self, number: int, edition: int) -> dict[str, Any]:
        """A row that is no copy of any other."""
        random = Random(f"{self.seed} {edition} {number}")
        real = random.choices(self.texts, cum_weights=self.shares)[0]
        passages = take_passages(real, random)
        turn = int(random.random() * len(real.turn_characters))
        # Rows end behind an answer, which comes a message later than the wanted size on average.
        wanted, size = self.row_bytes * random.uniform(*SPREAD) - real.message_bytes, 0
        messages: list[dict[str, str]] = []
        while size < wanted or len(messages) % 2 or not messages:
            length = real.turn_characters[(turn + len(messages)) % len(real.turn_characters)]
            parts: list[str] = []
            while length > 0:
                parts.append(next(passages))
                length -= len(parts[-1])
            # An empty message would make the row unusable.
            content = "".join(parts).strip() or next(passages).strip()
            messages.append({"role": ROLES[len(messages) % 2], "content": content})
            size += len(content) + MESSAGE_BYTES
        return {"messages": messages, "source": real.source}

    def write(self, version: Version, path: Path) -> int:
        """Write a version as JSON lines, in constant memory; returns its size in bytes."""
        size = 0
        with atomic_writer(path, "wb") as handle:
            for number in range(version.rows):
                row = self.make_row(number, edition=int(version.is_changed(number)))
                size += handle.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        return size


def take_passages(real: RealText, random: Random) -> Iterator[str]:
    """Passages from a few places of a text in turn, each going on where the last one from its place ended."""
    words = len(real.starts) - 1
    fewest, most = PASSAGE_WORDS
    places = [int(random.random() * (words - most)) for _ in range(PLACES)]
    while True:
        for which, begin in enumerate(places):
            end = begin + fewest + int(random.random() * (most - fewest + 1))
            if end > words:  # the text is over: go on at its start
                begin, end = 0, fewest
            yield real.text[real.starts[begin] : real.starts[end]]
            places[which] = end
