"""Checks by dvc.lock that hashes lead from the data files to the release without a gap."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus.errors import EntropylawError
from corpus.params import PARAMS_FILE, read_params
from entropylaw.release.checks import Finding
from entropylaw.repository import layout
from entropylaw.repository.lockfile import LOCK_FILE, LockedStage, hash_as_dvc, look_up, read_lock, read_tracked

# Read by the pipeline, and free to grow after it ran: `accept` adds the released version to the history, and waivers
# are held against the verdict by a check of their own.
_MAY_CHANGE = (layout.HISTORY.as_posix(), layout.WAIVERS.as_posix())


def find_lock_problems(release: Mapping[str, Any]) -> Finding:
    """Whether every stage behind the release ran on what the stages before it made, with these files and parameters.

    Followed upwards from the stage `release`. Files that are here must have the hash that dvc.lock has for them; of
    data and models that are not, dvc.lock itself speaks, and for data files their .dvc files.

    Raises EntropylawError when dvc.lock, a result or an input cannot be read.
    """
    stages = {stage.name: stage for stage in read_lock("run `dvc repro` first")}
    if "release" not in stages:
        raise EntropylawError(f"{LOCK_FILE}: has no stage `release`; run `dvc repro`")
    made = {path: (stage.name, digest) for stage in stages.values() for path, digest in stage.outs.items()}
    params = read_params()
    # Hashed already by the check of the models, at the cost of reading gigabytes.
    models = {model["path"]: model["dvc_hash"] for model in release["models"].values()}
    problems = _compare_outs(stages["release"], models)
    waiting, seen = ["release"], {"release"}
    files: dict[str, str] = {}
    for name in waiting:
        stage = stages[name]
        problems += [
            f"{PARAMS_FILE}: {key} is not what the stage `{name}` ran with; run `dvc repro`"
            for key, value in stage.params.items()
            if look_up(params, key) != value
        ]
        for path, digest in stage.deps.items():
            if path in _MAY_CHANGE:
                continue
            maker, made_digest = made.get(path, (None, digest))
            if made_digest != digest:
                problems.append(f"{path}: `{name}` ran on another one than `{maker}` made; run `dvc repro`")
            if maker is not None and maker not in seen:
                seen.add(maker)
                waiting.append(maker)
            if path in models:
                if digest != models[path]:
                    problems.append(f"{path}: {LOCK_FILE} names another model than the release; run `dvc repro`")
            elif maker is None:
                problems += _find_input_problems(path, digest)
            else:
                files[path] = made_digest
    for path, digest in files.items():
        problems += _find_file_problems(path, digest)
    return list(dict.fromkeys(problems)), f"{len(seen)} stages from the data to the release fit together"


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


def _find_input_problems(path: str, digest: str) -> list[str]:
    """A file that no stage makes: the same by its .dvc file, which is what Git holds of it, and by itself if here."""
    pointer = Path(f"{path}.dvc")
    if pointer.is_file():
        if digest not in read_tracked(pointer, "run `git checkout` first").values():
            return [f"{pointer}: the release was not made from this version of the data; run `dvc repro`"]
    elif not Path(path).exists():
        raise EntropylawError(f"{path}: not here, and no {pointer} says which version it is; run `dvc pull {path}`")
    return _find_file_problems(path, digest)


def _find_file_problems(path: str, digest: str) -> list[str]:
    """The results that checks read must be here; what DVC keeps need not be."""
    if not Path(path).exists():
        if Path(path).suffix == ".json" and Path(path).is_relative_to(layout.RESULTS):
            raise EntropylawError(f"{path}: no such file; restore it from Git, or run `dvc repro`")
        return []
    if hash_as_dvc(Path(path)) != digest:
        return [f"{path}: is not what {LOCK_FILE} has for it; restore it, or run `dvc repro`"]
    return []
