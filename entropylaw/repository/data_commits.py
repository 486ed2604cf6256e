"""The commits of a repository that may have changed its data: the main line, oldest first."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import EntropylawError
from corpus.files import dataset_root, is_hub_name
from corpus.formats import Reading
from corpus.params import PARAMS_FILE
from entropylaw.repository.data_trail import DataTrail, PastData
from entropylaw.repository.git import find_root, list_earlier_names, list_main_line, resolve_commit, run_git
from entropylaw.repository.past_params import past_source, read_past_params


@dataclass(frozen=True)
class Commit:
    """A commit by its full and its short id; ``date``: of the commit, as YYYY-MM-DD."""

    id: str
    short: str
    date: str


def list_data_commits(datasets: Mapping[str, Path], since: str | None = None) -> list[Commit]:
    """The commits of the main line that may have changed the data of these datasets, under any name that it had.

    With ``since``, a Git revision, the last such commit up to it and all after it. Raises EntropylawError when there
    is no such revision.
    """
    # A change of the data changes the files themselves, a .dvc file, which may lie anywhere (DVC's `wdir`), or the
    # dvc.lock of the stage that makes them. Most such changes leave the data as they were; the contents tell.
    # Literal: a `*` in a file's name stands for itself.
    wanted = [f":(literal){place}" for place in _list_places(datasets)]
    commits = _log("HEAD", "--", PARAMS_FILE, *wanted, ":(top,glob)**/*.dvc", ":(top,glob)**/dvc.lock")
    if since is None:
        return commits
    start = resolve_commit(since)
    if start is None:
        raise EntropylawError(f"--since {since}: no such commit in this Git repository")
    later = set(list_main_line(start))
    earlier = [commit for commit in commits if commit.id not in later]
    return earlier[-1:] + [commit for commit in commits if commit.id in later]


def follow_data(dataset: str, file: Path, reading: Reading, commit: str) -> PastData | None:
    """The data of a dataset at a commit, which need not be on the main line.

    ``file``, ``reading``: of the present. None where it is not known to have been there.
    """
    if found := DataTrail(dataset, file, reading).look_up(commit, commit[:7], may_be_renamed=False):
        return found
    # Step by step: what was renamed and edited many times is like its former self only at each step.
    trail = DataTrail(dataset, file, reading)
    later = set(list_main_line(commit))
    between = [item for item in list_data_commits({dataset: file}) if item.id in later]
    for item in reversed(between):
        trail.look_up(item.id, item.short)
    return trail.look_up(commit, commit[:7])


def _list_places(datasets: Mapping[str, Path]) -> Iterable[str]:
    """Where the data of these datasets lies or lay, as far as Git and params.yaml know, as seen from here."""
    sources = [file.as_posix() for file in datasets.values()]
    for commit in _log("HEAD", "--", PARAMS_FILE):
        sections = read_past_params(commit.id)
        sources += filter(None, (past_source(sections, dataset) for dataset in datasets))
    places = dict.fromkeys(dataset_root(source).as_posix() for source in sources if not is_hub_name(source))
    root = find_root()
    for file in datasets.values():
        # Of a folder in Git, one file that moved with it.
        kept = run_git("ls-files", "-z", "--", dataset_root(file).as_posix()).split("\0")[0]
        if kept:
            places |= dict.fromkeys(os.path.relpath(Path(root, name)) for name in list_earlier_names(kept))
    return places


def _log(*words: str) -> list[Commit]:
    log = run_git("log", "--first-parent", "--reverse", "--format=%H %h %cs", *words)
    return [Commit(*line.split(" ")) for line in log.splitlines()]
