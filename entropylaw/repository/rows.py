"""The rows of a data file as every command reads them: usable ones, each with its content hash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.params import read_section
from corpus.records import HashedRecord

if TYPE_CHECKING:
    from corpus.prepare import Decision


def load_rows(path: Path, held_out: Path | None = None) -> list[HashedRecord]:
    """The usable records of a data file in any format, prepared or not, with their content hashes."""
    return [
        HashedRecord(decision.record, decision.hash)
        for decision in decide_rows(path, held_out)
        if decision.reason is None
    ]


def decide_rows(path: Path, held_out: Path | None = None) -> Iterator[Decision]:
    """All records of a data file in any format, prepared or not; each with the reason why it is left out, if any."""
    from corpus.formats import read_records
    from corpus.prepare import PrepareParams, prepare_records

    params = read_section(PrepareParams, "prepare")
    hashes = held_out_hashes(held_out)
    return prepare_records(read_records(path, params.format, max_row_bytes=params.max_row_bytes), params, hashes)


def held_out_hashes(path: Path | None) -> frozenset[str]:
    """Content hashes of the rows that training must not see; none without a file."""
    from corpus.formats import read_records
    from corpus.records import content_hash

    return frozenset(content_hash(record) for record in read_records(path)) if path else frozenset()
