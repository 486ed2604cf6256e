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
from reports.release import render_release

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
    "verdict_summary": "No rule found more than harmless updates do, against x3.",
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
