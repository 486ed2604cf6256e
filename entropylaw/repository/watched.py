"""What a stage reads beside its own files and sections, and whether DVC watches it.

The shipped stages do not name what only some settings read: each change of it would run them anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from corpus.params import read_params
from entropylaw.repository.lockfile import PIPELINE_FILE


def find_unwatched(stage: str, reader: str, read: Iterable[tuple[str, str]]) -> list[str]:
    """Of what a stage reads, what dvc.yaml does not name: a sentence each, with the line to add.

    ``reader``: what in the stage reads it. ``read``: "deps" and a file, or "params" and a section or key of
    params.yaml. Empty where there is no such stage.
    """
    stages = read_params(PIPELINE_FILE).get("stages") if PIPELINE_FILE.exists() else None
    found = stages.get(stage) if isinstance(stages, Mapping) else None
    if not isinstance(found, Mapping):
        return []
    found = found.get("do", found)
    named = {kind: set(_list_names(found.get(kind) or ())) for kind in ("deps", "params")}
    return [
        f"{PIPELINE_FILE}: the stage {stage} does not see a change of {name}, which {reader} reads; "
        f"add `- {name}` to its {kind}"
        for kind, name in read
        if name not in named[kind] and name.partition(".")[0] not in named["params"]
    ]


def _list_names(items: Any) -> Iterator[str]:
    """The names in a list of a stage, whose items are names or mappings of a name to its options."""
    for item in items:
        yield from map(str, item) if isinstance(item, Mapping) else [str(item)]
