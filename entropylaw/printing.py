"""All that commands print, to a terminal or the log of a CI system. Nothing else in this package writes to either.

Names of versions and files, owners, reasons, labels of sources, what a judge or another program answered, texts of
rows: anybody may have written them. Printed, they must move no cursor, end no line, start no command of a CI system,
and show no password. Three ways lead out, and each takes care of that:

- ``say`` and ``note`` print lines. Whatever stands in one is one line.
- ``print_document`` prints what a renderer of `reports` made, whose format has an escaping of its own.
- ``guarded_streams`` is for all the rest: messages of the command-line parser, warnings of libraries, tracebacks.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO, cast

from reports.escaping import escape_line, escape_screen, log_json


def say(*lines: str) -> None:
    """Print lines on stdout, at once: in a log, too, they stand among those of stderr where they belong."""
    sys.stdout.write(_join(lines))
    sys.stdout.flush()


def note(*lines: str) -> None:
    """Print lines on stderr: what is no result, such as an error."""
    sys.stderr.write(_join(lines))


def _join(lines: Iterable[str]) -> str:
    return "".join(f"{escape_line(line)}\n" for line in lines)


def print_document(text: str) -> None:
    """Print what a renderer made, as it is: JSON, Markdown, XML, commands for GitHub, text with its names escaped."""
    unguarded(sys.stdout).write(text)


def print_json(result: Any) -> None:
    """Print a result as JSON."""
    print_document(log_json(result))


class GuardedStream:
    """A stream that shows what would act as escapes."""

    def __init__(self, stream: TextIO) -> None:
        self.unguarded = stream
        self._last = ""

    def write(self, text: str) -> int:
        shown = escape_screen(text)
        # A command may come in two pieces.
        between = " " if shown and self._last == shown[0] and self._last in (":", "#") else ""
        self._last = shown[-1:] or self._last
        self.unguarded.write(between + shown)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unguarded, name)


def unguarded(stream: TextIO) -> TextIO:
    """The stream itself, for what draws on a terminal and knows what it writes."""
    return stream.unguarded if isinstance(stream, GuardedStream) else stream


def guard_streams() -> None:
    """Guard stdout and stderr from now on."""
    sys.stdout, sys.stderr = (cast(TextIO, GuardedStream(unguarded(stream))) for stream in (sys.stdout, sys.stderr))


@contextlib.contextmanager
def guarded_streams() -> Iterator[None]:
    """Guard stdout and stderr within the block."""
    before = sys.stdout, sys.stderr
    guard_streams()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
