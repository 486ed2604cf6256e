"""Shards: files such as train-00000-of-00005.parquet, which are one dataset together."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from corpus.errors import DataError
from corpus.files.suffixes import split_compression

_SHARD = re.compile(r"(?P<before>.*)(?P<index>\d{5})(?P<of>-of-)(?P<count>\d{5})(?P<after>.*)")


def describe_other_shards(path: str | Path) -> str | None:
    """For one shard of several: how to name them all; None for any other file.

    It says so only where another shard is there.
    """
    pattern = shard_pattern(path)
    if pattern is None:
        return None
    others = [match for match in glob.glob(pattern) if Path(match) != Path(path)]
    if not others:
        return None
    count = "1 other is" if len(others) == 1 else f"{len(others)} others are"
    return f"{path} is one shard of a dataset, and {count} not read; all together are named '{pattern}'"


def shard_pattern(path: str | Path) -> str | None:
    """The pattern that names all shards beside one of them.

    >>> shard_pattern("data/train-00000-of-00005.parquet")
    'data/train-*-of-00005.parquet'
    """
    name = _SHARD.fullmatch(Path(path).name)
    if name is None or glob.has_magic(str(path)):
        return None
    return (Path(path).parent / f"{name['before']}*{name['of']}{name['count']}{name['after']}").as_posix()


def require_whole(where: object, files: Sequence[Path]) -> None:
    """Raise DataError where shards are missing: a download or a pull that stopped on the way."""
    found: dict[tuple[Path, str, int, str], set[int]] = {}
    for file in files:
        if name := _SHARD.fullmatch(file.name):
            series = (file.parent, name["before"], int(name["count"]), split_compression(name["after"])[0])
            found.setdefault(series, set()).add(int(name["index"]))
    for (folder, before, count, after), indices in found.items():
        missing = sorted(set(range(count)) - indices)
        if missing:
            first = folder / f"{before}{missing[0]:05}-of-{count:05}{after}"
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise DataError(
                where, f"{len(missing)} of {count} shards are missing: {first}{more}; download or `dvc pull` them"
            )
