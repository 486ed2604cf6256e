"""The data files that `init` makes of a repository's first data: the baseline, and rows held out of training."""

from __future__ import annotations

from pathlib import Path

from corpus.errors import EntropylawError
from corpus.records import HashedRecord
from entropylaw.repository import layout

# Without a held-out file of the user's, this share of the rows is kept out of training.
HELDOUT_SHARE = 0.05


def write_data(folder: Path, datasets: dict[str, Path], heldout: Path | None) -> list[Path]:
    """Write the baseline and the held-out rows in canonical form. Every dataset is read once first, so that a file
    that cannot be read stops `init` before anything is written.
    """
    from corpus.files import is_hub_name, write_rows
    from corpus.formats import read_records
    from corpus.prepare import PrepareParams, prepare_records, to_row

    def load(path: Path) -> list[HashedRecord]:
        decisions = prepare_records(read_records(path), PrepareParams())
        return [HashedRecord(decision.record, decision.hash) for decision in decisions if decision.reason is None]

    rows = {name: load(path if is_hub_name(path) else folder / path) for name, path in datasets.items()}
    held_out = load(heldout) if heldout else [item for item in rows[layout.SFT] if is_held_out(item[1])]
    hashes = {row_hash for _, row_hash in held_out}
    baseline = [item for item in rows[layout.SFT] if item[1] not in hashes]
    if not held_out or not baseline:
        raise EntropylawError(
            f"{datasets[layout.SFT]}: {len(rows[layout.SFT])} usable rows are too few to hold some out of training; "
            "add rows or name a held-out file with --heldout"
        )
    written = []
    for path, items in ((layout.BASELINE, baseline), (layout.HELDOUT, held_out)):
        if (folder / path).exists():
            continue
        write_rows(folder / path, (to_row(record, row_hash) for record, row_hash in items))
        written.append(folder / path)
    return written


def is_held_out(row_hash: str) -> bool:
    """Whether a row belongs to the held-out share, by content, and independently of what the base model trains on."""
    # The last digits: the first ones decide which rows the base model is trained on.
    return int(row_hash[-13:], 16) / 16**13 < HELDOUT_SHARE
