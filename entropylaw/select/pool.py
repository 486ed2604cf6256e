"""The pool that rows are selected from.

A pool of 300,000 conversations is more than a gigabyte of text. So a pool keeps what is small (row numbers, sources,
token counts), and the texts in a temporary file. It reads its own file again where records are needed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from corpus.dataset_params import reading_of
from corpus.errors import BadRow, EntropylawError
from corpus.files import read_rows, stamp_files
from corpus.formats import Reading, parse_rows
from corpus.prepare import PrepareParams
from corpus.progress import StageProgress, ignore_stages
from corpus.records import Record, canonical_text
from entropylaw.repository.rows import number_usable
from entropylaw.select.token_counts import load_token_counter
from entropylaw.terminal import STREAM_STEP
from selection.framing import reference_text
from selection.stored_texts import StoredTexts

T = TypeVar("T")


@dataclass(frozen=True)
class Pool:
    """A data file to select from; the sequences hold one item for each of its usable rows, in file order.

    ``numbers`` are the rows' own numbers in the file, as `corpus.files.read_rows` gives them. ``hashes``: of the rows'
    contents. ``texts``: the canonical ones. ``token_counts``: their tokens by the ``tokenizer`` in that folder, None
    where they were not counted. ``seconds``: what reading and counting took.
    """

    path: Path
    prepare: PrepareParams
    reading: Reading
    numbers: list[int]
    hashes: list[str]
    sources: list[str]
    texts: StoredTexts
    token_counts: list[int] | None
    tokenizer: Path | None
    seconds: dict[str, float]
    # A file that changes during a selection would have other rows at the same numbers.
    stamp: tuple[tuple[str, int, int, int], ...] | None

    def __len__(self) -> int:
        return len(self.numbers)

    @cached_property
    def records(self) -> list[Record]:
        """All of them, for models that score rows in an order of their own."""
        return list(self.stream_records())

    def stream_records(self, stage: str = "load", progress: StageProgress = ignore_stages) -> Iterator[Record]:
        """Read the file again. Raises EntropylawError when it is not the one that was read first."""
        self.require_unchanged()
        rows = read_rows(self.path, self.prepare.max_row_bytes, bad_rows=pass_over)
        parsed = parse_rows(rows, self.path, self.reading, bad_rows=pass_over)
        kept = self._keep((row.number, row.record) for row in parsed.rows)
        for done, record in enumerate(kept, start=1):
            yield record
            if done % STREAM_STEP == 0:
                progress(stage, done, len(self))

    def stream_reference_texts(self) -> Iterator[bytes]:
        """The rows as the authors' program compresses them: as they stand in the file."""
        self.require_unchanged()
        rows = read_rows(self.path, self.prepare.max_row_bytes, bad_rows=pass_over)
        yield from map(reference_text, self._keep(rows))

    def _keep(self, numbered: Iterable[tuple[int, T]]) -> Iterator[T]:
        """What belongs to the rows of the pool."""
        kept = iter(self.numbers)
        wanted = next(kept, None)
        for number, item in numbered:
            if number == wanted:
                yield item
                wanted = next(kept, None)

    def require_unchanged(self) -> None:
        if stamp_files(self.path) != self.stamp:
            raise EntropylawError(f"{self.path}: changed while rows were being selected from it; run the command again")


def pass_over(row: BadRow) -> None:
    """Rows that are no records were counted when the pool was read first."""


def read_pool(
    path: Path,
    prepare: PrepareParams,
    tokenizer: Path | None = None,
    progress: StageProgress = ignore_stages,
    reading: Reading | None = None,
    folder: Path | None = None,
) -> Pool:
    """Read a data file in any accepted format once, and count tokens where a ``tokenizer`` folder is given. The rows
    that the stage `prepare` leaves out are left out here too. ``reading``: by default as ``prepare`` says. ``folder``:
    where the temporary file of the texts lies.

    Raises DataError where that stage does, and EntropylawError when there is no such tokenizer.
    """
    reading = reading or reading_of(prepare)
    start = time.perf_counter()
    count_tokens = load_token_counter(tokenizer) if tokenizer else None
    stamp = stamp_files(path)
    numbers: list[int] = []
    hashes: list[str] = []
    sources: list[str] = []
    texts = StoredTexts(folder)
    token_counts: list[int] = []
    waiting: list[str] = []
    counting_seconds = 0.0

    def count_waiting() -> None:
        nonlocal counting_seconds
        if count_tokens:
            counting_start = time.perf_counter()
            token_counts.extend(count_tokens(waiting))
            waiting.clear()
            counting_seconds += time.perf_counter() - counting_start

    for number, (record, row_hash) in number_usable(path, prepare, reading):
        numbers.append(number)
        hashes.append(row_hash)
        sources.append(sys.intern(record.source))
        text = canonical_text(record)
        texts.append(text.encode())
        if count_tokens:
            waiting.append(text)
        if len(numbers) % STREAM_STEP == 0:
            count_waiting()
            progress("read", len(numbers), None)
    count_waiting()
    seconds = {"read": time.perf_counter() - start - counting_seconds}
    if count_tokens:
        seconds["tokens"] = counting_seconds
    counts = token_counts if count_tokens else None
    return Pool(path, prepare, reading, numbers, hashes, sources, texts, counts, tokenizer, seconds, stamp)
