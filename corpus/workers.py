"""Workers that share out tasks of one kind: this thread, threads, processes, or tasks on a Ray cluster.

A task and its answer are values, and no worker knows of another. So the answers are the same whatever the engine and
the number of workers, and they come in the order of the tasks.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import multiprocessing
import pickle  # nosec B403 # see its use below
import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Literal, Protocol, TypeVar

from corpus.errors import EntropylawError
from corpus.interrupts import hold_interrupts, leave_interrupts_to_parent
from corpus.ray_cluster import connect_ray

EngineName = Literal["threads", "processes", "ray"]

Task = TypeVar("Task")
Answer = TypeVar("Answer")

# So many tasks for each worker are under way, and their answers: one at work, one ready when it is done. Memory grows
# with this and not with the number of tasks.
TASKS_AHEAD = 2
# Ray does a task again, on another worker, when the one that did it died. One that kills its workers ends the command
# after so many times.
RAY_RETRIES = 3


class Workers(Protocol):
    """Workers that answer tasks. ``count``: so many tasks are done at once."""

    count: int

    def map(self, job: Callable[[Task], Answer], tasks: Iterable[Task]) -> Iterator[Answer]:
        """The job's answer to each task, in the order of the tasks, which are read as they are needed.

        ``job``, the tasks and the answers travel to other processes, so they must be what pickle can write. Raises what
        the job raises, and EntropylawError where a worker was stopped from outside.

        >>> list(IN_THIS_THREAD.map(len, ["tea", "", "milk"]))
        [3, 0, 4]
        """

    def begin(self, job: Callable[[Task], Answer], task: Task) -> Callable[[], Answer]:
        """Begin one task; what comes back waits for its answer and raises as ``map`` does. TASKS_AHEAD tasks for each
        worker keep all of them busy.

        >>> IN_THIS_THREAD.begin(len, "tea")()
        3
        """


class _InThisThread:
    count = 1

    def begin(self, job: Callable[[Task], Answer], task: Task) -> Callable[[], Answer]:
        return partial(job, task)

    def map(self, job: Callable[[Task], Answer], tasks: Iterable[Task]) -> Iterator[Answer]:
        return map(job, tasks)


IN_THIS_THREAD: Workers = _InThisThread()


@contextlib.contextmanager
def start_workers(engine: EngineName, count: int) -> Iterator[Workers]:
    """So many workers until the block ends; one on this machine is this thread.

    None is started before there are two tasks to do. Raises EntropylawError on fewer than one worker, and as
    ``connect_ray`` does.
    """
    if count < 1:
        raise EntropylawError(f"cannot work with {count} workers: give a number of at least 1")
    if engine == "ray":
        with connect_ray(count):
            yield _OnRay(count)
    elif count == 1:
        yield IN_THIS_THREAD
    else:
        with (_Threads if engine == "threads" else _Processes)(count) as pool:
            yield pool


def _map_in_order(
    begin: Callable[[Callable[[Task], Answer], Task], Callable[[], Answer]],
    count: int,
    job: Callable[[Task], Answer],
    tasks: Iterable[Task],
) -> Iterator[Answer]:
    todo = iter(tasks)
    first = list(itertools.islice(todo, 2))
    if len(first) < 2:
        yield from map(job, first)
        return
    waiting: deque[Callable[[], Answer]] = deque()
    for task in itertools.chain(first, todo):
        waiting.append(begin(job, task))
        if len(waiting) >= TASKS_AHEAD * count:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()


class _Threads:
    """Threads of this process, which start with the first tasks."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._executor = ThreadPoolExecutor(count, "worker")

    def map(self, job: Callable[[Task], Answer], tasks: Iterable[Task]) -> Iterator[Answer]:
        return _map_in_order(self.begin, self.count, job, tasks)

    def begin(self, job: Callable[[Task], Answer], task: Task) -> Callable[[], Answer]:
        return self._executor.submit(job, task).result

    def __enter__(self) -> _Threads:
        return self

    def __exit__(self, *_: object) -> None:
        """End the threads. Each ends its task first, a fraction of a second's."""
        self._executor.shutdown(cancel_futures=True)


class _Processes(_Threads):
    """Processes of this machine. Threads of this one talk to them through pipes and wait for their answers.

    A ProcessPoolExecutor would do, but where a process is ended in the middle of a task, it writes tracebacks, and in
    some versions of Python it waits for ever.
    """

    def __init__(self, count: int) -> None:
        super().__init__(count)
        # Not fork: the parent may run threads of numpy or pyarrow, which a forked child inherits half-alive.
        self._context = multiprocessing.get_context("spawn")
        self._processes: list[BaseProcess] = []
        # The processes that wait for a task, each with the job that it had last.
        self._idle: queue.SimpleQueue[tuple[Connection, object]] = queue.SimpleQueue()

    def begin(self, job: Callable[[Task], Answer], task: Task) -> Callable[[], Answer]:
        if len(self._processes) < self.count:
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=_serve, args=(theirs,), daemon=True)
            with hold_interrupts():
                process.start()
            theirs.close()
            self._processes.append(process)
            self._idle.put((ours, None))
        return self._executor.submit(self._ask, job, task).result

    def _ask(self, job: Callable[[Task], Answer], task: Task) -> Answer:
        connection, last = self._idle.get()
        known: object = None
        try:
            # A job may hold an index of many megabytes, so it travels once.
            connection.send((None if job is last else job, task))
            answer: Answer | BaseException = connection.recv()
            # Behind an error nobody knows whether the process has the job.
            known = None if isinstance(answer, BaseException) else job
        except (EOFError, OSError):
            raise EntropylawError(
                "a worker process was stopped from outside, most often because memory ran out; use fewer workers"
            ) from None
        finally:
            self._idle.put((connection, known))
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def __exit__(self, *error: object) -> None:
        """End the processes. They hold nothing but memory, so they can be ended at any point."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
        super().__exit__(*error)


def _serve(connection: Connection) -> None:
    """Do task after task until the other end closes its pipe."""
    leave_interrupts_to_parent()
    last: Callable[[Any], object] = id  # a job comes with the first task
    with contextlib.suppress(EOFError, OSError):  # OSError: it died in the middle of a task
        while True:
            packed = connection.recv_bytes()
            answer: object
            try:
                job, task = pickle.loads(packed)  # nosec B301 # of the process that started this one, and no file
                last = last if job is None else job
                answer = last(task)
            except Exception as error:
                answer = error
            connection.send(answer)


class _OnRay:
    """Tasks on a Ray cluster, each on one core of it."""

    def __init__(self, count: int) -> None:
        import ray

        self.count = count
        self._answer: Any = ray.remote(_make_remote_function()).options(num_cpus=1, max_retries=RAY_RETRIES)

    def map(self, job: Callable[[Task], Answer], tasks: Iterable[Task]) -> Iterator[Answer]:
        return _map_in_order(self.begin, self.count, job, tasks)

    def begin(self, job: Callable[[Task], Answer], task: Task) -> Callable[[], Answer]:
        reference = self._answer.remote(pickle.dumps((job, task)))
        return lambda: self._fetch(reference)

    def _fetch(self, reference: Any) -> Any:
        import ray

        try:
            answer = pickle.loads(ray.get(reference))  # nosec B301 # bytes of a worker of ours, and no file
        except ray.exceptions.RayTaskError as error:  # before or behind the job, whose own errors are answers
            raise EntropylawError(
                f"a worker on the Ray cluster cannot do its task: {error.cause!r}; install the same version of the "
                "tool on every node"
            ) from None
        except ray.exceptions.RayError as error:
            cause = str(error).partition("\n")[0]
            raise EntropylawError(f"a worker on the Ray cluster died {1 + RAY_RETRIES} times: {cause}") from None
        if isinstance(answer, BaseException):
            raise answer
        return answer


def _make_remote_function() -> Callable[[bytes], bytes]:
    """What a Ray worker runs: unpack the job and the task, and pack the answer or the error.

    Ray puts the user's current folder first on the path of its workers, and that may hold a package `corpus` of the
    user's own. So nothing of ours goes to the worker by its name before the worker has imported `entropylaw`, which
    makes our packages come first: Ray sends a function made inside another as code, and all else travels as bytes.
    """

    def answer_task(packed: bytes) -> bytes:
        importlib.import_module("entropylaw")
        job, task = pickle.loads(packed)  # nosec B301 # bytes that we made above, and no file
        try:
            answer = job(task)
        except Exception as error:
            answer = error
        return pickle.dumps(answer)

    return answer_task
