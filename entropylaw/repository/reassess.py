"""Judges the version under test again, from the rows and results that are here, and compares with its verdict.

An edited decision is found, and so are results, parameters and a history that would give another one. The rows
themselves, and what a model measured on them, are taken as they are: `dvc repro --force` measures them again.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from corpus.artifacts import to_json, write_text
from corpus.errors import EntropylawError, NotAssessedError
from corpus.params import read_section
from corpus.records import content_hash
from entropylaw.printing import note
from entropylaw.repository import layout
from entropylaw.repository.datasets import read_datasets
from entropylaw.repository.git import run_git
from entropylaw.repository.pipeline_folder import is_pipeline
from entropylaw.repository.places import locate_rows
from entropylaw.repository.results import load_calibration, load_configuration, load_evidence
from entropylaw.terminal import show_progress
from monitor.assess import assess_version
from monitor.gate import REASSESS
from monitor.history import read_history
from monitor.rule_params import RuleParams
from monitor.verdict import Verdict

# In Git's own folder: it is of this machine alone, because no commit can bring a file there.
JUDGED = "entropylaw-judged"
# What DVC keeps beside Git: without these nothing can be judged again.
ROW_FILES = ("agreement.npy",)
# What else of a dataset a verdict is made of.
SMALL_FILES = ("prepare.json", "compression.json", "consistency.json", "probe.json", "probe_rows.csv")


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
    """Note that this machine made the verdict in results/verdict.json from the rows and results that are here."""
    marker = find_marker()
    if marker is not None:
        with contextlib.suppress(EntropylawError):  # Git's folder may be read-only; the version is then judged again
            write_text(marker, f"{hash_judged()}\n")


def is_judged_here() -> bool:
    """Whether this machine made the verdict in results/verdict.json from what is here; one from Git it did not."""
    marker = find_marker()
    return marker is not None and marker.is_file() and marker.read_bytes().strip() == hash_judged().encode()


def find_marker() -> Path | None:
    """Where the last verdict that this machine made is noted; None outside a Git repository."""
    place = run_git("rev-parse", "--git-path", JUDGED)
    return Path(place) if place else None


def hash_judged() -> str:
    """A hash of the verdict's bytes and of all results and rows that it is made of."""
    names = (*SMALL_FILES, *ROW_FILES)
    results = [layout.result(dataset, name) for dataset in read_datasets() for name in names]
    digest = hashlib.blake2b(digest_size=16)
    for path in (layout.VERDICT, layout.CALIBRATION, *map(layout.prepared, read_datasets()), *results):
        digest.update(path.as_posix().encode() + b"\0")
        if path.is_file():
            with path.open("rb") as handle:
                digest.update(hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).digest())
    return digest.hexdigest()


def require_judged(verdict: Verdict) -> None:
    """Judge the version again before anything rests on a verdict that this machine did not make.

    Raises NotAssessedError where it comes out otherwise, or its rows are not here. It takes as long as `assess`, once
    for each verdict.
    """
    if not is_pipeline(Path()) or is_judged_here():
        return
    require_same_verdict(layout.VERDICT, verdict)
    record_verdict()


def require_rows() -> None:
    """Raise NotAssessedError, naming what to pull, where the rows are not here from which a version is judged."""
    wanted = [
        path
        for dataset in read_datasets()
        for path in (layout.prepared(dataset), *(layout.result(dataset, name) for name in ROW_FILES))
    ]
    missing = " ".join(path.as_posix() for path in wanted if not path.exists())
    if missing:
        raise NotAssessedError(
            f"{layout.VERDICT}: was not judged again, because its rows are not here; run `dvc pull {missing}`"
        )


def require_same_verdict(path: Path, verdict: Verdict) -> None:
    """Raise NotAssessedError unless judging again gives the decision of the ``verdict`` in ``path``, or its rows are
    not here.

    The status, that of each rule, the parent and the configuration must be the same. Other numbers and words are only
    noted: another processor or release may round otherwise. Every prepared row must have the hash of its text.
    """
    require_rows()
    with show_progress("judge again"):
        again = _judge_again(path)
    if summarise(verdict) != summarise(again):
        raise NotAssessedError(
            f"{path}: is not the verdict on what is here: judged again it is {again.status}, not {verdict.status}"
            f"{_name_other_rules(verdict, again)}; {REASSESS}"
        )
    if path.read_text(encoding="utf-8") != to_json(again):
        note(
            f"{path}: judged again the decision is the same, and some numbers or words are not; {REASSESS} to see them"
        )


def _judge_again(path: Path) -> Verdict:
    for dataset in read_datasets():
        _require_true_hashes(dataset)
    try:
        return judge_version()
    except EntropylawError as error:
        raise NotAssessedError(f"{path}: cannot be judged again: {error}") from None


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
