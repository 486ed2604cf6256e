"""Tasks that are shared out to workers: the same answers in the same order, in bounded memory, and nobody stays."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import corpus.row_pieces
import monitor.measures.agreement
from corpus.errors import EntropylawError, PreparedRowsError
from corpus.prepared_rows import write_row
from corpus.records import HashedRecord, Preference
from corpus.row_pieces import RowPiece, cut_rows
from corpus.stored_rows import StoredRows, store_rows
from corpus.workers import TASKS_AHEAD, EngineName, Workers, start_workers
from monitor.measures.consistency import ConsistencyParams, ConsistencyProfile, profile_consistency

HERE: list[EngineName] = ["threads", "processes"]
ENGINES = [*HERE, pytest.param("ray", marks=pytest.mark.slow)]


@pytest.fixture(autouse=True)
def ray_workers_find_this_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


@contextlib.contextmanager
def started(engine: EngineName, count: int) -> Iterator[Workers]:
    if engine == "ray":
        pytest.importorskip("ray")
    with start_workers(engine, count) as workers:
        yield workers


def half(number: int) -> int:
    if number % 2:
        raise EntropylawError(f"{number} is odd")
    return number // 2


def late_if_early(number: int) -> int:
    """The first tasks take longest."""
    time.sleep(0.05 if number < 2 else 0)
    return -number


@dataclass(frozen=True)
class DieOnce:
    """A job whose worker is killed in the middle of one task, the first time."""

    marker: Path

    def __call__(self, number: int) -> int:
        if number == 3 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return -number


@pytest.mark.parametrize("engine", ENGINES)
def test_answers_come_in_the_order_of_their_tasks(engine: EngineName) -> None:
    with started(engine, 2) as workers:
        for tasks in ([], [7], list(range(9))):
            assert list(workers.map(late_if_early, tasks)) == [-number for number in tasks]


@pytest.mark.parametrize("count", [1, 3])
def test_tasks_are_read_only_a_few_ahead_of_their_answers(count: int) -> None:
    read: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    with start_workers("threads", count) as workers:
        for done, _ in enumerate(workers.map(late_if_early, tasks()), start=1):
            assert len(read) <= done + TASKS_AHEAD * count


@pytest.mark.parametrize("engine", HERE)
def test_nobody_is_started_for_a_single_task_or_stays_after_the_last(engine: EngineName) -> None:
    def others() -> Sequence[object]:
        return [
            *multiprocessing.active_children(),
            *(thread for thread in threading.enumerate() if thread.name.startswith("worker")),
        ]

    with start_workers(engine, 2) as workers:
        assert list(workers.map(half, [4])) == [2] and not others()
        list(workers.map(half, [0, 2, 4, 6]))
        assert others()
    assert not others()


@dataclass(frozen=True)
class Add:
    """A job that says where it is packed, which is where it is sent from."""

    number: int
    log: Path

    def __call__(self, number: int) -> int:
        if number < 0:
            raise EntropylawError(f"{number} is negative")
        return self.number + number

    def __getstate__(self) -> object:
        with self.log.open("a") as log:
            log.write(f"{self.number}\n")
        return self.__dict__

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)


def test_a_job_travels_once_to_each_process_and_tasks_get_the_job_they_were_given(tmp_path: Path) -> None:
    one, ten = Add(1, tmp_path / "one"), Add(10, tmp_path / "ten")
    with start_workers("processes", 2) as workers:
        assert list(workers.map(one, range(20))) == list(range(1, 21))
        assert len(one.log.read_text().split()) <= 2
        for job in (ten, one, ten):
            assert list(workers.map(job, [0, 1, 2])) == [job.number, job.number + 1, job.number + 2]
        with pytest.raises(EntropylawError, match="-1 is negative"):
            list(workers.map(ten, [1, -1, 2]))
        assert list(workers.map(ten, [5, 6])) == [15, 16]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_error_of_a_task_is_raised_here_as_it_is(engine: EngineName) -> None:
    with started(engine, 2) as workers, pytest.raises(EntropylawError, match=r"^3 is odd$"):
        list(workers.map(half, [2, 3, 4]))


def test_a_worker_process_that_was_killed_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EntropylawError, match="stopped from outside"), start_workers("processes", 2) as workers:
        list(workers.map(DieOnce(tmp_path / "died"), range(9)))


@pytest.mark.slow
def test_ray_does_the_task_of_a_killed_worker_again(tmp_path: Path) -> None:
    with started("ray", 2) as workers:
        assert list(workers.map(DieOnce(tmp_path / "died"), range(9))) == [-number for number in range(9)]
    assert (tmp_path / "died").exists()


def test_fewer_than_one_worker_is_refused() -> None:
    with pytest.raises(EntropylawError, match="cannot work with 0 workers"), start_workers("threads", 0):
        pass


@pytest.fixture
def stored(chats: list[HashedRecord], monkeypatch: pytest.MonkeyPatch) -> StoredRows:
    """Rows of three pieces and more, pairs and copies among them; of the means, only some rows are kept."""
    monkeypatch.setattr(corpus.row_pieces, "PIECE_BYTES", 20_000)
    monkeypatch.setattr(monitor.measures.agreement, "MEAN_ROWS", 150)
    pairs = [
        HashedRecord(Preference(chat.messages[:1], chat.messages[1:2], other.messages[1:2], row=1_000 + i), f"{i:032x}")
        for i, ((chat, _), (other, _)) in enumerate(itertools.pairwise(chats[:80]))
    ]
    return store_rows([*chats[:300], *pairs, *chats[:9]], "rows")  # 388 rows


def measure(rows: Sequence[HashedRecord], workers: Workers) -> tuple[ConsistencyProfile, bytes]:
    profile, agreement = profile_consistency(rows, ConsistencyParams(), workers=workers)
    return profile, agreement.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["threads", "processes", "ray"])
def test_consistency_is_the_same_bytes_whoever_measures_it(stored: StoredRows, engine: EngineName) -> None:
    with started(engine, 2) as workers, start_workers("threads", 1) as one:
        assert measure(stored, workers) == measure(stored, one) == measure(list(stored), one)


def read_texts(rows: Iterable[HashedRecord]) -> list[object]:
    return [
        (row_hash, record.source, record.row, [(role, message.text) for role, message in record.turns()])
        for record, row_hash in rows
    ]


def test_pieces_hold_every_row_once_and_whole(stored: StoredRows) -> None:
    pieces = list(cut_rows(stored))
    assert len(pieces) > 3 and all(len(piece.content) <= 20_000 for piece in pieces)
    assert read_texts(row for piece in pieces for row in piece.read()) == read_texts(stored)
    assert np.concatenate([piece.rows for piece in pieces]).tolist() == list(range(len(stored)))
    some = np.array([0, 1, 2, 7, 200, 387])
    chosen = [row for piece in cut_rows(stored, some) for row in piece.read()]
    assert read_texts(chosen) == read_texts(stored[i] for i in some.tolist())
    assert list(cut_rows(stored, np.empty(0, dtype=np.int64))) == []


def test_a_line_of_a_piece_that_cannot_be_read_is_named_by_its_number_in_the_file(chats: list[HashedRecord]) -> None:
    good = write_row(*chats[0]).encode()
    bad = good.replace(b'"source"', b'"origin"')
    with pytest.raises(PreparedRowsError, match=r"^rows, line 13: not a prepared row"):
        RowPiece(np.array([10, 12, 14]), good + bad + good, "rows").read()
    with pytest.raises(PreparedRowsError, match="changed while it was read"):
        RowPiece(np.array([10, 12, 14]), good, "rows").read()
