"""Everything that was measured on one dataset of a version, and under which configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from corpus.artifacts import fingerprint
from corpus.errors import NotAssessedError
from corpus.leaked_rows import LeakReport
from corpus.records import HashedRecord
from corpus.row_facts import hashes_of, locate_rows
from monitor.measures.compression import CompressionParams, CompressionProfile
from monitor.measures.consistency import ConsistencyParams, ConsistencyProfile
from monitor.measures.grades import RowGrades
from monitor.measures.second_losses import SecondLosses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.probe_run import ProbeParams
    from training.unread_rows import UnreadRows


@dataclass(frozen=True)
class Evidence:
    """Everything that was measured on one dataset of the version under test.

    - ``records``: in file order.
    - ``agreement``: shape (records,), nan where a row has none; of preferences (records, 2), for both answers.
    - ``l``: mean probe loss in nats per response token; of preferences a KTO loss.
    - ``probe_rows``, ``probe_hashes``, ``probe_losses``: row number, content hash and loss of each probed row, in nats
      per token by the base model before training; of preferences, the loss of the chosen answer.
    - ``probe_tokens``: how many response tokens each loss is a mean over. ``probe_trained``: whether the probe's run
      trained on the row, so that it counts for ``l``. Both of shape (probed,).
    - ``read_share``: the share of the probed rows' response tokens that were read; ``unread``: of how many rows
      something was not read. None where that is not known.
    - ``leaks``: near copies of held-out rows and benchmarks; None where nothing was looked for.
    - ``grades``: of its rows, by a judge or as the data has them; None where no row has one.
    - ``second``: the losses of some of the probed rows by the second model; None where there is none.
    - ``rows_read_anew``: rows of which earlier editions of `corpus.formats` passed over a part that is read now.
    """

    dataset: str
    data_hash: str
    records: Sequence[HashedRecord]
    compression: CompressionProfile
    consistency: ConsistencyProfile
    agreement: NDArray[np.float64]
    l: float  # noqa: E741 - the paper's letter
    probe_rows: Sequence[int]
    probe_hashes: Sequence[str]
    probe_losses: NDArray[np.float64]
    probe_tokens: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    probe_trained: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    read_share: float | None = None
    unread: UnreadRows | None = None
    rows_read_anew: int = 0
    leaks: LeakReport | None = None
    grades: RowGrades | None = None
    second: SecondLosses | None = None

    @property
    def row_agreement(self) -> NDArray[np.float64]:
        """The agreement of the answer that a model would be trained on, shape (records,)."""
        return self.agreement if self.agreement.ndim == 1 else self.agreement[:, 0]


@dataclass(frozen=True)
class Configuration:
    """What must be equal for two versions to be comparable."""

    compression: CompressionParams
    consistency: ConsistencyParams
    probe: ProbeParams
    base_identity: str

    def fingerprint(self) -> str:
        return fingerprint(self)


def version_hash(data_hashes: dict[str, str]) -> str:
    """The identity of a version, as 32 hex digits. A version of one dataset has the hash of that dataset."""
    if len(data_hashes) == 1:
        return next(iter(data_hashes.values()))
    joined = "\n".join(f"{name}={digest}" for name, digest in sorted(data_hashes.items()))
    return hashlib.blake2b(joined.encode(), digest_size=16).hexdigest()


def locate_probe_rows(item: Evidence) -> NDArray[np.int64]:
    """Indices into ``item.records`` of the probed rows, shape (probed,), in the order of the probe.

    Raises NotAssessedError when a probed row is not among the records.
    """
    probed = locate_rows(item.records, item.probe_rows, item.probe_hashes)
    if probed is None:
        raise NotAssessedError(f"{item.dataset}: the probe is of other data; run `dvc repro probe` again")
    return probed


def row_losses(item: Evidence) -> NDArray[np.float64]:
    """The loss of each row by the base model, in nats per token, nan where it was not probed. Shape (records,).

    Raises NotAssessedError when a probed row is not among the records.
    """
    losses = np.full(len(item.records), np.nan)
    losses[locate_probe_rows(item)] = item.probe_losses
    return losses


def second_row_losses(item: Evidence) -> NDArray[np.float64] | None:
    """The loss of each row by the second model, in nats per token, nan where it was not read. Shape (records,).

    None where there is no second model.
    """
    return None if item.second is None else item.second.find(hashes_of(item.records).digests[:, 0])
