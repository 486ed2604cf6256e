from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from golden_files import assert_golden
from hostile import hostile_text, read_tags
from hypothesis import given, settings
from markdown_it import MarkdownIt
from sample_verdicts import FINGERPRINT, data_hash, waiver

from corpus.errors import EntropylawError
from reports.release import render_checks, render_release

RELEASE: dict[str, Any] = {
    "status": "pass",
    "version": {"name": "x4", "data_hash": data_hash(4), "rows": 2071},
    "data_hash": data_hash(4),
    "config_fingerprint": FINGERPRINT,
    "datasets": {
        "sft": {"data_hash": data_hash(41), "rows": 1600, "selected_rows": 1200, "method": "zip"},
        "preferences": {"data_hash": data_hash(42), "rows": 471, "selected_rows": 471, "method": "all"},
    },
    "models": {
        "sft": {"path": "models/sft", "hash": data_hash(51)},
        "kto": {"path": "models/kto", "hash": data_hash(52)},
    },
    "scores": {"heldout": -4.911},
    "previous": {"name": "x3", "scores": {"heldout": -4.948}},
    "waivers": [],
    "checks": [
        {"id": "verdict", "status": "passed", "reason": "x4 was approved for training"},
        {"id": "data", "status": "unchecked", "reason": "results/evaluation.json: no such file"},
        {"id": "scores", "status": "failed", "reason": "heldout -4.948 against -4.911 of x3"},
    ],
    "verdict_summary": "No rule found more than benign updates do, against x3.",
}


def release(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(RELEASE), **changes}


def waived(**changes: str) -> dict[str, Any]:
    summary = "Stopped, against x3: redundancy in sft."
    return release(status="risky", verdict_summary=summary, waivers=[{**vars(waiver("redundancy", of=4)), **changes}])


def to_tags(markdown: str):
    return read_tags(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown))


def test_the_release_is_the_reviewed_one() -> None:
    assert_golden("release.md", render_release(waived()))


def test_scores_by_source_stand_below_the_scores_where_there_are_several() -> None:
    sources = {"forum|x": {"rows": 1300, "z": -4.25}, "": {"rows": 9, "z": None}}
    text = render_release(release(sources=sources))
    assert "| forum\\|x | 1,300 | −4.250 |\n| – | 9 | – |" in text
    assert "of source" not in render_release(release())


def test_every_hash_that_is_bound_is_written_out() -> None:
    text = render_release(release())
    for digest in (data_hash(4), FINGERPRINT, data_hash(41), data_hash(42), data_hash(51), data_hash(52)):
        assert f"`{digest}`" in text


def test_the_change_of_a_score_is_taken_against_the_previous_release() -> None:
    assert "| heldout | −4.948 | −4.911 | +0.037 |" in render_release(release())
    other_scale = release(previous={"name": "x3", "scores": {"mt_bench": 6.1}})
    assert "| heldout | – | −4.911 | – |" in render_release(other_scale)


def test_a_first_release_has_none_before_it() -> None:
    assert "no earlier release" in render_release(release(previous=None))


def test_an_approver_of_a_waived_release_answers_for_the_waivers() -> None:
    text = render_release(waived())
    assert "ada@\u200bexample.org" in text and "2031-03-31" in text and "Risky" in text
    assert text.count("- [ ]") == render_release(release()).count("- [ ]") + 1


def test_a_check_that_did_not_pass_is_shown_and_has_to_be_settled_before_signing() -> None:
    text = render_release(release())
    assert "| scores | ✗ FAILED | heldout" in text and "| data | ? NOT CHECKED | results/" in text
    good = release(checks=[{"id": "data", "status": "passed", "reason": "all of one version"}])
    assert text.count("- [ ]") == render_release(good).count("- [ ]") + 1


def test_the_lines_of_a_log_name_every_check_and_end_in_what_they_come_to() -> None:
    lines = render_checks(RELEASE["checks"]).splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["✓", "?", "✗"]
    assert lines[3] == "not releasable: 1 failed, 1 could not be checked"
    assert render_checks(RELEASE["checks"][:2]).splitlines()[-1].startswith("not releasable as far as known")
    assert render_checks(RELEASE["checks"][:1]).splitlines()[-1] == "releasable: all checks passed"


def test_a_reason_cannot_give_orders_to_a_runner() -> None:
    text = render_checks([{"id": "waivers", "status": "failed", "reason": "\n::error::x\x1b[31m"}])
    assert "::error" not in text and "\x1b" not in text and text.count("\n") == 2


@pytest.mark.parametrize("key", RELEASE)
def test_a_missing_key_is_named(key: str) -> None:
    broken = {name: value for name, value in RELEASE.items() if name != key}
    with pytest.raises(EntropylawError, match=re.escape(f"results/release.json: missing key '{key}'")):
        render_release(broken)


@settings(max_examples=60, deadline=None)
@given(hostile_text)
def test_the_release_keeps_its_structure_with_hostile_data(text: str) -> None:
    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [fill(item) for item in value]
        return text if isinstance(value, str) else value

    assert to_tags(render_release(fill(waived()))).tags == to_tags(render_release(waived())).tags
