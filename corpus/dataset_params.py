"""The section ``datasets`` of params.yaml: where a dataset lies, and how its rows are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corpus.formats import FormatChoice, Kind, Reading, kind_of
from corpus.params import parse_section
from corpus.prepare import PrepareParams


@dataclass(frozen=True)
class DatasetParams:
    """One dataset of params.yaml.

    ``path``: its data file. ``format``: of its rows; it wins over ``prepare.format``. ``columns``: our name of a
    column, and the name that it has in the file.
    """

    path: str
    format: FormatChoice = "auto"
    columns: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("path: expected a data file")
        Reading(self.format, self.columns)

    @property
    def file(self) -> Path:
        return Path(self.path)


def parse_dataset(value: object, where: str) -> DatasetParams:
    """A dataset given by its path alone, or by a section in which only the path must be.

    Raises ParamsError naming ``where`` and the key.

    >>> parse_dataset({"path": "qa.jsonl", "columns": {"prompt": "q", "completion": "a"}}, "params.yaml: datasets.sft")
    DatasetParams(path='qa.jsonl', format='auto', columns={'prompt': 'q', 'completion': 'a'})
    """
    if isinstance(value, str):
        value = {"path": value}
    if isinstance(value, Mapping):
        optional: dict[str, Any] = {"format": "auto", "columns": {}}
        value = {**optional, **{key: held for key, held in value.items() if held is not None or key not in optional}}
    return parse_section(DatasetParams, value, where)


def reading_of(prepare: PrepareParams, dataset: DatasetParams | None = None, kind: Kind | None = None) -> Reading:
    """How the rows of a file are read. ``kind``: what the file holds, where that is known.

    ``prepare.format`` counts for all files that hold what this format holds, unless their dataset names another.

    >>> reading_of(PrepareParams(format="alpaca"), kind="preferences").format
    'auto'
    """
    format: FormatChoice = dataset.format if dataset else "auto"
    if format == "auto" and prepare.format != "auto" and kind in (None, kind_of(prepare.format)):
        format = prepare.format
    return Reading(format, dataset.columns if dataset else {}, prepare.ignore_keys)
