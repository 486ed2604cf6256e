"""What DVC wrote down: the stages that dvc.lock records, and the data files that a .dvc file tracks."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corpus.errors import NotAssessedError, ParamsError
from corpus.merge_conflicts import describe_conflict
from corpus.params import PARAMS_FILE, parse_yaml

LOCK_FILE = Path("dvc.lock")
PIPELINE_FILE = Path("dvc.yaml")


@dataclass(frozen=True)
class LockedStage:
    """A stage as DVC recorded its last run: MD5 by path of what it read and wrote, and the values it took from
    params.yaml by dotted key. ``sizes``: bytes by path of what it read, where noted.
    """

    name: str
    deps: dict[str, str]
    outs: dict[str, str]
    params: dict[str, Any]
    sizes: dict[str, int] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class TrackedOutput:
    """What a .dvc file or a dvc.lock says of data: where it lies, its MD5, its size in bytes where noted.

    ``is_exact``: DVC 3 hashed its bytes. DVC 2 took the line ends of Windows for those of Unix.
    """

    path: Path
    md5: str
    size: int | None
    is_exact: bool = True


def read_lock(repair: str) -> list[LockedStage]:
    """The stages of dvc.lock that dvc.yaml still has: DVC keeps what it recorded of others.

    Raises NotAssessedError, with what ``repair`` says is to be done, when one of the files is missing or is none of
    DVC's.
    """
    stages = read_stage_names(PIPELINE_FILE, repair)
    recorded = parse_lock(_read_text(LOCK_FILE, repair), LOCK_FILE, repair)
    return [stage for stage in recorded if base_name(stage.name) in stages]


def read_stage_names(pipeline: Path, repair: str) -> set[str]:
    """The stages of a dvc.yaml. Raises NotAssessedError when it is missing or not YAML."""
    stages = _parse(_read_text(pipeline, repair), pipeline, repair).get("stages") or {}
    if not isinstance(stages, dict):
        raise NotAssessedError(f"{pipeline}: stages: expected names with a stage each; {repair}")
    return set(map(str, stages))


def parse_lock(text: str, where: object, repair: str) -> list[LockedStage]:
    """The stages in the text of a dvc.lock, of today or of an earlier commit.

    Raises NotAssessedError, about the file ``where``, when it is none that DVC 3 wrote.

    >>> text = '''
    ... stages:
    ...   gate:
    ...     cmd: entropylaw gate
    ...     deps: [{path: results/verdict.json, hash: md5, md5: 0ff8c7, size: 10}]
    ...     params: {params.yaml: {gate.strict: true}}
    ... '''
    >>> parse_lock(text, "dvc.lock", "run `dvc repro`")
    [LockedStage(name='gate', deps={'results/verdict.json': '0ff8c7'}, outs={}, params={'gate.strict': True})]
    """
    document = _parse(text, where, repair)
    try:
        return [
            LockedStage(
                str(name),
                _list_hashes(stage.get("deps", [])),
                _list_hashes(stage.get("outs", [])),
                {str(key): value for key, value in stage.get("params", {}).get(PARAMS_FILE, {}).items()},
                {str(part["path"]): part["size"] for part in stage.get("deps", []) if "size" in part},
            )
            for name, stage in document["stages"].items()
        ]
    except (AttributeError, KeyError, TypeError):
        raise NotAssessedError(
            f"{where}: no record of MD5 hashes as DVC 3 writes it; restore it from Git, or {repair}"
        ) from None


def list_upstream(targets: Iterable[str], makers: Mapping[str, LockedStage]) -> Iterator[LockedStage]:
    """The stages that made the targets and all that these were made from, each once, the first to run first.

    ``makers``: the stage that wrote a file, by the file's path.
    """
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


def read_outputs(note: Path, text: str, repair: str, stages: Collection[str] | None = None) -> list[TrackedOutput]:
    """The data that a .dvc file tracks, or that a dvc.lock records as written. ``text``: that of the file ``note``.
    ``stages``: of a dvc.lock, only what these wrote.

    Paths are as seen from the current folder. Raises NotAssessedError when it is no file of DVC's.
    """
    where = os.path.relpath(note)
    document = _parse(text, where, repair)
    try:
        if stages is None:
            entries = document["outs"]
        else:
            recorded = document["stages"].items()
            entries = [out for name, stage in recorded if base_name(name) in stages for out in stage.get("outs", [])]
        folder = note.parent / document.get("wdir", ".")
        return [_describe_output(folder, entry) for entry in entries if "://" not in str(entry["path"])]
    except (AttributeError, KeyError, TypeError):
        raise NotAssessedError(f"{where}: no record of data as DVC 3 writes it; {repair}") from None


def read_tracked(path: Path, repair: str) -> dict[str, str]:
    """MD5 by name, as seen from its folder, of the data that a .dvc file tracks.

    Raises NotAssessedError when it is missing or none that DVC 3 wrote.
    """
    outputs = read_outputs(path, _read_text(path, repair), repair)
    return {Path(os.path.relpath(output.path, path.parent)).as_posix(): output.md5 for output in outputs}


def read_pipeline(repair: str) -> dict[str, Any]:
    """The sections of dvc.yaml. Raises NotAssessedError when it is missing or not YAML."""
    return _parse(_read_text(PIPELINE_FILE, repair), PIPELINE_FILE, repair)


def hash_as_dvc(path: Path, leave_out: Collection[Path] = (), reread: bool = True) -> str:
    """The MD5 that DVC 3 records: of a file's bytes, and of a folder, ending in ``.dir``, of the list of its files.

    ``leave_out``: files not to be counted. ``reread``: hash also the files of a folder that a .dvc file there tracks;
    else its word is taken for them. Patterns of .dvcignore are not read.
    """
    if not path.is_dir():
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    # What DVC tracks file by file in a folder counts also where it is not here.
    tracked: dict[str, str] = {}
    for note in sorted(file for name, file in files.items() if name.endswith(".dvc")):
        for name, md5 in read_tracked(note, "run `dvc pull`").items():
            place = Path(os.path.normpath(note.parent / name))
            if path in place.parents and not md5.endswith(".dir"):
                tracked[place.relative_to(path).as_posix()] = md5
    read = {name: file for name, file in files.items() if file not in leave_out and (reread or name not in tracked)}
    hashes = {**tracked, **{name: hash_as_dvc(file) for name, file in read.items()}}
    return hash_listing(hashes)


def hash_listing(hashes: Mapping[str, str]) -> str:
    """The hash that DVC gives a folder, from the MD5 of each of its files by path below the folder.

    >>> hash_listing({})
    'd751713988987e9331980363e24189ce.dir'
    """
    listing = [{"md5": hashes[name], "relpath": name} for name in sorted(hashes)]
    return hashlib.md5(json.dumps(listing).encode(), usedforsecurity=False).hexdigest() + ".dir"


def look_up(sections: Any, key: str) -> Any:
    """The value at a dotted key, as dvc.yaml names parameters; None where there is none.

    >>> look_up({"judge": {"model": "tiny"}}, "judge.model")
    'tiny'
    """
    for part in key.split("."):
        sections = sections.get(part) if isinstance(sections, dict) else None
    return sections


def _read_text(path: Path, repair: str) -> str:
    if not path.is_file():
        raise NotAssessedError(f"{path}: no such file; {repair}")
    try:
        return path.read_text(encoding="utf-8")
    except ValueError as error:  # not UTF-8
        raise NotAssessedError(f"{path}: not YAML: {error}; restore it from Git, or {repair}") from None
    except OSError as error:
        raise NotAssessedError(f"{path}: cannot be read: {error.strerror}; {repair}") from None


def _parse(text: str, where: object, repair: str) -> dict[str, Any]:
    try:
        return parse_yaml(text, where)
    except ParamsError as error:
        conflict = describe_conflict(where, text)
        raise NotAssessedError(conflict or f"{error}; restore it from Git, or {repair}") from None


def base_name(stage: str) -> str:
    """The name in dvc.yaml: a stage for each dataset is recorded as prepare@sft."""
    return stage.partition("@")[0]


def _describe_output(folder: Path, entry: Mapping[str, Any]) -> TrackedOutput:
    path = Path(os.path.normpath(folder / str(entry["path"])))
    if "files" in entry:  # of a folder whose versions a cloud keeps, the list stands here instead of its hash
        return TrackedOutput(path, hash_listing({part["relpath"]: part["md5"] for part in entry["files"]}), None)
    return TrackedOutput(path, str(entry["md5"]), entry.get("size"), entry.get("hash") == "md5")


def _list_hashes(entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """MD5 by path; what lies in a cloud has another kind of hash and is DVC's to check."""
    return {str(entry["path"]): str(entry["md5"]) for entry in entries if "://" not in str(entry["path"])}
