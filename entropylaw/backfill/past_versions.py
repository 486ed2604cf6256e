"""The versions that a repository's data has been through, as Git tells them: the main line, oldest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import EntropylawError
from corpus.progress import Progress, ignore_progress
from entropylaw.repository.revisions import StoredData, describe_data, resolve_commit, run_git


@dataclass(frozen=True)
class PastVersion:
    """The data of all datasets from one commit on. ``place``: how many commits of the main line come before it;
    ``name``: its tag, else its short id; ``date``: of the commit, as YYYY-MM-DD; ``stored``: by dataset.
    ``problem``: why it is no version that can be measured, None for one that is.
    """

    place: int
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
    """Every commit from the first to HEAD by its place, following first parents: a branch counts from its merge on.

    Raises EntropylawError where there is no commit.
    """
    commits = run_git("rev-list", "--first-parent", "--reverse", "HEAD").split()
    if not commits:
        raise EntropylawError("this Git repository has no commit yet, so there are no past versions")
    return {commit: place for place, commit in enumerate(commits)}


def list_past_versions(
    datasets: Mapping[str, Path],
    places: Mapping[str, int],
    since: str | None = None,
    progress: Progress = ignore_progress,
) -> list[PastVersion]:
    """The versions of the main line, oldest first; data that came back later counts where it first stood.

    ``places``: as ``number_main_line`` gives them. With ``since``, a Git revision, from the data as it was there on.
    Nothing is read but what Git and DVC note about the data. Raises EntropylawError when there is no such revision.
    """
    # Commits that may have changed the data: the file itself, its .dvc file or that of a folder above it, or the lock
    # of the stage that makes it. Most of the last kind have not; the contents tell.
    paths = [path for file in datasets.values() for path in (file, Path(f"{file}.dvc"))]
    paths += [Path(f"{folder}.dvc") for file in datasets.values() for folder in file.parents if folder != Path()]
    # As Git takes paths, letter by letter.
    wanted = [f":(literal){path.as_posix()}" for path in dict.fromkeys(paths)]
    log = run_git("log", "--first-parent", "--reverse", "--no-show-signature", "--format=%H %h %cs", "HEAD",
                  "--", *wanted, ":(top,glob)**/dvc.lock")  # fmt: skip
    lines = [line.split(" ") for line in log.splitlines()]
    if since is not None:
        start = resolve_commit(since)
        if start is None:
            raise EntropylawError(f"--since {since}: no such commit in this Git repository")
        later = set(run_git("rev-list", "--first-parent", "HEAD", f"^{start}").split())
        earlier = [line for line in lines if line[0] not in later]
        lines = earlier[-1:] + [line for line in lines if line[0] in later]

    tags = list_tags()
    versions: dict[tuple[str | None, ...], PastVersion] = {}
    for done, (commit, short, date) in enumerate(lines):
        progress(done, len(lines))
        stored: dict[str, StoredData] = {}
        problem = None
        contents: tuple[str | None, ...]
        try:
            for dataset, file in datasets.items():
                data = describe_data(f"{short}:{file.as_posix()}", file.as_posix(), commit)
                if data is not None:
                    stored[dataset] = data
        except EntropylawError as error:
            problem, contents = str(error), (commit,)
        else:
            if not stored:  # deleted
                continue
            missing = [file.as_posix() for dataset, file in datasets.items() if dataset not in stored]
            problem = f"without {' and '.join(missing)}" if missing else None
            contents = tuple(stored[dataset].content if dataset in stored else None for dataset in datasets)
        version = PastVersion(places[commit], commit, short, date, tags.get(commit, short), stored, problem)
        versions.setdefault(contents, version)
    return list(versions.values())


def list_tags() -> dict[str, str]:
    """One tag for each commit that has any: of several the first in the order of version numbers."""
    listed = run_git("for-each-ref", "--sort=version:refname", "refs/tags",
                     "--format=%(refname:strip=2) %(*objectname) %(objectname)")  # fmt: skip
    tags: dict[str, str] = {}
    for line in listed.splitlines():
        # An annotated tag is an object of its own, which names its commit; that of another one is empty.
        name, of_annotated, of_plain = line.split(" ")
        tags.setdefault(of_annotated or of_plain, name)
    return tags


def is_shallow() -> bool:
    """Whether this clone leaves out old commits."""
    return run_git("rev-parse", "--is-shallow-repository") == "true"
