"""One run of the checks over some files: every row is read once, and a few a second time."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from corpus.formats import Format, Reading
from corpus.prepare import PrepareParams
from corpus.progress import Progress, ignore_progress
from corpus.records import canonical_text, content_hash
from monitor.lint.check import Hit, LintSettings, Observer
from monitor.lint.lint_row import LintRow, Place
from monitor.lint.reading import TOO_LONG, UNREAD_KEY
from monitor.lint.registry import list_checks
from monitor.lint.row_source import ReadRow, RowSource
from monitor.lint.tally import Finding, FoundRow, Tally, cut_around

# Rows between two reports of progress; the total is not known before the last row.
PROGRESS_STEP = 1000


@dataclass(frozen=True)
class LintedFile:
    """A file that was read: its path, the format of its rows, and how many it has, unreadable ones too."""

    path: str
    format: Format
    rows: int


@dataclass(frozen=True)
class LintReport:
    """What one run found.

    ``checked``: the codes that were looked for. ``not_run``: the codes that were wanted and could not be looked for,
    with the reason.
    """

    files: tuple[LintedFile, ...]
    rows: int
    findings: tuple[Finding, ...]
    not_run: dict[str, str]
    checked: tuple[str, ...] = ()


def lint_files(
    paths: Sequence[Path],
    settings: LintSettings,
    reading: PrepareParams | None = None,
    show_text: bool = False,
    progress: Progress = ignore_progress,
    readings: Mapping[Path, Reading] | None = None,
) -> LintReport:
    """Run every wanted check over the rows of all files together.

    ``reading``: how rows are read, as the section `prepare` of params.yaml says; ``readings``: of files for which
    params.yaml says more, such as the names of columns. Raises DataError where a file cannot be read as rows, or has no
    row of a known format.
    """
    return _Run(paths, settings, reading or PrepareParams(), show_text, progress, readings or {}).result()


class _Run:
    def __init__(
        self,
        paths: Sequence[Path],
        settings: LintSettings,
        reading: PrepareParams,
        show_text: bool,
        progress: Progress,
        readings: Mapping[Path, Reading],
    ) -> None:
        self.paths, self.settings, self.reading, self.progress = paths, settings, reading, progress
        self.readings = readings
        self.tally = Tally(show_text)
        self.files: list[LintedFile] = []
        # Where the rows stand that could be read, in order.
        self.in_file, self.in_row = array("I"), array("Q")
        self.not_run: dict[str, str] = {}
        self.observers = list(self._start())

    def _start(self) -> Iterator[Observer]:
        for check in list_checks():
            wanted = [issue.code for issue in check.issues if issue.code in self.settings.wanted]
            if not wanted:
                continue
            observer = check.start(self.settings)
            if isinstance(observer, str):
                self.not_run |= dict.fromkeys(wanted, observer)
            else:
                yield observer

    def _checked(self) -> tuple[str, ...]:
        return tuple(sorted(self.settings.wanted - self.not_run.keys(), key=lambda code: code[1:]))

    def result(self) -> LintReport:
        for index, found in enumerate(self._read(self._report)):
            row = LintRow(index, found.place, found.record, content_hash(found.record))
            self.in_file.append(found.place.file)
            self.in_row.append(found.place.row)
            self._look_at_keys(found)
            for observer in self.observers:
                for hit in observer.look(row):
                    self._add(hit)
        self._look_again()
        for observer in self.observers:
            for hit in observer.finish():
                self._add(hit)
        rows = sum(file.rows for file in self.files)
        findings = self.tally.findings(rows)
        if self.tally.show_text:
            findings = self._with_texts(findings)
        return LintReport(tuple(self.files), rows, findings, self.not_run, self._checked())

    def _read(self, report: Callable[[Hit, Place], None]) -> Iterator[ReadRow]:
        """Every row of every file that is a record. Of the others ``report`` is told."""
        done = 0
        for file, path in enumerate(self.paths):
            source = RowSource(file, path, self.reading, report, self.readings.get(path))
            for row in source.records():
                yield row
                if (done + source.rows) % PROGRESS_STEP == 0:
                    self.progress(done + source.rows, None)
            done += source.rows
            if len(self.files) == file:
                self.files.append(LintedFile(str(path), source.format, source.rows))

    def _report(self, hit: Hit, place: Place) -> None:
        if hit.issue.code in self.settings.wanted:
            self.tally.add(hit, place)

    def _add(self, hit: Hit) -> None:
        if hit.issue.code in self.settings.wanted:
            other = None if hit.other is None else self._place(hit.other)
            self.tally.add(hit, self._place(hit.index), other)

    def _place(self, index: int) -> Place:
        return Place(self.in_file[index], self.in_row[index])

    def _look_at_keys(self, found: ReadRow) -> None:
        for key in found.unread_keys:
            self._report(Hit(UNREAD_KEY, -1, key), found.place)
        characters = sum(len(message.text) for _, message in found.record.turns())
        if characters > self.reading.max_characters:
            self._report(Hit(TOO_LONG, -1), found.place)

    def _look_again(self) -> None:
        wanted = [set(observer.wanted_again()) for observer in self.observers]
        if not (every := set().union(*wanted)):
            return
        for index, found in enumerate(self._read(lambda hit, place: None)):
            if index not in every:
                continue
            row = LintRow(index, found.place, found.record, content_hash(found.record))
            for observer, own in zip(self.observers, wanted, strict=True):
                if index in own:
                    observer.look_again(row)

    def _with_texts(self, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """The findings with a text for every named row; the beginning, where the issue has no spot of its own."""
        missing = {(row.file, row.row) for finding in findings for row in finding.rows if row.text is None}
        texts = {
            tuple(found.place): cut_around(canonical_text(found.record), 0)
            for found in self._read(lambda hit, place: None)
            if tuple(found.place) in missing
        }

        def fill(row: FoundRow) -> FoundRow:
            return row if row.text is not None else replace(row, text=texts.get((row.file, row.row)))

        return tuple(replace(finding, rows=tuple(map(fill, finding.rows))) for finding in findings)
