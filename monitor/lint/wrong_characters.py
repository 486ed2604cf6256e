"""Characters that no author wrote: text read with the wrong decoder, control characters, invisible characters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from monitor.like_rows.traces import CONTROL_CHARACTER, MAX_CHARACTERS, count_wrong_decoding
from monitor.lint.check import Hit, row_check
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow

MOJIBAKE = Issue(
    "W508",
    "mojibake",
    "Text that was read with the wrong decoder",
    "A text has pairs of characters that only a wrong decoder makes (`donâ€™t`), the replacement character U+FFFD, or "
    "cannot be read at all.",
    "Export the text again as UTF-8. Where that is impossible, `ftfy.fix_text` repairs much of it.",
)
CONTROL = Issue(
    "W509",
    "control-character",
    "Control characters",
    "A text has characters that stand for no sign: NUL, backspace, the escape codes of a terminal's colours.",
    "Remove them; where they came from a terminal, remove the whole code.",
)
INVISIBLE = Issue(
    "N510",
    "invisible-character",
    "Invisible characters",
    "A text has zero-width spaces, byte order marks, or marks that turn the direction of writing.",
    "Remove them, unless the language needs them.",
)

# Joiners (U+200C, U+200D) and plain direction marks (U+200E, U+200F) are left out: Persian, Hindi and emojis need them.
_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007f]+")


def look(row: LintRow) -> Iterator[Hit]:
    """Each kind once a row."""
    seen: set[str] = set()
    for _, text in row.texts:
        for issue, start in _find(text):
            if issue.code not in seen:
                seen.add(issue.code)
                yield Hit(issue, row.index, "", text, start)


def _find(text: str) -> Iterator[tuple[Issue, int]]:
    if found := CONTROL_CHARACTER.search(text):
        yield CONTROL, found.start()
    if text.isascii():
        return
    if count_wrong_decoding(text[:MAX_CHARACTERS]):
        yield MOJIBAKE, _locate_mojibake(text)
    # The flags of England, Scotland and Wales are spelt with invisible characters.
    if (found := _INVISIBLE.search(text)) and _INVISIBLE.search(_FLAG.sub("", text)):
        yield INVISIBLE, found.start()


def _locate_mojibake(text: str) -> int:
    """Where a reader sees it; 0 where the text is unreadable as a whole."""
    from ftfy.badness import BADNESS_RE

    found = BADNESS_RE.search(text)
    return found.start() if found else max(0, text.find("\ufffd"))


CHECK = row_check((MOJIBAKE, CONTROL, INVISIBLE), look)
