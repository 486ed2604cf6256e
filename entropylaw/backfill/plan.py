"""Plans a backfill: which past versions are to be measured, what that takes, and what a dry run says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Literal

from corpus.errors import EntropylawError
from corpus.files import file_suffix, find_suffix, is_pattern
from entropylaw.backfill.past_versions import PastVersion
from entropylaw.repository import layout
from entropylaw.repository.committed_data import open_data
from monitor.history import HistoryEntry
from monitor.verdict import Measurements

# Before this run; by this run; in a dry run by the next one; not at all.
Outcome = Literal["in history", "recorded", "to measure", "to fetch and measure", "left out"]


@dataclass(frozen=True)
class BackfilledVersion:
    """What becomes of a past version. ``reason``: why it is left out, else None; ``status``: its verdict, None where it
    was not measured. ``rows``: the usable ones; in a dry run all, where they can be counted without parsing them.
    """

    name: str
    commit: str
    date: str
    outcome: Outcome
    reason: str | None = None
    status: str | None = None
    rows: int | None = None
    data_hash: str | None = None
    measurements: Mapping[str, Measurements] = field(default_factory=dict)


@dataclass(frozen=True)
class BackfillPlan:
    """``planned``: what is to be done with each of ``versions``, in their order, oldest first; ``references``: the
    history entries that the first version to be measured may be compared with.
    """

    versions: list[PastVersion]
    planned: list[BackfilledVersion]
    references: list[HistoryEntry]

    def to_measure(self) -> list[PastVersion]:
        return [
            version for version, item in zip(self.versions, self.planned, strict=True) if item.outcome == "to measure"
        ]


def plan_backfill(
    versions: Sequence[PastVersion], comparable: Sequence[HistoryEntry], indices: Mapping[str, int]
) -> list[BackfilledVersion]:
    """Which versions are to be measured: the history has to hold them in their order, so only what comes after all of
    ``comparable``, its entries with the present configuration. ``indices``: as ``number_main_line`` gives them.

    Raises EntropylawError when something is to be measured and an entry is not known to come before it.
    """
    recorded = {entry.commit: entry for entry in comparable if entry.commit}
    latest = max((indices.get(commit, -1) for commit in recorded), default=-1)
    planned = []
    for version in versions:
        item = BackfilledVersion(version.name, version.commit, version.date, "to measure")
        if entry := recorded.get(version.commit):
            item = replace(
                item, name=entry.name, outcome="in history", status=entry.status, rows=entry.rows,
                data_hash=entry.data_hash, measurements=entry.measurements,
            )  # fmt: skip
        elif version.problem:
            item = replace(item, outcome="left out", reason=version.problem)
        elif version.index < latest:
            item = replace(item, outcome="left out", reason="a later version is in the history already")
        planned.append(item)
    if any(item.outcome == "to measure" for item in planned):
        for entry in comparable:
            require_order(entry, indices)
    return planned


def require_order(entry: HistoryEntry, indices: Mapping[str, int]) -> None:
    """Raise EntropylawError where it cannot be told that an entry comes before what is recorded now."""
    if entry.commit is None:
        raise EntropylawError(
            f"{layout.HISTORY}: {entry.name} was accepted with this configuration, and a version recorded now would "
            "come after it; to add older versions, remove its file, run `entropylaw backfill` and accept it again"
        )
    if entry.commit not in indices:
        raise EntropylawError(
            f"{layout.HISTORY}: {entry.name} was found at commit {entry.commit[:7]}, which is not on the main line of "
            "HEAD, so what comes after it cannot be told; go back to the branch it was recorded on"
        )


def state_cost(versions: Sequence[PastVersion], steps: int) -> str:
    """What measuring these versions takes, in one line; ``steps``: of each version's probe."""
    sizes = [data.size for version in versions for data in version.stored.values()]
    size = "" if None in sizes else f" of {sum(filter(None, sizes)) / 2**20:,.1f} MiB"
    away = sum(not version.here for version in versions)
    fetched = f", {away} of them from the remote" if away else ""
    count = "1 version" if len(versions) == 1 else f"{len(versions)} versions"
    return f"{count}{size} to measure{fetched}, each with a probe of {steps} steps"


def rehearse(plan: BackfillPlan) -> list[BackfilledVersion]:
    """What a dry run says of each version of the plan."""
    return [
        rehearse_version(version, item) if item.outcome == "to measure" else item
        for version, item in zip(plan.versions, plan.planned, strict=True)
    ]


def rehearse_version(version: PastVersion, planned: BackfilledVersion) -> BackfilledVersion:
    """Whether the data of a version can be had, and its rows where counting them costs little."""
    rows: int | None = 0
    try:
        for dataset, data in version.data.items():
            file = data.file
            if find_suffix(file) is None or is_pattern(file):
                rows = None  # several files
                continue
            with open_data(version.name_file(dataset), file.as_posix(), version.commit) as (handle, _):
                count = count_rows(handle, file) if data.stored.here else None
            rows = None if rows is None or count is None else rows + count
    except EntropylawError as error:
        return replace(planned, outcome="left out", reason=str(error))
    return replace(planned, outcome="to measure" if version.here else "to fetch and measure", rows=rows)


def count_rows(handle: IO[bytes], file: Path) -> int | None:
    """Rows of an open data file; None where they would have to be parsed."""
    suffix = file_suffix(file)
    if suffix in (".jsonl", ".ndjson"):
        return sum(not line.isspace() for line in handle)
    if suffix == ".parquet":
        import pyarrow.parquet

        return int(pyarrow.parquet.read_metadata(handle).num_rows)
    return None
