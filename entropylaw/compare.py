"""The command `compare`: R, L and C of two data files or Git revisions side by side, without a verdict."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corpus.errors import BadRow, DataError, EntropylawError, NotAssessedError
from corpus.params import read_section
from corpus.progress import Progress, StageProgress
from corpus.records import HashedRecord
from entropylaw.options import AsJson, HeldOut
from entropylaw.pipeline_command import Place
from entropylaw.probe_memory import explain_probe_memory
from entropylaw.repository.layout import BASE_MODEL, CALIBRATION, PREFERENCES, SFT
from entropylaw.repository.rows import decide_rows
from entropylaw.terminal import count_rows, print_result, show_stages

if TYPE_CHECKING:
    from corpus.formats import Reading
    from entropylaw.repository.revisions import DataFile
    from monitor.measures.compression import CompressionParams
    from monitor.measures.consistency import ConsistencyParams
    from monitor.measures.evidence import Configuration, Evidence
    from monitor.verdict import RuleResult
    from monitor.version_diff import MeasuredFile
    from training.probe_run import ProbeParams
    from training.probed_model import ProbedModel

SIDES = ("A", "B")
FETCH, READ = "fetch MiB", "read"
VERSION_HELP = "A data file, a Git revision, or REVISION:FILE."


def compare(
    a: Annotated[str, typer.Argument(metavar="A", parser=Place, help=VERSION_HELP, show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", parser=Place, help=VERSION_HELP, show_default=False)],
    dataset: Annotated[
        str | None,
        typer.Option(
            help="The dataset of params.yaml that a revision without a file stands for.",
            show_default=f"{SFT}, or the only one",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            help="Model folder or Hub id to measure L from.",
            parser=Place,
            metavar="FOLDER|HUB_ID",
            show_default=f"{BASE_MODEL} if it is there",
        ),
    ] = None,
    no_probe: Annotated[bool, typer.Option("--no-probe", help="Leave out L, which takes longest.")] = False,
    held_out: HeldOut = None,
    json: AsJson = False,
) -> None:
    """Show R, L and C of two data files or Git revisions, which rows differ, and how much is new in the added rows.

    It passes no verdict and exits 0 whatever it finds. A revision's data is taken from Git, or from the cache or the
    remote of DVC. Files are named as seen from the current folder.

    Example: entropylaw compare HEAD~1 HEAD --dataset sft
    """
    from entropylaw.repository.datasets import main_dataset
    from monitor.measures.measurement import COMPRESSION, CONSISTENCY, PROBE, measure_dataset
    from monitor.version_diff import compare_versions
    from reports.comparison import render_comparison

    params = read_measuring_params()
    stages = [f"{stage} {side}" for stage in (FETCH, READ, COMPRESSION, CONSISTENCY, PROBE) for side in SIDES]
    with show_stages({stage: stage for stage in stages}) as report:
        versions = load_versions((a, b), dataset or main_dataset(), held_out, report)
        kind = require_one_kind(versions)
        evidence = [
            measure_dataset(kind, version.rows, params.compression, params.consistency, follow(report, side))
            for side, version in zip(SIDES, versions, strict=True)
        ]
        model, notes = (None, ["L was left out."]) if no_probe else load_base(base, params.probe)
        rules = None
        if model:
            evidence, missing = probe_versions(evidence, model, params.probe, report)
            rules, unfit = ask_rules(evidence, params.with_base(model.card.identity))
            notes = [*missing, *unfit]
    sides = [version.measured(item) for version, item in zip(versions, evidence, strict=True)]
    result = compare_versions(sides[0], sides[1], params.compression, rules, notes)
    print_result(result, json, render_comparison(result))


@dataclass(frozen=True)
class MeasuringParams:
    """The sections of params.yaml that say how R, C and L are measured."""

    compression: CompressionParams
    consistency: ConsistencyParams
    probe: ProbeParams

    def with_base(self, base_identity: str) -> Configuration:
        """Everything that two measurements must share to be comparable."""
        from monitor.measures.evidence import Configuration

        return Configuration(self.compression, self.consistency, self.probe, base_identity)


def read_measuring_params() -> MeasuringParams:
    """From params.yaml, or the defaults where there is none. Raises ParamsError when it cannot be read."""
    from monitor.measures.compression import CompressionParams
    from monitor.measures.consistency import ConsistencyParams
    from training.probe_run import ProbeParams

    return MeasuringParams(
        read_section(CompressionParams, "compression"),
        read_section(ConsistencyParams, "consistency"),
        read_section(ProbeParams, "probe"),
    )


@dataclass(frozen=True)
class LoadedVersion:
    """One of the two versions: its usable ``rows``, and how many rows are ``left_out``, by reason."""

    file: DataFile
    rows: Sequence[HashedRecord]
    left_out: dict[str, int]

    def measured(self, evidence: Evidence) -> MeasuredFile:
        from monitor.version_diff import MeasuredFile

        return MeasuredFile(self.file.name, self.file.commit, self.left_out, evidence)


def load_versions(
    arguments: Sequence[str], dataset: str, held_out: Path | None, report: StageProgress
) -> list[LoadedVersion]:
    """Both versions that the user named, read before anything is measured: a mistake in the second shall not cost the
    wait for the first. Raises EntropylawError when one cannot be had.
    """
    from entropylaw.repository.datasets import reading_for
    from entropylaw.repository.revisions import locate_data

    with tempfile.TemporaryDirectory(prefix="entropylaw-") as folder:
        files = [
            locate_data(argument, dataset, Path(folder) / side, partial(report, f"{FETCH} {side}"))
            for side, argument in zip(SIDES, arguments, strict=True)
        ]
        return [
            read_version(file, held_out, partial(report, f"{READ} {side}"), file.reading or reading_for(file.origin))
            for side, file in zip(SIDES, files, strict=True)
        ]


def follow(report: StageProgress, side: str) -> Callable[[str, int, int | None], None]:
    return lambda measurement, done, total: report(f"{measurement} {side}", done, total)


def read_version(file: DataFile, held_out: Path | None, progress: Progress, reading: Reading) -> LoadedVersion:
    """Read a version's rows. Raises DataError under the name that the user gave, also where a copy was read."""
    from corpus.stored_rows import store_rows

    left_out: Counter[str] = Counter()

    def keep_usable() -> Iterator[HashedRecord]:
        usable = 0
        for decision in count_rows(decide_rows(file.path, held_out, reading, file.name), progress):
            if isinstance(decision, BadRow) or decision.reason is not None:
                left_out[str(decision.reason)] += 1
            else:
                usable += 1
                yield HashedRecord(decision.record, decision.hash)
        if not usable:
            counts = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
            raise DataError(file.name, f"no usable row ({counts})")

    try:
        records = store_rows(keep_usable(), file.name)
    except DataError as error:
        raise file.rename(error) from None
    return LoadedVersion(file, records, dict(sorted(left_out.items())))


def require_one_kind(versions: Sequence[LoadedVersion]) -> str:
    """The dataset that both versions are of. Raises EntropylawError when one has preferences and the other has not."""
    from corpus.records import Preference

    a, b = versions
    first, second = (isinstance(version.rows[0].record, Preference) for version in versions)
    if first != second:
        kinds = ("conversations", "preferences")
        raise EntropylawError(
            f"{a.file.name} holds {kinds[first]} and {b.file.name} {kinds[second]}: their numbers cannot be compared"
        )
    return PREFERENCES if first else SFT


def load_base(base: str | None, params: ProbeParams) -> tuple[ProbedModel | None, list[str]]:
    """The base model to probe from, or None and why: without a name, the one of the repository, if it is there."""
    if base is None and not BASE_MODEL.exists():
        from entropylaw.repository.missing_outputs import name_remedy

        remedy = name_remedy(BASE_MODEL, "base_model")
        return None, [f"L was not measured: there is no {BASE_MODEL}, and no --base; run {remedy}."]
    from entropylaw.probed_models import load_models
    from training.fine_tuning import quiet_libraries

    quiet_libraries()
    with explain_probe_memory("compare", params):
        return load_models(base or BASE_MODEL), []


def probe_versions(
    evidence: list[Evidence], model: ProbedModel, params: ProbeParams, report: StageProgress
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


def ask_rules(
    evidence: list[Evidence], configuration: Configuration
) -> tuple[tuple[RuleResult, ...] | None, list[str]]:
    """The verdict's rules on the change, by the calibration of the repository; None, and why, where it does not fit."""
    import math

    from entropylaw import __version__
    from entropylaw.repository.results import load_calibration
    from monitor.rule_params import RuleParams
    from monitor.version_diff import apply_rules_to_change

    if not CALIBRATION.exists() or not all(math.isfinite(item.l) for item in evidence):
        return None, []
    calibration = load_calibration()
    if calibration.base_identity != configuration.base_identity:
        return None, [f"{CALIBRATION} was made with another base model: it cannot tell what is benign here."]
    params = read_section(RuleParams, "rules")
    return apply_rules_to_change(evidence[0], evidence[1], calibration, configuration, params, __version__), []
