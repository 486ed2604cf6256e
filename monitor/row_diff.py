"""What became of every row from one version of a data file to another: kept, moved, edited, copied, added, removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from corpus.records import HashedRecord
from corpus.row_facts import hashes_of, numbers_of
from corpus.row_hashes import RowHashes
from corpus.row_pairs import flag_moved, pair_copies, pair_rows
from corpus.row_sides import split_sides
from corpus.side_facts import NO_KEY, measure_sides
from monitor.measures.row_edits import ANSWER, EXCHANGED, FORM, PROMPT

if TYPE_CHECKING:
    from numpy.typing import NDArray

ChangeKind = Literal["added", "removed", "edited", "moved", "copied"]
CHANGE_KINDS: tuple[ChangeKind, ...] = ("added", "removed", "edited", "moved", "copied")
# What an edit changed, in the order in which pairs are looked for; see `row_edits`.
EDITS = (FORM, EXCHANGED, ANSWER, PROMPT)


@dataclass(frozen=True)
class KeptRows:
    """Rows that both versions have: their numbers in A and in B, shape (rows,) each, in the order of B."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]


@dataclass(frozen=True)
class RowChanges:
    """What became of the rows from A to B. Every row of B is kept, edited, copied or added; one of A kept, edited or
    removed. Indices are into the rows that were given of a version, in ascending order of B, of ``removed`` of A.

    - ``kept``: how many rows both have. ``moved``: those of them that stand elsewhere among the kept ones.
    - ``added``: indices into B. ``removed``: indices into A.
    - ``edited``: indices into B, ``past`` into A, and ``changed``, what each edit changed (``row_edits.FORM`` …).
    - ``copied``: rows of B that say again what another row of B says; indices into B. ``twin``: that row's number in B;
      ``twin_past``: its number in A, 0 where A did not have it.
    """

    kept: int
    moved: KeptRows
    added: NDArray[np.int64]
    removed: NDArray[np.int64]
    edited: NDArray[np.int64]
    past: NDArray[np.int64]
    changed: NDArray[np.str_]
    copied: NDArray[np.int64]
    twin: NDArray[np.int64]
    twin_past: NDArray[np.int64]


# The contents, by hash, that rows known to be the same have, as far as they may be those of the rows at these indices
# of A and of B: a number in A and in B of each.
FindContents = Callable[["NDArray[np.int64]", "NDArray[np.int64]"], Mapping[str, tuple[int, int]]]


def diff_rows(
    a: Sequence[HashedRecord], b: Sequence[HashedRecord], same: KeptRows, find_contents: FindContents
) -> RowChanges:
    """Tell what became of the rows.

    ``a``, ``b``: the rows of each version, but for those that are known to be the ``same`` in both and need not be
    read. ``find_contents``: looks among those for a content.

    Rows are the same by their content hash; which copy of a row is which, ``pair_rows`` says. A row was edited if A had
    no row of its content, and a row that is gone altogether had the same prompt or the same answer, as
    ``row_edits.find_edits`` has it.
    """
    hashes_a, hashes_b = hashes_of(a), hashes_of(b)
    numbers_a, numbers_b = numbers_of(a), numbers_of(b)
    kept_a, kept_b = pair_rows(hashes_a, hashes_b)
    gone, new = (_others(kept, len(rows)) for kept, rows in ((kept_a, a), (kept_b, b)))
    kept = _join_kept(same, numbers_a[kept_a], numbers_b[kept_b])
    moved = flag_moved(kept.a)

    contents = find_contents(gone, new) if len(same.a) else {}
    ids = RowHashes(np.concatenate([hashes_a.digests, hashes_b.digests, RowHashes.of(list(contents)).digests])).number()
    ids_a, ids_b, ids_same = np.split(ids, [len(a), len(a) + len(b)])
    count = int(ids.max()) + 1 if len(ids) else 0
    # Of each content: the number in A and B of the first row that is kept, 0 where none is.
    past_of, now_of = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    past_of[ids_a[kept_a][::-1]], now_of[ids_b[kept_b][::-1]] = numbers_a[kept_a][::-1], numbers_b[kept_b][::-1]
    found = np.array(list(contents.values()), dtype=np.int64).reshape(-1, 2)
    past_of[ids_same], now_of[ids_same] = found[:, 0], found[:, 1]
    first = np.full(count, -1, dtype=np.int64)
    first[ids_b[::-1]] = np.arange(len(b))[::-1]

    is_copy = (now_of[ids_b[new]] > 0) | (first[ids_b[new]] != new)
    copied, fresh = new[is_copy], new[~is_copy]
    twin_ids = ids_b[copied]
    gone_for_good = gone[~np.isin(ids_a[gone], ids_b) & (now_of[ids_a[gone]] == 0)]
    edited, past, changed = _find_edits(a, gone_for_good, b, fresh)
    return RowChanges(
        kept=len(kept.a),
        moved=KeptRows(kept.a[moved], kept.b[moved]),
        added=np.setdiff1d(fresh, edited),
        removed=np.setdiff1d(gone, past),
        edited=edited,
        past=past,
        changed=changed,
        copied=copied,
        twin=np.where(now_of[twin_ids] > 0, now_of[twin_ids], numbers_b[first[twin_ids]]),
        twin_past=past_of[twin_ids],
    )


def _others(chosen: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The indices below ``count`` that were not chosen, ascending."""
    is_chosen = np.zeros(count, dtype=bool)
    is_chosen[chosen] = True
    return np.flatnonzero(~is_chosen)


def _join_kept(same: KeptRows, a: NDArray[np.int64], b: NDArray[np.int64]) -> KeptRows:
    all_a, all_b = np.concatenate([same.a, a]), np.concatenate([same.b, b])
    order = np.argsort(all_b, kind="stable")
    return KeptRows(all_a[order], all_b[order])


def _find_edits(
    a: Sequence[HashedRecord], gone: NDArray[np.int64], b: Sequence[HashedRecord], new: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.str_]]:
    """Indices into B and A of the rows that were edited, and what was changed; each row in one pair at most."""
    if not (gone.size and new.size):
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing, np.empty(0, dtype=np.str_)
    # Of the changed rows alone: where nearly all rows stayed, the sides of these need not be known.
    past_prompt, past_answer, *_ = measure_sides(split_sides(a[i][0]) for i in gone.tolist())
    prompt, answer, *_ = measure_sides(split_sides(b[i][0]) for i in new.tolist())
    keys = {
        FORM: ((past_prompt, past_answer), (prompt, answer)),
        EXCHANGED: ((past_prompt, past_answer), (answer, prompt)),
        ANSWER: ((past_prompt, past_prompt), (prompt, prompt)),
        PROMPT: ((past_answer, past_answer), (answer, answer)),
    }
    waiting, open_ = np.arange(gone.size), np.arange(new.size)
    pairs: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.str_]]] = []
    for kind in EDITS:
        before, now = (np.stack(columns, axis=1) for columns in keys[kind])
        old, fresh = waiting, open_
        if kind in (ANSWER, PROMPT):  # an empty side tells no row from another
            old, fresh = old[before[old, 0] != np.uint64(NO_KEY)], fresh[now[fresh, 0] != np.uint64(NO_KEY)]
        if kind == PROMPT:  # many questions have the answer "Yes."
            old, fresh = old[_flag_only(before[old, 0])], fresh[_flag_only(now[fresh, 0])]
        i, j = pair_copies(RowHashes(before[old]), RowHashes(now[fresh]))
        pairs.append((fresh[j], old[i], np.full(len(i), kind)))
        waiting, open_ = np.setdiff1d(waiting, old[i]), np.setdiff1d(open_, fresh[j])
    rows, past, changed = (np.concatenate(part) for part in zip(*pairs, strict=True))
    order = np.argsort(rows)
    return new[rows[order]], gone[past[order]], changed[order]


def _flag_only(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which keys stand there only once, shape (keys,)."""
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    only: NDArray[np.bool_] = counts[inverse] == 1
    return only
