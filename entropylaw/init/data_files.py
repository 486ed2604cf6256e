"""The data files that `init` makes of a repository's first data: the baseline, and rows held out of training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.errors import DataError, EntropylawError
from corpus.records import HashedRecord
from entropylaw.repository import layout

if TYPE_CHECKING:
    from corpus.formats import Kind

# Without a held-out file of the user's, this share of the rows is kept out of training.
HELDOUT_SHARE = 0.05


def make_data(
    datasets: Mapping[str, Path],
    heldout: Path | None,
    columns: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[Path, bytes]:
    """The baseline and the held-out rows in canonical form, by where they go. Every dataset is read, so that a file
    that cannot be read, or holds preferences where conversations are expected, is an error here.
    ``columns``: by dataset, our names of its columns and theirs.
    """
    from entropylaw.repository.datasets import KINDS

    columns = columns or {}
    rows = {name: load_first_rows(path, KINDS[name], columns.get(name, {})) for name, path in datasets.items()}
    # The base model learns conversations; of preferences alone those are the chosen answers.
    source = layout.SFT if layout.SFT in rows else layout.PREFERENCES
    conversations = rows[source] if source == layout.SFT else list_chosen(rows[source])
    held_out = (
        load_first_rows(heldout, KINDS[layout.SFT], columns.get(layout.SFT, {}))
        if heldout
        else [item for item in conversations if is_held_out(item[1])]
    )
    hashes = {row_hash for _, row_hash in held_out}
    baseline = [item for item in conversations if item[1] not in hashes]
    if not held_out or not baseline:
        usable = "usable rows" if source == layout.SFT else "different chosen answers"
        raise EntropylawError(
            f"{datasets[source]}: {len(conversations)} {usable} are too few to hold some out of training; "
            "add rows or name a held-out file with --held-out"
        )
    return {layout.BASELINE: _write_rows(baseline), layout.HELDOUT: _write_rows(held_out)}


def list_chosen(rows: Iterable[HashedRecord]) -> list[HashedRecord]:
    """The chosen answers of preferences, each once, as the conversations that a base model is trained on."""
    from corpus.records import Preference, chosen_conversation, content_hash

    conversations: dict[str, HashedRecord] = {}
    for record, _ in rows:
        if isinstance(record, Preference) and record.chosen:
            conversation = chosen_conversation(record)
            row_hash = content_hash(conversation)
            conversations.setdefault(row_hash, HashedRecord(conversation, row_hash))
    return list(conversations.values())


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


def require_prepared(path: Path) -> None:
    """Raise EntropylawError unless a file is in the canonical form; its first row speaks for all."""
    from corpus.prepared_rows import read_prepared

    try:
        next(read_prepared(path))
    except DataError as error:
        raise EntropylawError(
            f"{path}: is not in the form that `init` writes ({error.cause}); move it away, and init writes it anew"
        ) from None


def _write_rows(rows: Iterable[HashedRecord]) -> bytes:
    from corpus.prepared_rows import write_row

    return "".join(write_row(record, row_hash) for record, row_hash in rows).encode()
