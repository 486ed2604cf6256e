"""The errors a user can cause. The command line prints them as one line and exits with their code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from corpus.credentials import hide_credentials

# No message of ours is longer by itself. A longer one quotes data that stands where a name is expected.
LONGEST_CAUSE = 1000
# Of a longer message the middle is left out: it begins with where, and ends with what to do.
LONGEST_MESSAGE, MESSAGE_END = 1200, 300


class EntropylawError(Exception):
    """A problem the user can act on: what is wrong, where, and what to do.

    ``exit_code`` is part of the command-line contract: 1 risky, 2 usage or configuration, 3 could not be assessed.
    """

    exit_code = 2

    def __init__(self, message: str) -> None:
        # One line, even where a file name, a key or a library's message that is quoted has several; and no password, as
        # the address of a remote may have one.
        line = hide_credentials(" ".join(message.splitlines()))
        if len(line) > LONGEST_MESSAGE:
            line = f"{line[: LONGEST_MESSAGE - MESSAGE_END]} … {line[-MESSAGE_END:]}"
        super().__init__(line)


class DataError(EntropylawError):
    """A data file that cannot be read as training records.

    ``unit`` is what ``line`` counts: a parquet file and a JSON array have rows, not lines.

    >>> str(DataError("data/sft.jsonl", "not JSON: Expecting value", line=3))
    'data/sft.jsonl, line 3: not JSON: Expecting value'
    >>> str(DataError("data/sft.parquet", "no assistant turn", line=7, unit="row"))
    'data/sft.parquet, row 7: no assistant turn'
    """

    def __init__(
        self, path: object, cause: str, line: int | None = None, unit: Literal["line", "row"] = "line"
    ) -> None:
        if len(cause) > LONGEST_CAUSE:
            cause = f"{cause[:LONGEST_CAUSE]}…"
        self.path, self.cause, self.line, self.unit = str(path), cause, line, unit
        where = f"{path}, {unit} {line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {cause}")

    def __reduce__(self) -> tuple[type[DataError], tuple[object, ...]]:
        # An exception is pickled by its message alone, which would not build this one in another process.
        return type(self), (self.path, self.cause, self.line, self.unit)


class PreparedRowsError(DataError):
    """A prepared file that is missing or damaged: what was measured on its rows could not be assessed."""

    exit_code = 3


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read although its file can: its number, why in a few words to count by, what is wrong."""

    number: int
    reason: str
    detail: str


class ParamsError(EntropylawError):
    """A params.yaml that does not say what the tool needs to know."""


class NotAssessedError(EntropylawError):
    """A measurement or a verdict that could not be made. Never to be read as a pass."""

    exit_code = 3


class DamagedResultError(NotAssessedError):
    """A file of Entropylaw's that was damaged or edited, or was written by another version of it."""
