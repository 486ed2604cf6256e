"""The data files that `init` makes of a repository's first data: the baseline, and rows held out of training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.errors import EntropylawError
from corpus.records import HashedRecord
from entropylaw.repository import layout

if TYPE_CHECKING:
    from corpus.formats import Kind

# Without a held-out file of the user's, this share of the rows is kept out of training.
HELDOUT_SHARE = 0.05


def write_data(
    folder: Path,
    datasets: dict[str, Path],
    heldout: Path | None,
    columns: Mapping[str, Mapping[str, str]] | None = None,
) -> list[Path]:
    """Write the baseline and the held-out rows in canonical form. Every dataset is read once first, so that a file
    that cannot be read, or holds preferences where conversations are expected, stops `init` before anything is written.
    ``columns``: by dataset, our names of its columns and theirs.
    """
    from corpus.files import is_hub_name, write_rows
    from corpus.prepared_rows import to_row
    from entropylaw.repository.datasets import KINDS

    columns = columns or {}
    rows = {
        name: load_first_rows(path if is_hub_name(path) else folder / path, KINDS[name], columns.get(name, {}))
        for name, path in datasets.items()
    }
    conversations = KINDS[layout.SFT]
    held_out = (
        load_first_rows(heldout, conversations, columns.get(layout.SFT, {}))
        if heldout
        else [item for item in rows[layout.SFT] if is_held_out(item[1])]
    )
    hashes = {row_hash for _, row_hash in held_out}
    baseline = [item for item in rows[layout.SFT] if item[1] not in hashes]
    if not held_out or not baseline:
        raise EntropylawError(
            f"{datasets[layout.SFT]}: {len(rows[layout.SFT])} usable rows are too few to hold some out of training; "
            "add rows or name a held-out file with --held-out"
        )
    written = []
    for path, items in ((layout.BASELINE, baseline), (layout.HELDOUT, held_out)):
        if (folder / path).exists():
            continue
        write_rows(folder / path, (to_row(record, row_hash) for record, row_hash in items))
        written.append(folder / path)
    return written


def load_first_rows(path: Path, kind: Kind, columns: Mapping[str, str]) -> list[HashedRecord]:
    """The usable rows of a file, as the stage `prepare` will read it. Raises DataError where that would stop."""
    from corpus.formats import Reading
    from corpus.prepare import PrepareParams
    from entropylaw.repository.rows import keep_usable

    return list(keep_usable(path, PrepareParams(), Reading(columns=columns), kind))


def is_held_out(row_hash: str) -> bool:
    """Whether a row belongs to the held-out share, by content, and independently of what the base model trains on."""
    # The last digits: the first ones decide which rows the base model is trained on.
    return int(row_hash[-13:], 16) / 16**13 < HELDOUT_SHARE
