"""`entropylaw diff`: what it prints of two versions, what it never prints, and where it must say no."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from chromium import Chromium, find_chromium
from click.testing import Result
from hostile import FRAGMENTS
from sample_verdicts import sample_verdict
from typer.testing import CliRunner

from corpus.artifacts import write_json
from corpus.files import write_rows
from corpus.params import PARAMS_FILE
from corpus.records import HashedRecord
from entropylaw.cli import app
from entropylaw.diff.command import DiffFormat
from entropylaw.repository.layout import VERDICT
from entropylaw.repository.shipped_files import shipped_text
from monitor.verdict import FlaggedRow

Rows = list[HashedRecord]
Diff = Callable[..., Result]
SECRET = "xylophone"


@pytest.fixture
def diff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Diff:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return lambda *words: CliRunner().invoke(app, ["diff", *map(str, words)])


def chat(prompt: str, answer: str, source: str = "mail") -> dict[str, str]:
    return {"prompt": prompt, "completion": answer, "source": source}


def write_versions(folder: Path) -> None:
    """Of 30 rows one is edited, one removed, one moved to the end, one copied under another name, one added."""
    rows = [chat(f"What is {SECRET} {i}?", f"It is the answer {i} to {SECRET}.") for i in range(30)]
    write_rows(folder / "a.jsonl", rows)
    later = [*rows[:10], {**rows[10], "completion": f"It is another answer to {SECRET}."}, *rows[12:20], *rows[21:]]
    copy = {**rows[3], "id": "again"}
    write_rows(folder / "b.jsonl", [*later, rows[20], copy, chat(f"New {SECRET}?", "Yes.", "forum")])


def read_lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_each_kind_of_change_is_shown_once(diff: Diff, tmp_path: Path) -> None:
    write_versions(tmp_path)
    first, *rows = read_lines(diff("a.jsonl", "b.jsonl", "--format", "jsonl"))
    assert {kind: count["all"] for kind, count in first["kinds"].items()} == dict.fromkeys(first["kinds"], 1)
    assert (first["kept"], first["a"]["rows"], first["b"]["rows"], first["rows_numbered_from"]) == (28, 30, 31, 1)
    found = {row["kind"]: (row["a"] and row["a"]["row"], row["b"] and row["b"]["row"]) for row in rows}
    assert found == {
        "added": (None, 31), "removed": (12, None), "edited": (11, 11), "moved": (21, 29), "copied": (None, 30)
    }  # fmt: skip
    copied = next(row for row in rows if row["kind"] == "copied")
    assert (copied["twin"], copied["twin_in_a"]) == (4, 4)
    assert next(row for row in rows if row["kind"] == "edited")["changed"] == "answer"
    text = diff("a.jsonl", "b.jsonl").stdout
    assert "Rows are numbered from 1" in text and "B 30  mail  says again row 4 of B, row 4 of A (a.jsonl)" in text
    assert "A 21 → B 29" in text and "A 11 → B 11" in text


@pytest.mark.parametrize("format", list(DiffFormat))
def test_no_text_of_a_row_is_shown_unless_asked_for(diff: Diff, tmp_path: Path, format: DiffFormat) -> None:
    write_versions(tmp_path)
    words = ("a.jsonl", "b.jsonl", "--format", format.value)
    assert SECRET not in diff(*words).stdout
    assert SECRET in diff(*words, "--text").stdout


def test_edited_words_are_marked(diff: Diff, tmp_path: Path) -> None:
    write_versions(tmp_path)
    words = ("a.jsonl", "b.jsonl", "--kind", "edited", "--text")
    assert "It is [-the-]{+another+} answer[- 10-] to" in diff(*words).stdout
    assert "<del>the</del><ins>another</ins>" in diff(*words, "--format", "html").stdout
    *_, row = read_lines(diff(*words, "--format", "jsonl"))
    for side, mark in (("a", "new"), ("b", "old")):
        assert "".join(text for kind, text in row["words"] if kind != mark) == row[side]["text"]


def test_filters_leave_the_counts_of_all_and_list_what_is_asked_for(diff: Diff, tmp_path: Path) -> None:
    write_versions(tmp_path)
    words = ("a.jsonl", "b.jsonl", "--format", "jsonl")
    first, *rows = read_lines(diff(*words, "--source", "forum"))
    assert [row["b"]["row"] for row in rows] == [31]
    assert first["kinds"]["edited"] == {"all": 1, "chosen": 0} and first["filters"] == ["only source forum"]
    _, *rows = read_lines(diff(*words, "--source", "mail", "--kind", "moved", "--kind", "removed"))
    assert [row["kind"] for row in rows] == ["removed", "moved"]
    _, *rows = read_lines(diff(*words, "--source", "nobody"))
    assert rows == []


def test_rows_that_a_rule_flags_are_found_by_their_content(diff: Diff, tmp_path: Path) -> None:
    write_versions(tmp_path)
    words = ("a.jsonl", "b.jsonl", "--format", "jsonl")
    assert diff(*words, "--rule", "damage").exit_code == 3
    _, *rows = read_lines(diff(*words))
    added = next(row for row in rows if row["kind"] == "added")["b"]
    flagged = FlaggedRow(31, added["hash"], "forum", "sft", "damage", 1.0, "share of the rows")
    write_json(tmp_path / VERDICT, replace(sample_verdict("risky"), rows=(flagged,)))
    for rule in ("damage", "all"):
        _, *rows = read_lines(diff(*words, "--rule", rule))
        assert [(row["kind"], row["rules"]) for row in rows] == [("added", ["damage"])]
    result = diff(*words, "--rule", "style")
    assert len(result.stdout.splitlines()) == 1 and "flags no row by style" in result.stderr
    assert "flagged: damage" in diff("a.jsonl", "b.jsonl").stdout


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_near_copy_that_is_flagged_is_shown_with_its_twin(diff: Diff, tmp_path: Path, suffix: str) -> None:
    rows = [chat(f"Tell me about city {i}", " ".join(f"word{i * 7 + j}" for j in range(20))) for i in range(30)]
    near = chat("Tell me about it", rows[12]["completion"] + " and more")
    write_rows(tmp_path / f"a.{suffix}", rows)
    write_rows(tmp_path / f"b.{suffix}", [*rows, near])
    words = (f"a.{suffix}", f"b.{suffix}", "--format", "jsonl")
    *_, row = read_lines(diff(*words))
    assert "like" not in row
    flagged = FlaggedRow(31, row["b"]["hash"], "mail", "sft", "copies", 1.0, "share of the rows")
    write_json(tmp_path / VERDICT, replace(sample_verdict("risky"), rows=(flagged,)))
    *_, row = read_lines(diff(*words))
    assert row["like"] == 13 and row["like_share"] > 0.7


def test_the_limit_says_how_many_more_there_are(diff: Diff, tmp_path: Path) -> None:
    rows = [chat(f"Question {i}", f"Answer {i}") for i in range(50)]
    write_rows(tmp_path / "a.jsonl", rows[:10])
    write_rows(tmp_path / "b.jsonl", rows)
    assert "and 20 more; --limit 0 lists all" in diff("a.jsonl", "b.jsonl").stdout
    assert "more; --limit" not in diff("a.jsonl", "b.jsonl", "--limit", "0").stdout
    assert len(read_lines(diff("a.jsonl", "b.jsonl", "--format", "jsonl"))) == 41
    assert len(read_lines(diff("a.jsonl", "b.jsonl", "--format", "jsonl", "--limit", "3"))) == 4


def test_a_shuffled_version_has_the_same_rows_elsewhere(diff: Diff, tmp_path: Path) -> None:
    rows = [chat(f"Question {i}", f"Answer {i}") for i in range(20)]
    write_rows(tmp_path / "a.jsonl", rows)
    write_rows(tmp_path / "b.jsonl", rows[10:] + rows[:10])
    first, *listed = read_lines(diff("a.jsonl", "b.jsonl", "--format", "jsonl"))
    assert first["kept"] == 20 and first["kinds"]["moved"] == {"all": 10, "chosen": 10}
    assert all(row["a"]["hash"] == row["b"]["hash"] and abs(row["a"]["row"] - row["b"]["row"]) == 10 for row in listed)


def test_rows_of_several_files_are_named_by_their_file(diff: Diff, tmp_path: Path) -> None:
    rows = [chat(f"Question {i}", f"Answer {i}") for i in range(20)]
    for name, some in (("a", rows[:18]), ("b", rows)):
        write_rows(tmp_path / name / "part-1.jsonl", some[:10])
        write_rows(tmp_path / name / "part-2.jsonl", some[10:])
    assert "B b/part-2.jsonl:9" in diff("a", "b").stdout
    *_, row = read_lines(diff("a", "b", "--format", "jsonl"))
    assert (row["b"]["row"], row["b"]["file"], row["b"]["file_row"]) == (20, "b/part-2.jsonl", 10)


def test_the_result_can_be_written_to_a_file(diff: Diff, tmp_path: Path) -> None:
    write_versions(tmp_path)
    for format in DiffFormat:
        printed = diff("a.jsonl", "b.jsonl", "--format", format.value).stdout
        assert diff("a.jsonl", "b.jsonl", "--format", format.value, "--out", "out/d").exit_code == 0
        assert (tmp_path / "out" / "d").read_text(encoding="utf-8") == printed


class TextParser(HTMLParser):
    """Collects the tags of a page and what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def write_hostile(folder: Path) -> None:
    # Half a character no file can hold.
    writable = [text for text in FRAGMENTS if text.encode(errors="replace").decode() == text]
    fragments = [*writable, "\x1b[31m", "::error::no", "##[group]x", "a" * 400, "\u202egnp.exe"]
    calm = [chat(f"Question {i}", "A calm answer.", fragment) for i, fragment in enumerate(fragments)]
    write_rows(folder / "a.jsonl", calm)
    write_rows(folder / "b.jsonl", [{**row, "completion": f"{row['source']} and more"} for row in calm])


def test_hostile_rows_are_shown_and_do_nothing(diff: Diff, tmp_path: Path) -> None:
    write_hostile(tmp_path)
    words = ("a.jsonl", "b.jsonl", "--text", "--limit", "0")
    page = TextParser()
    page.feed(diff(*words, "--format", "html").stdout)
    assert page.tags.isdisjoint({"script", "img", "iframe", "object", "form"})
    assert "<script>alert(1)</script>" in "".join(page.said)
    for format in ("text", "jsonl"):
        shown = diff(*words, "--format", format).stdout
        assert "\x1b" not in shown and "\u202e" not in shown and "##[" not in shown
        assert not [line for line in shown.splitlines() if line.lstrip().startswith("::")]


@pytest.mark.slow
@pytest.mark.skipif(find_chromium() is None, reason="needs Chromium (Debian: apt-get install chromium)")
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_on_a_phone_nothing_sticks_out_and_nothing_is_loaded(diff: Diff, tmp_path: Path, width: int) -> None:
    write_hostile(tmp_path)
    assert diff("a.jsonl", "b.jsonl", "--text", "--format", "html", "--out", "d.html").exit_code == 0
    program = find_chromium()
    assert program
    try:
        browser = Chromium(program).__enter__()
    except ConnectionError:
        pytest.skip(f"{program} does not start here")
    try:
        browser.open(tmp_path / "d.html", width, "light")
        assert browser.run("document.documentElement.scrollWidth") <= width
        asked = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
        assert [url for url in asked if not url.startswith("data:")] == [(tmp_path / "d.html").resolve().as_uri()]
        assert browser.run("document.querySelectorAll('ins').length") > 20
    finally:
        browser.__exit__()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("good.jsonl", "typo.jsonl"), ("typo.jsonl: no such file",)),
        (("good.jsonl", "HEAD"), ("HEAD: neither a data file nor a Git revision",)),
        (("good.jsonl",), ("params.yaml",)),
        (("good.jsonl", "bad.jsonl"), ("bad.jsonl, line 2: not JSON",)),
        (("good.jsonl", "blank.jsonl"), ("blank.jsonl: no usable row (1 empty answer)",)),
        (("good.jsonl", "pairs.jsonl"), ("good.jsonl holds conversations", "pairs.jsonl preferences")),
        (("good.jsonl", "good.jsonl", "--rule", "nonsense"), ("--rule nonsense: no such rule",)),
    ],
)
def test_a_mistake_is_one_line(diff: Diff, tmp_path: Path, arguments: tuple[str, ...], parts: tuple[str, ...]) -> None:
    write_rows(tmp_path / "good.jsonl", [chat("Hi", "Hello!")])
    write_rows(tmp_path / "blank.jsonl", [chat("Hi", "")])
    write_rows(tmp_path / "pairs.jsonl", [{"prompt": "Hi", "chosen": "Hello!", "rejected": "No."}])
    (tmp_path / "bad.jsonl").write_text('{"prompt": "Hi", "completion": "Hi!"}\nnonsense\n')
    result = diff(*arguments)
    assert result.exit_code == 2 and result.stdout == "", result.stdout
    assert len(result.stderr.splitlines()) == 1 and all(part in result.stderr for part in parts), result.stderr


@pytest.mark.slow
def test_a_revision_is_compared_with_the_data_that_is_here(diff: Diff, tmp_path: Path) -> None:
    (tmp_path / PARAMS_FILE).write_text(shipped_text(PARAMS_FILE), encoding="utf-8")
    (tmp_path / "data").mkdir()
    rows = [chat(f"Question {i}", f"Answer {i}") for i in range(20)]
    data = tmp_path / "data" / "sft.jsonl"
    for version in (rows[:15], rows):
        write_rows(data, version)
        for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "-m", "rows")):
            subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)
    write_rows(data, [*rows, chat("Not committed", "yet")])
    first, *listed = read_lines(diff("HEAD~1", "--format", "jsonl"))
    assert [row["b"]["row"] for row in listed] == [*range(16, 22)]
    assert first["a"]["name"] == "HEAD~1:data/sft.jsonl" and len(first["a"]["commit"]) == 40
    assert (first["b"]["name"], first["b"]["commit"]) == ("data/sft.jsonl", None)
    assert len(read_lines(diff("HEAD~1", "HEAD", "--format", "jsonl"))) == 6


def test_the_help_has_an_example(diff: Diff) -> None:
    result = diff("--help")
    assert result.exit_code == 0 and "Example: entropylaw diff HEAD~1 --kind edited --text" in result.stdout
