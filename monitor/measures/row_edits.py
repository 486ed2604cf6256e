"""Edited rows: rows of a version that take the place of rows of its parent, found by a side that both share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from corpus.key_lookup import is_among
from corpus.records import HashedRecord
from corpus.row_facts import hashes_of
from corpus.row_sides import split_sides
from corpus.side_facts import NO_KEY, choose_by_sides
from monitor.measures.row_table import ALL_KEYS, RowTable, content_keys
from monitor.measures.second_losses import SecondLosses
from monitor.measures.side_features import FEATURE_NAMES, measure_side_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from monitor.measures.row_split import RowSplit

# What an edit changed. FORM: the words of both sides are the same; case, spacing, punctuation, system messages or the
# order of turns are not. EXCHANGED: each side has become the other one.
FORM, ANSWER, PROMPT, EXCHANGED = "form", "answer", "prompt", "exchanged"

# A number for each row by which it is matched, or a pair of them.
_Match = Callable[[int], tuple[int, ...] | None]


@dataclass(frozen=True)
class RowEdits:
    """The edited rows of a version, each beside its past; one entry for each, in file order.

    - ``rows``: indices into the version's records. ``past``: indices into the parent's table.
    - ``changed``: FORM, ANSWER, PROMPT or EXCHANGED.
    - ``total``: how many rows were edited in the whole version. The table is a sample where the parent was large, and
      ``coverage`` is the share of the parent's rows that it has.
    - ``values``, ``past_values``: side features, shape (edits, features), rounded alike. ``features``: their names.
      ``spread``: how much each of them differs between rows of the parent, as a standard deviation, shape (features,).
    - ``loss``, ``past_loss``: in nats per token by the base model, shape (edits,), nan where not probed.
    - ``is_new``: whether the row's source is one that the parent did not have, shape (edits,).
    - ``moved_from``: for each edit the position in the parent of another row that had this answer, -1 where none had.
    - ``shared``, ``past_shared``: whether another edited row has the same answer, and had it; shape (edits,).
    - ``second_loss``, ``past_second_loss``: as ``loss`` and ``past_loss``, by the second model; None where there is
      none, or another one than the parent was read by.
    """

    rows: NDArray[np.int64]
    past: NDArray[np.int64]
    changed: NDArray[np.str_]
    total: float
    coverage: float
    features: tuple[str, ...]
    spread: NDArray[np.float64]
    values: NDArray[np.float64]
    past_values: NDArray[np.float64]
    loss: NDArray[np.float64]
    past_loss: NDArray[np.float64]
    is_new: NDArray[np.bool_]
    moved_from: NDArray[np.int64]
    shared: NDArray[np.bool_]
    past_shared: NDArray[np.bool_]
    second_loss: NDArray[np.float64] | None = None
    past_second_loss: NDArray[np.float64] | None = None

    @property
    def count(self) -> int:
        return self.rows.size

    def column(self, feature: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A feature of the edited rows, and what it was, shape (edits,) each. Raises ValueError where it is unknown."""
        i = self.features.index(feature)
        return self.values[:, i], self.past_values[:, i]


def add_second_losses(
    edits: RowEdits,
    records: Sequence[HashedRecord],
    parent: RowTable,
    now: SecondLosses | None,
    before: SecondLosses | None,
) -> RowEdits:
    """The edits with the losses of the second model, where the same one has read both versions.

    ``records``, ``parent``: that the edits were found in. ``now``, ``before``: what it said of this version and of the
    parent.
    """
    if now is None or before is None or now.identity != before.identity:
        return edits
    contents = content_keys(hashes_of(records))[edits.rows]
    return replace(edits, second_loss=now.find(contents), past_second_loss=before.find(parent.content[edits.past]))


def find_edits(
    records: Sequence[HashedRecord],
    split: RowSplit,
    losses: NDArray[np.float64],
    is_new: NDArray[np.bool_],
    parent: RowTable,
) -> RowEdits:
    """Find the edited rows of a version.

    ``losses``: shape (records,), nan where a row was not probed. ``is_new``: rows of sources that the parent did not
    have, shape (records,), see ``row_sources.flag_new_sources``.

    A row is edited if the parent did not have it, and a row of the parent that is gone had the same prompt or the same
    answer. Each row of the parent has one successor at most. Rows that share a prompt are matched in their order.
    An answer must be the only one of its kind, because many questions have the answer "Yes."
    """
    contents = content_keys(hashes_of(records))
    gone = np.flatnonzero(~np.isin(parent.content, contents))
    is_candidate = ~split.is_kept & split.is_first & ~is_among(contents, parent.content)
    if not gone.size:
        is_candidate[:] = False
    # The table has every row with such a key: what it does not have is new. Of other rows that may not be known.
    candidates, prompt, answer = choose_by_sides(
        records, is_candidate, lambda rows, prompt, answer: split.is_added[rows] | parent.covers(prompt, answer)
    )
    pairs = _match(np.arange(candidates.size), prompt, answer, gone, parent)
    found = np.array([now for now, _, _ in pairs], dtype=np.int64)
    past = np.array([before for _, before, _ in pairs], dtype=np.int64)
    changed = np.array([kind for _, _, kind in pairs], dtype=np.str_)
    values = measure_side_features([split_sides(records[i][0]) for i in candidates[found].tolist()])
    names = [name for name in parent.features if name in FEATURE_NAMES]
    columns = [parent.features.index(name) for name in names]
    return RowEdits(
        rows=candidates[found],
        past=past,
        changed=changed,
        total=min(float(np.count_nonzero(is_candidate)), _count_all(changed, prompt[found], answer[found], parent)),
        coverage=parent.content.size / max(1, parent.rows),
        features=tuple(names),
        spread=_measure_spread(parent.values[:, columns].astype(np.float64)),
        # The past was rounded when it was written: what has not changed must be equal.
        values=values[:, [FEATURE_NAMES.index(n) for n in names]].astype(np.float16).astype(np.float64),
        past_values=parent.values[past][:, columns].astype(np.float64),
        loss=losses[candidates[found]].astype(np.float32).astype(np.float64),
        past_loss=parent.loss[past].astype(np.float64),
        is_new=is_new[candidates[found]],
        moved_from=_find_origins(answer[found], past, parent),
        shared=_flag_shared(answer[found]),
        past_shared=_flag_shared(parent.answer[past]),
    )


def _match(
    candidates: NDArray[np.int64],
    prompt: NDArray[np.uint64],
    answer: NDArray[np.uint64],
    gone: NDArray[np.int64],
    parent: RowTable,
) -> list[tuple[int, int, str]]:
    """Pairs of a candidate and a row of the table, each of them in one pair at most, with what the edit changed."""
    new, old = set(candidates.tolist()), set(gone.tolist())
    found: list[tuple[int, int, str]] = []

    def key(keys: NDArray[np.uint64]) -> _Match:
        return lambda i: (int(keys[i]),) if int(keys[i]) != NO_KEY else None

    def both(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> _Match:
        return lambda i: (int(first[i]), int(second[i]))

    def pair(kind: str, now: _Match, before: _Match, only_one: bool = False) -> None:
        waiting, successors = _group(sorted(old), before), _group(sorted(new), now)
        for name, rows in successors.items():
            others = waiting.get(name, [])
            if only_one and (len(rows) > 1 or len(others) > 1):
                continue
            for row, other in zip(rows, others, strict=False):
                found.append((row, other, kind))
                new.discard(row)
                old.discard(other)

    pair(FORM, both(prompt, answer), both(parent.prompt, parent.answer))
    pair(EXCHANGED, both(answer, prompt), both(parent.prompt, parent.answer))
    pair(ANSWER, key(prompt), key(parent.prompt))
    pair(PROMPT, key(answer), key(parent.answer), only_one=True)
    return sorted(found)


def _group(rows: Sequence[int], match: _Match) -> dict[tuple[int, ...], list[int]]:
    groups = defaultdict(list)
    for row in rows:
        name = match(row)
        if name is not None:
            groups[name].append(row)
    return groups


def _count_all(
    changed: NDArray[np.str_], prompt: NDArray[np.uint64], answer: NDArray[np.uint64], parent: RowTable
) -> float:
    """How many rows were edited in the whole version, from those whose past the table had to have."""
    if parent.limit == ALL_KEYS or not changed.size:
        return float(changed.size)
    # The side that an edit left as it was decides whether its past is in the table.
    sure = np.where(changed == PROMPT, parent.covers_key(answer), parent.covers_key(prompt))
    return float(np.count_nonzero(sure)) * ALL_KEYS / parent.limit


def _measure_spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The standard deviation of each column, shape (features,); 0 of one that has no values."""
    known = ~np.isnan(values)
    counts = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, values, 0.0)
    squares = np.where(known, (values - filled.sum(axis=0) / counts) ** 2, 0.0)
    spread: NDArray[np.float64] = np.sqrt(squares.sum(axis=0) / counts)
    return spread


def _find_origins(answer: NDArray[np.uint64], past: NDArray[np.int64], parent: RowTable) -> NDArray[np.int64]:
    """The position in the parent of another row that alone had this answer, -1 where none had. Shape (edits,)."""
    keys, first, counts = np.unique(parent.answer, return_index=True, return_counts=True)
    owner = {int(key): int(i) for key, i, n in zip(keys, first, counts, strict=True) if n == 1 and int(key) != NO_KEY}
    found = [owner.get(int(key), -1) for key in answer]
    return np.array(
        [
            -1 if i < 0 or parent.answer[before] == parent.answer[i] else int(parent.position[i])
            for i, before in zip(found, past.tolist(), strict=True)
        ],
        dtype=np.int64,
    )


def _flag_shared(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    shared: NDArray[np.bool_] = (counts[inverse] > 1) & (keys != np.uint64(NO_KEY))
    return shared
