"""How many threads torch computes with.

Threads share out a sum in parts and add up the parts' sums, so another number of threads gives other last bits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Four times the model that `base-model` makes by default. Threads save such a model little time: they mostly wait for
# each other, and on a busy machine they cost a multiple.
SMALL_PARAMETERS = 2_000_000


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


@contextlib.contextmanager
def same_bits(model: PreTrainedModel) -> Iterator[None]:
    """Let a small model on a CPU compute with one thread, so that its losses are the same to the last bit on any number
    of cores. A larger one keeps its threads: its L then differs by much less than a rule can see. Decision 31 says why.
    """
    if model.device.type == "cpu" and model.num_parameters() <= SMALL_PARAMETERS:
        with limit_threads(1):
            yield
    else:
        yield
