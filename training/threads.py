"""How many threads torch computes with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


def count_threads() -> int:
    """Threads that torch may use: the cores of this process, or what OMP_NUM_THREADS says."""
    import torch

    return int(torch.get_num_threads())


def set_threads(threads: int) -> None:
    """Let torch compute with so many threads from now on."""
    import torch

    torch.set_num_threads(threads)


@contextlib.contextmanager
def limit_threads(threads: int) -> Iterator[None]:
    """Let torch compute with so many threads until the block ends."""
    before = count_threads()
    set_threads(threads)
    try:
        yield
    finally:
        set_threads(before)
