"""E-mail addresses and telephone numbers: a notice, because only people can say whether they may be there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from monitor.lint.check import Hit, row_check
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow

E_MAIL = Issue(
    "N703",
    "e-mail-address",
    "E-mail addresses",
    "A text has an e-mail address. Addresses of example.com and the like, which belong to nobody, do not count.",
    "Make sure that they may be trained on. If not, replace them by addresses at example.com.",
)
PHONE = Issue(
    "N704",
    "phone-number",
    "Telephone numbers",
    "A text has a number that is written as telephone numbers are. North American numbers with 555, which belong to "
    "nobody, do not count.",
    "Make sure that they may be trained on. If not, replace them.",
)

_E_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![\w-])")
# Reserved for examples (RFC 2606), and what examples use in spite of it.
_NOBODY = re.compile(
    r"\A(?:you|your\w*|name|user(?:name)?|test|someone|sender|recipient|receiver|to|from)[\d.]*@"
    r"|@(?:[\w-]+\.)*(?:example\d*|sample|test|invalid|localhost|domain|email|mail|company|your\w*)\.\w+\Z",
    re.IGNORECASE,
)
# With a country code, or in the North American groups with brackets, dots or hyphens.
_PHONE = re.compile(
    r"(?<![\w.+/-])(?:\+[1-9]\d{0,2}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{2,4}(?:[ .-]\d{2,4}){1,4}"
    r"|(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[.-])[2-9]\d\d[.-]\d{4})(?![\w-]|\.\d)"
)
# What every such number has; looked for first because it is faster.
_DIGITS = re.compile(r"\d\d\d?\d?[-. )]\(?\d\d")
# A shorter number, with its country code, calls nobody.
MIN_DIGITS = 9
# The longest number that there is (ITU-T E.164).
MAX_DIGITS = 15


def look(row: LintRow) -> Iterator[Hit]:
    """Each kind once a row."""
    mail = phone = False
    for _, text in row.texts:
        if not mail and "@" in text:
            found = next((m for m in _E_MAIL.finditer(text) if not _NOBODY.search(m[0])), None)
            if found:
                mail = True
                yield Hit(E_MAIL, row.index, "", text, found.start())
        if not phone and (start := _find_phone(text)) is not None:
            phone = True
            yield Hit(PHONE, row.index, "", text, start)


def _find_phone(text: str) -> int | None:
    if not _DIGITS.search(text):
        return None
    for found in _PHONE.finditer(text):
        digits = re.sub(r"\D", "", found[0])
        # "+1 22 + 333" is no number to call, and 555 is for films.
        if MIN_DIGITS <= len(digits) <= MAX_DIGITS and "555" not in digits[:7]:
            return found.start()
    return None


CHECK = row_check((E_MAIL, PHONE), look)
