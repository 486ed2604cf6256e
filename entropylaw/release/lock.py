"""Checks by dvc.lock that hashes lead from the data files to the release without a gap."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus.errors import EntropylawError
from corpus.params import PARAMS_FILE, read_params
from entropylaw.release.checks import Finding
from entropylaw.repository import layout
from entropylaw.repository.lockfile import (
    LOCK_FILE,
    LockedStage,
    hash_as_dvc,
    list_upstream,
    look_up,
    read_lock,
)
from entropylaw.repository.tracked_data import is_changed

# Read by the pipeline, and free to grow after it ran: `accept` adds the released version to the history, and waivers
# are held against the verdict by a check of their own.
_MAY_CHANGE = (layout.HISTORY.as_posix(), layout.WAIVERS.as_posix())


def find_lock_problems(release: Mapping[str, Any]) -> Finding:
    """Whether every stage behind the release ran on what the stages before it made, with these files and parameters.

    It follows the stages back from `release`. Files that are here must have the hash that dvc.lock has for them; of
    data and models that are not, dvc.lock itself speaks, and for data files their .dvc files.

    Raises EntropylawError when dvc.lock, a result or an input cannot be read.
    """
    stages = read_lock("run `dvc repro` first")
    release_stage = next((stage for stage in stages if stage.name == "release"), None)
    if release_stage is None:
        raise EntropylawError(f"{LOCK_FILE}: has no stage `release`; run `dvc repro`")
    makers = {path: stage for stage in stages for path in stage.outs}
    upstream = list(list_upstream(release_stage.outs, makers))
    params = read_params()
    # Hashed already by the check of the models, at the cost of reading gigabytes.
    models = {model["path"]: model["dvc_hash"] for model in release["models"].values()}
    problems = _compare_outs(release_stage, models)
    for stage in upstream:
        problems += _find_param_problems(stage, params) + _find_chain_problems(stage, makers, models)
    for path in dict.fromkeys(path for stage in upstream for path in stage.deps):
        if path in makers and path not in models and path not in _MAY_CHANGE:
            problems += _find_file_problems(path, makers[path].outs[path])
    return list(dict.fromkeys(problems)), f"{len(upstream)} stages from the data to the release fit together"


def _find_param_problems(stage: LockedStage, params: Mapping[str, Any]) -> list[str]:
    return [
        f"{PARAMS_FILE}: {key} is not what the stage `{stage.name}` ran with; run `dvc repro`"
        for key, value in stage.params.items()
        if look_up(params, key) != value
    ]


def _find_chain_problems(stage: LockedStage, makers: Mapping[str, LockedStage], models: Mapping[str, str]) -> list[str]:
    """Whether a stage read every file as the stage before had written it, and the release's inputs and models.

    ``makers``: the stage that wrote a file, by path; ``models``: the release's hash of each of its models, by path.
    """
    problems = []
    for path, digest in stage.deps.items():
        if path in _MAY_CHANGE:
            continue
        maker = makers.get(path)
        if maker is not None and maker.outs[path] != digest:
            problems.append(f"{path}: `{stage.name}` ran on another one than `{maker.name}` made; run `dvc repro`")
        if path in models:
            if digest != models[path]:
                problems.append(f"{path}: {LOCK_FILE} names another model than the release; run `dvc repro`")
        elif maker is None:
            problems += _find_input_problems(path, digest, stage.sizes.get(path))
    return problems


def _compare_outs(release_stage: LockedStage, models: Mapping[str, str]) -> list[str]:
    """The release's own files, and whether it was made from all the models that it names."""
    problems = []
    for path in (layout.RELEASE_JSON.as_posix(), layout.RELEASE_MD.as_posix()):
        if not Path(path).is_file():
            raise EntropylawError(f"{path}: no such file; run `dvc repro release` first")
        if hash_as_dvc(Path(path)) != release_stage.outs.get(path):
            problems.append(f"{path}: is not what {LOCK_FILE} has for it; run `dvc repro release`")
    problems += [
        f"{path}: the stage `release` does not depend on it in {LOCK_FILE}"
        for path in models
        if path not in release_stage.deps
    ]
    return problems


def _find_input_problems(path: str, digest: str, size: int | None) -> list[str]:
    """Whether a file that no stage makes is the one that was read: by what DVC notes of it, wherever that stands, and
    by itself if it is here.
    """
    if is_changed(path, digest, size, reread=True):
        return [f"{path}: the release was not made from this version of the data; run `dvc repro`"]
    return []


def _find_file_problems(path: str, digest: str) -> list[str]:
    """The results that checks read must be here; what DVC keeps need not be."""
    if not Path(path).exists():
        if Path(path).suffix == ".json" and Path(path).is_relative_to(layout.RESULTS):
            raise EntropylawError(f"{path}: no such file; restore it from Git, or run `dvc repro`")
        return []
    if hash_as_dvc(Path(path)) != digest:
        return [f"{path}: is not what {LOCK_FILE} has for it; restore it, or run `dvc repro`"]
    return []
