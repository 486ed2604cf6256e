"""Texts of flagged rows: in no report unless asked for, and then of no other row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from sample_verdicts import data_hash, sample_verdict
from typer.testing import CliRunner

from corpus.artifacts import write_json
from corpus.files import write_rows
from corpus.prepare import to_row
from corpus.records import Conversation, Message
from entropylaw.cli import app
from entropylaw.repository.shipped_files import shipped_text
from reports.excerpts import SHOWN_CHARACTERS, START_CHARACTERS, cut_excerpt

FLAGGED, OTHER = "a text that was flagged", "a text that was not"
RESULTS = ("results/report.html", "results/report.md")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the flagged rows of a warning, and one row more, in its prepared file."""
    monkeypatch.chdir(tmp_path)
    verdict = sample_verdict("warn")
    write_json(tmp_path / "results" / "verdict.json", verdict)
    texts = {row.hash: f"{FLAGGED}, number {row.row}" for row in verdict.rows} | {data_hash(999): OTHER}
    rows = [
        to_row(Conversation((Message("user", "Well?"), Message("assistant", text))), row_hash)
        for row_hash, text in texts.items()
    ]
    write_rows(tmp_path / "data" / "prepared" / "sft.jsonl", rows)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


@pytest.fixture
def write_params(repository: Path) -> Callable[[bool], None]:
    def write(show_text: bool) -> None:
        text = shipped_text("params.yaml")
        assert text.count("show_text: false") == 1
        changed = text.replace("show_text: false", f"show_text: {str(show_text).lower()}")
        (repository / "params.yaml").write_text(changed, encoding="utf-8")

    return write


def test_no_text_is_in_a_report_unless_asked_for(repository: Path, write_params: Callable[[bool], None]) -> None:
    write_params(False)
    assert run("report").exit_code == 0
    assert not any("a text that" in (repository / name).read_text(encoding="utf-8") for name in RESULTS)


def test_texts_asked_for_are_those_of_the_flagged_rows_alone(
    repository: Path, write_params: Callable[[bool], None]
) -> None:
    write_params(True)
    assert run("report").exit_code == 0
    for name in RESULTS:
        text = (repository / name).read_text(encoding="utf-8")
        assert all(f"{FLAGGED}, number {row.row}" in text for row in sample_verdict("warn").rows)
        assert OTHER not in text


@pytest.mark.parametrize("format", ["text", "markdown", "json", "junit", "github"])
def test_a_check_shows_no_text_even_where_reports_do(write_params: Callable[[bool], None], format: str) -> None:
    write_params(True)
    result = run("check", "--format", format)
    assert result.exit_code == 0 and "agreement" in result.stdout.lower()
    assert "a text that" not in result.stdout


def test_a_verdict_about_other_data_shows_no_texts_and_says_why(
    repository: Path, write_params: Callable[[bool], None]
) -> None:
    write_params(True)
    prepared = repository / "data" / "prepared" / "sft.jsonl"
    prepared.write_text("".join(prepared.read_text(encoding="utf-8").splitlines(keepends=True)[1:]), encoding="utf-8")
    result = run("report")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert "data/prepared/sft.jsonl: 1 of the rows" in result.stderr and "dvc repro" in result.stderr
    assert not any((repository / name).exists() for name in RESULTS)


def test_the_report_is_made_again_when_a_text_it_may_show_has_changed() -> None:
    stages = YAML(typ="safe").load(shipped_text("dvc.yaml"))["stages"]
    assert {"data/prepared/sft.jsonl", "data/prepared/preferences.jsonl"} <= set(stages["report"]["deps"])
    assert "report" in stages["report"]["params"]


@given(st.lists(st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=900), max_size=5))
@settings(max_examples=50, deadline=None)
def test_an_excerpt_is_the_beginning_of_the_text_in_two_parts(words: list[str]) -> None:
    text = "\n".join(words)
    excerpt = cut_excerpt(text)
    shown = excerpt.start.removesuffix("…") + excerpt.rest.removeprefix("…") if excerpt.rest else excerpt.start
    assert len(excerpt.start) <= START_CHARACTERS
    if len(text) <= SHOWN_CHARACTERS:
        assert shown == text
    else:
        assert len(shown) <= SHOWN_CHARACTERS and shown.endswith("…")
        assert text.startswith(shown.removesuffix("…"))


def test_an_excerpt_says_that_it_was_cut_even_when_what_it_lacks_follows_a_long_blank() -> None:
    assert cut_excerpt("user: Hi" + "\n" * 9000 + "assistant: Hello!").start == "user: Hi…"


def test_an_excerpt_shows_what_is_invisible_and_keeps_its_lines() -> None:
    assert cut_excerpt("user: a\u202eb \n\n  assistant: \x1b[31mc\n\n").start == (
        "user: a\\u202eb\nassistant: \\x1b[31mc"
    )
