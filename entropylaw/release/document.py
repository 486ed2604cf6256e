"""What results/release.json holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from corpus.artifacts import parse_result, read_json
from entropylaw.release.checks import Check
from entropylaw.repository import layout
from monitor.verdict import Status, Version
from monitor.waivers import Waiver

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class ReleasedDataset:
    """``rows`` were prepared, and ``selected_rows`` of them trained on."""

    data_hash: str
    rows: int
    selected_rows: int
    selected_hash: str | None
    method: str


@dataclass(frozen=True)
class ReleasedModel:
    """``hash``: of the files in the folder ``path``. ``dvc_hash``: as DVC has it."""

    path: str
    hash: str
    dvc_hash: str


@dataclass(frozen=True)
class ReleasedSource:
    """Z on the held-out rows of one source, None where no token of them is scored, and how many rows these are."""

    rows: int
    z: float | None


@dataclass(frozen=True)
class PreviousRelease:
    name: str
    scores: dict[str, float]


@dataclass(frozen=True)
class Release:
    """A model bound to its data, selection, verdict and scores. ``checks``: as they stood when it was written.

    ``sources``: the score `heldout` by source; written only where there are several.
    """

    status: Status
    version: Version
    verdict_summary: str
    data_hash: str
    config_fingerprint: str
    datasets: dict[str, ReleasedDataset]
    scores: dict[str, float]
    previous: PreviousRelease | None
    waivers: tuple[Waiver, ...]
    tool_version: str
    models: dict[str, ReleasedModel]
    checks: tuple[Check, ...]
    sources: dict[str, ReleasedSource] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


def load_release() -> dict[str, Any]:
    """The content of results/release.json. Raises NotAssessedError when it is missing, damaged or of another schema."""
    made_by = "dvc repro release"
    document: dict[str, Any] = read_json(layout.RELEASE_JSON, made_by)
    parse_result(document, Release, layout.RELEASE_JSON, made_by)
    return document
