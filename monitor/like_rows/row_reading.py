"""The rows of a version that are read one by one, and all that is known of them without another version."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import HashedRecord, Record, canonical_text
from corpus.row_facts import hashes_of
from corpus.row_sides import RowSides
from monitor.like_rows.answer_fit import Sides, embed_sides
from monitor.like_rows.rank_comparison import MIN_KEPT_ROWS
from monitor.like_rows.row_texts import RowTexts, number_texts
from monitor.like_rows.traces import count_traces
from monitor.measures.side_features import FEATURE_NAMES, measure_side_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from corpus.row_hashes import RowHashes

# Of all rows together: enough to tell, in a few seconds on one core for any amount of data.
MAX_CHARACTERS = 6_000_000
# The comparison of all rows with all kept rows takes a second for so many.
MAX_ROWS = 8_000
# A longer row is left out, so that the fewest kept rows that are needed always fit.
MAX_ROW_CHARACTERS = MAX_CHARACTERS // (4 * MIN_KEPT_ROWS)


@dataclass(frozen=True)
class RowReading:
    """Rows that were read, each once, in the order of their content hashes.

    ``rows``: their indices in the version, shape (m,). ``records``, ``sides``: of these rows. ``features``: by name,
    shape (m,) each, nan where a row has none. A version is read once, and compared with its parent and its anchor.
    """

    rows: NDArray[np.int64]
    records: tuple[Record, ...]
    sides: Sides
    features: dict[str, NDArray[np.float64]]

    @functools.cached_property
    def texts(self) -> RowTexts:
        """The texts of these rows, taken apart when they are first asked for."""
        return number_texts(self.records)

    def take(self, places: NDArray[np.int64]) -> RowReading:
        """The reading of some of the rows, in another order. ``places``: from 0 to m - 1."""
        sides = self.sides
        return RowReading(
            self.rows[places],
            tuple(self.records[i] for i in places),
            Sides(
                tuple(sides.prompts[i] for i in places),
                tuple(sides.responses[i] for i in places),
                sides.prompt_vectors[places],
                sides.response_vectors[places],
            ),
            {name: values[places] for name, values in self.features.items()},
        )


def read_rows(records: Sequence[HashedRecord], is_kept: NDArray[np.bool_], is_added: NDArray[np.bool_]) -> RowReading:
    """Read the rows of a version of which it is known whether the parent had them, or a sample where they are many.

    ``is_kept``, ``is_added``: shape (records,). Rows are taken in the order of their hashes, so the file's order does
    not decide whether a row is read. Added and kept rows are taken in turn: of many rows with few changes, the changes
    are read. Rows longer than MAX_ROW_CHARACTERS are left out.
    """
    found = _take_sample(records, _alternate(hashes_of(records), is_kept, is_added))
    rows = np.array([i for i, _ in found], dtype=np.int64)
    taken = tuple(record for _, record in found)
    sides = embed_sides(taken)
    columns = measure_side_features([RowSides(*side) for side in zip(sides.prompts, sides.responses, strict=True)])
    features = {name: columns[:, i] for i, name in enumerate(FEATURE_NAMES)}
    for side, texts in (("prompt", sides.prompts), ("answer", sides.responses)):
        features |= {f"{side} {name}": counts for name, counts in count_traces(texts).items()}
    return RowReading(rows, taken, sides, features)


def _alternate(hashes: RowHashes, is_kept: NDArray[np.bool_], is_added: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The known rows, each once: an added and a kept one in turn, by their hashes, and then what is left of either."""
    order = hashes.order()
    order = order[hashes.flag_first()[order]]
    added, kept = order[is_added[order]], order[is_kept[order]]
    turn = np.concatenate([np.arange(len(added)), np.arange(len(kept))])
    return np.concatenate([added, kept])[np.argsort(turn, kind="stable")]


def _take_sample(records: Sequence[HashedRecord], order: Iterable[int]) -> list[tuple[int, Record]]:
    """The first rows of an order, as many as may be read, each with its index; sorted by their hashes."""
    taken: list[tuple[str, int, Record]] = []
    characters = 0
    for i in order:
        record, row_hash = records[int(i)]
        size = len(canonical_text(record))
        if size > MAX_ROW_CHARACTERS:
            continue
        characters += size
        if characters > MAX_CHARACTERS or len(taken) == MAX_ROWS:
            break
        taken.append((row_hash, int(i), record))
    return [(i, record) for _, i, record in sorted(taken, key=lambda row: row[0])]
