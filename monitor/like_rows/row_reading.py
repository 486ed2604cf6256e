"""The rows of a version that are read one by one, and all that is known of them without another version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.records import HashedRecord, Record, canonical_text
from corpus.row_sides import RowSides
from monitor.like_rows.answer_fit import Sides, embed_sides
from monitor.like_rows.rank_comparison import MIN_KEPT_ROWS
from monitor.like_rows.traces import count_traces
from monitor.measures.evidence import first_copies
from monitor.measures.side_features import FEATURE_NAMES, measure_side_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

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


def read_rows(records: Sequence[HashedRecord]) -> RowReading:
    """Read the rows of a version, or a sample of them where they are many.

    Rows are taken in the order of their hashes, so neither the file's order nor which of them are new decides whether a
    row is read. Rows longer than MAX_ROW_CHARACTERS are left out.
    """
    first = np.flatnonzero(first_copies([row_hash for _, row_hash in records]))
    order = sorted(first.tolist(), key=lambda i: records[i].hash)
    size = np.array([len(canonical_text(records[i].record)) for i in order], dtype=np.int64)
    fits = size <= MAX_ROW_CHARACTERS
    within = (np.cumsum(np.where(fits, size, 0)) <= MAX_CHARACTERS) & (np.cumsum(fits) <= MAX_ROWS)
    rows = np.array(order, dtype=np.int64)[fits & within]
    taken = tuple(records[i].record for i in rows)
    sides = embed_sides(taken)
    columns = measure_side_features([RowSides(*side) for side in zip(sides.prompts, sides.responses, strict=True)])
    features = {name: columns[:, i] for i, name in enumerate(FEATURE_NAMES)}
    for side, texts in (("prompt", sides.prompts), ("answer", sides.responses)):
        features |= {f"{side} {name}": counts for name, counts in count_traces(texts).items()}
    return RowReading(rows, taken, sides, features)
