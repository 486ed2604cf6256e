"""Strings that try to act where a report is shown, and verdicts that carry them in every place data can reach."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sample_verdicts import history, sample_verdict, waiver

from corpus.visible_text import shows_something
from monitor.history import HistoryEntry
from monitor.verdict import Measurements, Verdict
from monitor.waivers import Waiver
from reports.report_data import ReportData, build_report_data
from reports.training_curves import TrainingCurve

FRAGMENTS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</details></code></td>",
    "<!-- entropylaw-check -->",
    "]]>",
    "&lt;b&gt;",
    "| a | b |",
    "\n| --- |\n",
    "`",
    "```\n",
    "**bold** _it_ ~~no~~",
    "[x](javascript:alert(1))",
    "![i](https://example.org/p.png)",
    "https://example.org",
    "www.example.org",
    "a@example.org",
    "@octocat",
    "#12",
    "!3",
    "GH-4",
    "$x^2$",
    "\n# title\n",
    "\n- [ ] task\n",
    "1. one",
    "/close",
    "::error::no",
    "\n::add-mask::x\n",
    "##[error]no",
    "##vso[task.complete]",
    "%0A%25",
    "=cmd|'/c calc'!A1",
    "\x1b[31mred\x1b[0m",
    "\x9b1m",
    "a\r\nb",
    "\x00\x07\x08",
    "\u202egnp.exe",
    "a\u2028b",
    "\ud800",
    "\ufffe",
    "{{ 7 * 7 }}{% raw %}",
    "\\",
    "\\|",
    "字" * 30,
    "x" * 3000,
)

hostile_text = (
    st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=8), min_size=1, max_size=5)
    .map("".join)
    .filter(shows_something)
)


# Few strings, dealt out in turn to the many places: so that a failing case is soon made small.
hostile_data = st.lists(hostile_text, min_size=1, max_size=3).map(lambda texts: report_with(*texts))


def hostile(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test of ``data`` on every fragment alone and on some mixtures, which makes it slow."""
    test = settings(max_examples=25, deadline=None)(given(data=hostile_data)(test))
    for report in fragments_alone():
        test = example(data=report)(test)
    return pytest.mark.slow(test)


@cache
def fragments_alone() -> tuple[ReportData, ...]:
    return tuple(report_with(fragment) for fragment in FRAGMENTS)


def report_with(*texts: str) -> ReportData:
    """A risky verdict with the texts, in turn, in every place that data, names or files can set."""
    dealt = itertools.cycle(texts)

    def text() -> str:
        return next(dealt)

    verdict, past, waivers = results_with(text)
    # Long enough that every text is cut, so that all pages fold one away for each row.
    texts_of_rows = {row.hash: f"user: {text()} {'y' * 400} {text()}" for row in verdict.rows}
    files = {name: Path(text() + ".jsonl") for name in verdict.measurements}
    sft, preferences = verdict.measurements
    curves = [
        TrainingCurve(sft, "SFT", 3, ((1, 5.0), (2, 4.0), (3, 3.5)), ((3, 3.6),)),
        TrainingCurve(preferences, "KTO", 1, ((1, 0.5),), ()),
    ]
    return build_report_data(verdict, past, waivers, texts=texts_of_rows, files=files, training=curves)


def results_with(text: Callable[[], str]) -> tuple[Verdict, list[HistoryEntry], list[Waiver]]:
    """What the files of a risky version hold, with ``text()`` in every place that data or names can set."""
    verdict = sample_verdict("risky")
    datasets = {name: text() + name for name in verdict.measurements}
    law = replace(
        verdict.law,
        sentence=text(),
        points=tuple(replace(point, name=text()) for point in verdict.law.points),
        curves={key: replace(curve, sentence=text()) for key, curve in verdict.law.curves.items()},
    )

    def rename(measurements: dict[str, Measurements]) -> dict[str, Measurements]:
        return {datasets[name]: values for name, values in measurements.items()}

    changed = replace(
        verdict,
        summary=text(),
        version=replace(verdict.version, name=text()),
        parent=replace(verdict.parent, name=text()),
        rules=tuple(
            replace(rule, dataset=datasets[rule.dataset], reason=text(), unit=text()) for rule in verdict.rules
        ),
        rows=tuple(replace(row, dataset=datasets[row.dataset], source=text(), unit=text()) for row in verdict.rows),
        measurements=rename(verdict.measurements),
        parent_measurements=rename(verdict.parent_measurements),
        forecast=replace(verdict.forecast, benchmark=text()),
        law=law,
        tool_version=text(),
        changes={
            datasets[name]: replace(part, sources=tuple(replace(source, source=text()) for source in part.sources))
            for name, part in verdict.changes.items()
        },
    )
    past = [replace(entry, name=text(), measurements=rename(entry.measurements)) for entry in history()]
    waivers = [replace(waiver(rule), reason=text(), owner=text()) for rule in ("redundancy", "both_rise")]
    return changed, past, waivers


class TagReader(HTMLParser):
    """The tags of a page in order, with their attributes' names, its text, and the text outside code."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.comments: list[str] = []
        self.words: list[str] = []
        self.words_outside_code: list[str] = []
        self.code_depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))
        self.code_depth += tag == "code"

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}",))
        self.code_depth -= tag == "code"

    def handle_comment(self, data: str) -> None:
        self.comments.append(data.strip())

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        self.words_outside_code.append("" if self.code_depth else data)

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def text_outside_code(self) -> str:
        return "".join(self.words_outside_code)


def read_tags(page: str) -> TagReader:
    reader = TagReader()
    reader.feed(page)
    reader.close()
    return reader
