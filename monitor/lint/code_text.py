"""Prose and code: what is a trace of a broken tool in prose, an escape for one, is right in code."""

from __future__ import annotations

import re

# A text in which so large a share of the lines looks like code is code. Prose has none or one such line.
CODE_LINES_SHARE = 0.25

_FENCED = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)", re.DOTALL)
_INLINE = re.compile(r"`[^`\n]+`")
# Ends of statements, keywords that begin lines, operators and calls. Tags do not count: prose may have them left over.
_CODE_LINE = re.compile(
    r"[;{}]\s*$|^\s*[}\])]|^\s*(?:def|class|import|from \w+ import|return|public|private|function|var|let|const|print|"
    r""
    r"#include|package|using|namespace|SELECT|INSERT|UPDATE|DELETE|CREATE)\b|^\s*(?:if|for|while|else|elif|try)\b.*[:({]\s*$"
    r"|[=!<>]=|\+=|->|=>|&&|\|\||::|(?<!\w)\w{1,40}\([^)]*\)\s*$|^\s*[\w.\[\]]+ = "
    r"|^\s*\"?[\w-]+\"?\s*:\s*[\"\[{\d]|\\[nt]\""
)


def without_code(text: str) -> str:
    r"""The prose of a text: without code between fences or backticks; nothing where the whole text is code.

    >>> without_code("Use `a\\nb`:\n```\nx = 1\n```\nDone.")
    'Use  :\n \nDone.'
    >>> without_code("int main() {\n  return 0;\n}")
    ''
    """
    prose = _INLINE.sub(" ", _FENCED.sub(" ", text)) if "`" in text or "~~~" in text else text
    return "" if looks_like_code(prose) else prose


def looks_like_code(text: str) -> bool:
    """Whether a text without fences is code, or data such as JSON, by the share of lines that look like it.

    >>> looks_like_code('x = {"a": 1}'), looks_like_code("Tea is better; much better.")
    (True, False)
    """
    lines = [line for line in text.splitlines() if line.strip()]
    return sum(1 for line in lines if _CODE_LINE.search(line)) > CODE_LINES_SHARE * len(lines)
