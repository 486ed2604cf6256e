"""The data files that `init` makes of a repository's first data: the baseline, and rows held out of training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.errors import DataError, EntropylawError
from corpus.records import HashedRecord
from entropylaw.repository import layout

if TYPE_CHECKING:
    from corpus.formats import Kind
    from corpus.stored_rows import StoredRows

# Without a held-out file of the user's, this share of the rows is kept out of training.
HELDOUT_SHARE = 0.05
# Of more rows, those with the lowest hashes. Base model and calibration use some four thousand rows of the baseline, so
# that a larger one would only take time and space; and as many held-out rows tell Z to a hundredth.
MAX_BASELINE_ROWS, MAX_HELDOUT_ROWS = 20_000, 5_000
# So that long rows make no larger files.
MAX_CHARACTERS = 64_000_000


def make_data(
    datasets: Mapping[str, Path],
    heldout: Path | None,
    columns: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[Path, bytes]:
    """The baseline and the held-out rows in canonical form, by where they go. Every dataset is read, so that a file
    that cannot be read, or holds preferences where conversations are expected, is an error here.
    ``columns``: by dataset, our names of its columns and theirs.
    """
    from corpus.row_facts import hashes_of
    from corpus.stored_rows import store_rows
    from entropylaw.repository.datasets import KINDS

    columns = columns or {}
    rows = {name: load_first_rows(path, KINDS[name], columns.get(name, {})) for name, path in datasets.items()}
    # The base model learns conversations; of preferences alone those are the chosen answers.
    source = layout.SFT if layout.SFT in rows else layout.PREFERENCES
    conversations = rows[source]
    if source != layout.SFT:
        conversations = store_rows(list_chosen(rows[source]), datasets[source])
    if heldout:
        held_out: Sequence[HashedRecord] = load_first_rows(heldout, KINDS[layout.SFT], columns.get(layout.SFT, {}))
    else:
        held_out = draw_lowest(conversations, is_held_out, MAX_HELDOUT_ROWS)
    hashes = set(hashes_of(held_out))
    baseline = draw_lowest(conversations, lambda row_hash: row_hash not in hashes, MAX_BASELINE_ROWS)
    if not held_out or not baseline:
        usable = "usable rows" if source == layout.SFT else "different chosen answers"
        raise EntropylawError(
            f"{datasets[source]}: {len(conversations)} {usable} are too few to hold some out of training; "
            "add rows or name a held-out file with --held-out"
        )
    return {layout.BASELINE: _write_rows(baseline), layout.HELDOUT: _write_rows(held_out)}


def list_chosen(rows: Iterable[HashedRecord]) -> Iterator[HashedRecord]:
    """The chosen answers of preferences, each once, as the conversations that a base model is trained on."""
    from corpus.records import Preference, chosen_conversation, content_hash

    known: set[bytes] = set()
    for record, _ in rows:
        if isinstance(record, Preference) and record.chosen:
            conversation = chosen_conversation(record)
            row_hash = content_hash(conversation)
            if (digest := bytes.fromhex(row_hash)) not in known:
                known.add(digest)
                yield HashedRecord(conversation, row_hash)


def load_first_rows(path: Path, kind: Kind, columns: Mapping[str, str]) -> StoredRows:
    """The usable rows of a file, as the stage `prepare` will read it. Raises DataError where that would stop."""
    from corpus.formats import Reading
    from corpus.prepare import PrepareParams
    from corpus.stored_rows import store_rows
    from entropylaw.repository.rows import keep_usable

    return store_rows(keep_usable(path, PrepareParams(), Reading(columns=columns), kind), path)


def draw_lowest(records: Sequence[HashedRecord], is_wanted: Callable[[str], bool], rows: int) -> list[HashedRecord]:
    """The wanted rows in file order; of more than ``rows``, or of very long ones, those with the lowest hashes."""
    import numpy as np

    from corpus.row_facts import characters_of, hashes_of

    hashes, characters = hashes_of(records), characters_of(records)
    order = [i for i in hashes.order().tolist() if is_wanted(hashes[i])][:rows]
    most = int(np.searchsorted(np.cumsum(characters[order]), MAX_CHARACTERS)) if order else 0
    return [records[i] for i in sorted(order[: max(1, most)])]


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
