"""Where the pool lies changes nothing but the time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from random import Random

import numpy as np
import pytest

from corpus.errors import EntropylawError
from corpus.interrupts import hold_interrupts
from selection.budget import Budget
from selection.engines import EngineName, Processes, count_cores, start_engine
from selection.framing import reference_text
from selection.redundancy import StateKind
from selection.shards import ShardedPool, ShardWorker
from selection.zip_greedy import Selection, ZipParams, select_zip

pytestmark = pytest.mark.slow

KIND = StateKind("zlib", 9)


def pool(size: int = 120) -> list[bytes]:
    random = Random(1)
    words = ["".join(random.choices("abcdefghij", k=random.randrange(2, 8))) for _ in range(300)]
    rows = [" ".join(random.choices(words, k=random.randrange(3, 200))).encode() for _ in range(size)]
    return [*rows, *rows[: size // 5], b""]


def outcome(selection: Selection) -> tuple[object, ...]:
    return selection.indices, selection.rounds, selection.pool_copies, selection.selected_copies


@pytest.mark.parametrize(
    "params",
    [
        ZipParams(k1=40, k2=15, k3=7),
        ZipParams(k1=40, k2=15, k3=7, window="global"),
        ZipParams(k1=40, k2=15, k3=7, compat="reference"),
    ],
    ids=["codec", "global", "reference"],
)
@pytest.mark.parametrize("engine", ["threads", "processes"])
def test_the_selection_does_not_depend_on_the_workers(params: ZipParams, engine: EngineName) -> None:
    texts = pool()
    if params.compat == "reference":
        texts = [reference_text({"id": text.decode()}) for text in texts]
    alone = select_zip(texts, Budget(rows=60), params)
    assert len(alone.indices) == 60
    selected = select_zip(iter(texts), Budget(rows=60), params, workers=3, engine=engine)
    assert outcome(selected) == outcome(alone)


def test_the_selection_is_the_same_on_ray_actors() -> None:
    ray = pytest.importorskip("ray")
    texts, params = pool(), ZipParams(k1=40, k2=15, k3=7, window="global")
    alone = select_zip(texts, Budget(rows=60), params)
    selected = select_zip(texts, Budget(rows=60), params, workers=2, engine="ray")
    assert outcome(selected) == outcome(alone)
    assert not ray.is_initialized()


@pytest.mark.parametrize("engine_name", ["threads", "processes"])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_sharded_pool_answers_in_the_order_asked(
    workers: int, engine_name: EngineName, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Chunks of two or three rows, so that chunks begin with rows of every worker.
    monkeypatch.setattr("selection.shards._CHUNK_BYTES", 1_000)
    texts = pool(30)
    with start_engine(engine_name, KIND, workers) as engine:
        sharded = ShardedPool(engine, iter(texts))
        rows = np.array([7, 2, 30, 11, 0, 29, 36])
        state = KIND.start()
        state.add(texts[3])
        expected = [state.size_with(texts[row]) for row in rows.tolist()]
        assert sharded.sizes_with_chosen([texts[3]], rows).tolist() == expected
        assert sharded.sizes_with_chosen([], rows[:1]).tolist() == expected[:1]
        # A round starts from the empty set, with the same rows in whatever order they are asked for.
        for finalists in (rows, rows[::2]):
            assert sharded.start_round(finalists) == {row: texts[row] for row in finalists.tolist()}
            asked = finalists[::-1]
            alone = [KIND.start().size_with(texts[row]) for row in asked.tolist()]
            assert sharded.sizes_with_round([], asked).tolist() == alone
            state = KIND.start()
            state.add(texts[5])
            together = [state.size_with(texts[row]) for row in asked[1:].tolist()]
            assert sharded.sizes_with_round([texts[5]], asked[1:]).tolist() == together
        assert sharded.lengths.tolist() == list(map(len, texts))
        assert sharded.originals.tolist() == [texts.index(text) for text in texts]


def test_more_workers_than_rows_do_no_harm() -> None:
    texts = [b"one", b"two"]
    alone = outcome(select_zip(texts, Budget(rows=2)))
    for engine in ("threads", "processes"):
        assert outcome(select_zip(texts, Budget(rows=2), workers=3, engine=engine)) == alone  # type: ignore[arg-type]


def test_texts_are_read_once_and_not_kept_by_the_parent() -> None:
    class Text(bytes):
        alive = 0

        def __new__(cls, value: bytes) -> Text:
            cls.alive += 1
            return super().__new__(cls, value)

        def __reduce__(self) -> tuple[type[bytes], tuple[bytes]]:
            return bytes, (bytes(self),)

        def __del__(self) -> None:
            Text.alive -= 1

    most = 0

    def stream() -> Iterator[bytes]:
        nonlocal most
        for number in range(400):
            yield Text(b"%06d" % number * 10_000)
            most = max(most, Text.alive)

    with start_engine("processes", KIND, 2) as engine:
        sharded = ShardedPool(engine, stream())
        assert len(sharded.lengths) == 400
    # 24 MB pass through in chunks of 4 MiB, of which two exist while one replaces the other.
    assert 0 < most < 300


def test_a_worker_that_is_killed_is_an_error_and_leaves_no_process() -> None:
    def texts() -> Iterator[bytes]:
        for number in range(200):
            if number == 150:
                os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)
            yield b"%050d" % number * 2_000

    with pytest.raises(EntropylawError, match="memory ran out"):
        select_zip(texts(), Budget(rows=5), ZipParams(5, 5, 5), workers=2, engine="processes")
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("engine", ["threads", "processes"])
def test_an_interrupted_selection_leaves_no_worker(engine: EngineName) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        select_zip(pool(), Budget(rows=5), ZipParams(5, 5, 5), workers=2, engine=engine, progress=interrupt)
    assert multiprocessing.active_children() == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("selection")]


@pytest.mark.parametrize("name", ["threads", "processes"])
def test_an_error_inside_a_worker_is_raised_here(name: EngineName) -> None:
    with start_engine(name, KIND, 2) as engine:
        assert isinstance(engine, Processes) == (name == "processes")
        with pytest.raises(IndexError):
            engine.ask("fetch", [([5],), ([],)])


def test_ray_that_is_not_installed_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EntropylawError, match=r"pip install 'entropylaw\[ray\]'"):
        select_zip([b"a"], Budget(rows=1), engine="ray")


def test_a_ray_cluster_with_too_few_cores_is_an_error_and_no_endless_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0, "memory": 1e9})
    with pytest.raises(EntropylawError, match="3 workers need a core each, and the Ray cluster has 2"):
        select_zip([b"a"], Budget(rows=1), workers=3, engine="ray")


def test_a_ray_address_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "nowhere")
    with pytest.raises(EntropylawError, match="Ray cluster at nowhere: cannot be used"):
        select_zip([b"a"], Budget(rows=1), engine="ray")


def test_an_interrupt_waits_until_a_worker_is_started() -> None:
    arrived = []
    # Tests that run in the background are started with the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), hold_interrupts():
            signal.raise_signal(signal.SIGINT)
            arrived.append("end of the block")
    finally:
        signal.signal(signal.SIGINT, before)
    assert arrived


def test_fewer_than_one_worker_is_refused() -> None:
    with pytest.raises(EntropylawError, match="cannot select with 0 workers"):
        select_zip([b"a"], Budget(rows=1), workers=0)


def test_auto_means_the_cores_this_process_may_use() -> None:
    if hasattr(os, "sched_getaffinity"):
        cores = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, {min(cores)})
            assert count_cores() == 1
        finally:
            os.sched_setaffinity(0, cores)
    assert count_cores() >= 1


def test_a_stopped_worker_ends_a_long_question_before_its_time() -> None:
    worker = ShardWorker(KIND)
    worker.hold([b"a row"] * 10_000)
    asked: list[list[int]] = []

    def stop_after_some(rows: Sequence[int]) -> list[int]:
        worker.stop()
        asked.append(list(rows))
        return [0] * len(rows)

    worker._chosen.sizes_with = stop_after_some  # type: ignore[assignment, method-assign]
    worker.sizes_with_chosen([], range(10_000))
    assert len(asked) == 1
