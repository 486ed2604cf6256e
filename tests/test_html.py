from __future__ import annotations

import re
import time
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
from hostile import FRAGMENTS, hostile, read_tags, report_with
from sample_verdicts import STATUSES, history, long_history, sample_verdict, waiver

from reports.escaping import escape_invisible
from reports.figures import Figures, draw_figures
from reports.html import render_html
from reports.marks import Chart
from reports.numbers import format_count, format_number
from reports.report_data import ReportData, build_report_data
from reports.training_curves import TrainingCurve


def build(status: str) -> ReportData:
    return build_report_data(sample_verdict(status), history() if status != "baseline" else [], [waiver("redundancy")])


def render(data: ReportData) -> str:
    return render_html(data, draw_figures(data))


@cache
def page_of(status: str) -> str:
    return render(build(status))


@pytest.fixture
def risky_page() -> str:
    return page_of("risky")


def words_of(page: str) -> str:
    """The page's text, a space between any two of its parts."""
    return " ".join(re.sub("<[^>]*>", " ", page).split())


@pytest.mark.parametrize("status", STATUSES)
def test_the_page_opens_with_the_verdict_in_words(status: str) -> None:
    data = build(status)
    page = page_of(status)
    text = " ".join(read_tags(page[page.index("<body>") :]).text.split())
    verdict = text.index(f"{data.words.word} {data.headline} {data.summary}")
    steps = text.index("What to do first")
    assert verdict < steps < text.index("Versions", steps)


@pytest.mark.parametrize("status", STATUSES)
def test_tags_are_closed_in_order_and_anchors_lead_somewhere(status: str) -> None:
    page = page_of(status)
    empty = {"meta", "link", "br"}
    opened: list[str] = []
    for tag, *_ in read_tags(page).tags:
        if tag.startswith("/"):
            assert opened.pop() == tag[1:]
        elif tag not in empty:
            opened.append(tag)
    assert opened == []
    identifiers = re.findall(r'\bid="([^"]*)"', page)
    assert len(identifiers) == len(set(identifiers))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(identifiers)


def test_nothing_on_the_page_leaves_it(risky_page: str) -> None:
    assert "default-src 'none'" in risky_page and "<script" not in risky_page
    addresses = re.findall(r'\b(?:href|src|action|srcset|poster)="([^"]*)"', risky_page)
    assert all(address.startswith("#") or address == "data:," for address in addresses)
    assert not re.search(r"@import|url\((?!#)", risky_page)


def test_headings_go_down_one_level_at_a_time(risky_page: str) -> None:
    levels = [int(tag[1]) for tag, *_ in read_tags(risky_page).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_number_of_the_figures_is_in_a_table(risky_page: str) -> None:
    cells = re.findall(r'<td class="number">([^<]*)</td>', risky_page)
    data = build("risky")
    for version in data.versions:
        for measured in version.measurements.values():
            for key in ("r", "r_long", "l", "c"):
                assert format_number(getattr(measured, key)) in cells
        assert format_number(version.z) in cells
    for point in data.law.points:
        assert {format_number(x) for x in (point.r_long, point.l, point.z)} <= set(cells)
    assert [len(curve.steps) for curve in data.law.curves] == [41, 41, 41]
    for curve in data.law.curves:
        assert {format_number(x) for step in curve.steps for x in step} <= set(cells)
    for dataset in data.datasets:
        for normal in (change.normal for change in dataset.changes if change.normal):
            assert f"{format_number(normal.low)} to {format_number(normal.high)}" in cells
        for part in dataset.lengths:
            assert {format_count(count) for count in part.counts.values()} <= set(cells)
    assert all(format_number(x) in risky_page for x in (data.forecast.low, data.forecast.value, data.forecast.high))


def test_the_rows_behind_a_rule_are_listed_with_number_hash_source_and_score(risky_page: str) -> None:
    text = read_tags(risky_page).text
    for rule in build("risky").rules:
        for row in rule.rows:
            assert re.search(rf"{row.row}\s*{row.hash[:12]}\s*{row.source}\s*{format_number(row.score)}", text)


def test_colour_is_never_the_only_sign_of_a_status(risky_page: str) -> None:
    statuses = re.findall(r'class="status tone-(\w+)"><i aria-hidden="true">(.)</i>([^<]+)<', risky_page)
    assert {status for status, _, _ in statuses} == {"baseline", "pass", "warn", "risky", "skipped"}
    assert len({icon for _, icon, _ in statuses}) == len({word for _, _, word in statuses}) == 5


@pytest.mark.slow
def test_fifty_versions_stay_below_the_limits_of_size_and_time() -> None:
    draw_figures(build("baseline"))  # the drawing library is loaded once
    steps = tuple((i, 5 - 0.01 * i) for i in range(100))
    curves = [TrainingCurve(name, "SFT", 100, steps, steps) for name in ("sft", "preferences")]
    start = time.process_time()
    page = render(build_report_data(sample_verdict("risky"), long_history(50), [], training=curves))
    # Of the processor, which other work on the machine does not move much.
    assert time.process_time() - start < 3
    assert len(page.encode()) < 1_500_000


def test_sources_are_listed_with_what_changed_in_each(risky_page: str) -> None:
    text = words_of(risky_page)
    assert "rescrape-2019 160 160 0 0" in text
    assert "(no source) 500 0 – 500" in text


def test_a_verdict_of_before_rows_were_described_still_makes_a_page() -> None:
    data = build_report_data(replace(sample_verdict("risky"), changes={}), history(), [])
    page = render(data)
    assert "By source" not in page and "What changed since x4" in page


def test_training_curves_are_shown_with_their_steps_once_there_are_any(risky_page: str) -> None:
    curve = TrainingCurve("sft", "SFT", 250, ((1, 4.75), (250, 3.125)), ((250, 3.375),))
    page = render(build_report_data(sample_verdict("pass"), history(), [], training=[curve]))
    text = words_of(page)
    assert "Rows trained on: 2 of 250 logged steps Step Loss 1 4.750 250 3.125" in text
    assert "Held-out rows Step Loss 250 3.375" in text
    assert "#training" not in risky_page


def test_sentences_and_tables_write_minus_alike(risky_page: str) -> None:
    text = read_tags(risky_page[risky_page.index("<body>") :]).text
    assert "moves by −0.037" in text and ">−0.037<" in risky_page
    assert not re.search(r"(?<![\w.-])-\d", text)


def render_without_charts(data: ReportData) -> str:
    chart = Chart("chart", "A chart", "Drawn elsewhere", "<svg></svg>")
    one_each = {dataset.name: chart for dataset in data.datasets}
    return render_html(data, Figures(one_each, one_each, (chart,), one_each))


BENIGN = read_tags(render_without_charts(report_with("plain")))


@hostile
def test_the_page_keeps_its_structure_with_hostile_data(data: ReportData) -> None:
    page = read_tags(render_without_charts(data))
    assert page.tags == BENIGN.tags
    assert page.comments == []
    text = page.text
    assert escape_invisible(data.summary) in text
    assert data.excerpts and all(part.start in text and part.rest in text for part in data.excerpts.values())
    assert text.replace("\n", "").isprintable()


@pytest.mark.slow
def test_a_page_with_hostile_charts_has_no_script_handler_or_link_out() -> None:
    page = read_tags(render(report_with(*FRAGMENTS)))
    benign = {tag for tag, *_ in read_tags(render(report_with("plain"))).tags}
    assert {tag for tag, *_ in page.tags} == benign
    assert not any(name.startswith("on") for _, *names in page.tags for name in names)
