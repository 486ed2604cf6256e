"""Where the flagged rows of a verdict come from: their sources, their files, where they stand, who committed them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from monitor.verdict import FlaggedRow, RuleId, Verdict

T = TypeVar("T", bound=Hashable)

# So many of the flagged rows the narrowest stretch of the file is to hold: a few honest rows that a rule blames as well
# should not stretch it over the whole file.
MOST = 0.9
# Flagged rows further apart than this share of the file's rows are two stretches.
GAP_SHARE = 0.01


@dataclass(frozen=True)
class Origin:
    """The commit that brought a row. ``short``: its short id; ``date``: YYYY-MM-DD."""

    commit: str
    short: str
    author: str
    date: str


@dataclass(frozen=True)
class BlamedRow:
    """A flagged row, once, with all ``rules`` that flag it. ``origin``: None where it was not looked for or found."""

    row: int
    hash: str
    source: str
    file: str | None
    file_row: int | None
    rules: tuple[RuleId, ...]
    origin: Origin | None = None


@dataclass(frozen=True)
class Stretch:
    """A stretch of the file, ``first`` to ``last`` row, and how many flagged rows stand in it."""

    first: int
    last: int
    rows: int


@dataclass(frozen=True)
class Blame:
    """The flagged rows of one dataset. ``file_rows``: how many rows its data has. ``rows``: in file order.

    ``sources``, ``files``, ``rules``, ``commits``: how many of them, those with most first; ``files`` is empty where
    the dataset is one file, ``commits`` where no origin is known. ``stretches``: in file order. ``most``: the
    narrowest stretch that holds nine in ten of them.
    """

    dataset: str
    file_rows: int
    rows: tuple[BlamedRow, ...]
    rules: dict[RuleId, int]
    sources: dict[str, int]
    files: dict[str, int]
    commits: tuple[tuple[Origin, int], ...]
    stretches: tuple[Stretch, ...]
    most: Stretch


def blame_rows(
    verdict: Verdict, origins: Mapping[str, Mapping[str, Origin]] = MappingProxyType({})
) -> tuple[Blame, ...]:
    """Where the flagged rows come from, for each dataset that has some.

    ``origins``: by dataset and content hash; without them nothing is said of commits. A verdict names a part of the
    rows behind an alarm only: see ``monitor.rules.flagged_rows.ROWS_PER_RULE``.
    """
    flagged: defaultdict[str, defaultdict[int, list[FlaggedRow]]] = defaultdict(lambda: defaultdict(list))
    for row in verdict.rows:
        flagged[row.dataset][row.row].append(row)
    return tuple(
        _blame_dataset(dataset, measured.rows, rows, origins.get(dataset, {}))
        for dataset, rows in flagged.items()
        if (measured := verdict.measurements.get(dataset))
    )


def _blame_dataset(
    dataset: str, kept_rows: int, flagged: Mapping[int, Sequence[FlaggedRow]], origins: Mapping[str, Origin]
) -> Blame:
    rows = tuple(
        BlamedRow(
            number,
            same[0].hash,
            same[0].source,
            same[0].file,
            same[0].file_row,
            tuple(dict.fromkeys(row.rule for row in same)),
            origins.get(same[0].hash),
        )
        for number, same in sorted(flagged.items())
    )
    numbers = [row.row for row in rows]
    # Rows that were left out have numbers too.
    file_rows = max(kept_rows, numbers[-1])
    return Blame(
        dataset=dataset,
        file_rows=file_rows,
        rows=rows,
        rules=dict(count_most(rule for row in rows for rule in row.rules)),
        sources=dict(count_most(row.source for row in rows)),
        files=dict(count_most(row.file for row in rows if row.file is not None)),
        commits=tuple(count_most(row.origin for row in rows if row.origin is not None)),
        stretches=find_stretches(numbers, max(1, int(file_rows * GAP_SHARE))),
        most=find_narrowest(numbers),
    )


def count_most(items: Iterable[T]) -> list[tuple[T, int]]:
    """Each item with how often it is there, the most frequent first, and of equally frequent ones the first.

    >>> count_most("abcb")
    [('b', 2), ('a', 1), ('c', 1)]
    """
    return Counter(items).most_common()


def find_stretches(numbers: Sequence[int], gap: int) -> tuple[Stretch, ...]:
    """Rows that are at most ``gap`` apart, together. ``numbers``: of rows, ascending.

    >>> [(s.first, s.last, s.rows) for s in find_stretches([3, 4, 6, 90], 2)]
    [(3, 6, 3), (90, 90, 1)]
    """
    found: list[Stretch] = []
    for number in numbers:
        if found and number - found[-1].last <= gap:
            found[-1] = Stretch(found[-1].first, number, found[-1].rows + 1)
        else:
            found.append(Stretch(number, number, 1))
    return tuple(found)


def find_narrowest(numbers: Sequence[int], share: float = MOST) -> Stretch:
    """The narrowest stretch that holds at least this share of the rows, the first of several.

    >>> find_narrowest([1, 50, 51, 52, 53, 54, 55, 56, 57, 58])
    Stretch(first=50, last=58, rows=9)
    """
    wanted = max(1, -int(-len(numbers) * share // 1))
    starts = range(len(numbers) - wanted + 1)
    start = min(starts, key=lambda i: (numbers[i + wanted - 1] - numbers[i], i))
    return Stretch(numbers[start], numbers[start + wanted - 1], wanted)
