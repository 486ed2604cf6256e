"""Leftovers of HTML and of escaping in prose."""

from __future__ import annotations

import re
from collections.abc import Iterator

from monitor.like_rows.traces import HTML_TAG
from monitor.lint.check import Hit, row_check
from monitor.lint.code_text import without_code
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow

ENTITY = Issue(
    "W505",
    "html-entity",
    "HTML entities in prose",
    "A text that is neither code nor HTML has `&amp;`, `&quot;`, `&#39;` or the like, where a person reads & or a "
    "quote.",
    "Decode them (Python: `html.unescape`).",
)
TAG = Issue(
    "W506",
    "html-tag",
    "HTML tags in prose",
    "A text that is no code has tags such as `<br>` or `</p>`, and neither it nor its prompt speaks of HTML.",
    "Turn them into line breaks or Markdown, or remove them.",
)
ESCAPE = Issue(
    "W507",
    "literal-escape",
    "Escapes that were never decoded",
    r"A text that is no code has no line break, and `\n` as two characters where one belongs; or it has `\u00e9` as "
    r"six.",
    r"Decode the escapes. Most often JSON was encoded twice.",
)

# The entities of scraped prose. Short names that are also names of variables, such as &num; in C, are left out.
_ENTITY = re.compile(
    r""
    r"&(?:#\d{2,6}|#x[0-9a-f]{2,5}|amp|lt|gt|quot|apos|nbsp|[mn]dash|hellip|[lr][sd]quo|bull|middot|eacute|egrave|agrave"
    r"|[aou]uml|szlig|ccedil|ntilde);",
    re.IGNORECASE,
)
# A private character, which no text has that is not broken.
_ENTITY_SIGN = "\ue123"
# A row about markup has such a word somewhere.
_ABOUT_MARKUP = re.compile(r"html|xml|css|svg|markup|web ?(?:page|site)|\btags?\b|javascript|entit|escap|encod", re.I)
# After \n comes no lower-case letter, or else it may be \nabla or C:\new. Beside a quote or a backslash it is code.
_LITERAL_BREAK = re.compile(r"(?<![\\'\"(])\\n(?=\\n|[^a-z\\'\")]|\Z)")
_LITERAL_CODE = re.compile(r"(?<!\\)\\u[0-9a-fA-F]{4}")


def look(row: LintRow) -> Iterator[Hit]:
    """Each kind once a row."""
    seen: set[str] = set()
    for _, text in row.texts:
        for issue, found in _find(text):
            if issue.code not in seen and not _speaks_of_it(issue, row):
                seen.add(issue.code)
                yield Hit(issue, row.index, "", text, text.find(found))


def _find(text: str) -> Iterator[tuple[Issue, str]]:
    has_entity, has_tag = "&" in text and _ENTITY.search(text), "<" in text and HTML_TAG.search(text)
    # An entity ends as a statement of code does, so something else has to stand for it.
    text = _ENTITY.sub(_ENTITY_SIGN, text) if has_entity else text
    has_escape = "\\" in text and (_LITERAL_BREAK.search(text) or _LITERAL_CODE.search(text))
    if not (has_entity or has_tag or has_escape) or not (prose := without_code(text)):
        return
    tag = HTML_TAG.search(prose) if has_tag else None
    if tag:
        yield TAG, tag[0]
    # Where tags are, entities belong.
    elif has_entity and _ENTITY_SIGN in prose:
        yield ENTITY, has_entity[0]
    if has_escape:
        found = _LITERAL_CODE.search(prose) or ("\n" not in text.strip() and _LITERAL_BREAK.search(prose)) or None
        if found:
            yield ESCAPE, found[0]


def _speaks_of_it(issue: Issue, row: LintRow) -> bool:
    if issue is ESCAPE:
        return bool(re.search(r"escape|unicode|newline|line break|regex|string|latex", row.sides.prompt, re.IGNORECASE))
    return any(_ABOUT_MARKUP.search(text) for _, text in row.texts)


CHECK = row_check((ENTITY, TAG, ESCAPE), look)
