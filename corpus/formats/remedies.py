"""What to do with a file whose rows are in no known format."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corpus.errors import DataError
from corpus.files import Row, row_error
from corpus.formats.keys import READ_ANYWHERE, is_empty, is_metadata
from corpus.formats.unreadable import quote

_FORMATS = "docs/formats.md shows a row of each known format"
# OpenAssistant's and others' tables of single messages: each row says which one it answers.
_PARENT_KEYS = ("parent_id", "parent_message_id", "parent")
# Tables of rated answers: UltraFeedback's, Nectar's, HelpSteer2's.
_SEVERAL_ANSWERS = frozenset(("completions", "answers", "responses", "generations", "candidates"))
_NUMBERED = re.compile(r"(response|answer|completion|output|chosen|candidate)_?[0-9a-b]$")


def explain_unknown_format(path: str | Path, rows: Sequence[tuple[int, Row]], columns: Mapping[str, str]) -> DataError:
    """The error for a file none of whose first rows is in a known format, with the mapping that would help."""
    held: dict[str, Any] = {}
    for _, row in rows:
        held |= {key: value for key, value in row.items() if not is_empty(value) and key not in held}
    if not held:
        return row_error(path, f"the first {len(rows)} rows hold nothing", rows[0][0])
    return row_error(path, f"{_find_cause(held, rows, columns)}; {_FORMATS}", rows[0][0])


def _find_cause(held: Mapping[str, Any], rows: Sequence[tuple[int, Row]], columns: Mapping[str, str]) -> str:
    said = [key for key in held if key not in READ_ANYWHERE and not is_metadata(key)]
    if "text" in held and any(key in row for _, row in rows for key in _PARENT_KEYS):
        return "a row is one message of a tree, not a conversation; join each answer with what it answers first"
    if said == ["text"]:
        return (
            "'text' alone does not say where the question ends and the answer begins, so there is nothing to compare "
            "an answer with; write the two into 'prompt' and 'completion', or mark the turns as in hh-rlhf, guanaco or "
            "ChatML"
        )
    numbered = [key for key in said if _NUMBERED.search(key)]
    several = next((key for key in said if key in _SEVERAL_ANSWERS and isinstance(held[key], list)), None)
    if several or len(numbered) > 1:
        answers = repr(several) if several else " and ".join(map(repr, numbered[:2]))
        return (
            f"a row has several answers ({answers}); write a row with 'prompt', 'chosen' and 'rejected' for each pair "
            "of a better and a worse one"
        )
    unknown = f"no known format has the keys {quote(', '.join(held))}"
    return f"{unknown}; {_suggest({key: held[key] for key in said}, columns)}"


def _suggest(said: Mapping[str, Any], columns: Mapping[str, str]) -> str:
    texts = [key for key, value in said.items() if isinstance(value, (str, bytes))]
    lists = [key for key, value in said.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if lists:
        mapping = {"messages": lists[0]}
    elif {"chosen", "rejected"} & said.keys():
        asked = next((key for key in texts if key not in ("chosen", "rejected")), "…")
        mapping = {"prompt": asked, **{key: key if key in said else "…" for key in ("chosen", "rejected")}}
    else:
        asked, answered = [*texts, "…", "…"][:2] if len(texts) > 1 else ("…", "…")
        mapping = {"prompt": asked, "completion": answered}
    line = ", ".join(f"{ours}: {theirs}" for ours, theirs in mapping.items())
    word = "correct" if columns else "say which is which with"
    return f"{word} `columns: {{{line}}}` under the dataset in params.yaml"
