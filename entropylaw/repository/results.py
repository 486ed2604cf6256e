"""Reads the results folder: the measurements, the calibration and the verdict that the stages wrote."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from corpus.artifacts import read_json
from corpus.errors import EntropylawError, NotAssessedError, ParamsError
from corpus.params import read_section
from corpus.prepare import read_prepared
from entropylaw.repository import layout
from entropylaw.repository.missing_outputs import require_here
from monitor.calibration.calibrate import Calibration, calibration_from_json
from monitor.measures.compression import Compressed, CompressionParams, CompressionProfile
from monitor.measures.consistency import ConsistencyParams, ConsistencyProfile
from monitor.measures.evidence import Configuration, Evidence
from monitor.measures.probe_files import ProbeSummary, read_probe_rows, summary_from_json
from monitor.rules.registry import rule_ids
from monitor.verdict import Verdict, verdict_from_json
from monitor.waivers import Waiver, read_waivers
from training.probe_run import ProbeParams


def load_evidence(dataset: str) -> Evidence:
    """Everything measured on one dataset. Raises EntropylawError naming the stage to run when a file is missing."""
    compression = read_json(layout.result(dataset, "compression.json"), "dvc repro compression")
    consistency = read_json(layout.result(dataset, "consistency.json"), "dvc repro consistency")
    prepare = read_json(layout.result(dataset, "prepare.json"), "dvc repro prepare")
    require_here(layout.prepared(dataset), "prepare")
    records = list(read_prepared(layout.prepared(dataset)))
    probed = read_probe_rows(layout.result(dataset, "probe_rows.csv"))
    agreement_file = layout.result(dataset, "agreement.npy")
    require_here(agreement_file, "consistency")
    try:
        agreement = np.load(agreement_file, allow_pickle=False).astype(np.float64)
    except (OSError, ValueError):
        raise EntropylawError(f"{agreement_file}: damaged; run `dvc repro --force consistency`") from None
    if len(agreement) != len(records):
        found = f"{len(agreement)} rows, but {layout.prepared(dataset)} has {len(records)}"
        raise NotAssessedError(f"{agreement_file}: {found}; run `dvc repro`")
    if agreement.shape[1:] != ((2,) if dataset == layout.PREFERENCES else ()):
        raise NotAssessedError(f"{agreement_file}: of another version of the tool; run `dvc repro --force consistency`")
    summary = load_probe_summary(dataset)
    with shaped_results(str(layout.RESULTS / dataset)):
        sources = {name: Compressed(**part) for name, part in compression.pop("sources").items()}
        evidence = Evidence(
            dataset=dataset,
            data_hash=prepare["data_hash"],
            records=records,
            compression=CompressionProfile(**compression, sources=sources),
            consistency=ConsistencyProfile(**consistency),
            agreement=agreement,
            l=summary.l,
            probe_rows=probed.numbers,
            probe_hashes=probed.hashes,
            probe_losses=probed.losses,
            probe_tokens=probed.tokens,
            probe_trained=probed.trained,
            read_share=summary.tokens_read_share,
            unread=summary.unread,
            rows_read_anew=prepare.get("rows_read_anew", 0),
        )
    measured = (("R", evidence.compression.r), ("L", evidence.l), ("C", evidence.consistency.agreement))
    for name, value in measured:
        if not isinstance(value, float):
            raise NotAssessedError(f"{dataset}: {name} could not be measured, see {layout.RESULTS / dataset}")
    return evidence


@contextlib.contextmanager
def shaped_results(where: str) -> Iterator[None]:
    """Turn results of another shape, such as an older version's, into NotAssessedError."""
    try:
        yield
    except (TypeError, KeyError, AttributeError):
        raise NotAssessedError(f"{where}: results of another version of the tool; run `dvc repro --force`") from None


def load_probe_summary(dataset: str) -> ProbeSummary:
    file = layout.result(dataset, "probe.json")
    with shaped_results(str(file)):
        document = read_json(file, "dvc repro probe")
        if isinstance(document, dict) and "l" in document and "tokens_read_share" not in document:
            raise NotAssessedError(f"{file}: of an older version of the tool; run `dvc repro --force probe`")
        return summary_from_json(document)


def load_calibration() -> Calibration:
    """Raises NotAssessedError when the file was made by another version of the tool, or is damaged."""
    return calibration_from_json(read_json(layout.CALIBRATION, "dvc repro calibration"), str(layout.CALIBRATION))


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
    try:
        document: dict[str, Any] = read_json(path, "dvc repro")
    except EntropylawError as error:
        raise NotAssessedError(str(error)) from None
    try:
        verdict = verdict_from_json(document)
    except (ParamsError, AttributeError, KeyError, TypeError, ValueError):
        verdict = None
    if verdict is None or not {rule.id for rule in verdict.rules} <= set(rule_ids()):
        raise NotAssessedError(f"{path}: not a verdict of this version of the tool; run `dvc repro`")
    return verdict


def load_waivers() -> tuple[Waiver, ...]:
    """The waivers of waivers.yaml. Raises ParamsError where one names no rule that there is, or is ill-formed."""
    return read_waivers(layout.WAIVERS, rule_ids())
