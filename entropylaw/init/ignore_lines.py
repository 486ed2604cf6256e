"""What Git must never take, written into .gitignore by us.

DVC writes such lines too, but takes back those of a run that failed; the training text that the run left behind would
then go into the next `git add --all`. A path that is ignored already DVC leaves alone, so the two do not fight.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from corpus.artifacts import TEMPORARY_SUFFIX
from entropylaw.repository import layout

HEADING = "# The data pipeline's own: kept by DVC, or of no interest to anybody else. A part of it is training text."


def list_ignored(pipeline: Mapping[str, Any], datasets: Iterable[str]) -> list[str]:
    """The lines for the .gitignore beside a dvc.yaml: what its stages make for DVC to keep, the raw baseline and
    held-out rows, and what is nobody's output. ``pipeline``: the content of the dvc.yaml.

    >>> stage = {"foreach": "${datasets}", "do": {"cmd": "x", "outs": ["data/${key}", {"r.json": {"cache": False}}]}}
    >>> list_ignored({"stages": {"prepare": stage}}, ["sft"])
    ['/data/sft', '/data/baseline.jsonl', '/data/heldout.jsonl', '.entropylaw/', '.*.tmp']
    """
    kept = [f"/{path}" for path, cached in list_outputs(pipeline, datasets) if cached]
    own = [f"/{path.as_posix()}" for path in (layout.BASELINE, layout.HELDOUT)]
    return [*kept, *own, f"{layout.JUDGMENTS.parent.as_posix()}/", f".*{TEMPORARY_SUFFIX}"]


def list_outputs(pipeline: Mapping[str, Any], datasets: Iterable[str]) -> list[tuple[str, bool]]:
    """Every file and folder that the stages of a dvc.yaml make, and whether DVC keeps it; else Git does."""
    names, found = list(datasets), {}
    for stage in pipeline["stages"].values():
        repeated = "do" in stage
        for path, cached in _outputs_of(stage["do"] if repeated else stage):
            for name in names if repeated else [""]:
                found[path.replace("${key}", name)] = cached
    return list(found.items())


def _outputs_of(stage: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    for kind in ("outs", "metrics", "plots"):
        for entry in stage.get(kind, ()):
            path, settings = next(iter(entry.items())) if isinstance(entry, Mapping) else (entry, {})
            yield str(path), bool((settings or {}).get("cache", True))


def line_for(name: str) -> str:
    """The line that ignores a file or folder beside the .gitignore, as DVC writes it.

    >>> line_for("chats [1].jsonl")
    '/chats \\\\[1\\\\].jsonl'
    """
    return "/" + re.sub(r"([]\\[!*#?])", r"\\\1", name)


def add_lines(content: bytes, lines: Iterable[str], heading: str | None = None) -> bytes:
    """A .gitignore with the lines that it does not have yet, below a heading. All other bytes stay as they are,
    whatever their encoding and line ends.

    >>> add_lines(b"*.pyc", ["*.pyc", "/models/base"])
    b'*.pyc\\n/models/base\\n'
    """
    there = {line.strip() for line in content.splitlines()}
    new = [line for line in lines if os.fsencode(line) not in there]
    if not new:
        return content
    end = b"\r\n" if b"\r\n" in content else b"\n"
    if content and not content.endswith((b"\n", b"\r")):
        content += end
    if heading and heading.encode() not in there:
        new = [heading, *new]
    return content + b"".join(os.fsencode(line) + end for line in new)
