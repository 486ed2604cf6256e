"""Reads back what the runs of a study left, and refuses what was made with other settings."""

from __future__ import annotations

import csv
from dataclasses import replace

from corpus.artifacts import read_result, to_json
from corpus.errors import DamagedResultError, EntropylawError, NotAssessedError
from entropylaw.study.budget import read_budget
from entropylaw.study.files import SELECTION, StudyFiles
from entropylaw.study.params import StudyParams
from reports.study.runs import Lengths, MethodResult
from reports.study.study import Study, build_study


def load_study(params: StudyParams, files: StudyFiles = SELECTION) -> Study:
    """The runs of every entry, gathered. Raises EntropylawError when one is missing, damaged or made otherwise."""
    share = params.share if params.share is not None else read_budget(files).share
    results = [load_result(name, params, share, files) for name in params.methods]
    if len({result.budget_tokens for result in results}) > 1:
        raise EntropylawError(f"{files.runs}: the runs were made on different pools; run `{_call(files)}`")
    lengths = {name: load_lengths(name, files) for name in params.methods}
    return build_study(results, lengths, params.z_measure, params.dataset)


def load_result(name: str, params: StudyParams, share: float, files: StudyFiles) -> MethodResult:
    """The run of an entry. ``share``: of the pool's tokens, the budget that it must have been made with."""
    file = files.result(name)
    repair = f"run `dvc repro --force {files.pipeline}`"
    result = read_result(file, MethodResult, _call(files), repair, complete=True)
    wanted = (replace(params.methods[name], share=share), params.seeds)
    # As a file would hold them: numbers there have nine digits.
    if to_json((result.settings, [run.seed for run in result.runs])) != to_json(wanted):
        raise EntropylawError(f"{file}: made with other settings than {files.params}; run `{_call(files)}`")
    return result


def load_lengths(name: str, files: StudyFiles) -> Lengths:
    file = files.lengths(name)
    try:
        with file.open(encoding="utf-8", newline="") as handle:
            lengths = {int(line["tokens"]): int(line["rows"]) for line in csv.DictReader(handle)}
        if not lengths:
            raise ValueError
        return lengths
    except FileNotFoundError:
        raise NotAssessedError(f"{file}: no such file; run `{_call(files)}` first") from None
    except (OSError, KeyError, TypeError, ValueError, csv.Error):
        raise DamagedResultError(f"{file}: damaged; run `dvc repro --force {files.pipeline}`") from None


def _call(files: StudyFiles) -> str:
    """The command line that makes a study."""
    return "entropylaw study" if files == SELECTION else f"entropylaw study --pipeline {files.folder.as_posix()}"
