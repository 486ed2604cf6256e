"""The data versions that a repository has been through, read from its Git history: the main line, oldest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import EntropylawError
from corpus.files import dataset_root, is_hub_name
from corpus.progress import Progress, ignore_progress
from entropylaw.repository.committed_data import StoredData, describe_data
from entropylaw.repository.git import list_main_line, list_tags, resolve_commit, run_git


@dataclass(frozen=True)
class Commit:
    """A commit by its full and its short id; ``date``: of the commit, as YYYY-MM-DD."""

    id: str
    short: str
    date: str


@dataclass(frozen=True)
class PastVersion:
    """The data of all datasets from one commit on. ``index``: how many commits of the main line come before its commit;
    ``name``: its tag, else its short id; ``date``: of the commit, as YYYY-MM-DD; ``stored``: by dataset.
    ``problem``: why this version cannot be measured, None where it can.
    """

    index: int
    commit: str
    short: str
    date: str
    name: str
    stored: Mapping[str, StoredData]
    problem: str | None

    @property
    def here(self) -> bool:
        """Whether no remote has to be asked for its data."""
        return all(data.here for data in self.stored.values())

    def name_file(self, file: Path) -> str:
        """A data file of this version, as ``locate_data`` takes it."""
        return f"{self.short}:{file.as_posix()}"


def number_main_line() -> dict[str, int]:
    """The index of every commit of the main line, 0 for the first.

    Raises EntropylawError where there is no commit.
    """
    commits = list_main_line()
    if not commits:
        raise EntropylawError("this Git repository has no commit yet, so there are no past versions")
    return {commit: index for index, commit in enumerate(commits)}


def list_past_versions(
    datasets: Mapping[str, Path],
    indices: Mapping[str, int],
    since: str | None = None,
    progress: Progress = ignore_progress,
) -> list[PastVersion]:
    """The versions of the main line, oldest first; data that came back later counts where it first stood.

    ``indices``: as ``number_main_line`` gives them. ``since``: a Git revision, to begin with the data as it was there.
    Nothing is read but what Git and DVC note about the data. Raises EntropylawError when there is no such revision.
    """
    commits = list_data_commits(datasets.values(), since)
    tags = list_tags()
    versions: dict[tuple[str | None, ...], PastVersion] = {}
    for done, commit in enumerate(commits):
        progress(done, len(commits))
        stored, problem = _look_up_data(datasets, commit)
        if not stored and problem is None:  # deleted
            continue
        # A version whose data cannot be looked up is equal to no other.
        contents = tuple(stored[name].content if name in stored else None for name in datasets)
        version = PastVersion(
            indices[commit.id], commit.id, commit.short, commit.date, tags.get(commit.id, commit.short), stored, problem
        )
        versions.setdefault(contents if stored else (commit.id,), version)
    return list(versions.values())


def list_data_commits(files: Iterable[Path], since: str | None = None) -> list[Commit]:
    """The commits of the main line that may have changed these data files, oldest first.

    With ``since``, a Git revision, the last such commit up to it and all after it. Raises EntropylawError when there
    is no such revision.
    """
    # A change of the data changes the files themselves, a .dvc file, which may lie anywhere (DVC's `wdir`), or the
    # dvc.lock of the stage that makes them. Most such changes leave the data as they were; the contents tell.
    # Literal: a `*` in a file's name stands for itself.
    wanted = [f":(literal){dataset_root(file).as_posix()}" for file in files if not is_hub_name(file)]
    log = run_git("log", "--first-parent", "--reverse", "--no-show-signature", "--format=%H %h %cs", "HEAD",
                  "--", *wanted, ":(top,glob)**/*.dvc", ":(top,glob)**/dvc.lock")  # fmt: skip
    commits = [Commit(*line.split(" ")) for line in log.splitlines()]
    if since is None:
        return commits
    start = resolve_commit(since)
    if start is None:
        raise EntropylawError(f"--since {since}: no such commit in this Git repository")
    later = set(list_main_line(start))
    earlier = [commit for commit in commits if commit.id not in later]
    return earlier[-1:] + [commit for commit in commits if commit.id in later]


def _look_up_data(datasets: Mapping[str, Path], commit: Commit) -> tuple[dict[str, StoredData], str | None]:
    """What a commit says of each dataset that it has, and why it is no version that can be measured, None if it is."""
    stored: dict[str, StoredData] = {}
    try:
        for dataset, file in datasets.items():
            data = describe_data(f"{commit.short}:{file.as_posix()}", file.as_posix(), commit.id)
            if data is not None:
                stored[dataset] = data
    except EntropylawError as error:
        return {}, str(error)
    missing = [file.as_posix() for dataset, file in datasets.items() if dataset not in stored]
    problem = f"without {' and '.join(missing)}" if stored and missing else None
    return stored, problem
