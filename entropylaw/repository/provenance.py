"""Traces the rows a model is trained on to their selection and their verdict, as far as hashes prove it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from corpus.errors import EntropylawError
from entropylaw.repository import layout
from entropylaw.repository.approval import require_approval
from entropylaw.repository.datasets import read_datasets
from entropylaw.repository.results import load_approval, load_prepare_report, load_selection
from monitor.measures.evidence import version_hash

if TYPE_CHECKING:
    from training.model_card import Provenance


def trace_rows(dataset: str, rows_hash: str) -> Provenance:
    """The origin of the rows with this ``data_hash``, from the results of the pipeline in the current folder.

    The rows must be those that selection.json describes; their pool must be what was prepared, and all that was
    prepared the version that was approved. Where a link is missing, nothing beyond it is said. Raises NotAssessedError
    where there is an approval of this version that the gate never gave: nobody trains on it.
    """
    from training.model_card import Provenance

    origin = Provenance()
    try:
        selection = load_selection(dataset)
        if selection.selected_hash != rows_hash:
            return origin
        origin = Provenance(method=selection.method, pool_rows=selection.pool_rows)
        prepared = {name: load_prepare_report(name).data_hash for name in read_datasets()}
        version = version_hash(prepared)
        if prepared.get(dataset) != selection.pool_hash or not layout.APPROVAL.exists():
            return origin
        approval = load_approval()
        if approval.data_hash != version or not approval.approved:
            return origin
    except EntropylawError:  # a result is missing, damaged, or of another version of the tool
        return origin
    require_approval()
    waivers = tuple(dict.fromkeys(waiver.rule for waiver in approval.waivers))
    return replace(origin, version_hash=version, verdict=approval.status, waivers=waivers)
