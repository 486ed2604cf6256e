"""Where the rows that a verdict names stand, in datasets of several files."""

from __future__ import annotations

from dataclasses import replace

from corpus.files import NumberedFile, find_row
from entropylaw.repository.results import load_prepare_report
from monitor.verdict import FlaggedRow, Verdict


def locate_rows(verdict: Verdict) -> Verdict:
    """The verdict with the files of its rows, as the stage `prepare` noted them."""
    files = {dataset: _read_files(dataset) for dataset in {row.dataset for row in verdict.rows}}
    return replace(verdict, rows=tuple(_locate(row, files[row.dataset]) for row in verdict.rows))


def _locate(row: FlaggedRow, files: list[NumberedFile]) -> FlaggedRow:
    if not files:
        return row
    file, number = find_row(files, row.row)
    return replace(row, file=file, file_row=number)


def _read_files(dataset: str) -> list[NumberedFile]:
    """The files of a dataset; none where it is a single one."""
    return list(load_prepare_report(dataset).files)
