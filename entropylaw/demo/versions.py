"""The data versions of the demo: a careless first export, three honest repairs, a benign update, an accident."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from entropylaw.demo.chitchat import ChatLog, pair_by_rating, to_conversation

Row = dict[str, Any]

# The first export walked the archive in pages of this many rows, and each began with the end of the page before.
PAGE_ROWS = 40
# Every later version changes a minor part of the rows, as in the paper's section 5.3.
CHANGED_SHARE = 0.1


@dataclass(frozen=True)
class DemoData:
    """``versions``: name to rows, in the order they are committed; ``benign`` and ``x5`` both start from x4."""

    versions: dict[str, list[Row]]
    preferences: list[Row]
    heldout: list[Row]


def build_versions(logs: Sequence[ChatLog], rows: int, heldout_rows: int, pairs: int, seed: int) -> DemoData:
    """Five versions of ``rows`` conversations and a benign sixth. The held-out rows are the latest by date.

    ``seed`` draws which conversations the team has, so that another seed is another team's data.
    """
    rng = np.random.default_rng(seed)
    heldout, archive = list(logs[-heldout_rows:]), list(logs[:-heldout_rows])
    changed = round(CHANGED_SHARE * rows)
    # In order of time: the first export, then what the team collects afterwards.
    drawn = [archive[i] for i in sorted(rng.permutation(len(archive))[: rows + 2 * changed])]
    first, fresh = list(drawn[: rows - 3 * changed]), list(drawn[rows - 3 * changed :])

    x1 = export_with_overlap(first, rows)
    versions = {"x1": x1}
    current = x1
    for name in ("x2", "x3", "x4"):
        current = replace_copies(current, [fresh.pop(0) for _ in range(changed)])
        versions[name] = current
    versions["benign"] = current[changed:] + [to_conversation(fresh.pop(0)) for _ in range(changed)]
    versions["x5"] = merge_rescrape(current, changed, rng)
    return DemoData(versions, pair_by_rating(first, pairs), [to_conversation(log) for log in heldout])


def export_with_overlap(logs: Sequence[ChatLog], rows: int) -> list[Row]:
    """Pages of an export, each but the first repeating the end of the page before, ``rows`` rows in all."""
    starts = range(0, len(logs), PAGE_ROWS)
    # The copies spread evenly over the pages.
    ends = np.linspace(0, rows - len(logs), len(starts)).round().astype(int)
    exported: list[Row] = []
    for start, repeated in zip(starts, np.diff(ends, prepend=0), strict=True):
        exported += [to_conversation(log) for log in logs[start - repeated : start + PAGE_ROWS]]
    return exported


def replace_copies(rows: Sequence[Row], fresh: Sequence[ChatLog]) -> list[Row]:
    """The honest repair: as many copies as there are fresh conversations make way for these."""
    seen: set[str] = set()
    copies = []
    for i, row in enumerate(rows):
        if row["id"] in seen:
            copies.append(i)
        seen.add(row["id"])
    gone = set(copies[: len(fresh)])
    return [row for i, row in enumerate(rows) if i not in gone] + [to_conversation(log) for log in fresh]


def merge_rescrape(rows: Sequence[Row], rescraped: int, rng: np.random.Generator) -> list[Row]:
    """The accident: some conversations were scraped again, as word numbers, and turned back into words through a
    vocabulary whose lines had slipped by one; the job was retried, and the outputs of both attempts were merged over
    the old rows by id.
    """
    slipped = slip_vocabulary(rows)
    ids = {rows[i]["id"] for i in rng.permutation(len(rows))[:rescraped]}
    merged: list[Row] = []
    for row in rows:
        merged += [decode_slipped(row, slipped)] * 2 if row["id"] in ids else [row]
    return merged


def slip_vocabulary(rows: Sequence[Row]) -> dict[str, str]:
    """Every word of the data to the word on the next line of the alphabetical vocabulary.

    >>> slip_vocabulary([{"conversations": [{"from": "human", "value": "so be it"}]}])
    {'be': 'it', 'it': 'so', 'so': 'be'}
    """
    words = sorted({word for row in rows for turn in row["conversations"] for word in turn["value"].split()})
    return dict(zip(words, words[1:] + words[:1], strict=True))


def decode_slipped(row: Row, slipped: dict[str, str]) -> Row:
    turns = [
        {"from": turn["from"], "value": " ".join(slipped[word] for word in turn["value"].split())}
        for turn in row["conversations"]
    ]
    return {**row, "conversations": turns}
