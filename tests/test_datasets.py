"""The section `datasets` of params.yaml: every command that reads raw rows reads them as it says."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from corpus.params import read_params
from entropylaw.cli import app

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, [*map(str, words)])


def write_lines(path, *rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def change(params, datasets, format="auto", share=0.05):
    """Write a params.yaml with these datasets; JSON is YAML too."""
    sections = read_params(REPOSITORY / "params.yaml")
    prepare = {**sections["prepare"], "format": format, "max_dropped_share": share}
    params.write_text(json.dumps({**sections, "datasets": datasets, "prepare": prepare}), encoding="utf-8")


@pytest.fixture
def german(tmp_path):
    """A repository whose file has German columns, and its params.yaml."""
    columns = {"prompt": "frage", "completion": "antwort"}
    params = tmp_path / "params.yaml"
    change(params, {"sft": {"path": "data/qa.jsonl", "columns": columns}})
    rows = [{"frage": f"Wie viel ist {i} + 1?", "antwort": f"{i + 1}", "hinweis": "rechnen"} for i in range(20)]
    (tmp_path / "data").mkdir()
    write_lines(tmp_path / "data" / "qa.jsonl", *rows, {"frage": "Wie?", "antwort": None})
    return params


@pytest.mark.parametrize(
    "words",
    [
        ["prepare", "data/qa.jsonl", "--dataset", "sft", "--out", "out.jsonl"],
        ["prepare", "./data/qa.jsonl", "--out", "out.jsonl"],
        ["compress", "data/qa.jsonl", "--out", "out.jsonl"],
        ["consistency", "data/qa.jsonl", "--out", "out.jsonl"],
        ["select", "random", "data/qa.jsonl", "--rows", "3", "--out", "out.jsonl"],
        ["compare", "data/qa.jsonl", "data/qa.jsonl", "--no-probe"],
    ],
)
def test_every_command_reads_a_dataset_by_its_columns_and_names_what_it_does_not_read(run, german, words):
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    assert "data/qa.jsonl: keys that are not read: hinweis (20 rows)" in result.stderr
    assert "20" in result.stdout
    other = run(*[word.replace("data/qa", "data/other") for word in words])
    assert other.exit_code == 2 and "no such file" in other.stderr


def test_another_file_is_not_read_by_these_columns(run, german, tmp_path):
    (tmp_path / "copy.jsonl").write_bytes((tmp_path / "data" / "qa.jsonl").read_bytes())
    result = run("compress", "copy.jsonl")
    assert result.exit_code == 2 and "columns: {prompt: frage, completion: antwort}" in result.stderr


@pytest.mark.parametrize(
    ("section", "cause"),
    [
        ("{sft: {path: data/qa.jsonl, columns: {frage: prompt}}}", "datasets.sft: columns: unknown name 'frage'"),
        ("{sft: {path: data/qa.jsonl, columns: {prompt: frag}}}", "columns: prompt: no column 'frag'; the rows have"),
        ("{sft: {path: data/qa.jsonl, colums: {}}}", "datasets.sft.colums: unknown key"),
        ("{sft: {columns: {}}}", "datasets.sft.path: missing key"),
        ("{sft: {path: data/qa.jsonl, format: chatml}}", "datasets.sft.format: expected one of auto, "),
        ("{sft: 3}", "datasets.sft: expected a section of keys"),
    ],
)
def test_a_dataset_that_is_described_wrongly_is_one_line(run, german, section, cause):
    change(german, YAML(typ="safe", pure=True).load(section))
    result = run("prepare", "data/qa.jsonl", "--dataset", "sft", "--out", "out.jsonl")
    assert result.exit_code == 2
    assert cause in result.stderr and result.stderr.count("\n") == 1


def test_the_format_of_all_datasets_counts_for_those_of_its_kind(run, german, tmp_path):
    change(german, {"sft": "data/alpaca.jsonl", "preferences": "data/pairs.jsonl"}, format="alpaca")
    both = {"instruction": "Hi", "output": "Hello", "prompt": "x", "completion": "y"}
    write_lines(tmp_path / "data" / "alpaca.jsonl", both)
    write_lines(tmp_path / "data" / "pairs.jsonl", {"prompt": "Hi", "chosen": "Hello", "rejected": "Go"})
    for name, file, format in (("sft", "alpaca", "alpaca"), ("preferences", "pairs", "preference")):
        result = run("prepare", f"data/{file}.jsonl", "--dataset", name, "--out", "out.jsonl")
        assert result.exit_code == 0 and f": {format}, 1 of 1" in result.stdout, result.stderr


def test_the_format_of_a_dataset_wins(run, german, tmp_path):
    change(german, {"sft": {"path": "data/both.jsonl", "format": "prompt_completion"}}, format="alpaca")
    both = {"instruction": "Hi", "output": "Hello", "prompt": "x", "completion": "y"}
    write_lines(tmp_path / "data" / "both.jsonl", both)
    result = run("prepare", "data/both.jsonl", "--dataset", "sft", "--out", "out.jsonl")
    assert result.exit_code == 0 and ": prompt_completion, 1 of 1" in result.stdout, result.stderr
    assert "keys that are not read: instruction (1 row), output (1 row)" in result.stderr


def test_held_out_rows_are_known_by_the_columns_of_the_conversations(run, german, tmp_path):
    rows = [{"frage": f"Wie viel ist {i} + 1?", "antwort": f"{i + 1}"} for i in range(3)]
    write_lines(tmp_path / "held.jsonl", *rows, {"frage": None, "antwort": "x"})
    result = run("prepare", "data/qa.jsonl", "--held-out", "held.jsonl", "--out", "out.jsonl")
    assert result.exit_code == 0 and "17 of 21 rows kept (left out: 1 empty answer, 3 held out)" in result.stdout


def test_what_prepare_leaves_out_is_left_out_of_a_selection(run, german, tmp_path):
    rows = [{"frage": "Wie?", "antwort": answer} for answer in ("so", "", None, "anders")] * 2
    write_lines(tmp_path / "data" / "qa.jsonl", *rows)
    columns = {"prompt": "frage", "completion": "antwort"}
    change(german, {"sft": {"path": "data/qa.jsonl", "columns": columns}}, share=1.0)
    few = ["--k1", "4", "--k2", "2", "--k3", "1", "--rows", "2"]
    for compat in ("algorithm", "reference"):
        chosen = run("select", "zip", "data/qa.jsonl", *few, "--compat", compat, "--out", "out.jsonl")
        assert chosen.exit_code == 0, chosen.stderr
        answers = [json.loads(line)["antwort"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert len(answers) == 2 and set(answers) <= {"anders", "so"}
        assert "rows left out: 4 empty answer" in chosen.stderr


def test_too_many_unusable_rows_stop_every_command(run, german, tmp_path):
    rows = [{"frage": "Wie?", "antwort": answer} for answer in ("so", None)]
    write_lines(tmp_path / "data" / "qa.jsonl", *rows)
    for words in (["prepare"], ["compress"], ["consistency"], ["select", "random", "--rows", "1"]):
        result = run(*words, "data/qa.jsonl", "--out", "out.jsonl")
        assert result.exit_code == 2
        assert "1 of 2 rows are unusable, above max_dropped_share 0.05: 1 empty answer (row 2;" in result.stderr
