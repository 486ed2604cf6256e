"""Whether accepted versions are missing here that the target branch or HEAD has.

A history that was deleted would make the next version a baseline, and a baseline passes. So what Git knows to have been
accepted must be here: all that is in HEAD, and all that was in the target branch where this branch left it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.errors import NotAssessedError
from corpus.shapes import ShapeError, decode_json
from entropylaw.repository import layout
from entropylaw.repository.git import (
    find_merge_base,
    find_root,
    find_root_above,
    has_parent,
    hash_as_git,
    is_shallow,
    list_committed,
    read_blobs,
    resolve_commit,
)
from monitor.history_entry import make_id

# Variables in which CI systems name the branch that a pull request is to be merged into: GitHub, GitLab, Bitbucket,
# Azure, Jenkins, Buildkite. They are set for pull requests only.
TARGET_VARIABLES = (
    "GITHUB_BASE_REF",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
    "BITBUCKET_PR_DESTINATION_BRANCH",
    "SYSTEM_PULLREQUEST_TARGETBRANCH",
    "CHANGE_TARGET",
    "BUILDKITE_PULL_REQUEST_BASE_BRANCH",
)
# GitLab also names the commit at which the branch left its target.
GITLAB_BASE = "CI_MERGE_REQUEST_DIFF_BASE_SHA"
# What a person's own branch is compared with: the remote's default branch, under its usual names.
DEFAULT_BRANCHES = ("origin/HEAD", "origin/main", "origin/master")
DEEPEN = (
    "this clone is shallow: `git fetch --unshallow`, or in CI `fetch-depth: 0` (actions/checkout) or `GIT_DEPTH: 0` "
    "(GitLab)"
)
# So many missing versions are named; a deleted folder may have held hundreds.
NAMED = 5
# The measures that are the same whenever the same data is accepted again under the same configuration.
MEASURED = ("rows", "r", "r_long", "l", "c")


@dataclass(frozen=True)
class Base:
    """What this branch is compared with: the commit at which it left ``tip``, and what that is called."""

    commit: str
    tip: str
    name: str


def require_history(revision: str | None = None) -> Base | None:
    """What this branch is compared with; None where there is nothing earlier. Raises NotAssessedError where accepted
    versions are missing or were altered, or where that cannot be told.

    ``revision``: the branch or commit to compare with, by default what the CI system names or the remote's default
    branch. Where HEAD is that branch itself, as after a push to it, or nothing else is known, it is the commit before.
    Outside a Git repository nothing is known.
    """
    if find_root_above(Path.cwd()) is None:
        return None
    head = resolve_commit("HEAD")
    if head is None:
        return None
    files = sorted(file.as_posix() for file in layout.HISTORY.glob("*.json"))
    ids = hash_as_git(files) if files else {}
    base = find_base(revision, head)
    since = base if base is not None and base.commit != head else find_previous()
    entries = list_entries(since.commit) if since else {}
    if since:
        require_entries(since, entries, ids)
    # What HEAD has in the place of an entry of the base that is back now is no loss.
    repaired = {path for path, blob in ids.items() if entries.get(path) == blob}
    committed = {path: blob for path, blob in list_entries(head).items() if path not in repaired}
    require_entries(Base(head, head, "HEAD"), committed, ids)
    if base is not None and not files and (accepted := list_entries(base.tip)):
        raise NotAssessedError(
            f"{layout.HISTORY}: no accepted version is here, and {base.name} has {len(accepted)}; merge it with "
            f"`git merge {base.name}`, then run `dvc repro`"
        )
    if base is not None and not files:
        require_moved(base, head)
    require_true_names([path for path, blob in ids.items() if entries.get(path) != blob])
    # Of the first commit of all, in the target branch itself, only what is not committed is new.
    return since or base


def require_true_names(files: Iterable[str]) -> None:
    """Raise NotAssessedError where the hashes in a file's name are not those of the entry in it: somebody edited one of
    the two. A name without hashes, which a person may give, is accepted.
    """
    for file in files:
        named = re.search(r"-([0-9a-f]{8})-([0-9a-f]{8})\.json$", file)
        entry = read_facts(Path(file).read_bytes())
        if named is None or not all(isinstance(entry.get(key), str) for key in ("data_hash", "config_fingerprint")):
            continue
        held = make_id(entry["data_hash"], entry["config_fingerprint"], entry.get("parents"))
        ends = entry["data_hash"][: len(named[1])], held[: len(named[2])]
        if named.groups() != ends:
            raise NotAssessedError(
                f"{file}: by what it holds its name should end in {'-'.join(ends)}.json; restore it from Git, or "
                "accept the version again"
            )


def require_moved(base: Base, head: str) -> None:
    """Raise NotAssessedError where no entry is here, and entries that the base has in another folder are gone: the
    pipeline was moved, and its history was not.
    """
    entry = re.compile(rf"(?:.*/)?{layout.HISTORY}/[^/]+\.json")
    root = Path(find_root())
    there = {path: blob for path, blob in list_committed(base.commit, ["."], root).items() if entry.fullmatch(path)}
    gone = sorted(there.keys() - list_committed(head, ["."], root).keys()) if there else []
    contents = read_blobs(there[path] for path in gone)
    lost = [path for path in gone if any(list_fixed(read_facts(contents.get(there[path], b""))))]
    if lost:
        folder = Path(lost[0]).parent
        raise NotAssessedError(
            f"{layout.HISTORY}: no accepted version is here, and those that {base.name} ({base.commit[:7]}) has in "
            f"{folder} are gone; get them back with `git checkout {base.commit[:7]} -- :/{folder}` and move them here"
        )


def require_entries(base: Base, entries: Mapping[str, str], ids: Mapping[str, str]) -> None:
    """Raise NotAssessedError unless each of the ``entries`` of a commit is here, in whichever file.

    ``ids``: Git's ids of the content of the entries here, as ``entries`` has them of those there, by path.
    """
    known = set(ids.values())
    unknown = {path: blob for path, blob in entries.items() if blob not in known}
    if not unknown:
        return
    here = [read_facts(Path(file).read_bytes()) for file in ids]
    there = read_blobs(unknown.values()) if here else {}
    missing = [path for path, blob in unknown.items() if not is_kept(read_facts(there.get(blob, b"")), here)]
    if not missing:
        return
    named = ", ".join(Path(path).name for path in missing[:NAMED])
    more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    count = "1 accepted version" if len(missing) == 1 else f"{len(missing)} accepted versions"
    verb = "is" if len(missing) == 1 else "are"
    raise NotAssessedError(
        f"{layout.HISTORY}: {count} of {base.name} ({base.commit[:7]}) {verb} missing here or changed: {named}{more}; "
        f"get them back with `git checkout {base.commit[:7]} -- {layout.HISTORY}`, then run `dvc repro`"
    )


def list_entries(commit: str) -> dict[str, str]:
    """The history's files in a commit with Git's ids of their content, by path as seen from here."""
    listed = list_committed(commit, [layout.HISTORY.as_posix()])
    return {path: blob for path, blob in listed.items() if Path(path).match(f"{layout.HISTORY}/*.json")}


def read_facts(content: bytes) -> Mapping[str, Any]:
    """An entry as JSON has it; empty where it is none."""
    try:
        document = decode_json(content)
    except ShapeError:
        return {}
    return document if isinstance(document, dict) else {}


def is_kept(entry: Mapping[str, Any], here: Collection[Mapping[str, Any]]) -> bool:
    """Whether an accepted version is among those here: same data, configuration, rows and measures.

    Scores may be added, and a version may be renamed, confirmed, or accepted again. A waiver may not vanish by itself:
    it is answered by `accept --anchor` or `accept --baseline`.
    """
    facts = list(list_fixed(entry))
    for other in here:
        answered = other.get("waived") or other.get("anchor") or other.get("status") == "baseline"
        if facts and facts == list(list_fixed(other)) and (answered or not entry.get("waived")):
            return True
    return False


def list_fixed(entry: Mapping[str, Any]) -> Iterator[object]:
    """What of an entry never changes; nothing of what is no entry."""
    try:
        yield entry["data_hash"], entry["config_fingerprint"]
        for name, measured in sorted(entry["measurements"].items()):
            yield name, [measured.get(key) for key in MEASURED]
        for name, reference in sorted(entry["datasets"].items()):
            yield name, reference["data_hash"], reference["sketch"]
    except (AttributeError, KeyError, TypeError):
        return


def find_base(revision: str | None, head: str) -> Base | None:
    """What this branch is compared with; None where there is nothing but HEAD.

    Raises NotAssessedError where it is known which branch it is, and that branch is not in this clone.
    """
    if revision is not None:
        tip = resolve_commit(revision)
        if tip is None:
            raise NotAssessedError(f"--base {revision}: no such commit here{_hint()}")
        return _join(revision, tip, head)
    if re.fullmatch(r"refs/pull/\d+/merge", os.environ.get("GITHUB_REF", "")) and resolve_commit("HEAD^2"):
        # GitHub checks out the pull request already merged; the first parent is the target branch.
        tip = resolve_commit("HEAD^1")
        if tip is not None:
            return Base(tip, tip, os.environ.get("GITHUB_BASE_REF") or "HEAD^1")
    variable = next((name for name in TARGET_VARIABLES if os.environ.get(name)), None)
    if variable is None:
        for name in DEFAULT_BRANCHES:
            if tip := resolve_commit(name):
                return _join(name, tip, head)
        return None
    branch = f"origin/{os.environ[variable].removeprefix('refs/heads/')}"
    tip = resolve_commit(branch)
    left = resolve_commit(os.environ[GITLAB_BASE]) if os.environ.get(GITLAB_BASE) else None
    if left is not None:
        return Base(left, tip or left, branch if tip else left[:7])
    if tip is None:
        raise NotAssessedError(
            f"{variable} names the target branch, and {branch} is not in this clone, so it cannot be told whether "
            f"accepted versions are missing; `git fetch origin` gets it{_hint()}"
        )
    return _join(branch, tip, head)


def find_previous() -> Base | None:
    """The commit before HEAD, on its main line; None where HEAD is the first.

    Raises NotAssessedError where this clone has left it out.
    """
    before = resolve_commit("HEAD^1")
    if before is None and has_parent("HEAD"):
        raise NotAssessedError(
            "the commit before HEAD is not in this clone, so it cannot be told whether accepted versions are "
            f"missing{_hint()}"
        )
    return Base(before, before, "HEAD^1") if before else None


def _join(name: str, tip: str, head: str) -> Base:
    commit = tip if tip == head else find_merge_base(tip, head)
    if not commit and is_shallow():
        raise NotAssessedError(
            f"{name}: where this branch left it is not in this clone, so it cannot be told whether accepted versions "
            f"are missing{_hint()}"
        )
    # Branches without a common past: all that the other one has is asked for.
    return Base(commit or tip, tip, name)


def _hint() -> str:
    return f"; {DEEPEN}" if is_shallow() else ""
