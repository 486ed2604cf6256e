"""The command `lint`: formats, exit codes, selection of codes, hostile data, and files that cannot be read."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import pytest
from click.testing import Result
from golden_files import assert_golden
from hostile import FRAGMENTS
from lint_rows import Row, ask, lint_rows, sound_rows, talk, write_lines
from typer.testing import CliRunner

from corpus.files import write_rows
from corpus.prepare import PrepareParams
from entropylaw import lint
from entropylaw.cli import app
from monitor.lint.registry import choose_codes, list_issues
from reports.annotations import ANNOTATIONS_PER_LEVEL
from reports.lint.render import LintFormat

FORMATS = get_args(LintFormat)
ENDINGS = {"text": "txt", "markdown": "md", "json": "json", "junit": "xml", "github": "github",
           "gitlab": "gitlab.json", "sarif": "sarif"}  # fmt: skip


def make_rows() -> list[Row]:
    """Rows with two errors, some warnings and a notice."""
    return [
        *sound_rows(),
        sound_rows()[1],
        ask("Are you there?", ""),
        talk("user: Hi"),
        ask("What is left?", "Tea &amp; cake.<|im_end|>"),
        ask("Whom do I ask?", "Ask j.kranich@verlag-kranich.de."),
    ]


@pytest.fixture
def run(in_tmp_path: Path) -> Callable[..., Result]:
    def run_lint(rows: list[Any], *options: str) -> Result:
        write_lines(Path("rows.jsonl"), rows)
        return CliRunner().invoke(app, ["lint", "rows.jsonl", *options])

    return run_lint


def test_the_command_offers_every_format_that_there_is() -> None:
    assert [member.value for member in lint.LintFormat] == list(FORMATS)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_shows_the_findings_as_it_did(run: Callable[..., Result], format: str) -> None:
    result = run(make_rows(), "--format", format, "--show-text")
    assert (result.exit_code, result.stderr) == (1, "")
    assert_golden(f"lint.{ENDINGS[format]}", result.stdout)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_can_show_that_nothing_was_found(run: Callable[..., Result], format: str) -> None:
    result = run(sound_rows(), "--format", format)
    assert result.exit_code == 0
    assert result.stdout.endswith("\n")
    if format == "gitlab":
        assert json.loads(result.stdout) == []


def test_errors_exit_1_warnings_only_if_strict_and_notices_never(run: Callable[..., Result]) -> None:
    error, warning = [ask("Are you there?", "")], [ask("Hi", "Hello!<|im_end|>")]
    notice = [ask("Whom do I ask?", "Ask j.kranich@verlag-kranich.de.")]
    for format in FORMATS:
        codes = [
            [run(rows, "--format", format, *strict).exit_code for strict in ([], ["--strict"])]
            for rows in (error, warning, notice)
        ]
        assert codes == [[1, 1], [0, 1], [0, 0]], format


def test_codes_are_chosen_by_code_beginning_and_name(run: Callable[..., Result]) -> None:
    def found(*options: str) -> list[str]:
        return [entry["code"] for entry in json.loads(run(make_rows(), "--json", *options).stdout)["findings"]]

    assert found() == ["E101", "E301", "W401", "W501", "W505", "N703"]
    assert found("--select", "E") == ["E101", "E301"]
    assert found("--select", "W5,n703") == ["W501", "W505", "N703"]
    assert found("--select", "1,30") == ["E101", "E301"]
    assert found("--ignore", "E1,W", "--ignore", "e-mail-address") == ["E301"]
    assert found("--select", "empty-answer", "--select", "E1") == ["E101", "E301"]


def test_an_unknown_code_is_a_usage_error_that_names_the_codes(run: Callable[..., Result]) -> None:
    for option in ("--select", "--ignore"):
        result = run(sound_rows(), option, "X999")
        assert result.exit_code == 2
        assert "'X999'" in result.stderr and "E101" in result.stderr


def test_the_json_option_is_the_json_format(run: Callable[..., Result]) -> None:
    assert run(make_rows(), "--json").stdout == run(make_rows(), "--format", "json").stdout


def test_texts_are_shown_only_where_they_are_wanted(run: Callable[..., Result]) -> None:
    for format in FORMATS:
        assert "cake" not in run(make_rows(), "--format", format).stdout
        assert "cake" in run(make_rows(), "--format", format, "--show-text").stdout


def test_the_same_file_gives_the_same_bytes(run: Callable[..., Result]) -> None:
    assert run(make_rows(), "--json").stdout_bytes == run(make_rows(), "--json").stdout_bytes


def test_a_file_that_cannot_be_read_exits_3_with_one_line(in_tmp_path: Path) -> None:
    Path("cut.jsonl").write_text('{"messages": [')
    write_lines(Path("unknown.jsonl"), [{"a": 1}])
    Path("empty.jsonl").touch()
    for name in ("cut.jsonl", "unknown.jsonl", "empty.jsonl", "missing.jsonl", "notes.docx", "."):
        result = CliRunner().invoke(app, ["lint", name])
        assert result.exit_code == 3, name
        assert result.stderr.count("\n") == 1 and name in result.stderr and not result.stdout


def test_wrong_use_exits_2(run: Callable[..., Result]) -> None:
    assert run(sound_rows(), "--max-length", "10").exit_code == 2
    assert run(sound_rows(), "--max-length", "0").exit_code == 2
    assert run(sound_rows(), "--format", "yaml").exit_code == 2
    assert run(sound_rows(), "--tokenizer", "no/such/folder/here").exit_code == 2
    assert CliRunner().invoke(app, ["lint"]).exit_code == 2


def test_rows_of_several_files_are_compared_and_named_with_their_file(in_tmp_path: Path) -> None:
    write_lines(Path("train.jsonl"), sound_rows())
    write_rows("test.json", [ask("Hi", "Hello!"), sound_rows()[2]])
    result = CliRunner().invoke(app, ["lint", "train.jsonl", "test.json", "--json"])
    document = json.loads(result.stdout)
    assert [file["rows"] for file in document["files"]] == [6, 2]
    (finding,) = document["findings"]
    other = {"file": "train.jsonl", "row": 3}
    assert (finding["code"], finding["rows"]) == ("W401", [{"file": "test.json", "row": 2, "other": other}])
    shown = CliRunner().invoke(app, ["lint", "train.jsonl", "test.json"]).stdout
    assert "test.json: 2 (as train.jsonl:3)" in shown


def test_params_yaml_says_how_rows_are_read(in_tmp_path: Path) -> None:
    write_lines(Path("rows.jsonl"), [ask("Hi", "Hello! " * 10), *sound_rows()])
    # JSON is YAML.
    Path("params.yaml").write_text(json.dumps({"prepare": {**asdict(PrepareParams()), "max_characters": 50}}))
    document = json.loads(CliRunner().invoke(app, ["lint", "rows.jsonl", "--json", "--select", "W104"]).stdout)
    assert document["findings"][0]["rows"][0]["row"] == 1


def train_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(special_tokens=["<unk>", "<|stop|>"], vocab_size=400, show_progress=False)
    tokenizer.train_from_iterator([m["content"] for row in sound_rows() for m in row["messages"]], trainer)
    # Its own limit must not hide long rows.
    tokenizer.enable_truncation(4)
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))


def test_a_tokenizer_finds_its_special_tokens_and_rows_that_are_cut(run: Callable[..., Result], tmp_path: Path) -> None:
    train_tokenizer(tmp_path / "model")
    rows = [
        ask("Where do swallows spend the winter?", "They stay in southern Africa. " * 3),
        ask("Hi", "The <|stop|> one"),
    ]
    options = ("--tokenizer", str(tmp_path / "model"), "--max-length", "20", "--json")
    document = json.loads(run(rows, *options).stdout)
    assert {entry["code"]: [row["row"] for row in entry["rows"]] for entry in document["findings"]} == {
        "E502": [2],
        "W501": [2],
        "W601": [1],
    }
    assert document["not_run"] == {}


def test_what_could_not_be_looked_for_is_said(run: Callable[..., Result]) -> None:
    assert set(json.loads(run(sound_rows(), "--json").stdout)["not_run"]) == {"E502", "W601", "W602"}
    assert json.loads(run(sound_rows(), "--json", "--ignore", "W6,E5").stdout)["not_run"] == {}


def test_github_gets_at_most_ten_annotations_of_a_level(run: Callable[..., Result]) -> None:
    lines = run(many_findings(), "--format", "github").stdout.splitlines()
    assert sum(line.startswith("::warning") for line in lines) == ANNOTATIONS_PER_LEVEL
    assert sum("more are listed by entropylaw lint" in line for line in lines) == 1


def many_findings() -> list[Row]:
    return [
        talk("user: Hi", "user: Ho", "assistant: Yes"),
        talk("user: Hi", "assistant: Yes", "user: Oh"),
        talk("user: Hi", "system: S", "assistant: Yes"),
        talk("assistant: Hi", "user: Ho", "assistant: Yes"),
        talk("user: Hi", "assistant:  ", "user: Oh", "assistant: Yes"),
        ask("Hi", "nan"),
        ask("Hi", "Ho<|im_end|>"),
        ask("Hi", "Ho<br>"),
        ask("Hi", "Ho &amp; ho"),
        ask("Hi", "Ho\\nHo"),
        ask("Hi", "I donâ€™t"),
        ask("Hi", "\x07"),
        ask("Hi", "Ho", hint="a"),
    ]


@pytest.mark.parametrize("format", FORMATS)
def test_no_text_of_a_row_acts_where_the_findings_are_shown(run: Callable[..., Result], format: str) -> None:
    rows = [
        ask(fragment, f"{fragment}<|im_end|>{fragment} &amp;", **{fragment[:40] or "x": "y"})
        for fragment in FRAGMENTS
        if "\ud800" not in fragment
    ]
    result = run([*rows, *rows], "--format", format, "--show-text")
    assert result.exit_code in (0, 1), result.output
    shown = result.stdout
    assert not set(shown) & {chr(code) for code in (*range(9), *range(11, 32), 127, 0x9B, 0x202E, 0x2028)}
    assert "##[" not in shown and "##vso" not in shown
    if format in ("text", "github"):
        commands = [line for line in shown.splitlines() if line.lstrip().startswith("::")]
        assert all(line.startswith(("::error ", "::warning ", "::notice ")) for line in commands)
        assert format == "github" or not commands
    if format == "junit":
        ElementTree.fromstring(shown)
    if format in ("json", "gitlab", "sarif"):
        json.loads(shown)
    if format == "markdown":
        assert "<script" not in shown and "](javascript" not in shown and "@octocat" not in shown


@pytest.mark.slow
def test_giant_rows_of_one_sign_take_no_long_time(tmp_path: Path) -> None:
    signs = ("a", " ", "a ", "(", "<p ", "&a", "ab, ", "0 ", "\n", "é", "x(", "```", "eyJ", "://a:", "key ", "### ")
    rows = [ask("Why?", sign * (200_000 // len(sign))) for sign in signs]
    start = time.process_time()
    lint_rows(tmp_path, rows)
    assert time.process_time() - start < 30


def test_every_code_is_unique_and_the_reference_page_explains_each() -> None:
    codes = [issue.code for issue in list_issues()]
    assert len(set(codes)) == len(codes) and len({issue.name for issue in list_issues()}) == len(codes)
    page = (Path(__file__).parent.parent / "docs" / "reference" / "lint.md").read_text(encoding="utf-8")
    for issue in list_issues():
        assert f"### {issue.code}" in page and issue.title in page
    with pytest.raises(ValueError, match="'Z'"):
        choose_codes(["Z"], [])


def test_the_json_is_what_the_schema_says(run: Callable[..., Result]) -> None:
    from jsonschema import Draft202012Validator

    path = Path(__file__).parent.parent / "docs" / "schemas" / "lint.schema.json"
    schema = Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))
    document = json.loads(run(make_rows(), "--json", "--show-text").stdout)
    assert [error.message for error in schema.iter_errors(document)] == []
    del document["findings"][0]["code"]
    assert [error.message for error in schema.iter_errors(document)] != []


def test_progress_is_shown_on_a_terminal_only(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert run(sound_rows()).stderr == ""


def test_a_folder_is_read_as_its_files_and_columns_as_params_yaml_names_them(in_tmp_path: Path) -> None:
    Path("data").mkdir()
    for part in ("a", "b"):
        write_lines(
            Path(f"data/{part}.jsonl"), [{"frage": f"Wie {part} {i}?", "antwort": f"So {i}."} for i in range(3)]
        )
    columns = {"prompt": "frage", "completion": "antwort"}
    sections = {"prepare": asdict(PrepareParams()), "datasets": {"sft": {"path": "data", "columns": columns}}}
    Path("params.yaml").write_text(json.dumps(sections))
    run = CliRunner().invoke(app, ["lint", "data", "--json"])
    document = json.loads(run.stdout)
    assert [(file["path"], file["rows"]) for file in document["files"]] == [("data/a.jsonl", 3), ("data/b.jsonl", 3)]
    assert "W103" not in {finding["code"] for finding in document["findings"]}
