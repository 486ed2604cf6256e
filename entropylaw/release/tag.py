"""Checks the Git tag of a release, a plain one or one that GTO reads: at this commit, and with these files in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.errors import EntropylawError
from corpus.params import PARAMS_FILE
from entropylaw.release.checks import Finding
from entropylaw.repository import layout
from entropylaw.repository.git import find_subfolder, hash_as_git, list_committed, resolve_commit
from entropylaw.repository.lockfile import LOCK_FILE, PIPELINE_FILE, read_pipeline

# GTO's grammar (gto.constants.tag_re), without importing what it needs to keep a registry: the folder of the dvc.yaml,
# if it is not the root; the artifact; a version or a stage; `!` where the tag takes that back; a counter.
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9/_-]*[A-Za-z0-9])?"
_PART = r"(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION = (
    rf"v(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)){{2}}(?:-{_PART}(?:\.{_PART})*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_GTO_TAG = re.compile(
    rf"(?:(?P<folder>[A-Za-z0-9_./-]+)=)?(?P<artifact>{_NAME})"
    rf"(?:(?:@(?P<version>{_VERSION})|#(?P<stage>{_NAME}))(?P<back>!)?|@(?P<mark>deprecated|created))(?:#\d+)?"
)


@dataclass(frozen=True)
class GtoTag:
    """``folder``: of the dvc.yaml that names the artifact, relative to the root of the Git repository, "" for the root.

    ``releases``: whether it registers a version or assigns a stage, and does not take one back.
    """

    folder: str
    artifact: str
    version: str | None
    stage: str | None
    releases: bool


def parse_gto_tag(tag: str) -> GtoTag | None:
    """What GTO reads in a tag; None of one that it does not read, which is then a plain Git tag.

    >>> parse_gto_tag("sft@v1.2.0")
    GtoTag(folder='', artifact='sft', version='v1.2.0', stage=None, releases=True)
    >>> parse_gto_tag("sft#prod!").releases, parse_gto_tag("v1.2.0")
    (False, None)
    """
    match = _GTO_TAG.fullmatch(tag)
    if match is None:
        return None
    releases = not match["back"] and not match["mark"]
    return GtoTag(match["folder"] or "", match["artifact"], match["version"], match["stage"], releases)


def find_tag_problems(tag: str, release: Mapping[str, Any]) -> Finding:
    """Whether the tag is at the commit checked out, names a model of the release, and has these very files in it.

    Raises EntropylawError when there is no such tag, no Git repository, or no dvc.yaml.
    """
    commit = resolve_commit(f"refs/tags/{tag}")
    if commit is None:
        raise EntropylawError(f"{tag}: no such tag in the Git repository here; fetch it with `git fetch --tags`")
    problems = _find_artifact_problems(tag, release)
    head = resolve_commit("HEAD")
    if head != commit:
        found = head[:7] if head else "no commit"
        problems.append(f"{tag}: is at {commit[:7]}, and {found} is checked out; check out the tag, or move it")
    paths = release_files(release["datasets"])
    committed, here = list_committed(commit, paths), _hash_files(paths)
    for path in sorted(committed.keys() | here.keys()):
        if path not in committed:
            problems.append(f"{path}: is not committed in {tag}; commit it and tag again")
        elif path not in here:
            problems.append(f"{path}: is in {tag} and not here; restore it with `git checkout {tag} -- {path}`")
        elif committed[path] != here[path]:
            problems.append(f"{path}: differs from the one in {tag}; commit it and tag again, or restore it")
    return problems, f"{tag} is at {commit[:7]}, with the release in it"


def release_files(datasets: Iterable[str]) -> list[str]:
    """The files that a tag must hold, as seen from the current folder; a folder stands for all that is in it."""
    results = [layout.RELEASE_JSON, layout.RELEASE_MD, layout.VERDICT, layout.APPROVAL, layout.EVALUATION]
    results += [layout.result(dataset, f"{name}.json") for dataset in datasets for name in ("prepare", "selection")]
    settings = [LOCK_FILE, PIPELINE_FILE, Path(PARAMS_FILE), layout.WAIVERS, layout.HISTORY]
    return [path.as_posix() for path in (*results, *settings, *layout.DATA.glob("*.dvc"))]


def _find_artifact_problems(tag: str, release: Mapping[str, Any]) -> list[str]:
    artifacts = read_pipeline("run `entropylaw init` first").get("artifacts") or {}
    parsed = parse_gto_tag(tag)
    known = ", ".join(artifacts) or "none"
    if parsed is None:
        name = re.split("[@#]", tag)[0]
        if name != tag and name in artifacts:
            return [f"{tag}: GTO does not read it as a version of {name}; tag it like {name}@v1.2.0, or as v1.2.0"]
        return []
    if not parsed.releases:
        return [f"{tag}: takes a version back and releases none; check the tags that register or assign one"]
    folder = find_subfolder()
    if parsed.artifact not in artifacts or parsed.folder.strip("./") != folder.strip("./"):
        return [f"{tag}: {PIPELINE_FILE} here names no such artifact; its `artifacts` are: {known}"]
    path = artifacts[parsed.artifact].get("path")
    if path not in [model["path"] for model in release["models"].values()]:
        return [f"{tag}: {PIPELINE_FILE} has {path} for {parsed.artifact}, which is no model of this release"]
    return []


def _hash_files(paths: list[str]) -> dict[str, str]:
    """Git's ids of the files at or below these paths, as they are here."""
    folders = [file for path in paths for file in Path(path).rglob("*") if file.is_file()]
    files = [path for path in paths if Path(path).is_file()] + [file.as_posix() for file in folders]
    found = hash_as_git(files)
    if files and not found:
        raise EntropylawError("Git cannot read the files of the release here; look at `git status`")
    return found
