"""The parameters of `entropylaw study`: the section `study` of the params.yaml in the study's folder."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from corpus.errors import ParamsError
from corpus.params import parse_section, parse_yaml, read_params
from corpus.shapes import show_value
from entropylaw.repository.layout import PREFERENCES, SFT
from entropylaw.study.files import SELECTION
from reports.study.runs import ZMeasure
from selection.methods import SelectionParams

# A name is part of a stage's name, of a file's, and of a key that DVC splits at its dots.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
# The budget and the seeds are the study's, or the methods would not be compared at equal terms.
_SHARED = {"share": "study.share", "rows": "study.share", "tokens": "study.share", "seed": "study.seeds"}


@dataclass(frozen=True)
class StudyParams:
    """What is compared, at which budget, and how the models are scored.

    ``share`` of the pool's tokens is every method's budget; or it is as many tokens as the first ``budget_rows`` rows
    have that the entry ``budget_entry`` selects (the paper, 5.1.1: 10,000 rows of ZIP). Each of ``seeds`` gives every
    method one model. ``dataset``: the conversations, of SFT, or the preferences, of KTO. ``evaluation``: on held-out
    rows, or by MT-bench. ``heldout_share``: of the prompts of preferences, kept out of the pool to score models on.
    ``start_rows``: conversations that the model which preferences align is trained on; None: all.
    """

    ADDED: ClassVar[tuple[str, ...]] = (
        "dataset",
        "evaluation",
        "heldout_share",
        "budget_rows",
        "budget_entry",
        "start_rows",
    )

    share: float | None
    seeds: tuple[int, ...]
    methods: dict[str, SelectionParams]
    dataset: Literal["sft", "preferences"] = "sft"
    evaluation: Literal["heldout", "mt_bench"] = "heldout"
    heldout_share: float = 0.1
    budget_rows: int | None = None
    budget_entry: str | None = None
    start_rows: int | None = None

    def __post_init__(self) -> None:
        self._require_budget()
        if self.start_rows is not None and self.start_rows < 1:
            raise ValueError("start_rows must be positive")
        if not 0 < self.heldout_share < 1:
            raise ValueError(f"heldout_share must lie between 0 and 1, found {self.heldout_share}")
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
            if settings.method == "score" and self.dataset == SFT:
                raise ValueError(f"methods: {name}: score ranks preferences, and dataset is {SFT}")

    def _require_budget(self) -> None:
        if (self.budget_rows is None) != (self.budget_entry is None):
            raise ValueError("budget_rows and budget_entry must be set together")
        if self.share is None and self.budget_rows is None:
            raise ValueError("set share, or budget_rows and budget_entry")
        if self.share is not None and not 0 < self.share <= 1:
            raise ValueError(f"share must lie between 0 and 1, found {self.share}")
        if self.budget_rows is not None and (self.share is not None or self.budget_rows < 1):
            raise ValueError("budget_rows must be positive, and share null beside it")
        if self.budget_entry is not None and self.budget_entry not in self.methods:
            raise ValueError(f"budget_entry: methods has no entry {self.budget_entry}")

    @property
    def z_measure(self) -> ZMeasure:
        """What Z of a trained model is."""
        if self.evaluation == "mt_bench":
            return "mt_bench"
        return "margin" if self.dataset == PREFERENCES else "heldout"


def read_study_params(path: Path = SELECTION.params) -> StudyParams:
    """The study to make. What an entry does not set is the default of SelectionParams, that is, the paper's.

    Not the section ``selection`` of the root's params.yaml: choosing a method there must not make the study stale
    that the choice rests on. Raises ParamsError naming the file and the key.
    """
    return _parse_study(read_params(path), path)


def parse_study_params(text: str, path: Path) -> StudyParams:
    """The same of the text of such a file."""
    return _parse_study(parse_yaml(text, path), path)


def _parse_study(document: Mapping[str, Any], path: Path) -> StudyParams:
    where = f"{path}: study"
    section = document.get("study")
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
