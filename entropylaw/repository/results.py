"""Reads the results folder: the measurements, the calibration and the verdict that the stages wrote."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.artifacts import parse_result, read_json, read_result
from corpus.errors import DamagedResultError, NotAssessedError
from corpus.params import read_section
from corpus.prepare import PrepareReport
from corpus.stored_rows import StoredRows
from entropylaw.repository import layout
from entropylaw.repository.missing_outputs import require_here
from monitor.calibration.calibrate import Calibration
from monitor.gate import GateDecision
from monitor.measures.compression import CompressionParams, CompressionProfile
from monitor.measures.consistency import ConsistencyParams, ConsistencyProfile
from monitor.measures.evidence import Configuration, Evidence
from monitor.measures.grades import find_grades
from monitor.measures.probe_files import ProbedRows, ProbeSummary, read_probe_rows, read_summary
from monitor.measures.second_losses import SecondLosses
from monitor.rules.registry import rule_ids
from monitor.verdict import Verdict
from monitor.waivers import Waiver, read_waivers
from selection.report import SelectionReport
from training.probe_run import ProbeParams

if TYPE_CHECKING:
    from numpy.typing import NDArray


def load_evidence(dataset: str) -> Evidence:
    """Everything measured on one dataset.

    Raises NotAssessedError, naming the file and the stage to run, when one is missing, damaged or of other rows.
    """
    compression = read_result(layout.result(dataset, "compression.json"), CompressionProfile, "dvc repro compression")
    consistency = load_consistency(dataset)
    prepare = load_prepare_report(dataset)
    require_here(layout.prepared(dataset), "prepare")
    records = StoredRows(layout.prepared(dataset))
    probed = read_probe_rows(layout.result(dataset, "probe_rows.csv"))
    summary = load_probe_summary(dataset)
    if len(probed.numbers) != summary.rows:
        found = f"{len(probed.numbers)} rows, and the probe read {summary.rows}"
        raise NotAssessedError(f"{layout.result(dataset, 'probe_rows.csv')}: {found}; run `dvc repro --force probe`")
    second = _load_second(dataset, summary, probed)
    return Evidence(
        dataset=dataset,
        data_hash=prepare.data_hash,
        records=records,
        compression=compression,
        consistency=consistency,
        agreement=load_agreement(dataset, len(records)),
        l=summary.l,
        probe_rows=probed.numbers,
        probe_hashes=probed.hashes,
        probe_losses=probed.losses,
        probe_tokens=probed.tokens,
        probe_trained=probed.trained,
        read_share=summary.tokens_read_share,
        unread=summary.unread,
        rows_read_anew=prepare.rows_read_anew,
        leaks=prepare.leaks,
        grades=find_grades(records, load_grades(dataset), has_own=dataset == layout.PREFERENCES),
        second=second,
    )


def _load_second(dataset: str, summary: ProbeSummary, probed: ProbedRows) -> SecondLosses | None:
    """What the second model said. Raises NotAssessedError where the probe's two files are not of one run."""
    losses, said = probed.second_losses, summary.second
    read = None if losses is None else int(np.count_nonzero(~np.isnan(losses)))
    if read != (said and said.rows):
        file, again = layout.result(dataset, "probe_rows.csv"), "run `dvc repro --force probe`"
        raise NotAssessedError(f"{file}: the second model read {read or 'no'} rows, not those of probe.json; {again}")
    return None if losses is None or said is None else SecondLosses.of(said.identity, probed.hashes, losses.tolist())


def load_grades(dataset: str) -> dict[str, float]:
    """The grades that `entropylaw rate` wrote, by content hash: into the dataset's own file, or into the common one.

    Empty where there is neither. Of rows in both, the dataset's own counts.
    """
    from training.quality import QualityReport

    grades: dict[str, float] = {}
    for path in (layout.QUALITY, layout.result(dataset, layout.QUALITY.name)):
        if path.exists():
            report = read_result(path, QualityReport, "entropylaw rate", f"run `entropylaw rate --out {path}` again")
            grades |= {row.hash: row.grade for row in report.rows if row.grade is not None}
    return grades


def load_prepare_report(dataset: str) -> PrepareReport:
    return read_result(layout.result(dataset, "prepare.json"), PrepareReport, "dvc repro prepare")


def load_consistency(dataset: str) -> ConsistencyProfile:
    """Raises NotAssessedError also where no row has an agreement, so that C is not a number."""
    file = layout.result(dataset, "consistency.json")
    document = read_json(file, "dvc repro consistency")
    if isinstance(document, dict) and document.get("agreement", 0) is None:
        raise NotAssessedError(f"{dataset}: C could not be measured, see {file}")
    return parse_result(document, ConsistencyProfile, file, "dvc repro consistency")


def load_agreement(dataset: str, rows: int) -> NDArray[np.float64]:
    """The agreement of each row, shape (rows,); of preferences (rows, 2), for both answers. It is nan where a row has
    none.
    """
    file, again = layout.result(dataset, "agreement.npy"), "run `dvc repro --force consistency`"
    require_here(file, "consistency")
    try:
        with file.open("rb") as handle, warnings.catch_warnings(action="error"):
            # Not `np.load`, which also opens archives and, if asked to, runs what is pickled in them.
            found = np.lib.format.read_array(handle, allow_pickle=False)
    except Exception:  # NumPy's parser of the header fails in a dozen ways, as does what it calls
        raise DamagedResultError(f"{file}: not a NumPy array, or cut short; {again}") from None
    # Rounding may leave a cosine a little above 1.
    if not np.issubdtype(found.dtype, np.floating) or (np.abs(found) > 1.001).any():
        raise DamagedResultError(f"{file}: not an array of cosines; {again}")
    if found.shape[:1] != (rows,):
        of = f"{found.shape[0] if found.shape else 'no'} rows, but {layout.prepared(dataset)} has {rows}"
        raise NotAssessedError(f"{file}: {of}; run `dvc repro`")
    if found.shape[1:] != ((2,) if dataset == layout.PREFERENCES else ()):
        raise NotAssessedError(f"{file}: of another version of the tool; {again}")
    return found.astype(np.float64)


def load_probe_summary(dataset: str) -> ProbeSummary:
    return read_summary(layout.result(dataset, "probe.json"))


def load_calibration(path: Path = layout.CALIBRATION) -> Calibration:
    """Raises NotAssessedError when the file is missing, was made by another version of the tool, or is damaged."""
    # Earlier releases wrote fewer keys, and what they lack is not to be made up.
    return read_result(path, Calibration, "dvc repro calibration", complete=True)


def load_configuration(calibration: Calibration, datasets: list[str]) -> Configuration:
    """The configuration behind the results. Raises NotAssessedError when they come from different base models."""
    for dataset in datasets:
        if load_probe_summary(dataset).base_identity != calibration.base_identity:
            raise NotAssessedError(
                f"{dataset} was probed from another base model than the calibration; run `dvc repro`"
            )
    return Configuration(
        read_section(CompressionParams, "compression"),
        read_section(ConsistencyParams, "consistency"),
        read_section(ProbeParams, "probe"),
        calibration.base_identity,
    )


def load_verdict(path: Path = layout.VERDICT) -> Verdict:
    """The verdict on disk. Raises NotAssessedError when it is missing or unreadable: never read as a pass."""
    # Somebody who has just installed the tool has no pipeline that DVC could run.
    is_first = not path.exists() and path == layout.VERDICT and not Path("dvc.yaml").exists()
    verdict = read_result(path, Verdict, "entropylaw init" if is_first else "dvc repro assess")
    if unknown := sorted({rule.id for rule in verdict.rules} - set(rule_ids())):
        raise NotAssessedError(f"{path}: {unknown[0]!r} is no rule of this version of the tool; run `dvc repro`")
    return verdict


def load_approval() -> GateDecision:
    """What the gate decided when it last approved a version. Raises NotAssessedError when it is missing or damaged."""
    return read_result(layout.APPROVAL, GateDecision, "dvc repro gate")


def load_selection(dataset: str) -> SelectionReport:
    path, made_by = layout.result(dataset, "selection.json"), "dvc repro select"
    document = read_json(path, made_by)
    if isinstance(document, dict):
        document.pop("seconds", None)  # up to 0.2.0 the file held how long each stage took
    return parse_result(document, SelectionReport, path, made_by)


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measured on the version with this ``data_hash``, None where it was on no version of the pipeline.

    ``z``: by benchmark, higher is better. The rest is for people.
    """

    data_hash: str | None
    z: dict[str, float]
    models: dict[str, Any]
    mt_bench: dict[str, Any] | None = None
    lm_eval: dict[str, Any] = field(default_factory=dict)


def load_evaluation() -> Evaluation:
    return read_result(layout.EVALUATION, Evaluation, "dvc repro evaluate")


def load_waivers() -> tuple[Waiver, ...]:
    """The waivers of waivers.yaml. Raises ParamsError where one names no rule that there is, or is ill-formed."""
    return read_waivers(layout.WAIVERS, rule_ids())
