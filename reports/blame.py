"""Where the flagged rows come from, in one line, as every report has it."""

from __future__ import annotations

from monitor.blame import Blame, Stretch

# Below this share of the flagged rows, a source or a file is no lead.
LEAD_SHARE = 0.5
# A stretch of more of the file than this tells nobody where to look.
WIDEST_SHARE = 0.5
# Commits that are named; the command `blame` lists all.
NAMED_COMMITS = 2


def write_blame_line(blame: Blame) -> str:
    """One sentence on the flagged rows of a dataset: commits where they are known, source, file, place."""
    total = len(blame.rows)
    parts = []
    if blame.commits:
        named = [f"{count:,} with commit {origin.short} by {origin.author}" for origin, count in blame.commits]
        (_, most), *_ = blame.commits
        part = f"all {total:,}" if most == total else f"{most:,} of {total:,}"
        named[0] = f"{part} came{named[0].removeprefix(f'{most:,}')}"
        more = len(blame.commits) - NAMED_COMMITS
        parts.append(
            ", ".join(named[:NAMED_COMMITS])
            + (f", others with {more:,} more commit{'s' * (more > 1)}" if more > 0 else "")
        )
    else:
        parts.append(f"{total:,} in {blame.dataset}")
    source, of_source = next(iter(blame.sources.items()))
    if source and of_source >= LEAD_SHARE * total:
        parts.append(f"{_tell_share(of_source, total)} of source {source}")
    if blame.files and (of_file := max(blame.files.values())) >= LEAD_SHARE * total:
        parts.append(f"{_tell_share(of_file, total)} in {next(iter(blame.files))}")
    if total > 1 and _width(blame.most) <= WIDEST_SHARE * blame.file_rows:
        whole = blame.most.rows == total
        where = f"rows {blame.most.first:,} to {blame.most.last:,} of {blame.file_rows:,}"
        parts.append(f"{'all' if whole else f'{blame.most.rows:,}'} stand in {where}")
    return f"Flagged rows: {'; '.join(parts)}."


def _tell_share(count: int, total: int) -> str:
    return "all are" if count == total else f"{count / total:.0%} are"


def _width(stretch: Stretch) -> int:
    return stretch.last - stretch.first + 1
