"""Rows to make versions from: a first version, and other rows like its own. What is done with them stands in `updates`
and `accidents`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from corpus.errors import EntropylawError
from corpus.records import Record, canonical_text, content_hash
from corpus.row_sides import question_key

# An ordinary update replaces this share of the rows; every accident happens on top of one.
UPDATED_SHARE = 0.1
# So much of a version is held back as fresh rows: enough for the rest to grow by a quarter.
HELD_BACK_SHARE = 0.2
# Topics are so many clusters of the rows' words.
TOPICS = 12

# A record, or a record and what is known of it.
Row = TypeVar("Row")


@dataclass(frozen=True)
class Pool:
    """Rows to make versions from.

    ``baseline``: the first version, in file order. ``fresh``: other rows like those of the baseline. ``novel``: rows
    that differ from both, by what is new about them. ``held_out``: rows for the held-out file. ``new_source``: rows of
    a source that no other row has; none where the user named no file of them.
    """

    baseline: tuple[Record, ...]
    fresh: tuple[Record, ...]
    novel: dict[str, tuple[Record, ...]]
    held_out: tuple[Record, ...]
    new_source: tuple[Record, ...] = ()


def hold_back(records: Sequence[Record], rng: np.random.Generator) -> Pool:
    """Split one version, in file order, into the version that others follow and fresh rows that no version had yet.

    Rows that ask the same are held back together, as far as that goes: a fresh row beside another one with its prompt
    would look like an edit of it, which an ordinary update is not.
    """
    wanted = round(HELD_BACK_SHARE * len(records))
    alike: dict[int, list[int]] = {}
    for i, record in enumerate(records):
        alike.setdefault(question_key(record), []).append(i)
    groups = list(alike.values())
    held: set[int] = set()
    for k in rng.permutation(len(groups)).tolist():
        if len(held) + len(groups[k]) <= wanted:
            held.update(groups[k])
    # Where few prompts have most of the rows, there are not enough others.
    others = [i for i in rng.permutation(len(records)).tolist() if i not in held]
    held.update(others[: wanted - len(held)])
    return Pool(
        tuple(record for i, record in enumerate(records) if i not in held),
        tuple(record for i, record in enumerate(records) if i in held),
        {},
        (),
    )


def group_by_topic(records: Sequence[Record], seed: int) -> list[int]:
    """The topic of each row: one of at most TOPICS clusters of its words."""
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(sublinear_tf=True, max_features=5000).fit_transform(map(canonical_text, records))
    found: list[int] = KMeans(min(TOPICS, len(records)), n_init=1, random_state=seed).fit_predict(words).tolist()
    return found


def keep_distinct(records: Sequence[Record]) -> list[Record]:
    found: dict[str, Record] = {}
    for record in records:
        found.setdefault(content_hash(record), record)
    return list(found.values())


def replace_rows(
    records: Sequence[Row], fresh: Sequence[Row], share: float, rng: np.random.Generator
) -> tuple[list[Row], list[Row]]:
    """The ordinary update: a share of the rows is removed, and as many fresh ones are added at the end.

    Returns the new version, and the fresh rows that are left.
    """
    count = round(share * len(records))
    if count > len(fresh):
        raise EntropylawError(f"{count} fresh rows are needed, there are {len(fresh)}")
    gone = set(rng.permutation(len(records))[:count].tolist())
    order = rng.permutation(len(fresh)).tolist()
    kept = [record for i, record in enumerate(records) if i not in gone]
    return kept + [fresh[i] for i in order[:count]], [fresh[i] for i in order[count:]]
