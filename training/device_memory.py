"""Running out of memory, told as what to lower."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from corpus.errors import EntropylawError

# "CUDA error: out of memory", where other programs fill the GPU; "MPS backend out of memory".
DEVICE_WORDS = "out of memory"
MEMORY_WORDS = ("can't allocate memory", DEVICE_WORDS)


@contextlib.contextmanager
def explain_full_memory(what: str, settings: str) -> Iterator[None]:
    """Turn a device's or the machine's full memory into an EntropylawError: ``what`` was done, ``settings`` to lower.

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
        # What torch says of the machine's own memory is a plain RuntimeError, and so is what a driver says.
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in MEMORY_WORDS):
            raise
        where = "GPU memory" if DEVICE_WORDS in str(error) else "memory"
    else:
        return
    raise EntropylawError(f"{what}: out of {where}; lower {settings}")
