"""Measure one dataset in memory, as the stages of the pipeline do from file to file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from corpus.progress import StageProgress, ignore_stages
from corpus.records import HashedRecord, Record, data_hash
from corpus.row_facts import hashes_of
from monitor.measures.compression import CompressionParams, profile_compression
from monitor.measures.consistency import ConsistencyParams, profile_consistency
from monitor.measures.evidence import Evidence
from monitor.measures.grades import find_grades
from monitor.measures.probe_files import ProbedRows
from monitor.measures.second_losses import read_by_second

if TYPE_CHECKING:
    from training.probe_run import ProbeParams
    from training.probed_model import ProbedModel
    from training.unread_rows import UnreadRows


COMPRESSION, CONSISTENCY, PROBE = "compression", "consistency", "probe"
# Rows between two reports of progress. Compression takes some ten thousand rows a second.
PROGRESS_STEP = 1000


def measure_dataset(
    dataset: str,
    records: Sequence[HashedRecord],
    compression: CompressionParams,
    consistency: ConsistencyParams,
    progress: StageProgress = ignore_stages,
) -> Evidence:
    """Measure R and C of a dataset. L is nan until ``probe_dataset`` has measured it."""

    def stream() -> Iterator[Record]:
        for done, (record, _) in enumerate(records):
            if done % PROGRESS_STEP == 0:
                progress(COMPRESSION, done, len(records))
            yield record

    ratios = profile_compression(stream(), compression)
    profile, agreement = profile_consistency(
        records, consistency, lambda done, total: progress(CONSISTENCY, done, total)
    )
    return Evidence(
        dataset=dataset,
        data_hash=data_hash(hashes_of(records)),
        records=records,
        compression=ratios,
        consistency=profile,
        agreement=agreement,
        l=float("nan"),
        probe_rows=(),
        probe_hashes=(),
        probe_losses=np.zeros(0),
        grades=find_grades(records, {}, has_own=agreement.ndim == 2),
    )


def probe_dataset(
    evidence: Evidence,
    base: ProbedModel,
    params: ProbeParams,
    progress: StageProgress = ignore_stages,
) -> Evidence:
    """Measure L, and return the evidence with it. A copy of the base model is trained; the model stays as it is.

    The second model, where there is one, reads the probed rows after that.

    Raises NotAssessedError when fewer rows than one batch can be probed.
    """
    from training.probe import probe_loss
    from training.probed_model import copy_probed_model

    result = probe_loss(
        copy_probed_model(base.model),
        base.tokenizer,
        evidence.records,
        params,
        base.card.trained_from,
        lambda done, total: progress(PROBE, done, total),
    )
    probed = with_probe(evidence, result.l, result.tokens_read_share, ProbedRows.of(result.rows), result.unread)
    if base.second is None:
        return probed
    second = read_by_second(
        base.second,
        evidence.records,
        probed.probe_rows,
        probed.probe_hashes,
        lambda done, total: progress(PROBE, done, total),
    )
    return replace(probed, second=second)


def with_probe(
    evidence: Evidence,
    l: float,  # noqa: E741 - the paper's letter
    read_share: float,
    rows: ProbedRows,
    unread: UnreadRows | None = None,
) -> Evidence:
    """The evidence with the numbers of a probe."""
    return replace(
        evidence,
        l=l,
        probe_rows=rows.numbers,
        probe_hashes=rows.hashes,
        probe_losses=rows.losses,
        probe_tokens=rows.tokens,
        probe_trained=rows.trained,
        read_share=read_share,
        unread=unread,
    )
