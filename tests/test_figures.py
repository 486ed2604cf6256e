from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hostile import FRAGMENTS, report_with
from hypothesis import given
from hypothesis import strategies as st
from sample_verdicts import STATUSES, history, law, long_history, sample_verdict

from monitor.law.results import LawSummary
from monitor.verdict import NormalRange
from reports.figures import Figures, draw_figures, place_labels
from reports.marks import STATUS_COLORS, Chart
from reports.report_data import ReportData, build_report_data
from reports.training_curves import TrainingCurve
from reports.training_figure import draw_training

pytestmark = pytest.mark.slow

SVG = "{http://www.w3.org/2000/svg}"


def build(status: str, past=None) -> ReportData:
    return build_report_data(sample_verdict(status), history() if past is None else past, [])


@cache
def figures_of(status: str) -> Figures:
    return draw_figures(build(status))


def ink_lines(svg: str) -> list[list[str]]:
    """The solid lines drawn in the page's ink, top panel first, each as its path's commands."""
    paths = [path for path in ElementTree.fromstring(svg).iter(f"{SVG}path") if path.get("style")]
    ink = [path for path in paths if "stroke: currentColor; stroke-width: 1.2" in path.get("style")]
    return [re.findall("[ML]", path.get("d")) for path in ink]


def words(svg: str) -> list[str]:
    return [text.text for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("status", STATUSES)
def test_the_same_data_gives_the_same_bytes(status: str) -> None:
    assert draw_figures(build(status)) == figures_of(status)


@pytest.mark.parametrize("status", STATUSES)
def test_charts_are_self_contained_and_described(status: str) -> None:
    for chart in figures_of(status).charts():
        root = ElementTree.fromstring(chart.svg)
        assert root.find(f"{SVG}title").text == chart.title and root.find(f"{SVG}desc").text == chart.description
        labels = root.get("aria-labelledby").split()
        assert labels == [root.find(f"{SVG}title").get("id"), root.find(f"{SVG}desc").get("id")]
        references = re.findall(r'(?:href|src)="([^"]*)"|url\(([^)]*)\)', chart.svg)
        assert all((first or second).startswith("#") for first, second in references)
        known = {element.get("id") for element in root.iter()}
        assert {(first or second)[1:] for first, second in references} <= known
        assert not re.search(r"<(script|image|foreignObject|a)\b|\son\w+=", chart.svg)


def test_no_two_charts_of_a_page_share_an_identifier() -> None:
    identifiers = [re.findall(r'\bid="([^"]*)"', chart.svg) for chart in figures_of("risky").charts()]
    flat = [identifier for chart in identifiers for identifier in chart]
    assert len(identifiers) == 7 and len(flat) == len(set(flat))


def test_colours_are_the_pages_ink_or_stand_out_on_paper_and_on_a_dark_page() -> None:
    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(first: str, second: str) -> float:
        low, high = sorted((luminance(first), luminance(second)))
        return (high + 0.05) / (low + 0.05)

    for status, color in STATUS_COLORS.items():
        # Graphics need 3:1 (WCAG 2.1, 1.4.11).
        assert min(contrast(color, "#ffffff"), contrast(color, "#14171a")) >= 3
        charts = figures_of(status)
        drawings = [re.sub("<style>.*?</style>", "", chart.svg) for chart in charts.charts()]
        found = [set(re.findall(r"#[0-9a-f]{6}\b", drawing)) for drawing in drawings]
        # Lengths of rows of which none were added are drawn in ink alone.
        assert all(colors <= {color} for colors in found) and found.count(set()) < len(charts.lengths) + 1


@pytest.mark.parametrize("length", [0, 1, 50])
def test_the_version_under_test_is_always_named(length: int) -> None:
    chart = draw_figures(build("risky", long_history(length))).versions["sft"]
    assert words(chart.svg).count("x5") == 1
    assert len(chart.svg) < 100_000


@given(st.lists(st.integers(1, 12), min_size=1, max_size=60), st.data())
def test_labels_never_touch_nor_leave_the_drawing(lengths: list[int], data: st.DataObject) -> None:
    names = ["n" * length for length in lengths]
    current = data.draw(st.integers(0, len(names) - 1))
    width, margin = 57.0, 7.5
    step = (width - 2 * margin) / len(names)
    placed = place_labels(names, current, margin + step / 2, step, width)
    assert current in dict(placed)
    spans = sorted((centre - len(names[i]) / 2, centre + len(names[i]) / 2) for i, centre in placed)
    assert spans[0][0] >= 0 and spans[-1][1] <= width
    assert all(end < start for (_, end), (start, _) in pairwise(spans))


def test_a_missing_score_is_a_gap_in_the_line() -> None:
    past = history()
    past[1] = replace(past[1], scores={})
    panels = ink_lines(draw_figures(build("pass", past)).versions["sft"].svg)
    assert panels == [["M", "L", "L", "L"]] * 4 + [["M", "M", "L"]]


def test_a_waived_version_is_off_the_line() -> None:
    past = history()
    past[2] = replace(past[2], waived=True, status="risky")
    assert ink_lines(draw_figures(build("pass", past)).versions["sft"].svg) == [["M", "L", "L"]] * 5


def test_versions_measured_otherwise_are_not_drawn() -> None:
    past = [replace(history()[0], config_fingerprint="another"), *history()[1:]]
    svg = draw_figures(build("pass", past)).versions["sft"].svg
    assert "x1" not in words(svg) and "x2" in words(svg)


def test_the_numbers_of_the_version_under_test_stand_above_its_panels() -> None:
    shown = words(figures_of("risky").versions["sft"].svg)
    expected = ["2.914 (+0.046)", "3.946 (+0.306)", "5.306 (+0.293)", "0.361 (−0.037)", "forecast −4.952"]
    assert [word for word in shown if word in expected] == expected


def test_a_first_version_has_nothing_to_be_compared_with() -> None:
    shown = words(draw_figures(build("baseline", [])).versions["sft"].svg)
    assert {"3.021", "none measured yet", "not measured"} <= set(shown)


def test_the_law_is_drawn_with_its_bands_where_it_was_fitted() -> None:
    verdict = sample_verdict("pass")

    def draw(summary: LawSummary) -> list[Chart]:
        return list(draw_figures(build_report_data(replace(verdict, law=summary), history(), [])).law)

    charts = draw(law())
    assert [chart.name for chart in charts] == ["law-r", "law-r-long", "law-l"]
    assert [chart.svg.count("-FillBetween") for chart in charts] == [2, 2, 2]
    assert [chart.description for chart in charts] == [curve.sentence for curve in law().curves.values()]
    few = draw(replace(law(), curves={"r": law().curves["r"]}))
    assert ["FillBetween" in chart.svg for chart in few] == [True, False, False]
    assert draw(replace(law(), points=(), curves={})) == []


def test_a_curve_that_does_not_hold_is_dashed() -> None:
    def dashed(holds: bool | None) -> bool:
        curve = replace(law().curves["l"], holds=holds)
        verdict = replace(sample_verdict("pass"), law=replace(law(), curves={"l": curve}))
        chart = draw_figures(build_report_data(verdict, history(), [])).law[-1]
        return "stroke-dasharray" in chart.svg

    assert not dashed(True) and dashed(False)


def test_a_band_far_wider_than_the_runs_is_cut_off_by_the_frame() -> None:
    def label_range(wide: float) -> list[str]:
        curve = law().curves["l"]
        assert curve.band is not None
        band = replace(curve.band, run_high=tuple(z + wide for z in curve.band.run_high))
        verdict = replace(sample_verdict("pass"), law=replace(law(), curves={"l": replace(curve, band=band)}))
        return words(draw_figures(build_report_data(verdict, history(), [])).law[-1].svg)

    assert label_range(1000.0) == label_range(0.0)


def test_hostile_names_are_drawn_as_text() -> None:
    def tags(svg: str) -> set[str]:
        return {element.tag for element in ElementTree.fromstring(svg).iter()}

    benign = [tags(chart.svg) for chart in draw_figures(report_with("plain")).charts()]
    for start in range(0, len(FRAGMENTS), 12):
        charts = draw_figures(report_with(*FRAGMENTS[start : start + 12])).charts()
        assert [tags(chart.svg) for chart in charts] == benign


def test_a_name_is_never_read_as_a_formula() -> None:
    figures = draw_figures(report_with("$x^2$"))
    assert "$x^2$" in words(figures.versions["$x^2$sft"].svg)
    assert {"performance ($x^2$)", "■ forecast for $x^2$"} <= set(words(figures.law[0].svg))


def test_the_normal_band_is_drawn_where_it_is_known() -> None:
    def bands(changes: dict) -> int:
        verdict = replace(sample_verdict("pass"), changes=changes)
        chart = draw_figures(build_report_data(verdict, history(), [])).versions["sft"]
        return chart.svg.count("-FillBetween")

    known = sample_verdict("pass").changes
    only_r = replace(known["sft"], normal={"r": known["sft"].normal["r"]})
    assert [bands(known), bands({"sft": only_r}), bands({})] == [4, 1, 0]


def test_a_panel_makes_room_for_the_normal_band() -> None:
    known = sample_verdict("pass").changes["sft"]
    wide = replace(known, normal={**known.normal, "l": NormalRange(4.0, 6.0)})
    verdict = replace(sample_verdict("pass"), changes={"sft": wide})
    svg = draw_figures(build_report_data(verdict, history(), [])).versions["sft"].svg
    assert {"4", "6"} & {word[0] for word in words(svg) if re.fullmatch(r"[46](\.\d+)?", word)}


def test_lengths_are_drawn_for_every_dataset_that_has_them() -> None:
    charts = figures_of("risky").lengths
    assert [chart.name for chart in charts.values()] == ["lengths-sft", "lengths-preferences"]
    assert "the median is 302 for the kept rows and 402 for the added rows" in charts["sft"].description
    assert draw_figures(build_report_data(replace(sample_verdict("risky"), changes={}), [], [])).lengths == {}


def test_training_is_drawn_with_its_held_out_rows_as_squares() -> None:
    def texts(*held_out: tuple[int, float]) -> list[str]:
        curve = TrainingCurve("sft", "SFT", 2, ((1, 5.0), (2, 4.0)), held_out)
        return words(draw_training(curve, "training-sft").svg)

    assert "■ held out" in texts((2, 4.5)) and "■ held out" not in texts()
