"""A model that cannot be written, told as any file is: the libraries that save models raise errors of their own."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from corpus.errors import EntropylawError

# How a library written in Rust quotes the system: "I/O error: No space left on device (os error 28)".
_RUST = re.compile(r"\(os error (\d+)\)")
# torch does not say why: only that its archive of weights could not be written.
_TORCH = re.compile(r"PytorchStreamWriter failed|unexpected pos \d+ vs \d+")


@contextlib.contextmanager
def name_unwritten(folder: str | Path) -> Iterator[None]:
    """Raise EntropylawError, naming the folder, when a model or a checkpoint cannot be written to it in this block."""
    try:
        yield
    except Exception as error:
        cause = _explain(error)
        if cause is None:
            raise
        raise EntropylawError(f"{folder}: cannot be written: {cause}") from None


def _explain(error: Exception) -> str | None:
    """
    >>> _explain(RuntimeError("I/O error: No space left on device (os error 28)"))
    'No space left on device'
    >>> _explain(RuntimeError("shapes differ")) is None
    True
    """
    if isinstance(error, OSError):  # one that names a file says more than we could
        return None if error.filename else error.strerror
    if found := _RUST.search(str(error)):
        return os.strerror(int(found[1]))
    return "is the disk full?" if _TORCH.search(str(error)) else None
