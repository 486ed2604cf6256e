"""Names of files: which are data in a folder, and in what order they come."""

from __future__ import annotations

import re
from pathlib import Path

from corpus.files.suffixes import find_suffix

# What is about a dataset, not in it.
NOTES = {
    *("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "metadata.json"),
    *("config.json", "package.json", "index.json", "croissant.json"),
}
# Suffixes of what is written about data, or makes it.
_ABOUT = {".md", ".rst", ".html", ".pdf", ".png", ".py", ".ipynb", ".sh", ".yaml", ".yml", ".toml", ".dvc", ".lock"}


def natural_key(path: str | Path) -> tuple[tuple[tuple[int, str], ...], ...]:
    """A key to sort paths by: numbers in them by value, all else by code point, folder by folder.

    >>> sorted(["b/1", "a/part-10", "a/part-2"], key=natural_key)
    ['a/part-2', 'a/part-10', 'b/1']
    """
    return tuple(
        # Numbers before words; the text itself tells 01 from 1.
        tuple((int(part), part) if part.isascii() and part.isdigit() else (-1, part) for part in _split_numbers(name))
        for name in Path(path).parts
    )


def _split_numbers(name: str) -> list[str]:
    return [part for part in re.split(r"([0-9]+)", name) if part]


def is_data_name(name: str) -> bool:
    """Whether a file in a folder is data, by its name.

    >>> is_data_name("part-1.jsonl"), is_data_name("dataset_info.json"), is_data_name("README.md")
    (True, False, False)
    """
    # `datasets` keeps what map() and filter() made beside the data.
    is_note = name.lower() in NOTES or (name.startswith("cache-") and name.endswith(".arrow"))
    return is_shown(name) and not is_note and find_suffix(name) is not None


def is_unread_name(name: str) -> bool:
    """Whether a file in a folder may be meant as data and is not read.

    >>> is_unread_name("part-3.jsonl.bz2"), is_unread_name("README.md"), is_unread_name("part-3.jsonl.dvc")
    (True, False, False)
    """
    is_known = is_data_name(name) or name.lower() in NOTES or Path(name).suffix.lower() in _ABOUT
    return is_shown(name) and not is_known and not name.startswith("cache-") and Path(name).suffix != ""


def is_shown(name: str) -> bool:
    """Whether a name is not one of those that programs hide: .cache, _SUCCESS."""
    return not name.startswith((".", "_"))
