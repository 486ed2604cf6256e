"""The corpora that the verdict is measured on: chit-chat, files of the user's, or a mixture of both.

A part of a corpus is written as ``FILE``, ``FILE:ROWS``, ``chit-chat`` or ``chit-chat:ROWS``; ROWS is the number of
its rows in the first version. The rest of the file is what updates are made of.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.pools import split_chat_logs, split_mixture, split_ratings, split_records
from corpus.errors import EntropylawError
from corpus.files import file_suffix
from corpus.formats import parse_row, read_records
from corpus.records import Record
from entropylaw.demo.chitchat import load_chat_logs, to_conversation
from entropylaw.repository import layout
from monitor.power.accidents import is_usable
from monitor.power.pool import Pool

CHIT_CHAT = "chit-chat"
PREFERENCE_ROWS = 1000


@dataclass(frozen=True)
class Part:
    """A part of a corpus. ``file``: None for chit-chat. ``rows``: in the first version; None where the user gave none.

    ``name``: the source of its rows where they name none.
    """

    file: Path | None
    rows: int | None = None

    @property
    def name(self) -> str:
        """The file's name without its suffix.

        >>> Part(Path("data/sft.v2.jsonl.gz")).name
        'sft.v2'
        """
        return CHIT_CHAT if self.file is None else self.file.name.removesuffix(file_suffix(self.file))


def parse_part(text: str) -> Part:
    """Read one ``--data``.

    >>> parse_part("chit-chat:900")
    Part(file=None, rows=900)
    >>> parse_part("maths.jsonl").rows is None
    True
    """
    name, colon, number = text.rpartition(":")
    # A colon may belong to the file's name.
    if not colon or not number.isdigit():
        name, number = text, ""
    if number and not int(number):
        raise EntropylawError(f"{text}: a part of no rows")
    return Part(None if name == CHIT_CHAT else Path(name), int(number) if number else None)


def add_corpus_options(parser: argparse.ArgumentParser, rows: int) -> None:
    """The options that say which corpus is measured. ``rows``: of its first version, by default."""
    parser.add_argument("--data", action="append", default=[], metavar="FILE[:ROWS]", help="default: chit-chat")
    parser.add_argument("--name", help="the corpus' name in what is printed and kept")
    parser.add_argument("--rows", type=int, default=rows, help="conversations of the first version")


def name_corpus(parts: Sequence[Part]) -> str:
    """The name of a corpus that was given none.

    >>> name_corpus([Part(Path("maths.jsonl")), Part(None)])
    'maths + chit-chat'
    """
    return " + ".join(part.name for part in parts) or CHIT_CHAT


def read_part(part: Part) -> list[Record]:
    """The conversations of a part with the part's name for their source where they name none.

    Chit-chat's rows name their months; in a mixture they are all of one source. Rows with a blank answer, or that are
    no conversations, are left out.
    """
    if part.file is None:
        rows = enumerate(map(to_conversation, load_chat_logs()), start=1)
        return [replace(parse_row(row, "sharegpt", number, CHIT_CHAT), source=CHIT_CHAT) for number, row in rows]
    records = read_records(part.file, kind="conversations", bad_rows=lambda row: None)
    return [replace(record, source=record.source or part.name) for record in records if is_usable(record)]


def load_pools(
    parts: Sequence[Part], preferences: Path | None, new_source: Path | None, rows: int, team: int
) -> dict[str, Pool]:
    """The rows that versions are made of, by dataset.

    ``parts``: none for chit-chat, whose ratings make preference pairs too. ``new_source``: a file of conversations
    unlike those of the corpus. ``rows``: of the first version; parts without a number of their own share them evenly.
    """
    if not parts or (parts == [Part(None, parts[0].rows)]):
        rows = (parts[0].rows if parts else None) or rows
        logs = load_chat_logs()
        pools = {
            layout.SFT: split_chat_logs(logs, rows, team),
            layout.PREFERENCES: split_ratings(logs, PREFERENCE_ROWS, team),
        }
    elif len(parts) == 1:
        pools = {layout.SFT: split_records(read_part(parts[0]), parts[0].rows or rows, team)}
    else:
        sizes = [part.rows or rows // len(parts) for part in parts]
        pools = {layout.SFT: split_mixture([read_part(part) for part in parts], sizes, team)}
    if preferences:
        pairs = list(read_records(preferences, kind="preferences"))
        pools[layout.PREFERENCES] = split_records(pairs, PREFERENCE_ROWS, team)
    if new_source:
        pools[layout.SFT] = replace(pools[layout.SFT], new_source=tuple(read_part(Part(new_source))))
    return pools
