"""The history of accepted versions: one small JSON file each, enough to compare the next version row by row."""

from __future__ import annotations

import base64
import dataclasses
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from corpus.artifacts import read_json, write_json
from corpus.errors import EntropylawError
from monitor.measures.preferences import PairReference, PreferenceDirection
from monitor.measures.row_sketch import MAX_KEYS, RowSketch
from monitor.measures.row_table import MAX_TABLE_ROWS, RowTable
from monitor.verdict import Measurements, measurements_from_json

HISTORY_FOLDER = "history"
SCHEMA_VERSION = 1
# Of more probed rows the first are kept. They stand in for kept rows where a version has none, and fill 32 KB.
MAX_PROBE_ROWS = 1_200
# Accepted as they are, or risky and released under a waiver.
STATUSES = ("baseline", "pass", "warn", "risky")


@dataclass(frozen=True)
class DatasetReference:
    """What the next version needs to know of one dataset of this one.

    - ``probe_hashes``, ``probe_losses``: the probe's rows in the order they were trained on, with their losses in nats
      per response token (kept in single precision).
    - ``agreement_mean``, ``agreement_sd``, ``agreement_n``: mean, standard deviation and number of the prompt-response
      cosines. The first two are NaN where no row had one.
    - ``pairs``: None of conversations, and of versions measured before there were rules for pairs.
    - ``sources``: rows by source, see ``monitor.measures.row_sources``; None of versions accepted before sources were
      recorded.
    - ``table``: of single rows; None of versions accepted before there was one.
    """

    data_hash: str
    sketch: RowSketch
    probe_hashes: tuple[str, ...]
    probe_losses: tuple[float, ...]
    agreement_mean: float
    agreement_sd: float
    agreement_n: int
    pairs: PairReference | None = None
    sources: dict[str, int] | None = None
    table: RowTable | None = None


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """An accepted version.

    - ``number``: given by ``write_entry``; until then it is 0.
    - ``waived``: released under its ``waivers``. Such a version is never a parent.
    - ``scores``: Z by benchmark; higher is better.
    - ``commit``: the Git commit of a version that was measured afterwards, by ``backfill``; None of versions accepted
      in their time.
    - ``anchor``: whether a person confirmed the version when accepting it. It is written only where it is true.
    - ``reader``: the edition of `corpus.formats` that read its rows. It is written only where it is not the first.
    """

    number: int = 0
    name: str
    data_hash: str
    config_fingerprint: str
    status: str
    waived: bool = False
    waivers: tuple[dict[str, str], ...] = ()
    rows: int
    measurements: dict[str, Measurements]
    datasets: dict[str, DatasetReference]
    scores: dict[str, float] = field(default_factory=dict)
    tool_version: str
    commit: str | None = None
    anchor: bool = False
    reader: int = 1
    schema_version: int = SCHEMA_VERSION

    @property
    def is_confirmed(self) -> bool:
        """Whether it can be an anchor: a start, or confirmed by a person, and not released under a waiver."""
        return (self.anchor or self.status == "baseline") and not self.waived


def read_history(folder: str | Path = HISTORY_FOLDER) -> tuple[HistoryEntry, ...]:
    """Every accepted version, sorted by number. Equal numbers, from merged branches, are sorted by name.

    A missing folder is an empty history. Raises EntropylawError naming the file when one is damaged.
    """
    return tuple(entry for _, entry in _read_files(folder))


def comparable(
    history: Iterable[HistoryEntry], config_fingerprint: str, exclude_data_hash: str
) -> tuple[HistoryEntry, ...]:
    """The versions that a new one may be compared with.

    They were measured with the same configuration, are of other data, and were not released under a waiver.
    """
    return tuple(
        entry
        for entry in history
        if entry.config_fingerprint == config_fingerprint and entry.data_hash != exclude_data_hash and not entry.waived
    )


def parent_of(history: Sequence[HistoryEntry], config_fingerprint: str, exclude_data_hash: str) -> HistoryEntry | None:
    """The latest comparable version, or None."""
    candidates = comparable(history, config_fingerprint, exclude_data_hash)
    return candidates[-1] if candidates else None


def anchor_of(history: Sequence[HistoryEntry], config_fingerprint: str, exclude_data_hash: str) -> HistoryEntry | None:
    """The latest comparable version that is a baseline or was confirmed by a person, or None.

    The parent moves with every accepted version and the anchor does not, so that small steps in one direction add up.
    """
    confirmed = [e for e in comparable(history, config_fingerprint, exclude_data_hash) if e.is_confirmed]
    return confirmed[-1] if confirmed else None


def accepted_since(
    anchor: HistoryEntry, history: Sequence[HistoryEntry], exclude_data_hash: str
) -> tuple[HistoryEntry, ...]:
    """The versions comparable with the anchor that were accepted after it, earliest first."""
    versions = comparable(history, anchor.config_fingerprint, exclude_data_hash)
    place = next(i for i, entry in enumerate(versions) if entry.data_hash == anchor.data_hash)
    return versions[place + 1 :]


def write_entry(folder: str | Path, entry: HistoryEntry) -> Path:
    """Add a version under the next free number, as ``0003-x3.json``.

    Raises EntropylawError when the version was not accepted, is there already, or has a name taken by other data.
    """
    is_let_through = entry.waived or entry.anchor
    if entry.status not in STATUSES or (entry.status == "risky" and not is_let_through):
        raise EntropylawError(f"{entry.name}: {entry.status} versions do not enter the history; only accepted ones do")
    history = _read_files(folder)
    for path, past in history:
        if (past.data_hash, past.config_fingerprint) == (entry.data_hash, entry.config_fingerprint):
            raise EntropylawError(f"{path}: this data version is in the history already")
        if past.name == entry.name and past.data_hash != entry.data_hash:
            raise EntropylawError(f"{path}: the name {entry.name!r} belongs to other data; choose another")
    numbered = replace(entry, number=max((past.number for _, past in history), default=0) + 1)
    path = _entry_path(folder, numbered)
    write_json(path, _entry_to_json(numbered))
    return path


def record_score(folder: str | Path, name: str, benchmark: str, value: float) -> Path:
    """Record Z of the latest version of that name on a benchmark. It replaces an earlier value.

    Raises EntropylawError when no version has the name or the value is not a finite number.
    """
    if not math.isfinite(value):
        raise EntropylawError(f"score of {name} on {benchmark}: expected a finite number, found {value}")
    history = _read_files(folder)
    named = [(path, entry) for path, entry in history if entry.name == name]
    if not named:
        known = ", ".join(dict.fromkeys(entry.name for _, entry in history)) or "none yet"
        raise EntropylawError(f"{folder}: no version is named {name!r}; known are: {known}")
    path, entry = named[-1]
    write_json(path, _entry_to_json(replace(entry, scores={**entry.scores, benchmark: value})))
    return path


def replace_entry(folder: str | Path, entry: HistoryEntry) -> Path:
    """Write an entry of the history again, in the file of the version with its number and data.

    Raises EntropylawError when there is none.
    """
    for path, past in _read_files(folder):
        if (past.number, past.data_hash) == (entry.number, entry.data_hash):
            write_json(path, _entry_to_json(entry))
            return path
    raise EntropylawError(f"{folder}: {entry.name} is not in the history")


def _read_files(folder: str | Path) -> list[tuple[Path, HistoryEntry]]:
    entries = [(path, _read_entry(path)) for path in Path(folder).glob("*.json")]
    return sorted(entries, key=lambda item: (item[1].number, item[1].name))


def _entry_path(folder: str | Path, entry: HistoryEntry) -> Path:
    """The file of an entry.

    >>> entry = HistoryEntry(number=3, name="Mai & Juni/2", data_hash="", config_fingerprint="", status="pass",
    ...     rows=0, measurements={}, datasets={}, tool_version="")
    >>> _entry_path("history", entry).as_posix()
    'history/0003-Mai-Juni-2.json'
    """
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", entry.name)[:60].strip("-.") or "version"
    return Path(folder) / f"{entry.number:04d}-{slug}.json"


def _read_entry(path: Path) -> HistoryEntry:
    document = read_json(path)
    try:
        if document["schema_version"] > SCHEMA_VERSION:
            raise EntropylawError(f"{path}: written by a newer entropylaw; update this one to read it")
        return _entry_from_json(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        cause = f"missing key {error}" if isinstance(error, KeyError) else error
        raise EntropylawError(f"{path}: not a readable history entry ({cause}); restore it from Git") from None


def _entry_to_json(entry: HistoryEntry) -> dict[str, Any]:
    datasets = entry.datasets
    keys = _share({name: reference.sketch.kept for name, reference in datasets.items()}, MAX_KEYS)
    rows = _share({name: part.table.content.size for name, part in datasets.items() if part.table}, MAX_TABLE_ROWS)
    probed = _share({name: len(reference.probe_hashes) for name, reference in datasets.items()}, MAX_PROBE_ROWS)
    document = {item.name: getattr(entry, item.name) for item in dataclasses.fields(entry)}
    if entry.commit is None:
        del document["commit"]
    if not entry.anchor:
        del document["anchor"]
    if entry.reader == 1:
        del document["reader"]
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
            **({"table": reference.table.thinned(rows[name]).to_json()} if reference.table else {}),
        }
        for name, reference in datasets.items()
    }
    return document


def _entry_from_json(document: dict[str, Any]) -> HistoryEntry:
    entry = HistoryEntry(
        **{
            **document,
            "waivers": tuple(document["waivers"]),
            "measurements": {name: measurements_from_json(part) for name, part in document["measurements"].items()},
            "datasets": {name: _reference_from_json(part) for name, part in document["datasets"].items()},
        }
    )
    if entry.status not in STATUSES:
        raise ValueError(f"status is {entry.status!r}")
    return entry


def _reference_from_json(part: dict[str, Any]) -> DatasetReference:
    hashes = base64.b64decode(part["probe_hashes"], validate=True)
    losses = np.frombuffer(base64.b64decode(part["probe_losses"], validate=True), dtype="<f4")
    if len(hashes) != 16 * losses.size:
        raise ValueError("as many probe losses as probe hashes are needed")
    means = {key: float("nan") if part[key] is None else part[key] for key in ("agreement_mean", "agreement_sd")}
    return DatasetReference(
        **{
            **part,
            **means,
            "sketch": RowSketch.from_json(part["sketch"]),
            "probe_hashes": tuple(hashes[i : i + 16].hex() for i in range(0, len(hashes), 16)),
            "probe_losses": tuple(losses.tolist()),
            "pairs": _pairs_from_json(part["pairs"]) if "pairs" in part else None,
            "table": RowTable.from_json(part["table"]) if "table" in part else None,
        }
    )


def _pairs_from_json(part: dict[str, Any]) -> PairReference:
    direction = part["direction"]
    if direction is not None:
        direction = PreferenceDirection(**{**direction, "weights": tuple(direction["weights"])})
    return PairReference(**{**part, "direction": direction})


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
