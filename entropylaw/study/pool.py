"""The pool of a study: the prepared rows with their tokens as training counts them, and the rows that score a model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from corpus.errors import EntropylawError
from corpus.params import read_section
from corpus.prepare import PrepareParams
from corpus.progress import StageProgress
from corpus.records import Preference, Record, canonical_text, hash_fraction
from corpus.row_sides import question_key
from entropylaw.repository.layout import BASE_MODEL, HELDOUT, PREFERENCES, SFT, prepared
from entropylaw.repository.rows import load_rows, stream_rows
from entropylaw.select.pool import Pool, read_pool
from entropylaw.select.token_counts import load_token_counter
from entropylaw.study.params import StudyParams

# So many pairs are tokenised at once.
_COUNTED_AT_ONCE = 1000


@dataclass(frozen=True)
class StudyPool:
    """``pool``: with tokens counted as far as training reads them, at most ``row_tokens`` of a row. ``lengths``: whole
    rows in tokens. ``held_out``: what models are scored on.
    """

    pool: Pool
    lengths: list[int]
    row_tokens: int
    held_out: list[Record]

    @property
    def tokens(self) -> int:
        return sum(self.pool.token_counts or ())


def open_pool(params: StudyParams, max_length: int, folder: Path, progress: StageProgress) -> StudyPool:
    """Read the pool of a study. ``max_length``: tokens after which training cuts a row, or an answer of a pair.
    ``folder``: for temporary files. Counted whole, long rows would cost a method tokens that its model never sees.
    """
    prepare = read_section(PrepareParams, "prepare")
    if params.dataset == SFT:
        pool = read_pool(prepared(SFT), prepare, BASE_MODEL, progress)
        lengths = pool.token_counts or []
        pool = replace(pool, token_counts=[min(length, max_length) for length in lengths])
        held_out = [record for record, _ in load_rows(HELDOUT)] if params.evaluation == "heldout" else []
        return StudyPool(pool, lengths, max_length, held_out)
    held_out = split_preferences(prepared(PREFERENCES), params.heldout_share, folder / "pool.jsonl")
    pool = read_pool(folder / "pool.jsonl", prepare, progress=progress)
    answers = list(_count_answers(pool.stream_records()))
    pool = replace(pool, token_counts=[sum(min(length, max_length) for length in row) for row in answers])
    return StudyPool(pool, list(map(sum, answers)), 2 * max_length, held_out)


def split_preferences(path: Path, share: float, pool: Path) -> list[Record]:
    """Write the rows of a file to ``pool`` but for a ``share`` of the prompts, whose pairs are returned.

    All rows with one prompt are on one side, so that no answer to a held-out prompt is trained on. Raises
    EntropylawError where a side has none.
    """
    from corpus.prepared_rows import write_row

    held_out: list[Record] = []
    kept = 0
    with pool.open("w", encoding="utf-8") as file:
        for record, row_hash in stream_rows(path):
            if is_held_out(record, share):
                if isinstance(record, Preference) and record.chosen and record.rejected:
                    held_out.append(record)
            else:
                kept += 1
                file.write(write_row(record, row_hash))
    if not held_out or not kept:
        missing = "no pair is held out" if kept else "no row is left to select from"
        raise EntropylawError(f"{path}: {missing} with heldout_share {share}; add pairs, or change the share")
    return held_out


def is_held_out(record: Record, share: float) -> bool:
    """Whether a study keeps a row out of its pool, by its prompt alone: the same for every method, seed and order."""
    return hash_fraction(hashlib.blake2b(f"study:{question_key(record)}".encode(), digest_size=8).hexdigest()) < share


def _count_answers(records: Iterator[Record]) -> Iterator[tuple[int, ...]]:
    """Tokens of each row's answers, each with its prompt before it, as KTO is trained on them: a pair is two rows."""
    count = load_token_counter(BASE_MODEL)
    while batch := list(islice(records, _COUNTED_AT_ONCE)):
        texts = [_answer_texts(record) for record in batch]
        counts = iter(count([text for row in texts for text in row]))
        yield from (tuple(next(counts) for _ in row) for row in texts)


def _answer_texts(record: Record) -> list[str]:
    if not isinstance(record, Preference):
        return [canonical_text(record)]
    sides = (replace(record, rejected=()), replace(record, chosen=()))
    return [canonical_text(side) for side in sides if side.chosen or side.rejected]
