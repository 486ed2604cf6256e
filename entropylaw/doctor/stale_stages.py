"""Which stages `dvc repro` would run, told from dvc.lock without DVC, which takes seconds to start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from corpus.errors import NotAssessedError
from corpus.params import PARAMS_FILE
from entropylaw.doctor.declared_stages import DeclaredStage
from entropylaw.repository.lockfile import LockedStage, hash_as_dvc, look_up
from entropylaw.repository.tracked_data import QUICK_BYTES, is_changed


def find_stale(
    declared: Sequence[DeclaredStage], locked: Sequence[LockedStage], params: Mapping[str, Any]
) -> dict[str, str]:
    """Why each stage that is out of date has to run, by its name, in the order in which they run.

    A changed command is not seen: `dvc status` sees it. A stage whose results are not here, as in a clone without
    `dvc pull`, is not out of date by that.
    """
    recorded = {stage.name: stage for stage in locked}
    makers = {path: stage.name for stage in declared for path in stage.outs}
    stale: dict[str, str] = {}
    for stage in sort_stages(declared):
        upstream = next((makers[path] for path in stage.deps if makers.get(path) in stale), None)
        if upstream is not None:
            stale[stage.name] = f"after {upstream}"
        elif reason := _find_reason(stage, recorded, makers, params):
            stale[stage.name] = reason
    return stale


def sort_stages(declared: Iterable[DeclaredStage]) -> list[DeclaredStage]:
    """Stages in the order in which they run: each behind those that make what it reads, else as they are given.

    >>> late, early = DeclaredStage("late", ("a",), (), ()), DeclaredStage("early", (), ("a",), ())
    >>> [stage.name for stage in sort_stages([late, early])]
    ['early', 'late']
    """
    makers = {path: stage for stage in declared for path in stage.outs}
    ordered: list[DeclaredStage] = []
    seen: set[str] = set()

    def visit(stage: DeclaredStage) -> None:
        if stage.name in seen:
            return
        seen.add(stage.name)
        for path in stage.deps:
            if path in makers:
                visit(makers[path])
        ordered.append(stage)

    for stage in declared:
        visit(stage)
    return ordered


def _find_reason(
    stage: DeclaredStage, recorded: Mapping[str, LockedStage], makers: Mapping[str, str], params: Mapping[str, Any]
) -> str | None:
    """Why a stage has to run whose upstream is up to date; None where it need not."""
    last = recorded.get(stage.name)
    if last is None:
        return "it never ran"
    for key in stage.params:
        if key not in last.params or last.params[key] != look_up(params, key):
            return f"{key} changed in {PARAMS_FILE}"
    for path in stage.deps:
        if path not in last.deps:
            return f"it did not read {path} before" if "://" not in path else None
        if path in makers:
            if recorded[makers[path]].outs.get(path) != last.deps[path]:
                return f"{path} was made anew"
        elif _is_other(path, last):
            return f"{path} changed"
    return next((f"{path} is not what it wrote" for path in stage.outs if _is_damaged(path, last)), None)


def _is_other(path: str, last: LockedStage) -> bool:
    try:
        return is_changed(path, last.deps[path], last.sizes.get(path), reread=False)
    except NotAssessedError:
        # Neither here nor tracked: nothing says that it changed, and the check of the data says that it is missing.
        return False


def _is_damaged(path: str, last: LockedStage) -> bool:
    """Whether a result that is here has been changed; large ones are not read."""
    file = Path(path)
    return file.is_file() and file.stat().st_size <= QUICK_BYTES and hash_as_dvc(file) != last.outs.get(path)
