"""The rows that may be trained on: those selected from the approved version, or all of it where nothing is selected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import EntropylawError, NotAssessedError
from corpus.params import read_params
from corpus.prepare import read_prepared
from corpus.records import Record, content_hash, data_hash
from entropylaw.repository import layout
from entropylaw.repository.calendar import read_today
from entropylaw.repository.datasets import read_datasets
from entropylaw.repository.history_guard import require_history
from entropylaw.repository.results import load_prepare_report, load_selection, load_verdict, load_waivers
from entropylaw.repository.trust import require_trustworthy
from monitor.gate import decide_gate
from monitor.measures.evidence import version_hash


@dataclass(frozen=True)
class ApprovedRows:
    """The rows of one dataset in the file ``path``, in canonical form.

    ``version``, ``status``: of the data version that the gate approves. ``rows_hash``: the ``data_hash`` of the rows.
    """

    path: Path
    version: str
    status: str
    rows_hash: str
    is_selected: bool

    def stream_records(self) -> Iterator[Record]:
        """The rows, one at a time. Raises EntropylawError at the end where they are not those that were approved."""
        hashes = []
        for record, _ in read_prepared(self.path):
            # Not the hash that stands beside a row: it would not tell a row that was edited afterwards.
            hashes.append(content_hash(record))
            yield record
        if data_hash(hashes) != self.rows_hash:
            stage = "select" if self.is_selected else "prepare"
            raise EntropylawError(f"{self.path}: holds other rows than the stage {stage} wrote; run `dvc repro`")


def find_approved_rows(dataset: str) -> ApprovedRows:
    """The rows of a dataset that the gate lets through today.

    Raises EntropylawError with the gate's exit code and reason where it does not, and NotAssessedError where the
    verdict is of other data than was prepared or than is here, or accepted versions are missing in history/.
    """
    datasets = read_datasets()
    if dataset not in datasets:
        raise EntropylawError(f"--dataset {dataset}: params.yaml has no such dataset; there is {', '.join(datasets)}")
    verdict = load_verdict()
    prepared = {name: load_prepare_report(name).data_hash for name in datasets}
    if version_hash(prepared) != verdict.version.data_hash:
        raise NotAssessedError(f"{layout.VERDICT}: is of other data than was prepared; run `dvc repro`")
    require_trustworthy(require_history(), verdict)
    decision = decide_gate(verdict, load_waivers(), read_today())
    if not decision.approved:
        error = EntropylawError(f"not exported: {decision.reason}")
        error.exit_code = decision.exit_code
        raise error
    described, path = layout.result(dataset, "selection.json"), layout.selected(dataset)
    # A selection may be left over from a pipeline that selected.
    if "selection" not in read_params() or not (described.exists() or path.exists()):
        path = layout.prepared(dataset)
        return ApprovedRows(path, verdict.version.name, verdict.status, prepared[dataset], is_selected=False)
    selection = load_selection(dataset)
    if selection.selected_hash is None or selection.pool_hash != prepared[dataset]:
        raise EntropylawError(f"{path}: selected from other rows than those prepared; run `dvc repro select`")
    if not path.exists():
        raise EntropylawError(f"{path}: not here; run `dvc pull {path.as_posix()}` or `dvc repro select`")
    return ApprovedRows(path, verdict.version.name, verdict.status, selection.selected_hash, is_selected=True)
