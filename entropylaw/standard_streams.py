"""Standard output and standard error that a command can always write to, whatever the caller made of them."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
import traceback
from typing import Any, TextIO, cast

# Under this name Python knows how to write what the encoding of a stream does not have.
_ESCAPE = "entropylaw.escape"
# As in corpus.errors, which may be what cannot be imported.
NOT_ASSESSED = 3
NAMES = {1: "standard output", 2: "standard error"}


def open_standard_streams() -> None:
    """Make sys.stdout and sys.stderr fit for use, once, before anything is written.

    - Where the caller closed one, what is written to it is dropped. Else the next file that is opened would get its
      number, and what some library prints would go into that file.
    - Where the reader leaves first, as in `entropylaw check | head -1`, or the disk is full, the rest is dropped too,
      and the command goes on to its own end and exit code.
    - What the encoding does not have, as with PYTHONIOENCODING=ascii, is written as in JSON: ``\\u2264`` for ``≤``.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free, which is this one
    codecs.register_error(_ESCAPE, escape_as_json)
    sys.stdout = _open(1, sys.stdout)
    sys.stderr = _open(2, sys.stderr)


def flush_standard_streams() -> str | None:
    """Write what is still waiting; why a part could not be written, as on a full disk, or None."""
    problem = None
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        output = getattr(getattr(stream, "buffer", None), "raw", None)
        if isinstance(output, _Output) and output.problem:
            problem = f"{NAMES[output.fileno()]}: {output.problem}"
    return problem


def report_mistake() -> int:
    """Tell of the error that is being handled, which is none of the user's; the exit code for it.

    Python's own one, 1, would say that the data is risky. This one says that it could not be assessed.
    """
    traceback.print_exc()
    sys.stderr.write("entropylaw: stopped by a mistake in this program; please report the lines above\n")
    return NOT_ASSESSED


def escape_as_json(error: UnicodeError) -> tuple[str | bytes, int]:
    """What stands for characters that cannot be encoded; within a JSON string it still means them.

    >>> escape_as_json(UnicodeEncodeError("ascii", "0.1 ≤ 1", 4, 5, ""))[0] == "\\\\" + "u2264"
    True
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def _open(number: int, given: TextIO | None) -> TextIO:
    """The stream of a file descriptor in place of the one ``given`` by Python, None where it was closed."""
    if given is not None and not isinstance(given, io.TextIOWrapper):
        return given  # somebody else's, such as a test's
    encoding, errors = (given.encoding, given.errors) if given is not None else ("utf-8", "strict")
    buffered = io.BufferedWriter(_Output(number, "w", closefd=False))
    stream = io.TextIOWrapper(
        buffered,
        encoding=encoding,
        errors=_ESCAPE if errors in ("strict", "surrogateescape", "backslashreplace") else errors,
        line_buffering=number == 2 or os.isatty(number),
    )
    cast(Any, stream).mode = "w"
    return stream


class _Output(io.FileIO):
    """A file descriptor that takes everything, also when its reader has left or its disk is full.

    ``problem``: why something could not be written although somebody was there to read it.
    """

    problem: str | None = None

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.problem = error.strerror
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            return memoryview(data).nbytes
