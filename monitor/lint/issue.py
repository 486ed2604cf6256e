"""An issue: one kind of thing that can be wrong with a row, with the code it is reported under."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "notice"]
# Gravest first, by the letter that a code begins with.
SEVERITIES: dict[str, Severity] = {"E": "error", "W": "warning", "N": "notice"}
# What the first digit of a code says.
FAMILIES = {
    "1": "reading",
    "2": "roles",
    "3": "answers",
    "4": "repetition",
    "5": "traces of broken tools",
    "6": "length",
    "7": "secrets and personal data",
    "8": "preferences",
}
_CODE = re.compile(f"[{''.join(SEVERITIES)}][{''.join(FAMILIES)}][0-9]{{2}}")


@dataclass(frozen=True)
class Issue:
    """One kind of finding.

    - ``code``: a letter for the severity, a digit for the family, two digits. It never changes its meaning.
    - ``name``: the same in words, for people and for tools that want names.
    - ``title``: what was found, as the headline of a finding.
    - ``meaning``: when a row counts, and why that matters.
    - ``advice``: what to do about it.

    >>> Issue("W401", "exact-duplicate", "Rows that repeat an earlier row", "", "").severity
    'warning'
    """

    code: str
    name: str
    title: str
    meaning: str
    advice: str

    def __post_init__(self) -> None:
        if not _CODE.fullmatch(self.code):
            raise ValueError(f"{self.code!r} is no code of an issue; one is like 'W401'")

    @property
    def severity(self) -> Severity:
        return SEVERITIES[self.code[0]]

    @property
    def family(self) -> str:
        return FAMILIES[self.code[1]]
