"""Patterns such as data/train-*.parquet: what they match on disk, and what they would match at a past commit."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Sequence
from pathlib import Path

from corpus.files.names import is_data_name, is_shown
from corpus.files.suffixes import find_suffix


def is_pattern(source: str | Path) -> bool:
    """Whether a name stands for all files that match it. A file that really has such a name comes first.

    >>> is_pattern("data/train-*.parquet"), is_pattern("data/train.parquet")
    (True, False)
    """
    return glob.has_magic(str(source)) and not os.path.lexists(source)


def pattern_root(pattern: str | Path) -> Path:
    """The folder that all matches of a pattern lie in.

    >>> pattern_root("data/sft/2024-*/part-*.jsonl").as_posix()
    'data/sft'
    """
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:fixed])


def dataset_root(source: str | Path) -> Path:
    """The file or folder that a dataset lies in: what DVC depends on where the dataset is named by a pattern."""
    return pattern_root(source) if is_pattern(source) else Path(source)


def belongs_to(source: str | Path, file: str) -> bool:
    """Whether a dataset named so would hold a file, of which no more than the name is known: of a past commit.

    >>> belongs_to("data/sft", "data/sft/a/part-1.jsonl"), belongs_to("data/sft", "data/sft/README.md")
    (True, False)
    >>> belongs_to("data/sft/*.jsonl", "data/sft/part-1.jsonl"), belongs_to("data/*.jsonl", "data/sft/part-1.jsonl")
    (True, False)
    """
    root, parts = dataset_root(source), Path(file).parts
    if root.parts != parts[: len(root.parts)]:
        return False
    below = parts[len(root.parts) :]
    if is_pattern(source):
        return find_suffix(file) is not None and _matches(below, Path(source).parts[len(root.parts) :])
    return not below or (all(map(is_shown, below[:-1])) and is_data_name(below[-1]))


def _matches(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether a path matches a pattern, part by part, as `glob` has it."""
    if not parts or not patterns:
        return not parts and not patterns
    if patterns[0] == "**":
        return _matches(parts, patterns[1:]) or (is_shown(parts[0]) and _matches(parts[1:], patterns))
    is_match = fnmatch.fnmatchcase(parts[0], patterns[0]) and is_shown(parts[0])
    return is_match and _matches(parts[1:], patterns[1:])
