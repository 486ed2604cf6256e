"""For rows that the verdict flags as near copies: the row of the same version that each is most like."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from corpus.line_hashes import find_lines, read_lines
from corpus.progress import Progress
from corpus.records import HashedRecord, Record
from entropylaw.diff.parsing import list_strings
from entropylaw.diff.versions import DiffedVersion

# As the rule `copies` counts near copies: by runs of three words.
RUN_WORDS = 3
# A row that shares less than half of the runs is no copy of it that anybody would recognise.
LEAST_SHARE = 0.5
PROGRESS_STEP = 1000


class NearTwin(NamedTuple):
    """``row``: the number of the row that is most like it; ``share``: of its runs of three words, those in that row."""

    row: int
    share: float


def find_near_twins(
    version: DiffedVersion, flagged: Mapping[int, HashedRecord], progress: Progress
) -> dict[int, NearTwin]:
    """The row most like each of the ``flagged`` ones, by their numbers; the first of several, never itself.

    All rows of the version are read, and none is held.
    """
    if not flagged:
        return {}
    runs = {number: list_runs(join_texts(row.record)) for number, row in flagged.items()}
    owners: defaultdict[str, list[int]] = defaultdict(list)
    for number, found in runs.items():
        for run in found:
            owners[run].append(number)
    best: dict[int, NearTwin] = {}
    for done, (other, text) in enumerate(_read_texts(version)):
        if done % PROGRESS_STEP == 0:
            progress(done, None)
        shared = Counter(number for run in list_runs(text) & owners.keys() for number in owners[run])
        for number, count in shared.items():
            share = count / len(runs[number])
            if number != other and share >= LEAST_SHARE and (number not in best or share > best[number].share):
                best[number] = NearTwin(other, share)
    return best


def list_runs(text: str) -> set[str]:
    """The runs of three words in lower case.

    >>> sorted(list_runs("Tea is hot now"))
    ['is hot now', 'tea is hot']
    """
    words = text.lower().split()
    return {" ".join(words[i : i + RUN_WORDS]) for i in range(len(words) - RUN_WORDS + 1)}


def join_texts(record: Record) -> str:
    return "\n".join(message.content for _, message in record.turns())


def _read_texts(version: DiffedVersion) -> Iterator[tuple[int, str]]:
    """The number and the texts of each row of a version, parsed as far as that takes."""
    if version.numbers is None:
        yield from ((row.record.row, join_texts(row.record)) for row in version.parsed.rows)
        return
    path = find_lines(version.file.path)
    assert path is not None
    for number, line in read_lines(path):
        try:
            value = msgspec.json.decode(line)
        except (ValueError, RecursionError):  # blank, or no usable row
            continue
        yield number, "\n".join(reversed(list_strings(value)))
