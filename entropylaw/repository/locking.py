"""One command at a time where one changes what others have written: else the later one would undo the earlier one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from corpus.artifacts import TEMPORARY_PREFIX, TEMPORARY_SUFFIX
from corpus.errors import EntropylawError
from entropylaw.printing import note

# In the pipeline's folder, and named as a temporary file: Git takes none of those, and one that a killed process left
# is deleted as they are.
LOCK = Path(f"{TEMPORARY_PREFIX}lock{TEMPORARY_SUFFIX}")


@contextlib.contextmanager
def one_at_a_time(lock: Path = LOCK) -> Iterator[None]:
    """Wait until no other process is inside such a block, and stay alone in it.

    What counts is not the file but the lock on it, which the system takes back from a process that ends, however it
    ends. So a file that a killed process left is no obstacle. While this one waits, stderr is told for whom. Where no
    lock can be had, as in a folder that cannot be written, stderr is told that, and the block runs. Raises
    EntropylawError when something else than a file, such as a link, lies in the lock's place.
    """
    descriptor = None
    try:
        descriptor = _take(lock)
    except OSError as error:
        note(f"entropylaw: {lock}: cannot be locked ({error.strerror}); see that no other command runs here meanwhile")
    try:
        yield
    finally:
        if descriptor is not None:
            with contextlib.suppress(OSError):
                lock.unlink()
            os.close(descriptor)


def _take(lock: Path) -> int:
    """The descriptor of the file, locked."""
    while True:
        descriptor = _open(lock)
        try:
            _wait_for(descriptor)
            if os.fstat(descriptor).st_nlink:
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()}".encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the one before has deleted the file: the lock of the next is on another


def _open(lock: Path) -> int:
    """The descriptor of the file. A link is not followed: anyone can commit one, and what it names would be emptied."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise _not_a_file(lock) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_a_file(lock)
    return descriptor


def _not_a_file(lock: Path) -> EntropylawError:
    return EntropylawError(f"{lock}: is no file but a link, a folder or the like, where this program locks; delete it")


def _wait_for(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 100, 0).decode("ascii", "replace") or "another process"
        note(f"entropylaw: waiting for {holder}, which writes here too")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
