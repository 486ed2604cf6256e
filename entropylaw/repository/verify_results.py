"""Verifies by dvc.lock that the results here were measured on the data here, without a GPU and without the data.

DVC records the hash of all that a stage read and wrote when it last ran. So the verdict belongs to the data if every
file on the way to it was read as the stage before had written it. This finds what was forgotten or mixed up, such as a
merge of two branches; dvc.lock is a file like any other and no protection against those who mean to deceive.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus.artifacts import read_json
from corpus.errors import NotAssessedError
from corpus.params import PARAMS_FILE, read_params
from entropylaw.repository import layout
from entropylaw.repository.lockfile import (
    LOCK_FILE,
    LockedStage,
    hash_as_dvc,
    list_upstream,
    look_up,
    read_lock,
    read_tracked,
)

REPAIR = "run `dvc repro`, then commit dvc.lock and the results together"


def verify_results(verdict: Path, data_hash: str) -> None:
    """Raise NotAssessedError, naming the file, unless dvc.lock ties this verdict to the data, parameters and history
    here, and records every file that is here below results/ as it is.

    ``data_hash`` is that of the version under test. An approval, where there is one, must follow from the verdict.
    Other results below the gate may be of an earlier version, because DVC does not run their stages on a stopped one.
    """
    stages = read_lock(REPAIR)
    makers = {path: stage for stage in stages for path in stage.outs}
    targets = [Path(os.path.relpath(verdict)).as_posix()]
    if layout.APPROVAL.exists():
        targets.append(layout.APPROVAL.as_posix())
    for target in targets:
        if target not in makers:
            raise NotAssessedError(f"{target}: {LOCK_FILE} does not record it; {REPAIR}")
    params = read_params()
    for stage in list_upstream(targets, makers):
        _verify_params(stage, params)
        for path, md5 in stage.deps.items():
            if path in makers:
                if makers[path].outs[path] != md5:
                    raise NotAssessedError(
                        f"{path}: stage {stage.name} read other content than stage {makers[path].name} wrote last; "
                        f"{REPAIR}"
                    )
            elif path == layout.HISTORY.as_posix():
                _verify_history(md5, data_hash)
            else:
                _verify_source(path, md5, stage.name)
    for stage in stages:
        for path, md5 in stage.outs.items():
            if layout.RESULTS in Path(path).parents and Path(path).exists() and hash_as_dvc(Path(path)) != md5:
                raise NotAssessedError(f"{path}: is not what {LOCK_FILE} records of stage {stage.name}; {REPAIR}")


def _verify_params(stage: LockedStage, params: Mapping[str, Any]) -> None:
    for key, value in stage.params.items():
        if look_up(params, key) != value:
            raise NotAssessedError(f"{PARAMS_FILE}: {key} is not what stage {stage.name} ran with; {REPAIR}")


def _verify_history(md5: str, data_hash: str) -> None:
    """Compare history/ with what the verdict read; an entry that `accept` added for this version is left out."""
    own = [path for path in layout.HISTORY.glob("*.json") if read_json(path)["data_hash"] == data_hash]
    left_out = [[], *([path] for path in own)]
    if not layout.HISTORY.is_dir() or md5 not in (hash_as_dvc(layout.HISTORY, paths) for paths in left_out):
        raise NotAssessedError(f"{layout.HISTORY}: is not the history that the verdict compares with; {REPAIR}")


def _verify_source(path: str, md5: str, stage: str) -> None:
    """Compare a file that no stage made with its .dvc file, and with the file itself where it is here."""
    tracked = Path(f"{path}.dvc")
    if tracked.is_file():
        if read_tracked(tracked, REPAIR).get(Path(path).name) != md5:
            raise NotAssessedError(f"{tracked}: names other data than stage {stage} read; {REPAIR}")
    elif not Path(path).exists():
        raise NotAssessedError(f"{path}: neither here nor tracked in {tracked}; run `dvc pull` or `dvc add {path}`")
    if Path(path).exists() and hash_as_dvc(Path(path)) != md5:
        raise NotAssessedError(f"{path}: is not what stage {stage} read; {REPAIR}")
