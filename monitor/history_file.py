"""The file of one accepted version: what stands in it, and how it is written and read."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypedDict, get_args

import numpy as np

from corpus.artifacts import read_result, write_json
from corpus.errors import DamagedResultError
from monitor.history_entry import DatasetReference, HistoryEntry
from monitor.measures.row_sketch import MAX_KEYS
from monitor.measures.row_table import MAX_TABLE_ROWS, PackedTable, RowTable
from monitor.measures.second_losses import SecondLosses

# Of more probed rows the first are kept. They stand in for kept rows where a version has none, and fill 32 KB.
MAX_PROBE_ROWS = 1_200
# Accepted as they are, or risky and released under a waiver.
AcceptedStatus = Literal["baseline", "pass", "warn", "risky"]
STATUSES: tuple[str, ...] = get_args(AcceptedStatus)
# Written only where they say something, so that files of earlier releases and new ones differ in little.
_LEFT_OUT = {"commit": None, "anchor": False, "reader": 1, "parents": None, "start": None}
# Bytes of a content hash.
_HASH_BYTES = 16


class StoredWaiver(TypedDict):
    rule: str
    reason: str
    owner: str
    expires: str


class StoredStart(TypedDict):
    owner: str
    reason: str


@dataclass(frozen=True)
class StoredSecondLosses(SecondLosses):
    """The losses of the second model as a file holds them: contents and losses as bytes, lowest byte first."""

    contents: bytes = field()  # type: ignore[assignment]
    losses: bytes = field()  # type: ignore[assignment]


@dataclass(frozen=True)
class StoredReference(DatasetReference):
    """A dataset as a file holds it: hashes, and losses in single precision, as bytes; a mean that is NaN as null."""

    probe_hashes: bytes = field()  # type: ignore[assignment]
    probe_losses: bytes = field()  # type: ignore[assignment]
    agreement_mean: float | None = field()  # type: ignore[assignment]
    agreement_sd: float | None = field()  # type: ignore[assignment]
    table: PackedTable | None = None  # type: ignore[assignment]
    second: StoredSecondLosses | None = None


@dataclass(frozen=True, kw_only=True)
class StoredEntry(HistoryEntry):
    """An accepted version as a file holds it. What every release wrote must be there, whatever its default."""

    number: int = field()
    status: AcceptedStatus
    waived: bool = field()
    waivers: tuple[StoredWaiver, ...] = field()  # type: ignore[assignment]
    datasets: dict[str, StoredReference]
    scores: dict[str, float] = field()
    start: StoredStart | None = None  # type: ignore[assignment]


def read_file(path: Path) -> HistoryEntry:
    """Raises DamagedResultError, which names the place in the file, when it is no entry."""
    stored = read_result(path, StoredEntry)
    fields = {item.name: getattr(stored, item.name) for item in dataclasses.fields(HistoryEntry)}
    return HistoryEntry(**{**fields, "datasets": UnpackedReferences(path, stored.datasets)})


class UnpackedReferences(Mapping[str, DatasetReference]):
    """The datasets of an entry, by name. What is packed in one is unpacked, and checked, when it is first asked for:
    of a thousand accepted versions, a new one is compared with two or three.

    Raises DamagedResultError, which names the dataset, when it cannot be unpacked.
    """

    def __init__(self, path: Path, stored: Mapping[str, StoredReference]) -> None:
        self._path, self.stored = path, stored
        self._unpacked: dict[str, DatasetReference] = {}

    def __getitem__(self, name: str) -> DatasetReference:
        if name not in self._unpacked:
            stored = self.stored[name]
            try:
                self._unpacked[name] = _read_reference(stored)
            except ValueError as error:
                raise DamagedResultError(f"{self._path}: datasets.{name}: {error}; restore it from Git") from None
        return self._unpacked[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)

    def __contains__(self, name: object) -> bool:
        return name in self.stored


def _read_reference(stored: StoredReference) -> DatasetReference:
    stored.sketch.check()
    hashes, losses = stored.probe_hashes, np.frombuffer(stored.probe_losses, dtype="<f4")
    if len(hashes) != _HASH_BYTES * losses.size:
        raise ValueError("as many probe losses as probe hashes are needed")
    fields = {item.name: getattr(stored, item.name) for item in dataclasses.fields(DatasetReference)}
    means = {key: float("nan") if fields[key] is None else fields[key] for key in ("agreement_mean", "agreement_sd")}
    return DatasetReference(
        **{
            **fields,
            **means,
            "probe_hashes": tuple(hashes[i : i + _HASH_BYTES].hex() for i in range(0, len(hashes), _HASH_BYTES)),
            "probe_losses": tuple(losses.tolist()),
            "table": None if stored.table is None else RowTable.unpack(stored.table),
            "second": None if stored.second is None else _read_second(stored.second),
        }
    )


def _read_second(stored: StoredSecondLosses) -> SecondLosses:
    contents, losses = np.frombuffer(stored.contents, dtype="<u8"), np.frombuffer(stored.losses, dtype="<f4")
    if contents.size != losses.size:
        raise ValueError("as many losses of the second model as contents are needed")
    return SecondLosses(stored.identity, contents.astype(np.uint64), losses.astype(np.float32))


def write_file(path: Path, entry: HistoryEntry) -> None:
    """Write an entry into its file, of at most 300 KB: of large datasets, a part of what is kept of single rows."""
    datasets = entry.datasets
    keys = _share({name: reference.sketch.kept for name, reference in datasets.items()}, MAX_KEYS)
    rows = _share({name: part.table.content.size for name, part in datasets.items() if part.table}, MAX_TABLE_ROWS)
    probed = _share({name: len(reference.probe_hashes) for name, reference in datasets.items()}, MAX_PROBE_ROWS)
    document = {item.name: getattr(entry, item.name) for item in dataclasses.fields(entry)}
    document = {key: value for key, value in document.items() if key not in _LEFT_OUT or value != _LEFT_OUT[key]}
    document["datasets"] = {
        name: {
            "data_hash": reference.data_hash,
            # An old sketch was made small enough when it was written.
            "sketch": reference.sketch.thinned(keys[name]) if reference.sketch.is_exact else reference.sketch,
            "probe_hashes": _to_base64(bytes.fromhex("".join(reference.probe_hashes[: probed[name]]))),
            "probe_losses": _to_base64(np.array(reference.probe_losses[: probed[name]], dtype="<f4").tobytes()),
            "agreement_mean": reference.agreement_mean,
            "agreement_sd": reference.agreement_sd,
            "agreement_n": reference.agreement_n,
            **({"pairs": reference.pairs} if reference.pairs else {}),
            **({"sources": reference.sources} if reference.sources is not None else {}),
            **({"grades": reference.grades} if reference.grades else {}),
            **_write_table(reference, rows.get(name, 0)),
        }
        for name, reference in datasets.items()
    }
    write_json(path, document)


def _write_table(reference: DatasetReference, rows: int) -> dict[str, PackedTable | dict[str, str]]:
    """The table with at most so many rows, and what the second model said of these rows: no other can be looked up."""
    if reference.table is None:
        return {}
    table = reference.table.thinned(rows)
    if reference.second is None:
        return {"table": table.pack()}
    read = reference.second.among(table.content)
    packed = {"contents": read.contents.astype("<u8").tobytes(), "losses": read.losses.astype("<f4").tobytes()}
    second = {"identity": read.identity, **{name: _to_base64(part) for name, part in packed.items()}}
    return {"second": second, "table": table.pack()}


def _share(kept: dict[str, int], total: int) -> dict[str, int]:
    """Divide ``total`` keys or rows among the datasets. Small datasets stay whole; the others share what is left.

    >>> _share({"sft": 500, "preferences": 10}, 100)
    {'preferences': 10, 'sft': 90}
    """
    shares = {}
    for waiting, name in zip(range(len(kept), 0, -1), sorted(kept, key=lambda name: kept[name]), strict=True):
        shares[name] = min(kept[name], total // waiting)
        total -= shares[name]
    return shares


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
