"""The parameters of `entropylaw study`: the section `study` of studies/selection/params.yaml."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.errors import ParamsError
from corpus.params import parse_section, read_params
from corpus.shapes import show_value
from entropylaw.repository.layout import STUDY_PARAMS
from selection.methods import SelectionParams

# A name is part of a stage's name, of a file's, and of a key that DVC splits at its dots.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
# The budget and the seeds are the study's, or the methods would not be compared at equal terms.
_SHARED = {"share": "study.share", "rows": "study.share", "tokens": "study.share", "seed": "study.seeds"}


@dataclass(frozen=True)
class StudyParams:
    """``share`` of the pool's tokens is every method's budget, and each of ``seeds`` gives every method one model."""

    share: float
    seeds: tuple[int, ...]
    methods: dict[str, SelectionParams]

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share must lie between 0 and 1, found {self.share}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"seeds must be different numbers of at least 0, found {list(self.seeds)}")
        if not self.methods:
            raise ValueError("methods must name at least one entry")
        names: dict[SelectionParams, str] = {}
        for name, settings in self.methods.items():
            if not _NAME.fullmatch(name):
                raise ValueError(f"methods: {name!r} must be of letters, digits, - and _, and no longer than 41")
            if settings in names:
                raise ValueError(f"methods: {names[settings]} and {name} are the same; leave one out")
            names[settings] = name


def read_study_params(path: Path = STUDY_PARAMS) -> StudyParams:
    """The study to make. What an entry does not set is the default of SelectionParams, that is, the paper's.

    Not the section ``selection`` of the root's params.yaml: choosing a method there must not make the study stale
    that the choice rests on. Raises ParamsError naming the file and the key.
    """
    where = f"{path}: study"
    section = read_params(path).get("study")
    if not isinstance(section, Mapping):
        raise ParamsError(f"{where}: expected a section of keys, found {show_value(section)}")
    if "methods" not in section:
        raise ParamsError(f"{where}.methods: missing key")
    if not isinstance(section["methods"], Mapping):
        raise ParamsError(f"{where}.methods: expected names with settings each, found {show_value(section['methods'])}")
    methods = {
        str(name): dataclasses.asdict(_parse_entry(entry, f"{where}.methods.{name}"))
        for name, entry in section["methods"].items()
    }
    return parse_section(StudyParams, {**section, "methods": methods}, where)


def _parse_entry(entry: object, where: str) -> SelectionParams:
    if not isinstance(entry, Mapping):
        raise ParamsError(f"{where}: expected settings such as {{ method: zip }}, found {show_value(entry)}")
    if "method" not in entry:
        raise ParamsError(f"{where}.method: missing key")
    for key in entry:
        if key in _SHARED:
            raise ParamsError(f"{where}.{key}: is the same for every method; set {_SHARED[key]}")
    defaults: dict[str, Any] = dataclasses.asdict(SelectionParams())
    return parse_section(SelectionParams, {**defaults, **entry}, where)
