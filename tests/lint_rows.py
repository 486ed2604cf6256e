"""Rows for tests of `lint`: written to a file, linted, and the findings by their codes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monitor.lint.check import LintSettings, TokenCounter
from monitor.lint.registry import choose_codes
from monitor.lint.run import LintReport, lint_files

Row = dict[str, Any]

# Prompts and answers that have hardly a word in common with each other.
SOUND = (
    ("Where do swallows spend the winter?", "Most of them cross the Sahara and stay in southern Africa."),
    ("Name a bridge in Florence.", "The Ponte Vecchio, with goldsmiths' shops on both sides."),
    ("How long does rye bread keep?", "About five days, if you wrap it in a cloth."),
    ("What does a luthier do?", "A luthier builds and repairs violins, guitars and lutes."),
    ("Why is the sea salty?", "Rivers carry minerals from rocks, and evaporation leaves them behind."),
    ("Translate 'good evening' into Danish.", "God aften!"),
)


def ask(prompt: str, answer: str, system: str = "", **more: Any) -> Row:
    """A row of the format `messages`."""
    before = [{"role": "system", "content": system}] if system else []
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return {"messages": [*before, *turns], **more}


def talk(*turns: str) -> Row:
    """A row of turns written as "role: content"."""
    pairs = (turn.partition(": ") for turn in turns)
    return {"messages": [{"role": role, "content": content} for role, _, content in pairs]}


def sound_rows() -> list[Row]:
    return [ask(prompt, answer) for prompt, answer in SOUND]


def write_lines(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def lint_rows(
    folder: Path, rows: Sequence[object], *, show_text: bool = False, max_length: int | None = None,
    tokenizer: TokenCounter | None = None,
) -> LintReport:  # fmt: skip
    path = write_lines(folder / "rows.jsonl", rows)
    settings = LintSettings(choose_codes([], []), tokenizer, max_length)
    return lint_files([path], settings, show_text=show_text)


def rows_by_code(report: LintReport) -> dict[str, list[int]]:
    """The first rows of every finding."""
    return {finding.issue.code: [row.row for row in finding.rows] for finding in report.findings}
