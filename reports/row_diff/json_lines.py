"""A diff of two versions as JSON lines: the counts first, then a row on each line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from corpus.credentials import hide_credentials
from reports.row_diff.changed_rows import ChangedRow, DiffView, RowPlace


def render_json_diff(view: DiffView, rows: Iterable[ChangedRow]) -> Iterator[str]:
    """Lines of ASCII, which hold no command for a CI system that reads its log."""
    yield _write({"kind": "versions", "rows_numbered_from": 1, **asdict(view)})
    for row in rows:
        fields: dict[str, Any] = {"kind": row.kind, "a": _place(row.a), "b": _place(row.b), "rules": row.rules}
        if row.kind == "edited":
            fields["changed"] = row.changed
        if row.kind == "copied":
            fields |= {"twin": row.twin, "twin_in_a": row.twin_in_a}
        if row.like is not None:
            fields |= {"like": row.like, "like_share": row.like_share}
        if row.words:
            fields["words"] = row.words
        yield _write(fields)


def _place(place: RowPlace | None) -> dict[str, Any] | None:
    optional = ("file", "file_row", "text")
    return (
        None
        if place is None
        else {name: value for name, value in asdict(place).items() if value is not None or name not in optional}
    )


def _write(fields: dict[str, Any]) -> str:
    # As `log_json` does: the escape reads back as the same character.
    return hide_credentials(json.dumps(fields).replace("##", "#\\u0023"))
