"""What runs the workers of a sharded pool: this process, threads of it, several processes, or Ray actors."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import pickle  # nosec B403 # see its use below
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from corpus.cores import count_cores as count_cores
from corpus.errors import EntropylawError
from corpus.interrupts import hold_interrupts, leave_interrupts_to_parent
from corpus.ray_cluster import connect_ray
from corpus.workers import EngineName as EngineName
from selection.redundancy import Digests, StateKind
from selection.shards import Engine, ShardWorker


@contextlib.contextmanager
def start_engine(name: EngineName, kind: StateKind, workers: int) -> Iterator[Engine]:
    """Workers for as long as the block runs; a single worker of this machine works in this thread.

    Ray actors run on the cluster named by the environment variable RAY_ADDRESS, or on this machine.
    Raises EntropylawError on fewer than one worker, and when ray is asked for and not installed.
    """
    if workers < 1:
        raise EntropylawError(f"cannot select with {workers} workers: give a number of at least 1")
    if name == "ray":
        with _start_ray(kind, workers) as engine:
            yield engine
    elif workers == 1:
        yield InProcess(kind)
    elif name == "threads":
        with _start_threads(kind, workers) as engine:
            yield engine
    else:
        with _start_processes(kind, workers) as engine:
            yield engine


class InProcess:
    """One worker in this process. It refers to the texts it is given and copies none."""

    workers = 1
    shares_memory = True

    def __init__(self, kind: StateKind) -> None:
        self._worker = ShardWorker(kind)

    def ask(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        return [getattr(self._worker, method)(*arguments[0])]


class Threads:
    """One worker in each of several threads, which start at once and share the texts and zstd's dictionaries.

    They run at the same time because the codecs work without Python's lock. Where zlib itself has to count
    (`selection.redundancy.DeflateState`), the copies of its state are made one after the other.
    """

    shares_memory = True

    def __init__(self, executor: ThreadPoolExecutor, kind: StateKind, workers: int) -> None:
        digests = Digests()
        self.shards = [ShardWorker(kind, digests) for _ in range(workers)]
        self.workers = workers
        self._executor = executor

    def ask(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        calls = [
            self._executor.submit(getattr(shard, method), *own)
            for shard, own in zip(self.shards, arguments, strict=True)
        ]
        return [call.result() for call in calls]


@contextlib.contextmanager
def _start_threads(kind: StateKind, workers: int) -> Iterator[Threads]:
    with ThreadPoolExecutor(workers, "selection") as executor:
        engine = Threads(executor, kind, workers)
        try:
            yield engine
        finally:
            for shard in engine.shards:
                shard.stop()


class Processes:
    """One worker in each of several processes, asked through pipes."""

    shares_memory = False

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._connections = connections
        self.workers = len(connections)

    def ask(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        try:
            for connection, own in zip(self._connections, arguments, strict=True):
                connection.send((method, own))
            answers = [connection.recv() for connection in self._connections]
        except (EOFError, ConnectionError):
            raise EntropylawError(
                "a selection worker was stopped from outside, most often because memory ran out; use fewer workers"
            ) from None
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers


@contextlib.contextmanager
def _start_processes(kind: StateKind, workers: int) -> Iterator[Processes]:
    # Not fork: the parent may run threads of numpy, pyarrow or Ray, which a forked child inherits half-alive.
    context = multiprocessing.get_context("spawn")
    processes, connections = [], []
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, kind), daemon=True)
            with hold_interrupts():
                process.start()
            theirs.close()
            processes.append(process)
            connections.append(ours)
        yield Processes(connections)
    finally:
        # A worker holds nothing but memory, so it can be ended at any point.
        for process in processes:
            process.terminate()
            process.join()


def _serve(connection: Connection, kind: StateKind) -> None:
    """Answer questions until the other end closes its pipe."""
    leave_interrupts_to_parent()
    worker = ShardWorker(kind)
    with contextlib.suppress(EOFError, OSError):  # OSError: it died in the middle of a question
        while True:
            method, arguments = connection.recv()
            try:
                answer = getattr(worker, method)(*arguments)
            except Exception as error:
                answer = error
            connection.send(answer)


class RayActors:
    """One worker in each of several Ray actors."""

    shares_memory = False

    def __init__(self, actors: Sequence[Any]) -> None:
        self._actors = actors
        self.workers = len(actors)

    def ask(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        import ray

        try:
            calls = zip(self._actors, arguments, strict=True)
            answers: list[Any] = ray.get([actor.ask.remote(method, own) for actor, own in calls])
        except ray.exceptions.RayActorError as error:
            raise EntropylawError(f"a selection worker on the Ray cluster died: {error}".splitlines()[0]) from None
        return answers


@contextlib.contextmanager
def _start_ray(kind: StateKind, workers: int) -> Iterator[RayActors]:
    with connect_ray(workers):
        import ray

        actor: Any = ray.remote(_make_actor_class()).options(num_cpus=1)
        yield RayActors([actor.remote(pickle.dumps(kind)) for _ in range(workers)])


def _make_actor_class() -> type:
    """A ShardWorker for a Ray actor.

    Ray puts the user's current folder first on the path of its workers, and that may hold a package `selection` of the
    user's own. So nothing of ours goes to the worker by its name before the worker has imported `entropylaw`, which
    makes our packages come first: Ray sends a class made inside a function as code, and ``kind`` travels as bytes.
    """

    class Actor:
        def __init__(self, kind: bytes) -> None:
            importlib.import_module("entropylaw")
            from selection.shards import ShardWorker

            self._worker = ShardWorker(pickle.loads(kind))  # nosec B301 # bytes that we made above, and no file

        def ask(self, method: str, arguments: tuple[Any, ...]) -> Any:
            return getattr(self._worker, method)(*arguments)

    return Actor
