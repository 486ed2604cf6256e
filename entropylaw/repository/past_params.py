"""What params.yaml said of the datasets at an earlier commit: where each lay, and how its rows were read."""

from __future__ import annotations

import dataclasses
from typing import Any

from corpus.dataset_params import DatasetParams, parse_dataset, reading_of
from corpus.errors import ParamsError
from corpus.formats import Reading
from corpus.params import PARAMS_FILE, parse_section, parse_yaml, read_section
from corpus.prepare import PrepareParams
from entropylaw.repository.datasets import KINDS
from entropylaw.repository.git import run_git


def read_past_params(commit: str) -> dict[str, Any]:
    """The sections of params.yaml at a commit, of the pipeline in the current folder; empty where none can be read."""
    text = run_git("show", f"{commit}:./{PARAMS_FILE}")
    try:
        return parse_yaml(text, PARAMS_FILE) if text else {}
    except ParamsError:
        return {}


def past_source(sections: dict[str, Any], dataset: str) -> str | None:
    """Where a dataset lay by these sections, which may be of a version of the tool that wrote them otherwise.

    >>> past_source({"datasets": {"sft": "data/chats.jsonl"}}, "sft")
    'data/chats.jsonl'
    >>> past_source({"datasets": {"sft": {"path": "data/chats.jsonl", "weight": 2}}}, "sft")
    'data/chats.jsonl'
    """
    datasets = sections.get("datasets")
    entry = datasets.get(dataset) if isinstance(datasets, dict) else None
    path = entry.get("path") if isinstance(entry, dict) else entry
    return path if isinstance(path, str) and path else None


def past_reading(sections: dict[str, Any], dataset: str) -> Reading | None:
    """How a dataset was read by these sections, as far as they say it in today's words; None where they do not."""
    datasets = sections.get("datasets")
    entry = datasets.get(dataset) if isinstance(datasets, dict) else None
    if isinstance(entry, dict):
        known = {field.name for field in dataclasses.fields(DatasetParams)}
        entry = {key: value for key, value in entry.items() if key in known}
    try:
        params = parse_dataset(entry, PARAMS_FILE)
    except ParamsError:
        return None
    try:
        prepare = parse_section(PrepareParams, sections.get("prepare"), PARAMS_FILE)
    except ParamsError:  # of another version of the tool
        prepare = read_section(PrepareParams, "prepare")
    return reading_of(prepare, params, KINDS.get(dataset))
