"""Verifies by dvc.lock that the results here were measured on the data here, without a GPU and without the data.

DVC records the hash of all that a stage read and wrote when it last ran. So the verdict belongs to the data if every
file on the way to it was read as the stage before had written it. This finds what was forgotten or mixed up, such as
data that was changed and not measured, or a merge of two branches; dvc.lock is a file like any other and no protection
against those who mean to deceive.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus.errors import NotAssessedError
from corpus.params import PARAMS_FILE, read_params
from entropylaw.repository import layout
from entropylaw.repository.lockfile import (
    LOCK_FILE,
    PIPELINE_FILE,
    LockedStage,
    hash_as_dvc,
    list_upstream,
    look_up,
    read_lock,
)
from entropylaw.repository.pipeline_folder import is_pipeline
from entropylaw.repository.signatures import signature_of
from entropylaw.repository.tracked_data import is_changed
from monitor.history_file import read_file

REPAIR = "run `dvc repro`, then commit dvc.lock and the results together"


def require_current(verdict: Path, data_hash: str) -> None:
    """Raise NotAssessedError, naming what differs, unless the verdict is of the data, parameters and history here.

    It takes a tenth of a second: data counts by its hash in .dvc files and dvc.lock (``is_changed``). A verdict that
    lies elsewhere, such as one that was kept, is taken as it is, and so is one that no pipeline made: where there is no
    dvc.yaml, or none that has our stages.
    """
    if _name(verdict) != layout.VERDICT.as_posix() or not (PIPELINE_FILE.exists() or LOCK_FILE.exists()):
        return
    ours = is_pipeline(Path())
    if not ours and not LOCK_FILE.exists():
        return
    stages = read_lock(REPAIR)
    if not ours and not any(_name(verdict) in stage.outs for stage in stages):
        return
    _verify_chain(stages, [verdict], data_hash, reread=False)


def verify_results(verdict: Path, data_hash: str) -> None:
    """Raise NotAssessedError, naming the file, unless dvc.lock ties this verdict to the data, parameters and history
    here, and records every file that is here below results/ as it is.

    Beyond ``require_current``: data that is here is hashed whatever its size, an approval, where there is one, must
    follow from the verdict, and a verdict that no pipeline made is refused. Other results below the gate may be of an
    earlier version, because DVC does not run their stages on a stopped one. ``data_hash`` is that of the version under
    test.
    """
    stages = read_lock(REPAIR)
    _verify_chain(stages, [verdict, *([layout.APPROVAL] if layout.APPROVAL.exists() else [])], data_hash, reread=True)
    for stage in stages:
        for path, md5 in stage.outs.items():
            if layout.RESULTS in Path(path).parents and Path(path).exists() and hash_as_dvc(Path(path)) != md5:
                raise NotAssessedError(f"{path}: is not what {LOCK_FILE} records of stage {stage.name}; {REPAIR}")


def _name(path: Path) -> str:
    """As dvc.lock names it."""
    return Path(os.path.relpath(path)).as_posix()


def _verify_chain(stages: list[LockedStage], results: list[Path], data_hash: str, reread: bool) -> None:
    """Follow the results back to the sources: each stage must have read what the one before it wrote."""
    makers = {path: stage for stage in stages for path in stage.outs}
    for path in map(_name, results):
        if path not in makers:
            raise NotAssessedError(f"{path}: {LOCK_FILE} does not record it; {REPAIR}")
        if hash_as_dvc(Path(path)) != makers[path].outs[path]:
            raise NotAssessedError(f"{path}: is not what {LOCK_FILE} records of stage {makers[path].name}; {REPAIR}")
    params = read_params()
    seen: set[tuple[str, str]] = set()
    for stage in list_upstream(map(_name, results), makers):
        for path, md5 in stage.deps.items():
            if (path, md5) in seen:
                continue
            seen.add((path, md5))
            if path in makers:
                if makers[path].outs[path] != md5:
                    raise NotAssessedError(
                        f"{path}: stage {stage.name} read other content than stage {makers[path].name} wrote last; "
                        f"{REPAIR}"
                    )
            elif path == layout.HISTORY.as_posix():
                _verify_history(md5, data_hash)
            elif is_changed(path, md5, stage.sizes.get(path), reread):
                raise NotAssessedError(f"{path} was changed after it was measured: run `dvc repro`")
        _verify_params(stage, params)


def _verify_params(stage: LockedStage, params: Mapping[str, Any]) -> None:
    for key, value in stage.params.items():
        if look_up(params, key) != value:
            raise NotAssessedError(f"{PARAMS_FILE}: {key} is not what stage {stage.name} ran with; {REPAIR}")


def _verify_history(md5: str, data_hash: str) -> None:
    """Compare history/ with what the verdict read; an entry that `accept` added for this version is left out."""
    if layout.HISTORY.is_dir():
        if hash_as_dvc(layout.HISTORY) == md5:
            return
        own = [path for path in layout.HISTORY.glob("*.json") if read_file(path).data_hash == data_hash]
        if any(hash_as_dvc(layout.HISTORY, [path, signature_of(path)]) == md5 for path in own):
            return
    raise NotAssessedError(f"{layout.HISTORY}: is not the history that the verdict compares with; {REPAIR}")
