"""A row table: what the history keeps of single rows, for a sample of them, as numbers. It tells what edits did."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.records import HashedRecord
from corpus.row_facts import hashes_of
from corpus.row_hashes import RowHashes
from corpus.row_sides import split_sides
from corpus.side_facts import NO_KEY, side_keys_of
from monitor.measures.row_sources import MAX_SOURCES, NAME_CHARACTERS
from monitor.measures.side_features import FEATURE_NAMES, measure_side_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

# They take 130 to 160 KB of a history file, which is to stay below 300 KB.
MAX_TABLE_ROWS = 1_800
# A prompt or an answer that more rows share than this tells no row from another, and brings none into the table.
MAX_SHARED_KEY = 100
# The limit of a table that has every row.
ALL_KEYS = 2**64
# The number of a source that has no name in the table; MAX_SOURCES of them have one, and a byte holds their numbers.
OTHER_SOURCE = 255
# The number of the written form, raised when it changes, so that an old table is never read as a new one.
FORMAT = 1


@dataclass(frozen=True)
class PackedTable:
    """A row table as a file holds it. ``kept``: its entries, whose columns are in ``packed``, compressed and as base64.

    ``rows``, ``limit``, ``crowded``, ``sources`` and ``features``: as in `RowTable`.
    """

    format: int
    rows: int
    kept: int
    limit: int
    crowded: tuple[int, ...]
    sources: tuple[str, ...]
    features: tuple[str, ...]
    packed: str


@dataclass(frozen=True, eq=False)
class RowTable:
    """What the next version needs to know of single rows of this one. There is no text in it.

    A row is in the table if the key of its prompt or of its answer (``row_sides.side_key``) lies below ``limit`` and
    is none of the ``crowded`` ones. This depends on the row's own text alone. So a row whose answer was edited is found
    by its prompt, and one whose prompt was edited by its answer, however small the sample is.

    - ``rows``: of the version, copies aside. ``limit``: 2**64 where the table has all of them.
    - ``crowded``: keys below the limit that too many rows share.
    - ``sources``: names, see ``source``. ``features``: names of the columns of ``values``.

    One entry for each row of the table, in file order:

    - ``content``: the first 64 bits of its content hash. ``prompt``, ``answer``: keys, NO_KEY of an empty side.
    - ``position``: its index in the version, from 0. ``source``: an index into ``sources``, 255 for others.
    - ``loss``: in nats per token, float32, nan where it was not probed. ``values``: float16, shape (entries, features),
      nan where a row has none.
    """

    rows: int
    limit: int
    crowded: tuple[int, ...]
    sources: tuple[str, ...]
    features: tuple[str, ...]
    content: NDArray[np.uint64]
    prompt: NDArray[np.uint64]
    answer: NDArray[np.uint64]
    position: NDArray[np.uint32]
    source: NDArray[np.uint8]
    loss: NDArray[np.float32]
    values: NDArray[np.float16]

    @classmethod
    def of(
        cls, records: Sequence[HashedRecord], losses: NDArray[np.float64], max_rows: int = MAX_TABLE_ROWS
    ) -> RowTable:
        """The table of a version's rows. ``losses``: shape (records,), in nats per token, nan where not probed.

        >>> from corpus.records import Conversation, Message, content_hash
        >>> tea = Conversation((Message("user", "Tea?"), Message("assistant", "Yes.")))
        >>> table = RowTable.of([HashedRecord(tea, content_hash(tea))], np.array([4.5]))
        >>> table.rows, table.content.size, table.loss.tolist()
        (1, 1, [4.5])
        """
        first = np.flatnonzero(hashes_of(records).flag_first())
        prompt, answer = side_keys_of(records, first)
        crowded = _find_crowded(prompt, answer)
        limit, taken = _take_sample(prompt, answer, crowded, max_rows)
        rows = [records[i] for i in first[taken].tolist()]
        names = tuple(dict.fromkeys(record.source[:NAME_CHARACTERS] for record, _ in rows))[:MAX_SOURCES]
        numbers = {name: number for number, name in enumerate(names)}
        return cls(
            rows=first.size,
            limit=limit,
            crowded=tuple(key for key in crowded.tolist() if key < limit),
            sources=names,
            features=FEATURE_NAMES,
            content=content_keys([row_hash for _, row_hash in rows]),
            prompt=prompt[taken],
            answer=answer[taken],
            position=first[taken].astype(np.uint32),
            source=np.array([numbers.get(r.source[:NAME_CHARACTERS], OTHER_SOURCE) for r, _ in rows], dtype=np.uint8),
            loss=losses[first[taken]].astype(np.float32),
            values=measure_side_features([split_sides(record) for record, _ in rows]).astype(np.float16),
        )

    def covers(self, prompt: NDArray[np.uint64], answer: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """For rows with these keys: would the table have them if the version had them? Shape (rows,)."""
        return self.covers_key(prompt) | self.covers_key(answer)

    def covers_key(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """For each key, whether every row of the version that has it, as a prompt or an answer, is in the table."""
        return _is_sampled(keys, np.array(self.crowded, dtype=np.uint64), self.limit)

    def thinned(self, max_rows: int) -> RowTable:
        """A table of the same version with at most ``max_rows`` rows."""
        if self.content.size <= max_rows:
            return self
        crowded = np.array(self.crowded, dtype=np.uint64)
        limit, taken = _take_sample(self.prompt, self.answer, crowded, max_rows)
        columns = {name: getattr(self, name)[taken] for name, _ in _COLUMNS}
        return RowTable(
            **columns,
            rows=self.rows,
            limit=limit,
            crowded=tuple(key for key in self.crowded if key < limit),
            sources=self.sources,
            features=self.features,
            values=self.values[taken],
        )

    def pack(self) -> PackedTable:
        """The table as it is written. The same table gives the same bytes."""
        parts = [getattr(self, name).astype(dtype) for name, dtype in _COLUMNS]
        parts += [self.values[:, i].astype("<f2") for i in range(len(self.features))]
        # First bytes of all numbers beside each other, then second bytes, and so on: a tenth smaller by zlib.
        packed = b"".join(part.view(np.uint8).reshape(part.size, part.itemsize).T.tobytes() for part in parts)
        return PackedTable(
            FORMAT,
            self.rows,
            int(self.content.size),
            self.limit,
            self.crowded,
            self.sources,
            self.features,
            base64.b64encode(zlib.compress(packed, 9)).decode(),
        )

    @classmethod
    def unpack(cls, packed: PackedTable) -> RowTable:
        """Read a table back. Raises ValueError on a damaged one."""
        if packed.format != FORMAT:
            raise ValueError(f"row table: written in format {packed.format}, this entropylaw reads {FORMAT}")
        if not 0 <= packed.limit <= ALL_KEYS or not all(0 <= key < ALL_KEYS for key in packed.crowded):
            raise ValueError("row table: a key of more than 64 bits")
        table = cls(
            **_unpack(packed.packed, packed.kept, len(packed.features)),
            rows=packed.rows,
            limit=packed.limit,
            crowded=packed.crowded,
            sources=packed.sources,
            features=packed.features,
        )
        whole = table.limit == ALL_KEYS and packed.kept == table.rows
        if not whole and not (packed.kept <= table.rows and table.covers(table.prompt, table.answer).all()):
            raise ValueError("row table: it holds rows that do not belong to its sample")
        if np.any((table.source >= len(table.sources)) & (table.source != OTHER_SOURCE)):
            raise ValueError("row table: a row has a source without a name")
        return table

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RowTable) and self.pack() == other.pack()

    __hash__ = None  # type: ignore[assignment]  # arrays can change, so a table is no key of a dictionary


# The columns of one number for each row, as they are written.
_COLUMNS = (
    ("content", "<u8"),
    ("prompt", "<u8"),
    ("answer", "<u8"),
    ("position", "<u4"),
    ("source", "|u1"),
    ("loss", "<f4"),
)


def content_keys(row_hashes: Sequence[str]) -> NDArray[np.uint64]:
    """The first 64 bits of each content hash, shape (rows,)."""
    return RowHashes.of(row_hashes).digests[:, 0]


def _find_crowded(prompt: NDArray[np.uint64], answer: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The keys that more than MAX_SHARED_KEY rows share, on one side, sorted."""
    found: set[int] = set()
    for keys in (prompt, answer):
        values, counts = np.unique(keys, return_counts=True)
        found.update(values[counts > MAX_SHARED_KEY].tolist())
    return np.array(sorted(found - {NO_KEY}), dtype=np.uint64)


def _is_sampled(keys: NDArray[np.uint64], crowded: NDArray[np.uint64], limit: int) -> NDArray[np.bool_]:
    below = np.ones(keys.size, dtype=bool) if limit == ALL_KEYS else keys < np.uint64(limit)
    sampled: NDArray[np.bool_] = below & (keys != np.uint64(NO_KEY)) & ~np.isin(keys, crowded)
    return sampled


def _take_sample(
    prompt: NDArray[np.uint64], answer: NDArray[np.uint64], crowded: NDArray[np.uint64], max_rows: int
) -> tuple[int, NDArray[np.bool_]]:
    """The limit below which a key brings its row into the table, and which rows these are, shape (rows,)."""
    if prompt.size <= max_rows:
        return ALL_KEYS, np.ones(prompt.size, dtype=bool)
    usable = [np.where(_is_sampled(keys, crowded, ALL_KEYS), keys, np.uint64(NO_KEY)) for keys in (prompt, answer)]
    lowest = np.minimum(*usable)
    limit = int(np.partition(lowest, max_rows)[max_rows])
    return limit, lowest < np.uint64(limit)


def _unpack(packed: str, kept: int, features: int) -> dict[str, NDArray[Any]]:
    if not 0 <= kept < 2**32:
        raise ValueError(f"row table: {kept} rows promised")
    dtypes = [np.dtype(dtype) for _, dtype in _COLUMNS] + [np.dtype("<f2")] * features
    size = kept * sum(dtype.itemsize for dtype in dtypes)
    try:
        unpacker = zlib.decompressobj()
        # One byte more than promised is enough to see that the promise is false.
        data = unpacker.decompress(base64.b64decode(packed, validate=True), size + 1)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"row table: not readable ({error})") from None
    if len(data) != size or not unpacker.eof:
        raise ValueError(f"row table: {kept} rows promised, others found")
    parts = []
    start = 0
    for dtype in dtypes:
        planes = np.frombuffer(data, np.uint8, kept * dtype.itemsize, start).reshape(dtype.itemsize, kept)
        parts.append(np.ascontiguousarray(planes.T).view(dtype).reshape(kept).astype(dtype.newbyteorder("=")))
        start += planes.size
    columns: dict[str, NDArray[Any]] = dict(zip([name for name, _ in _COLUMNS], parts, strict=False))
    values = parts[len(_COLUMNS) :]
    columns["values"] = np.column_stack(values) if values else np.empty((kept, 0), dtype=np.float16)
    return columns
