"""dvc.lock as the proof that the results here were measured on the data here, without a GPU and without the data.

DVC records the hash of all that a stage read and wrote when it last ran. So the verdict belongs to the data if every
file on the way to it was read as the stage before had written it. This finds what was forgotten or mixed up, such as a
merge of two branches; dvc.lock is a file like any other and no protection against those who mean to deceive.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.artifacts import read_json
from corpus.errors import NotAssessedError, ParamsError
from corpus.params import PARAMS_FILE, read_params
from entropylaw.repository import layout

LOCK_FILE = Path("dvc.lock")
PIPELINE_FILE = Path("dvc.yaml")
REPAIR = "run `dvc repro`, then commit dvc.lock and the results together"


@dataclass(frozen=True)
class LockedStage:
    """A stage as DVC recorded its last run: MD5 by path of what it read and wrote, and the values it took from
    params.yaml by dotted key.
    """

    name: str
    deps: dict[str, str]
    outs: dict[str, str]
    params: dict[str, Any]


def verify_results(verdict: Path, data_hash: str) -> None:
    """Raise NotAssessedError, naming the file, unless dvc.lock ties this verdict to the data, parameters and history
    here, and records every file that is here below results/ as it is.

    ``data_hash`` is that of the version under test. An approval, where there is one, must follow from the verdict.
    Other results below the gate may be of an earlier version, because DVC does not run their stages on a stopped one.
    """
    stages = read_lockfile()
    makers = {path: stage for stage in stages for path in stage.outs}
    targets = [Path(os.path.relpath(verdict)).as_posix()]
    if layout.APPROVAL.exists():
        targets.append(layout.APPROVAL.as_posix())
    for target in targets:
        if target not in makers:
            raise NotAssessedError(f"{target}: {LOCK_FILE} does not record it; {REPAIR}")
    params = read_params()
    for stage in _list_upstream(targets, makers):
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


def read_lockfile() -> list[LockedStage]:
    """The stages of dvc.lock that dvc.yaml still has: DVC keeps what it recorded of others.

    Raises NotAssessedError when one of the files is missing, or is none of DVC's.
    """
    stages, lock = _read_record(PIPELINE_FILE).get("stages") or {}, _read_record(LOCK_FILE)
    try:
        # A stage for each dataset is recorded as prepare@sft.
        return [
            LockedStage(
                name,
                _list_hashes(stage.get("deps", [])),
                _list_hashes(stage.get("outs", [])),
                stage.get("params", {}).get(PARAMS_FILE, {}),
            )
            for name, stage in lock["stages"].items()
            if name.partition("@")[0] in stages
        ]
    except (AttributeError, KeyError, TypeError):
        raise NotAssessedError(f"{LOCK_FILE}: no record of MD5 hashes as DVC 3 writes it; {REPAIR}") from None


def hash_as_dvc(path: Path, leave_out: Collection[Path] = ()) -> str:
    """The MD5 that DVC 3 records: of a file's bytes, and of a folder, ending in ``.dir``, of the list of its files.

    ``leave_out``: files not to be counted. Patterns of .dvcignore are not read.
    """
    if not path.is_dir():
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    listing = [
        {"md5": hash_as_dvc(file), "relpath": name} for name, file in sorted(files.items()) if file not in leave_out
    ]
    return hashlib.md5(json.dumps(listing).encode(), usedforsecurity=False).hexdigest() + ".dir"


def look_up(sections: Any, key: str) -> Any:
    """The value at a dotted key, as dvc.yaml names parameters; None where there is none.

    >>> look_up({"judge": {"model": "tiny"}}, "judge.model")
    'tiny'
    """
    for part in key.split("."):
        sections = sections.get(part) if isinstance(sections, dict) else None
    return sections


def _read_record(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise NotAssessedError(f"{path}: no such file; {REPAIR}")
    try:
        return read_params(path)
    except ParamsError as error:
        raise NotAssessedError(f"{error}; restore it from Git, or {REPAIR}") from None


def _list_hashes(entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """MD5 by path; what lies in a cloud has another kind of hash and is DVC's to check."""
    return {str(entry["path"]): str(entry["md5"]) for entry in entries if "://" not in str(entry["path"])}


def _read_tracked(path: Path) -> dict[str, str]:
    """MD5 by path of the files that a .dvc file tracks."""
    try:
        return _list_hashes(_read_record(path)["outs"])
    except (KeyError, TypeError):
        raise NotAssessedError(f"{path}: no record of an MD5 hash as DVC 3 writes it; {REPAIR}") from None


def _list_upstream(targets: Iterable[str], makers: Mapping[str, LockedStage]) -> Iterator[LockedStage]:
    """The stages that made the targets and all that these were made from, each once, the first to run first."""
    seen: set[str] = set()

    def visit(path: str) -> Iterator[LockedStage]:
        stage = makers.get(path)
        if stage is None or stage.name in seen:
            return
        seen.add(stage.name)
        for dependency in stage.deps:
            yield from visit(dependency)
        yield stage

    for target in targets:
        yield from visit(target)


def _verify_params(stage: LockedStage, params: Mapping[str, Any]) -> None:
    for key, value in stage.params.items():
        if look_up(params, key) != value:
            raise NotAssessedError(f"{PARAMS_FILE}: {key} is not what stage {stage.name} ran with; {REPAIR}")


def _verify_history(md5: str, data_hash: str) -> None:
    """The history as the verdict saw it: an entry that this version got afterwards, by `accept`, does not count."""
    entries = sorted(layout.HISTORY.glob("*.json"))
    own = [path for path in entries if read_json(path)["data_hash"] == data_hash]
    if not layout.HISTORY.is_dir() or md5 not in (hash_as_dvc(layout.HISTORY), hash_as_dvc(layout.HISTORY, own[-1:])):
        raise NotAssessedError(f"{layout.HISTORY}: is not the history that the verdict compares with; {REPAIR}")


def _verify_source(path: str, md5: str, stage: str) -> None:
    """A file that no stage made: as DVC tracks it, and as it is where it is here."""
    tracked = Path(f"{path}.dvc")
    if tracked.is_file():
        if _read_tracked(tracked).get(Path(path).name) != md5:
            raise NotAssessedError(f"{tracked}: names other data than stage {stage} read; {REPAIR}")
    elif not Path(path).exists():
        raise NotAssessedError(f"{path}: neither here nor tracked in {tracked}; run `dvc pull` or `dvc add {path}`")
    if Path(path).exists() and hash_as_dvc(Path(path)) != md5:
        raise NotAssessedError(f"{path}: is not what stage {stage} read; {REPAIR}")
