"""What the stage `select` reads beside its pool and its own sections, and whether DVC watches it.

Most methods read nothing else, so the shipped stage does not name it: each change of it would select anew, which costs
hours where a model scores the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from corpus.params import read_params
from entropylaw.repository import watched
from selection.methods import SelectionParams

if TYPE_CHECKING:
    from training.row_scores import RowScoreParams

# What a judge's answer depends on, as in the stage `evaluate`.
JUDGE_KEYS = ("judge.model", "judge.temperature", "judge.max_tokens")


def find_unwatched(params: SelectionParams, scoring: RowScoreParams) -> list[str]:
    """Of what the method reads, what dvc.yaml's stage `select` does not name: a sentence each, with the line to add.

    Empty where there is no such stage.
    """
    return watched.find_unwatched("select", params.method, _list_read(params, scoring))


def _list_read(params: SelectionParams, scoring: RowScoreParams) -> Iterator[tuple[str, str]]:
    """What a method reads: files, for the stage's deps, and sections or keys of params.yaml, for its params."""
    if params.method == "dsir" and params.target is not None:
        yield "deps", params.target
    if params.method in ("instag", "alpagasus") and scoring.labels is not None:
        yield "deps", scoring.labels
    sections = read_params()
    if params.method in ("cherry", "mods") and "sft" in sections:
        yield "params", "sft"
    # Without an endpoint, all grades stand in the rows.
    if params.method == "alpagasus" and (sections.get("judge") or {}).get("endpoint"):
        yield from (("params", key) for key in JUDGE_KEYS)
