"""The HTML report as a reader's browser shows it. Skipped without Chromium, and in part without axe-core.

``npm install --no-save axe-core`` in the root of the clone, or AXE_CORE with the path of axe.min.js, brings the latter.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Chromium, find_chromium
from hostile import FRAGMENTS, report_with
from sample_verdicts import STATUSES, history, long_history, sample_verdict, waiver

from reports.figures import draw_figures
from reports.html import render_html
from reports.report_data import ReportData, build_report_data
from reports.training_curves import TrainingCurve

AXE = Path(os.environ.get("AXE_CORE") or Path(__file__).parent.parent / "node_modules" / "axe-core" / "axe.min.js")
CURVES = (
    TrainingCurve("sft", "SFT", 3, ((1, 5.0), (2, 4.0), (3, 3.5)), ((3, 3.6),)),
    TrainingCurve("preferences", "KTO", 2, ((1, 0.5), (2, 0.49)), ()),
)
PAGES = (*STATUSES, "fifty", "hostile")
SCREENS = [(width, scheme) for width in (390, 1280) for scheme in ("light", "dark")]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="needs Chromium (Debian: apt-get install chromium)"),
]


def build(page: str) -> ReportData:
    if page == "hostile":
        return report_with(*FRAGMENTS)
    if page == "fifty":
        return build_report_data(sample_verdict("risky"), long_history(50), [], training=CURVES)
    past = [] if page == "baseline" else history()
    training = CURVES if page == "pass" else ()
    return build_report_data(sample_verdict(page), past, [waiver("redundancy")], training=training)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    files = {}
    for page in PAGES:
        data = build(page)
        files[page] = folder / f"{page}.html"
        files[page].write_text(render_html(data, draw_figures(data)), encoding="utf-8", errors="replace")
    return files


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    program = find_chromium()
    assert program
    chromium = Chromium(program)
    try:
        chromium.__enter__()
    except ConnectionError:
        pytest.skip(f"{program} does not start here")
    yield chromium
    chromium.__exit__()


@pytest.mark.parametrize("page", PAGES)
def test_the_page_loads_nothing_and_the_console_stays_empty(
    pages: dict[str, Path], browser: Chromium, page: str
) -> None:
    browser.open(pages[page], 1280, "light")
    # Whatever the page would still do by itself.
    browser.run("new Promise(done => setTimeout(done, 100))")
    requested = [
        event["params"]["request"]["url"] for event in browser.events if event["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in requested if not url.startswith("data:")] == [pages[page].resolve().as_uri()]
    said = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening")
    assert [event for event in browser.events if event["method"] in said] == []


@pytest.mark.parametrize("page", ["pass", "risky"])
def test_every_anchor_brings_its_target_to_the_top(pages: dict[str, Path], browser: Chromium, page: str) -> None:
    browser.open(pages[page], 390, "light")
    places = browser.run(
        """[...document.querySelectorAll('a[href^="#"]')].map(link => {
             window.scrollTo(0, 0);
             link.click();
             const target = document.querySelector(link.getAttribute("href"));
             const atEnd = window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 1;
             return [link.getAttribute("href"), Math.abs(target.getBoundingClientRect().top) < 2 || atEnd];
           })"""
    )
    assert len(places) >= 5 and all(reached for _, reached in places), places


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_sticks_out_sideways(pages: dict[str, Path], browser: Chromium, page: str, width: int) -> None:
    browser.open(pages[page], width, "light")
    assert browser.run("document.documentElement.scrollWidth") <= width
    # Tables may be wider than the screen: inside a frame that scrolls, and that the keyboard reaches.
    frames = browser.run(
        "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).map(e => e.tabIndex)"
    )
    assert set(frames) <= {0}


def test_on_a_phone_the_checks_need_no_scrolling_sideways_and_the_skipped_ones_are_folded(
    pages: dict[str, Path], browser: Chromium
) -> None:
    browser.open(pages["risky"], 390, "light")
    shown = "[...document.querySelectorAll('#checks .stacked tbody tr')].filter(e => e.checkVisibility()).length"
    folded = "[...document.querySelectorAll('#checks details')].filter(e => e.checkVisibility())"
    counts = [browser.run(shown)]
    for _ in range(2):
        browser.run(f"{folded}.forEach(e => e.open = true)")
        counts.append(browser.run(shown))
    ran, skipped = browser.run("[...document.querySelectorAll('#checks .stacked')].map(e => e.tBodies[0].rows.length)")
    assert counts == [0, ran, ran + skipped] and skipped
    frames = browser.run(
        "[...document.querySelectorAll('.scroll:has(.stacked)')].map(e => e.scrollWidth - e.clientWidth)"
    )
    assert frames == [0, 0]


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
@pytest.mark.parametrize("page", ["baseline", "pass", "risky", "not_assessed"])
def test_axe_finds_no_serious_violation(
    pages: dict[str, Path], browser: Chromium, page: str, width: int, scheme: str
) -> None:
    if not AXE.exists():
        pytest.skip(f"needs axe-core: npm install --no-save axe-core, or AXE_CORE=path of axe.min.js (not {AXE})")
    browser.open(pages[page], width, scheme)
    browser.run("document.querySelectorAll('details').forEach(part => part.open = true)")
    browser.run(AXE.read_text(encoding="utf-8") + "; 0")
    found = browser.run("axe.run().then(result => result.violations.map(v => [v.impact, v.id, v.nodes[0].html]))")
    assert [violation for violation in found if violation[0] in ("serious", "critical")] == []
