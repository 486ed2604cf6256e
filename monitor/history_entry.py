"""What the history keeps of one accepted version: enough to compare the next version with it row by row."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from corpus.artifacts import fingerprint
from monitor.measures.grades import GradeSummary
from monitor.measures.preferences import PairReference
from monitor.measures.row_sketch import RowSketch
from monitor.measures.row_table import RowTable
from monitor.measures.second_losses import SecondLosses
from monitor.verdict import Measurements

SCHEMA_VERSION = 1


def make_id(data_hash: str, config_fingerprint: str, parents: Sequence[str] | None) -> str:
    """The id of an entry, see ``HistoryEntry.id``."""
    return fingerprint([data_hash, config_fingerprint, sorted(parents or ())])


@dataclass(frozen=True)
class DatasetReference:
    """What the next version needs to know of one dataset of this one.

    - ``probe_hashes``, ``probe_losses``: the probe's rows in the order they were trained on, with their losses in nats
      per response token (kept in single precision).
    - ``agreement_mean``, ``agreement_sd``, ``agreement_n``: mean, standard deviation and number of the prompt-response
      cosines. The first two are NaN where no row had one.
    - ``pairs``: None of conversations, and of versions measured before there were rules for pairs.
    - ``sources``: rows by source, see ``monitor.measures.row_sources``; None of versions accepted before sources were
      recorded.
    - ``table``: of single rows; None of versions accepted before there was one.
    - ``grades``: how the rows are graded; None where none is. It is written only where it is known.
    - ``second``: the losses of some rows by the second model; None where there is none. Written only where it is known.
    """

    data_hash: str
    sketch: RowSketch
    probe_hashes: tuple[str, ...]
    probe_losses: tuple[float, ...]
    agreement_mean: float
    agreement_sd: float
    agreement_n: int
    pairs: PairReference | None = None
    sources: dict[str, int] | None = None
    table: RowTable | None = None
    grades: GradeSummary | None = None
    second: SecondLosses | None = None


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """An accepted version.

    - ``number``: one more than that of the versions before it, given by ``write_entry``; until then it is 0. Versions
      of two branches may share one.
    - ``parents``: the ids of the versions that were the latest of the history when this one was accepted, more than one
      where branches were merged. None of versions accepted by earlier releases, which followed all of a lower number.
    - ``waived``: released under its ``waivers``. Such a version is never a parent.
    - ``start``: who began anew with a version that could not be assessed (``owner``), and why (``reason``). It is
      written only where it is known.
    - ``scores``: Z by benchmark; higher is better.
    - ``commit``: the Git commit of a version that was measured afterwards, by ``backfill``; None of versions accepted
      in their time.
    - ``anchor``: whether a person confirmed the version when accepting it. It is written only where it is true.
    - ``reader``: the edition of `corpus.formats` that read its rows. It is written only where it is not the first.
    """

    number: int = 0
    name: str
    data_hash: str
    config_fingerprint: str
    status: str
    waived: bool = False
    waivers: tuple[dict[str, str], ...] = ()
    rows: int
    measurements: dict[str, Measurements]
    datasets: Mapping[str, DatasetReference]
    scores: dict[str, float] = field(default_factory=dict)
    tool_version: str
    commit: str | None = None
    anchor: bool = False
    reader: int = 1
    parents: tuple[str, ...] | None = None
    start: dict[str, str] | None = None
    schema_version: int = SCHEMA_VERSION

    @functools.cached_property
    def id(self) -> str:
        """16 hex digits that name this acceptance: of this data, under this configuration, after these versions."""
        return make_id(self.data_hash, self.config_fingerprint, self.parents)

    @property
    def dataset_hashes(self) -> dict[str, str]:
        """The data hash of each dataset. Of an entry that was read from its file nothing is unpacked for it."""
        stored: Mapping[str, Any] = getattr(self.datasets, "stored", self.datasets)
        return {name: reference.data_hash for name, reference in stored.items()}

    def rows_by_source(self, dataset: str) -> dict[str, int] | None:
        """See ``DatasetReference.sources``; None also without this dataset. Nothing is unpacked for it either."""
        stored: Mapping[str, Any] = getattr(self.datasets, "stored", self.datasets)
        found: dict[str, int] | None = stored[dataset].sources if dataset in stored else None
        return found

    @property
    def is_confirmed(self) -> bool:
        """Whether it can be an anchor: a start, or confirmed by a person, and not released under a waiver."""
        return (self.anchor or self.status == "baseline") and not self.waived
