"""Tags and grades that stand in a data file already, so that no model and no judge is asked for them again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus.files import read_rows
from entropylaw.repository.datasets import reading_for
from entropylaw.repository.rows import number_usable
from entropylaw.select.pool import Pool, pass_over


def read_labels(pool: Pool, key: str, path: str | None = None) -> list[Any]:
    """What stands under ``key`` in each row of the pool; None where nothing does.

    ``path``: another data file to look in, such as the one that the pool was prepared from: prepared rows hold texts
    and little else. Its rows are known again by their content. Raises DataError when a file cannot be read.
    """
    source = Path(path) if path else pool.path
    labels = {
        number: row[key]
        for number, row in read_rows(source, pool.prepare.max_row_bytes, bad_rows=pass_over)
        if row.get(key) is not None
    }
    if source == pool.path or not labels:
        return [labels.get(number) for number in pool.numbers]
    by_hash: dict[str, Any] = {}
    for number, (_, row_hash) in number_usable(source, pool.prepare, reading_for(source)):
        if number in labels:
            by_hash.setdefault(row_hash, labels[number])
    return [by_hash.get(row_hash) for row_hash in pool.hashes]
