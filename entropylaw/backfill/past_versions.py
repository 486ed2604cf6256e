"""The data versions that a repository has been through, read from its Git history: the main line, oldest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import EntropylawError
from corpus.progress import Progress, ignore_progress
from entropylaw.repository.committed_data import StoredData
from entropylaw.repository.data_commits import Commit, list_data_commits
from entropylaw.repository.data_trail import DataTrail, PastData
from entropylaw.repository.datasets import reading_for
from entropylaw.repository.git import list_main_line, list_tags


@dataclass(frozen=True)
class PastVersion:
    """The data of all datasets from one commit on. ``index``: how many commits of the main line come before its commit;
    ``name``: its tag, else its short id; ``date``: of the commit, as YYYY-MM-DD; ``data``: by dataset.
    ``problem``: why this version cannot be measured, None where it can.
    """

    index: int
    commit: str
    short: str
    date: str
    name: str
    data: Mapping[str, PastData]
    problem: str | None

    @property
    def here(self) -> bool:
        """Whether no remote has to be asked for its data."""
        return all(data.here for data in self.stored.values())

    @property
    def stored(self) -> dict[str, StoredData]:
        """What is known of the data of each dataset without opening it."""
        return {name: data.stored for name, data in self.data.items()}

    def name_file(self, dataset: str) -> str:
        """The data of a dataset in this version, as ``locate_data`` takes it."""
        return f"{self.short}:{self.data[dataset].file.as_posix()}"


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
    commits = list_data_commits(datasets, since)
    tags = list_tags()
    trails = {name: DataTrail(name, file, reading_for(file, name)) for name, file in datasets.items()}
    versions: dict[tuple[str | None, ...], PastVersion] = {}
    for done, commit in enumerate(reversed(commits)):
        progress(done, len(commits))
        data, problem = _look_up_data(trails, commit)
        if not data and problem is None:  # deleted
            continue
        version = PastVersion(
            indices[commit.id], commit.id, commit.short, commit.date, tags.get(commit.id, commit.short), data, problem
        )
        # A version whose data cannot be looked up is equal to no other.
        contents = tuple(version.stored[name].content if name in data else None for name in datasets)
        versions[contents if data else (commit.id,)] = version
    return sorted(versions.values(), key=lambda version: version.index)


def _look_up_data(trails: Mapping[str, DataTrail], commit: Commit) -> tuple[dict[str, PastData], str | None]:
    """What a commit says of each dataset that it has, and why it is no version that can be measured, None if it is."""
    found: dict[str, PastData] = {}
    try:
        for dataset, trail in trails.items():
            data = trail.look_up(commit.id, commit.short)
            if data is not None:
                found[dataset] = data
    except EntropylawError as error:
        return {}, str(error)
    missing = [trail.file.as_posix() for dataset, trail in trails.items() if dataset not in found]
    problem = f"without {' and '.join(missing)}" if found and missing else None
    return found, problem
