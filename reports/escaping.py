"""Text from data made inert: names, sources and reasons may hold anything, and no rendering may act on them."""

from __future__ import annotations

import json
import re
from typing import Any

from corpus.artifacts import to_json

# Longer than any honest reason; short enough that one row's source cannot bury the verdict.
MAX_CHARACTERS = 1000


def escape_invisible(text: str, limit: int = MAX_CHARACTERS) -> str:
    r"""One line in which nothing is invisible: control, direction and unassigned characters appear as escapes.

    Whitespace of any kind becomes single spaces; what exceeds ``limit`` characters is cut with an ellipsis.

    >>> escape_invisible("a\n b\x1b[31m")
    'a b\\x1b[31m'
    """
    # A cut before the costly loop: no escape is shorter than the character it stands for.
    line = " ".join(text[: 4 * limit].split())
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)
    return shown if len(shown) <= limit else shown[: limit - 1].rstrip() + "…"


def escape_lines(text: str, limit: int) -> str:
    r"""Several lines, each as ``escape_invisible`` shows it, without the empty ones; ``limit`` is for all together.

    >>> escape_lines("a  b\n\n\x1bc", 100)
    'a b\n\\x1bc'
    """
    lines = (escape_invisible(line, limit) for line in text[: 4 * limit].split("\n"))
    shown = "\n".join(line for line in lines if line)
    whole = len(shown) <= limit and len(text) <= 4 * limit
    return shown if whole else shown[: limit - 1].rstrip() + "…"


def escape_log(text: str) -> str:
    """A line for a terminal or a CI log, where ``::command::`` and ``##[command]`` are orders to the runner.

    GitHub reads the first at the start of a line, however indented, and the second anywhere in it;
    Azure Pipelines and TeamCity have their own ``##`` commands. A space breaks them all.

    >>> escape_log("::error::no ##[add-path]no")
    ': :error: :no # #[add-path]no'
    """
    return re.sub(r"([:#])(?=\1)", r"\1 ", escape_invisible(text))


def escape_markdown(text: str) -> str:
    r"""Text for Markdown: no markup, no HTML, no table cell break, no link, mention, reference or slash command.

    >>> escape_markdown("| **x** <b>")
    '\\| \\*\\*x\\*\\* &lt;b&gt;'
    """
    line = escape_log(text)
    # Forges look for references (@user, #12, !3, GH-4) and addresses in the rendered text, where a backslash
    # is gone already: only a character between sign and word stops them. The zero-width space is invisible.
    line = re.sub(r"([@#!~%&$^])(?=[\w\"'])", "\\1\u200b", line)
    line = re.sub(r"\b(gh)(?=-\d)|\b(www)(?=\.)|(:)(?=//)", lambda found: found[0] + "\u200b", line, flags=re.I)
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*_\[\]{}|~$^#!])", r"\\\1", line)
    # At the start of a line, also the signs of lists, rules and the slash commands of chat bots.
    return re.sub(r"^([-+=/:]|\d+[.)](?=\s|$))", lambda found: found[0][:-1] + "\\" + found[0][-1], line)


def markdown_code(text: str) -> str:
    """A name or hash as code in Markdown, in a table cell too.

    >>> markdown_code("x5"), markdown_code("a|b`")
    ('`x5`', '<code>a\\\\|b\\\\`</code>')
    """
    if re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9_./ -]*[A-Za-z0-9])?", text) and len(text) <= MAX_CHARACTERS:
        return f"`{text}`"
    return f"<code>{escape_markdown(text)}</code>"


def escape_command_data(text: str) -> str:
    """The message of a GitHub workflow command.

    >>> escape_command_data("100% sure")
    '100%25 sure'
    """
    return escape_invisible(text).replace("%", "%25")


def escape_command_property(text: str) -> str:
    """A property of a GitHub workflow command, where colon and comma also end it.

    >>> escape_command_property("redundancy: sft")
    'redundancy%3A sft'
    """
    return escape_command_data(text).replace(":", "%3A").replace(",", "%2C")


def log_json(result: Any) -> str:
    """A result as indented JSON with its exact strings, in ASCII, and free of runner commands when printed to a log.

    >>> print(log_json({"name": "##[x]"}), end="")
    {
      "name": "#\\u0023[x]"
    }
    """
    # Within JSON a doubled "#" can only be inside a string, where its escape reads back as the same character.
    return json.dumps(json.loads(to_json(result)), indent=2).replace("##", "#\\u0023") + "\n"
