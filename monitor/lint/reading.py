"""Reading: rows that are no records, rows of another format, keys that nobody reads, rows that `prepare` leaves out.

The rows go by before there is a record, so `monitor.lint.run` reports these itself.
"""

from __future__ import annotations

import re

from monitor.lint.check import Check, Observer
from monitor.lint.issue import Issue

UNREADABLE = Issue(
    "E101",
    "unreadable-row",
    "Rows that cannot be read",
    "A row is no record of the file's format: a key is missing, a value has the wrong type, nobody answers.",
    "Repair or remove these rows. `entropylaw prepare` cannot use them.",
)
MIXED = Issue(
    "E102",
    "mixed-formats",
    "Rows of another format than the first",
    "A row has the keys of another format than the rows before it, so one of the two would be read wrongly.",
    "Split the file by format.",
)
UNREAD_KEY = Issue(
    "W103",
    "unread-key",
    "Keys that are not read",
    "A row has a key that its format does not read, and that is not known to be mere metadata. What it holds would be "
    "lost.",
    "Rename the keys that matter to ones that are read, and remove the others.",
)
TOO_LONG = Issue(
    "W104",
    "too-long",
    "Rows that are left out as too long",
    "The texts of a row have more characters than `prepare.max_characters` in params.yaml, or 1,000,000.",
    "Split these rows, or raise `prepare.max_characters`.",
)

CHECK = Check((UNREADABLE, MIXED, UNREAD_KEY, TOO_LONG), lambda settings: Observer())

_NUMBERED = re.compile(r"\b(message|part) \d+ of")


def reason_of(cause: str) -> str:
    """The cause of a reading error without what differs between rows, so that equal reasons can be counted.

    >>> reason_of("message 3 of 'messages' has no 'role'")
    "a message of 'messages' has no 'role'"
    """
    return _NUMBERED.sub(r"a \1 of", cause)
