"""The suffixes that a data file may have, and what they say of it."""

from __future__ import annotations

from pathlib import Path

from corpus.errors import DataError

_COMPRESSIONS = ("", ".gz", ".zst")
# Types whose rows may hold lists and objects, so that rows of any format can be written to them.
SUFFIXES = (
    *(f"{suffix}{compression}" for suffix in (".jsonl", ".ndjson", ".json") for compression in _COMPRESSIONS),
    ".parquet",
    ".arrow",
)
# Types whose cells are text, and nothing else.
TABLE_SUFFIXES = tuple(f"{suffix}{compression}" for suffix in (".csv", ".tsv") for compression in _COMPRESSIONS)

_ACCEPTED = ".jsonl, .ndjson, .json, .csv, .tsv (each also with .gz or .zst), .parquet, .arrow"


def file_suffix(path: str | Path) -> str:
    """The suffix that names the file's type, one of SUFFIXES or TABLE_SUFFIXES. Raises DataError for any other.

    >>> file_suffix("data/sft.v2.JSONL.gz"), file_suffix("data/export.csv")
    ('.jsonl.gz', '.csv')
    """
    suffix = find_suffix(path)
    if suffix is None:
        name = Path(path).name
        if name.lower().endswith(".dvc"):
            raise DataError(path, f"is DVC's note about the data, not the data; name {name[:-4]} and run `dvc pull`")
        raise DataError(path, f"unknown file type; accepted are {_ACCEPTED}")
    return suffix


def find_suffix(path: str | Path) -> str | None:
    """As ``file_suffix``, but None for another type.

    >>> find_suffix("README.md") is None
    True
    """
    name = Path(path).name.lower()
    return next((suffix for suffix in (*SUFFIXES, *TABLE_SUFFIXES) if name.endswith(suffix)), None)


def split_compression(suffix: str) -> tuple[str, str]:
    """The type and the compression that a suffix names.

    >>> split_compression(".jsonl.gz"), split_compression(".parquet")
    (('.jsonl', '.gz'), ('.parquet', ''))
    """
    for compression in _COMPRESSIONS[1:]:
        if suffix.endswith(compression):
            return suffix.removesuffix(compression), compression
    return suffix, ""
