"""The budget of a study in tokens: a share of the pool, or what so many rows of one of its entries have."""

from __future__ import annotations

from dataclasses import dataclass

from entropylaw.study.files import StudyFiles
from entropylaw.study.params import StudyParams


@dataclass(frozen=True)
class StudyBudget:
    """``tokens`` that every method may select, and the ``share`` of the pool's tokens that they are."""

    tokens: int
    share: float


def find_budget(params: StudyParams, files: StudyFiles, pool_tokens: int) -> StudyBudget:
    """The budget of every method. Raises NotAssessedError where the stage ``budget`` did not run before."""
    if params.share is not None:
        return StudyBudget(int(params.share * pool_tokens), params.share)
    return read_budget(files)


def read_budget(files: StudyFiles) -> StudyBudget:
    """What the stage ``budget`` wrote. Raises what `read_result` raises."""
    from corpus.artifacts import read_result

    made_by = f"dvc repro {files.pipeline.as_posix()}:budget"
    return read_result(files.budget, StudyBudget, made_by, complete=True)
