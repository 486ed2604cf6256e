"""Judges the version under test again, from the rows and results that are here, and compares with its verdict.

An edited verdict is found whatever was edited in it, and so are results, parameters and a history that would give
another one. The rows themselves, and what a model measured on them, are taken as they are: `dvc repro --force` measures
them again.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from corpus.artifacts import to_json, write_text
from corpus.errors import EntropylawError, NotAssessedError
from corpus.params import read_section
from corpus.records import content_hash
from entropylaw.repository import layout
from entropylaw.repository.datasets import read_datasets
from entropylaw.repository.pipeline_folder import is_pipeline
from entropylaw.repository.places import locate_rows
from entropylaw.repository.results import load_calibration, load_configuration, load_evidence
from entropylaw.terminal import show_progress
from monitor.assess import assess_version
from monitor.gate import REASSESS
from monitor.history import read_history
from monitor.rule_params import RuleParams
from monitor.verdict import Verdict

# Of this machine alone: Git ignores the folder.
JUDGED = Path(".entropylaw") / "judged"
# What DVC keeps beside Git: without these nothing can be judged again.
ROW_FILES = ("agreement.npy",)


def judge_version() -> Verdict:
    """The verdict on the version under test, from what is here. Raises NotAssessedError where it cannot be told."""
    from entropylaw import __version__

    datasets = list(read_datasets())
    calibration = load_calibration()
    verdict = assess_version(
        [load_evidence(dataset) for dataset in datasets],
        calibration,
        read_history(layout.HISTORY),
        load_configuration(calibration, datasets),
        read_section(RuleParams, "rules"),
        __version__,
    )
    return locate_rows(verdict)


def record_verdict() -> None:
    """Note that this machine made the verdict in results/verdict.json from the rows that are here."""
    write_text(JUDGED, f"{hash_verdict()}\n")


def is_judged_here() -> bool:
    """Whether this machine made the verdict in results/verdict.json; one from Git or by hand it did not."""
    return JUDGED.is_file() and JUDGED.read_bytes().strip() == hash_verdict().encode()


def hash_verdict() -> str:
    return hashlib.blake2b(layout.VERDICT.read_bytes(), digest_size=16).hexdigest()


def require_judged(verdict: Verdict) -> None:
    """Judge the version again before anything rests on a verdict of another machine, where its rows are here.

    Raises NotAssessedError where it comes out otherwise. It takes as long as `assess`, once for each verdict.
    """
    if not is_pipeline(Path()) or is_judged_here() or list_missing_rows():
        return
    with show_progress("judge again"):
        require_same_verdict(layout.VERDICT, verdict)
    record_verdict()


def list_missing_rows() -> list[Path]:
    """The files of rows that would be needed to judge again, and are not here."""
    wanted = [
        path
        for dataset in read_datasets()
        for path in (layout.prepared(dataset), *(layout.result(dataset, name) for name in ROW_FILES))
    ]
    return [path for path in wanted if not path.exists()]


def require_same_verdict(path: Path, verdict: Verdict) -> None:
    """Raise NotAssessedError unless judging again gives the ``verdict`` in ``path``: the same bytes.

    A verdict by another release may have other words. Then its status, and that of each of its rules, must be the same.
    Every prepared row must have the hash of its text. All rows must be here (``list_missing_rows``).
    """
    for dataset in read_datasets():
        _require_true_hashes(dataset)
    try:
        again = judge_version()
    except NotAssessedError:
        raise
    except EntropylawError as error:
        raise NotAssessedError(f"{path}: cannot be judged again: {error}") from None
    if verdict.tool_version == again.tool_version:
        is_same = path.read_text(encoding="utf-8") == to_json(again)
    else:
        is_same = summarise(verdict) == summarise(again)
    if not is_same:
        raise NotAssessedError(
            f"{path}: is not the verdict on what is here: judged again it is {again.status}, not {verdict.status}"
            f"{_name_other_rules(verdict, again)}; {REASSESS}"
        )


def summarise(verdict: Verdict) -> tuple[object, ...]:
    """The part of a verdict that decides: the version, what it was compared with, and what each rule found."""
    rules = sorted((rule.dataset, rule.id, rule.status) for rule in verdict.rules)
    return verdict.status, verdict.version.data_hash, verdict.parent, verdict.config_fingerprint, rules


def _name_other_rules(verdict: Verdict, again: Verdict) -> str:
    told = {(rule.dataset, rule.id): rule.status for rule in verdict.rules}
    other = [rule for rule in again.rules if told.get((rule.dataset, rule.id)) != rule.status]
    return "".join(f", {rule.id} in {rule.dataset} {rule.status}" for rule in other)


def _require_true_hashes(dataset: str) -> None:
    from corpus.prepare import read_prepared

    path = layout.prepared(dataset)
    for number, (record, row_hash) in enumerate(read_prepared(path), start=1):
        if content_hash(record) != row_hash:
            raise NotAssessedError(f"{path}, line {number}: its text does not have its hash; run `dvc repro`")
