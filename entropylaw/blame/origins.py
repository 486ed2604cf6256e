"""Finds the commit that brought each of some rows, reading as few past versions of the data as that takes."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from corpus.errors import BadRow
from corpus.formats import Reading
from corpus.progress import StageProgress
from entropylaw.repository.committed_data import copy_data
from entropylaw.repository.data_commits import follow_data, list_data_commits
from entropylaw.repository.git import has_parent, list_parents, run_git
from entropylaw.repository.rows import decide_rows
from entropylaw.terminal import count_rows
from monitor.blame import Origin

FETCH, READ = "fetch MiB", "read"


@dataclass
class PastRows:
    """Which of the ``wanted`` rows past versions have. ``wanted``: how often each content stands in the data now.

    A row that is one of several copies is there from the version on that has as many of them.
    """

    dataset: str
    file: Path
    reading: Reading
    wanted: Mapping[str, int]
    report: StageProgress
    # By the content of the whole data: many commits leave it as it was.
    _known: dict[str, frozenset[str]] = field(default_factory=dict)

    def find(self, commit: str) -> frozenset[str]:
        """Those that the data at a commit has; none where it has no such data. Raises EntropylawError where the data
        of that commit cannot be had here.
        """
        past = follow_data(self.dataset, self.file, self.reading, commit)
        if past is None:
            return frozenset()
        if past.stored.content not in self._known:
            name = f"{commit[:7]}:{past.file.as_posix()}"
            with tempfile.TemporaryDirectory(prefix="entropylaw-") as folder:
                copy = copy_data(name, past.file.as_posix(), commit, Path(folder), partial(self.report, FETCH))
                found = count_contents(copy, past.reading, self.wanted, partial(self.report, READ), name)
            self._known[past.stored.content] = frozenset(
                row for row, count in self.wanted.items() if found[row] >= count
            )
        return self._known[past.stored.content]


def count_contents(
    path: Path, reading: Reading, wanted: Iterable[str], progress: Callable[[int, int | None], None], name: str
) -> Counter[str]:
    """How often each of the ``wanted`` contents stands in some data. ``name``: what the user calls it."""
    asked, found = frozenset(wanted), Counter[str]()
    for decision in count_rows(decide_rows(path, None, reading, name), progress):
        if not isinstance(decision, BadRow) and decision.hash in asked:
            found[decision.hash] += 1
    return found


def find_origins(past: PastRows) -> tuple[dict[str, Origin], list[str]]:
    """The commit that brought each of the wanted rows, and sentences on the rows of which that is not known.

    Where a row came, went and came again, it is one of the commits that brought it.
    """
    commits = [commit.id for commit in list_data_commits({past.dataset: past.file})]
    committed = past.find(commits[-1]) if commits else frozenset()
    notes = []
    if fresh := len(past.wanted) - len(committed):
        notes.append(f"{fresh:,} of the flagged contents are not committed yet.")
    # From HEAD back in growing steps, until a version has none of the rows.
    first, step = len(commits) - 1, 1
    while first > 0 and past.find(commits[first]):
        first, step = max(0, first - step), step * 2
    found = bisect_rows(commits[first:], committed, past.find)
    boundary = {commit for commit in set(found.values()) if is_boundary(commit)}
    if oldest := {row for row, commit in found.items() if commit in boundary}:
        found = {row: commit for row, commit in found.items() if row not in oldest}
        notes.append(
            f"{len(oldest):,} of the flagged contents are in the oldest commits of this shallow clone already: "
            "`git fetch --unshallow` gets older ones."
        )
    described = {commit: describe_commit(commit) for commit in set(found.values())}
    return {row: described[found[row]] for row in past.wanted if row in found}, notes


def bisect_rows(commits: Sequence[str], rows: frozenset[str], find: Callable[[str], frozenset[str]]) -> dict[str, str]:
    """For each row a commit that has it while the one before has not.

    ``commits``: oldest first; the last one has all ``rows``; before the first no row is looked for. A merge is looked
    into: the commit of its branch that brought the row is named.
    """
    found: dict[str, str] = {}

    def search(absent: int, present: int, some: frozenset[str]) -> None:
        if not some:
            return
        if present - absent > 1:
            middle = (absent + present) // 2
            there = some & find(commits[middle])
            search(absent, middle, there)
            search(middle, present, some - there)
            return
        branch = list_branch(commits[present])
        # What the merged branch had when it was merged; the rest came with the merge itself.
        merged = some & find(branch[-1]) if branch else frozenset[str]()
        found.update(bisect_rows(branch, merged, find) if merged else {})
        found.update(dict.fromkeys(some - merged, commits[present]))

    search(-1, len(commits) - 1, rows)
    return found


def list_branch(commit: str) -> list[str]:
    """The commits that a merge brought to the main line, oldest first; none where the commit is no merge."""
    parents = list_parents(commit)
    if len(parents) != 2:
        return []
    return run_git("rev-list", "--first-parent", "--reverse", f"{parents[0]}..{parents[1]}").split()


def is_boundary(commit: str) -> bool:
    """Whether a shallow clone leaves out what came before a commit, so that it may have brought nothing."""
    return has_parent(commit) and not list_parents(commit)


def describe_commit(commit: str) -> Origin:
    """Who made a commit, and when: as the .mailmap of the repository names people."""
    short, date, author = run_git("show", "--no-patch", "--format=%h%x09%as%x09%aN", commit).split("\t", 2)
    return Origin(commit, short, author, date)
