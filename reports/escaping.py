"""Escaping of text from the data: names, sources and reasons may hold anything, and must never be read as markup.

What a command prints goes through `entropylaw/printing.py`, which calls this; the reports do for their own formats.
"""

from __future__ import annotations

import json
import re
from typing import Any

from corpus.artifacts import to_json
from corpus.credentials import hide_credentials
from corpus.visible_text import is_seen

# Longer than any real reason, and short enough that one row's source cannot push the verdict out of sight.
MAX_CHARACTERS = 1000
# A line that is printed may be a message that lists names, and ends with what to do.
MAX_LINE = 8000

# All but printable ASCII: what may have to be shown as an escape.
_OTHER = re.compile(r"[^\x20-\x7e]")
# What begins a command of a CI system; see escape_log.
_DOUBLED = re.compile(r"([:#])(?=\1)")


def escape_invisible(text: str, limit: int = MAX_CHARACTERS) -> str:
    r"""The text as one line with everything visible: control, direction and unassigned characters become escapes.

    Whitespace of any kind becomes single spaces. A longer text is cut to ``limit`` characters and ends in an ellipsis.

    >>> escape_invisible("a\n b\x1b[31m")
    'a b\\x1b[31m'
    """
    # Cut before the slow loop: an escape is never shorter than the character it stands for.
    return _cut(_escape(" ".join(hide_credentials(text[: 4 * limit]).split())), limit)


def _escape(text: str, kept: str = "") -> str:
    return _OTHER.sub(lambda found: found[0] if found[0] in kept or is_seen(found[0]) else _name(found[0]), text)


def _name(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _cut(shown: str, limit: int) -> str:
    return shown if len(shown) <= limit else shown[: limit - 1].rstrip() + "…"


def escape_lines(text: str, limit: int) -> str:
    r"""Several lines, each as ``escape_invisible`` shows it, without empty ones; ``limit``: characters in all.

    >>> escape_lines("a  b\n\n\x1bc", 100)
    'a b\n\\x1bc'
    """
    lines = (escape_invisible(line, limit) for line in text[: 4 * limit].split("\n"))
    shown = "\n".join(line for line in lines if line)
    whole = len(shown) <= limit and len(text) <= 4 * limit
    return shown if whole else shown[: limit - 1].rstrip() + "…"


def escape_log(text: str) -> str:
    """The text as a line for a terminal or a CI log, in which no runner finds a command.

    GitHub reads ``::command::`` at the start of a line, however indented, and ``##[command]`` anywhere in it; Azure
    Pipelines and TeamCity have ``##`` commands of their own. A space inside breaks all of them.

    >>> escape_log("::error::no ##[add-path]no")
    ': :error: :no # #[add-path]no'
    """
    return _DOUBLED.sub(r"\1 ", escape_invisible(text))


def escape_line(text: str, limit: int = MAX_LINE) -> str:
    r"""The text as a line as ``escape_log`` makes it, with its columns: runs of blanks stay as they are.

    >>> escape_line("x1    12\n::error::")
    'x1    12 : :error: :'
    """
    line = re.sub(r"\s", " ", hide_credentials(text[: 4 * limit]))
    return _DOUBLED.sub(r"\1 ", _cut(_escape(line), limit))


def escape_screen(text: str) -> str:
    r"""What other programs' code prints through ours, in its own lines: they stay, and hold no command either.

    A carriage return stays too: progress bars are made of it, and behind it no CI system finds a command any more.

    >>> escape_screen("Usage: x\n\x1b[2J##[error]\n")
    'Usage: x\n\\x1b[2J# #[error]\n'
    """
    return _DOUBLED.sub(r"\1 ", _escape(hide_credentials(text), kept="\n\r\t"))


def escape_markdown(text: str) -> str:
    r"""The text for Markdown, where it makes no markup, HTML, table cell, link, mention, reference or slash command.

    >>> escape_markdown("| **x** <b>")
    '\\| \\*\\*x\\*\\* &lt;b&gt;'
    """
    line = escape_log(text)
    # GitHub and GitLab look for references (@user, #12, !3, GH-4) and addresses in the rendered text, where backslashes
    # are gone. Only a character between sign and word prevents them: a zero-width space, which is invisible.
    line = re.sub(r"([@#!~%&$^])(?=[\w\"'])", "\\1\u200b", line)
    line = re.sub(r"\b(gh)(?=-\d)|\b(www)(?=\.)|(:)(?=//)", lambda found: found[0] + "\u200b", line, flags=re.I)
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*_\[\]{}|~$^#!])", r"\\\1", line)
    # At the start of a line also the signs of lists and rules, and the slash commands of chat bots.
    return re.sub(r"^([-+=/:]|\d+[.)](?=\s|$))", lambda found: found[0][:-1] + "\\" + found[0][-1], line)


def markdown_code(text: str) -> str:
    """A name or hash as code in Markdown, also within a table cell.

    >>> markdown_code("x5"), markdown_code("a|b`")
    ('`x5`', '<code>a\\\\|b\\\\`</code>')
    """
    if re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9_./ -]*[A-Za-z0-9])?", text) and len(text) <= MAX_CHARACTERS:
        return f"`{text}`"
    return f"<code>{escape_markdown(text)}</code>"


def escape_command_data(text: str) -> str:
    """The text as message of a GitHub workflow command.

    >>> escape_command_data("100% sure")
    '100%25 sure'
    """
    return escape_invisible(text).replace("%", "%25")


def escape_command_property(text: str) -> str:
    """The text as property of a GitHub workflow command, which colon and comma would end.

    >>> escape_command_property("redundancy: sft")
    'redundancy%3A sft'
    """
    return escape_command_data(text).replace(":", "%3A").replace(",", "%2C")


def log_json(result: Any) -> str:
    """A result as indented JSON in ASCII: its strings read back exactly, but for the passwords in addresses. Printed to
    a log it holds no command.

    >>> print(log_json({"name": "##[x]"}), end="")
    {
      "name": "#\\u0023[x]"
    }
    """
    # In JSON "##" can only be inside a string, where the escape reads back as the same character.
    text = json.dumps(json.loads(to_json(result)), indent=2).replace("##", "#\\u0023")
    return hide_credentials(text) + "\n"


def escape_text(text: str) -> str:
    r"""A text with its lines and blanks as they are, and everything visible, for a page that escapes markup itself.

    >>> escape_text("a\n  b\x1b")
    'a\n  b\\x1b'
    """
    return _escape(hide_credentials(text), kept="\n\t")
