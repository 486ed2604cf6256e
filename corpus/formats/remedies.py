"""What to do with a file whose rows are in no known format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from corpus.errors import DataError
from corpus.files import Row, row_error
from corpus.formats.keys import READ_ANYWHERE, is_empty, is_metadata
from corpus.formats.unreadable import quote

_FORMATS = "docs/formats.md shows a row of each known format"
# OpenAssistant's and others' tables of single messages: each row says which one it answers.
_PARENT_KEYS = ("parent_id", "parent_message_id", "parent")


def explain_unknown_format(path: str | Path, rows: Sequence[tuple[int, Row]], columns: Mapping[str, str]) -> DataError:
    """The error for a file none of whose first rows is in a known format, with the mapping that would help."""
    held: dict[str, object] = {}
    for _, row in rows:
        held |= {key: value for key, value in row.items() if not is_empty(value) and key not in held}
    if not held:
        return row_error(path, f"the first {len(rows)} rows hold nothing", rows[0][0])
    if any(key in held for key in _PARENT_KEYS) and "text" in held:
        cause = "a row is one message of a tree, not a conversation; join each answer with what it answers first"
    elif set(held) - READ_ANYWHERE == {"text"} or [key for key in held if not is_metadata(key)] == ["text"]:
        cause = (
            "'text' alone does not say where the question ends and the answer begins, so there is nothing to compare "
            "an answer with; write the two into 'prompt' and 'completion', or mark the turns as in hh-rlhf, guanaco or "
            "ChatML"
        )
    else:
        cause = f"no known format has the keys {quote(', '.join(held))}; {_suggest(held, columns)}"
    return row_error(path, f"{cause}; {_FORMATS}", rows[0][0])


def _suggest(held: Mapping[str, object], columns: Mapping[str, str]) -> str:
    texts = [key for key, value in held.items() if isinstance(value, (str, bytes)) and not is_metadata(key)]
    lists = [key for key, value in held.items() if isinstance(value, list) and not is_metadata(key)]
    if lists and isinstance(held[lists[0]][0] if held[lists[0]] else None, dict):  # type: ignore[index]
        mapping = {"messages": lists[0]}
    elif {"chosen", "rejected"} & held.keys():
        asked = next((key for key in texts if key not in ("chosen", "rejected")), "…")
        answers = {key: key if key in held else "…" for key in ("chosen", "rejected")}
        mapping = {"prompt": asked, **answers}
    elif len(texts) >= 2:
        mapping = {"prompt": texts[0], "completion": texts[1]}
    else:
        mapping = {"prompt": "…", "completion": "…"}
    line = ", ".join(f"{ours}: {theirs}" for ours, theirs in mapping.items())
    said = "correct" if columns else "say which is which with"
    return f"{said} `columns: {{{line}}}` under the dataset in params.yaml"
