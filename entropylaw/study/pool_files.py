"""The data files of a study's own repository: of named files, of the datasets here, or of the demo's conversations."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.errors import EntropylawError
from corpus.files import is_hub_name
from corpus.records import HashedRecord
from entropylaw.printing import note
from entropylaw.repository.datasets import KINDS, known_datasets
from entropylaw.repository.layout import HELDOUT, PREFERENCES, SFT

if TYPE_CHECKING:
    from corpus.formats import Reading

# Pairs of the demo's corpus by the ratings of their conversations, as many as the demo's own repository has.
DEMO_PAIRS = 1000


@dataclass(frozen=True)
class PoolFiles:
    """The datasets that were written, as data/NAME.jsonl, and the file with held-out rows beside them, if any."""

    datasets: list[str]
    held_out: str | None


def write_pool_files(wanted: str, data: Sequence[str], sample: int | None, folder: Path) -> PoolFiles:
    """Write the rows that a study selects from below ``folder``.

    ``wanted``: the dataset that it needs. ``data``: NAME=PATH options; without any, the datasets of this repository
    where it has the one wanted, else the conversations of the demo. Raises EntropylawError where the wanted dataset is
    not among them.
    """
    places, held_out = find_here(wanted) if not data else ({}, None)
    places |= {name: (Path(path), None) for name, path in map(_parse_option, data)}
    if wanted not in places and data:
        raise EntropylawError(f"--data: the study selects from {wanted}; give --data {wanted}=PATH")
    if wanted not in places:
        return write_demo_files(folder, sample)
    for name, (path, reading) in places.items():
        rows = read_usable(path, name, reading)
        write_sample(rows, sample, folder / "data" / f"{name}.jsonl")
    if held_out is None:
        return PoolFiles(list(places), None)
    write_sample(read_usable(held_out, SFT, None), None, folder / "export" / "heldout.jsonl")
    return PoolFiles(list(places), "export/heldout.jsonl")


def find_here(wanted: str) -> tuple[dict[str, tuple[Path, Reading | None]], Path | None]:
    """The datasets of this repository that lie here, each with how its rows are read, and its held-out rows.

    Nothing where the dataset wanted does not.
    """
    from entropylaw.repository.datasets import reading_for

    known = {name: params.file for name, params in known_datasets().items()}
    there = {name: path for name, path in known.items() if is_hub_name(path) or path.exists()}
    if wanted not in there:
        return {}, None
    return {
        name: (path, reading_for(path, name)) for name, path in there.items()
    }, HELDOUT if HELDOUT.exists() else None


def read_usable(path: Path, name: str, reading: Reading | None) -> Sequence[HashedRecord]:
    """The usable rows of a file, kept in a temporary one, not in memory."""
    from corpus.formats import Reading
    from corpus.prepare import PrepareParams
    from corpus.stored_rows import store_rows
    from entropylaw.repository.rows import keep_usable

    return store_rows(keep_usable(path, PrepareParams(), reading or Reading(), KINDS[name]), path)


def choose_rows(rows: Sequence[HashedRecord], sample: int | None) -> Sequence[int]:
    """Indices of rows in their order; of more than ``sample`` those with the lowest hash of their content.

    The hash is salted: others choose by the content's own, such as the probe and what `init` holds out.
    """
    from corpus.row_facts import hashes_of

    if sample is None or sample >= len(rows):
        return range(len(rows))
    salted = [hashlib.blake2b(f"sample:{digest}".encode(), digest_size=16).digest() for digest in hashes_of(rows)]
    return sorted(sorted(range(len(rows)), key=salted.__getitem__)[:sample])


def write_sample(rows: Sequence[HashedRecord], sample: int | None, path: Path) -> None:
    """Write rows that ``choose_rows`` chooses, in prepared form."""
    from corpus.prepared_rows import write_row

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(write_row(*rows[i]) for i in choose_rows(rows, sample))


def write_demo_files(folder: Path, sample: int | None) -> PoolFiles:
    """The demo's conversations as its first honest version has them, pairs of them by rating, and held-out ones."""
    from corpus.files import write_rows
    from entropylaw.demo.chitchat import load_chat_logs
    from entropylaw.demo.sizes import FULL
    from entropylaw.demo.versions import build_versions

    note("entropylaw: no data is named or here: the study is of the demo's conversations")
    built = build_versions(load_chat_logs(), FULL.rows, FULL.heldout_rows, DEMO_PAIRS, 0)
    rows: Mapping[str, list[dict[str, object]]] = {SFT: built.versions["x4"], PREFERENCES: built.preferences}
    for name, part in rows.items():
        write_rows(folder / "data" / f"{name}.jsonl", part[:sample])
    write_rows(folder / "export" / "heldout.jsonl", built.heldout)
    return PoolFiles(list(rows), "export/heldout.jsonl")


def _parse_option(option: str) -> tuple[str, str]:
    name, separator, path = option.partition("=")
    if not separator or name not in KINDS or not path:
        raise EntropylawError(f"--data {option}: expected {SFT}=PATH or {PREFERENCES}=PATH")
    return name, path
