"""An error for running out of memory that says which settings to lower."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from corpus.errors import EntropylawError

# As in "CUDA error: out of memory", when other programs fill the GPU, and "MPS backend out of memory".
DEVICE_WORDS = "out of memory"
MEMORY_WORDS = ("can't allocate memory", DEVICE_WORDS)


@contextlib.contextmanager
def explain_full_memory(what: str, settings: str) -> Iterator[None]:
    """Turn errors about full memory, of a device or the machine, into an EntropylawError.

    ``what``: what was being done. ``settings``: which ones to lower.

    >>> with explain_full_memory("evaluate", "evaluation.batch_rows (now 16)"):
    ...     raise MemoryError
    Traceback (most recent call last):
    corpus.errors.EntropylawError: evaluate: out of memory; lower evaluation.batch_rows (now 16)
    """
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        where = "GPU memory"
    except (MemoryError, RuntimeError) as error:
        # torch reports full main memory, and drivers report a full device, by a plain RuntimeError.
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in MEMORY_WORDS):
            raise
        where = "GPU memory" if DEVICE_WORDS in str(error) else "memory"
    else:
        return
    raise EntropylawError(f"{what}: out of {where}; lower {settings}")
