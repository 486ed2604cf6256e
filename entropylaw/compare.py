"""The command `compare`: the measures of two data files or Git revisions side by side, without a verdict."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corpus.errors import DataError, EntropylawError, NotAssessedError
from corpus.params import read_section
from corpus.progress import Progress, StageProgress
from corpus.records import HashedRecord
from entropylaw.options import AsJson, HeldOut
from entropylaw.probe_memory import explain_probe_memory
from entropylaw.repository.layout import BASE_MODEL, CALIBRATION, PREFERENCES, SFT
from entropylaw.repository.rows import decide_rows
from entropylaw.terminal import count_rows, print_result, show_stages

if TYPE_CHECKING:
    from entropylaw.repository.revisions import DataFile
    from monitor.measures.evidence import Configuration, Evidence
    from monitor.measures.measurement import Base
    from monitor.verdict import RuleResult
    from training.probe import ProbeParams

SIDES = ("A", "B")
FETCH, READ = "fetch MiB", "read"
VERSION_HELP = "A data file, a Git revision, or REVISION:FILE."


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=VERSION_HELP, show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help=VERSION_HELP, show_default=False)],
    dataset: Annotated[
        str, typer.Option(help="The dataset of params.yaml that a revision without a file stands for.")
    ] = SFT,
    base: Annotated[
        str | None,
        typer.Option(help="Model folder or Hub id to measure L from.", show_default=f"{BASE_MODEL} if it is there"),
    ] = None,
    no_probe: Annotated[bool, typer.Option("--no-probe", help="Leave out L, which takes longest.")] = False,
    held_out: HeldOut = None,
    json: AsJson = False,
) -> None:
    """R, L and C of two data files or Git revisions, the rows between them, and how much new the added rows say.

    It passes no verdict and exits 0 whatever it finds. A revision's data is taken from Git, or from the cache or the
    remote of DVC. Files are named as seen from the current folder.

    Example: entropylaw compare HEAD~1 HEAD --dataset sft
    """
    from entropylaw.repository.revisions import locate_data
    from monitor.measures.compression import CompressionParams
    from monitor.measures.consistency import ConsistencyParams
    from monitor.measures.evidence import Configuration
    from monitor.measures.measurement import COMPRESSION, CONSISTENCY, PROBE, measure_dataset
    from monitor.version_diff import MeasuredFile, compare_versions
    from reports.comparison import render_comparison
    from training.probe import ProbeParams

    compression = read_section(CompressionParams, "compression")
    consistency = read_section(ConsistencyParams, "consistency")
    probe = read_section(ProbeParams, "probe")
    stages = [f"{stage} {side}" for stage in (FETCH, READ, COMPRESSION, CONSISTENCY, PROBE) for side in SIDES]
    with show_stages({stage: stage for stage in stages}) as report:
        with tempfile.TemporaryDirectory(prefix="entropylaw-") as folder:
            files = [
                locate_data(argument, dataset, Path(folder) / side, partial(report, f"{FETCH} {side}"))
                for side, argument in zip(SIDES, (a, b), strict=True)
            ]
            # Both before anything is measured: a mistake in the second shall not cost the wait for the first.
            versions = [
                read_version(file, held_out, partial(report, f"{READ} {side}"))
                for side, file in zip(SIDES, files, strict=True)
            ]
        name = require_one_kind(files, [records for records, _ in versions])
        evidence = [
            measure_dataset(name, records, compression, consistency, follow(report, side))
            for side, (records, _) in zip(SIDES, versions, strict=True)
        ]
        model, notes = (None, ["L was left out."]) if no_probe else load_base(base, probe)
        rules = None
        if model:
            evidence, missing = probe_versions(evidence, model, probe, report)
            rules, unfit = judge(evidence, Configuration(compression, consistency, probe, model[2].identity))
            notes = [*missing, *unfit]
    sides = [
        MeasuredFile(file.name, file.commit, left_out, item)
        for file, (_, left_out), item in zip(files, versions, evidence, strict=True)
    ]
    result = compare_versions(sides[0], sides[1], compression, rules, notes)
    print_result(result, json, render_comparison(result))


def follow(report: StageProgress, side: str) -> Callable[[str, int, int | None], None]:
    return lambda measurement, done, total: report(f"{measurement} {side}", done, total)


def read_version(
    file: DataFile, held_out: Path | None, progress: Progress
) -> tuple[list[HashedRecord], dict[str, int]]:
    """The usable records of a version with their content hashes, and how many rows are left out, by reason.

    Raises DataError under the name that the user gave, also where what was read is a copy.
    """
    records: list[HashedRecord] = []
    left_out: Counter[str] = Counter()
    try:
        for decision in count_rows(decide_rows(file.path, held_out), progress):
            if decision.reason is None:
                records.append(HashedRecord(decision.record, decision.hash))
            else:
                left_out[decision.reason] += 1
    except DataError as error:
        if error.path != str(file.path):
            raise
        raise DataError(file.name, error.cause, error.line, error.unit) from None
    if not records:
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
        raise DataError(file.name, f"no usable row ({counts})")
    return records, dict(sorted(left_out.items()))


def require_one_kind(files: list[DataFile], versions: list[list[HashedRecord]]) -> str:
    """The dataset that both versions are of. Raises EntropylawError when one has preferences and the other has not."""
    from corpus.records import Preference

    first, second = (isinstance(records[0][0], Preference) for records in versions)
    if first != second:
        kinds = ("conversations", "preferences")
        a, b = files
        raise EntropylawError(
            f"{a.name} holds {kinds[first]} and {b.name} {kinds[second]}: their numbers cannot be compared"
        )
    return PREFERENCES if first else SFT


def load_base(base: str | None, params: ProbeParams) -> tuple[Base | None, list[str]]:
    """The base model to probe from, or None and why: without a name, the one of the repository, if it is there."""
    if base is None and not BASE_MODEL.exists():
        return None, [f"L was not measured: there is no {BASE_MODEL} (`dvc repro base_model`), and no --base."]
    from training.fine_tuning import quiet_libraries
    from training.probed_model import load_probed_model

    quiet_libraries()
    with explain_probe_memory("compare", params):
        return load_probed_model(base or BASE_MODEL), []


def probe_versions(
    evidence: list[Evidence], model: Base, params: ProbeParams, report: StageProgress
) -> tuple[list[Evidence], list[str]]:
    """The versions with their L; where it cannot be measured, as they were, and why."""
    from monitor.measures.measurement import probe_dataset

    probed, notes = [], []
    for side, item in zip(SIDES, evidence, strict=True):
        try:
            with explain_probe_memory("compare", params):
                probed.append(probe_dataset(item, model, params, follow(report, side)))
        except NotAssessedError as error:
            probed.append(item)
            notes.append(f"L of {side} was not measured: {error}.")
    return probed, notes


def judge(evidence: list[Evidence], configuration: Configuration) -> tuple[tuple[RuleResult, ...] | None, list[str]]:
    """The verdict's rules on the change, by the calibration of the repository; None, and why, where it does not fit."""
    import math

    from entropylaw import __version__
    from entropylaw.repository.results import load_calibration
    from monitor.rule_params import RuleParams
    from monitor.version_diff import judge_change

    if not CALIBRATION.exists() or not all(math.isfinite(item.l) for item in evidence):
        return None, []
    calibration = load_calibration()
    if calibration.base_identity != configuration.base_identity:
        return None, [f"{CALIBRATION} was made with another base model: it cannot tell what is benign here."]
    params = read_section(RuleParams, "rules")
    return judge_change(evidence[0], evidence[1], calibration, configuration, params, __version__), []
