"""Annotations: how GitHub shows what a step of a workflow found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from reports.escaping import escape_command_data, escape_command_property

# GitHub shows ten annotations of each level per step and drops the rest.
ANNOTATIONS_PER_LEVEL = 10


class Annotation(NamedTuple):
    """One annotation. ``path``, ``line``: where it points at, if it points at a file of the repository."""

    title: str
    message: str
    path: str = ""
    line: int = 1


def write_annotations(
    found: Mapping[str, Sequence[Annotation]], more: tuple[str, str] = ("More checks", "entropylaw check")
) -> str:
    """Workflow commands for the annotations of each level (error, warning, notice), at most ten of each level.

    ``more``: the title of the annotation that stands for the rest, and the command that lists all.

    >>> write_annotations({"error": [Annotation("E301: 2 rows", "Restore them.", "a.jsonl", 7)]})
    '::error file=a.jsonl,line=7,title=E301%3A 2 rows::Restore them.\\n'
    """
    lines = []
    for level, entries in found.items():
        shown = list(entries)
        if len(entries) > ANNOTATIONS_PER_LEVEL:
            left = len(entries) - ANNOTATIONS_PER_LEVEL + 1
            title, command = more
            shown[ANNOTATIONS_PER_LEVEL - 1 :] = [Annotation(title, f"{left} more are listed by {command}.")]
        for entry in shown:
            place = f"file={escape_command_property(entry.path)},line={entry.line}," if entry.path else ""
            title = escape_command_property(entry.title)
            lines.append(f"::{level} {place}title={title}::{escape_command_data(entry.message)}")
    return "\n".join(lines) + "\n"
