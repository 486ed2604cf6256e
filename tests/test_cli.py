"""The command line from the outside: exit codes, one-line errors, nothing half written."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from entropylaw import cli, train_on_devices
from entropylaw.cli import DAILY, RELEASE, STAGES, START, app

GOOD = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return call


def write_lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def lone_surrogate():
    return b'{"messages": [{"role": "user", "content": "\\ud800"}, {"role": "assistant", "content": "x"}]}\n'


def good_line():
    return (json.dumps(GOOD) + "\n").encode()


BAD_FILES = {
    "missing.jsonl": (None, "no such file"),
    "empty.jsonl": (b"", "empty"),
    "not-json.jsonl": (good_line() + b"hello\n", "line 2"),
    "truncated.jsonl": (good_line() + b'{"messages": [{"role": "us', "line 2"),
    "list-row.jsonl": (b"[1, 2]\n", "row 1; expected a JSON object, found a list"),
    "role.jsonl": (b'{"messages": [{"role": "wizard", "content": "x"}]}\n', "role"),
    "no-answer.jsonl": (b'{"messages": [{"role": "user", "content": "x"}]}\n', "assistant"),
    "all-empty.jsonl": (
        b'{"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}]}\n', "empty"
    ),
    "mixed.jsonl": (good_line() + b'{"instruction": "a", "input": "", "output": "b"}\n', "line 2"),
    "utf8.jsonl": (good_line() + b'{"messages": "\xff"}\n', "line 2"),
    "surrogate.jsonl": (lone_surrogate(), "surrogate"),
    "cut.jsonl.gz": (gzip.compress(good_line() * 2000)[:-40], "gzip"),
    "columns.json": (b'[{"a": 1}]', "row 1"),
    "wrong.parquet": (b"PAR1 nothing", "parquet"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("command", ["prepare", "compress", "select"])
def test_a_bad_file_is_one_line_and_exit_2_and_leaves_nothing(run, tmp_path, name, command):
    content, cause = BAD_FILES[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    words = {"prepare": ["prepare"], "compress": ["compress"], "select": ["select", "zip", "--rows", "1"]}[command]
    result = run(*words, name, "--out", "out.jsonl")
    assert result.exit_code == 2
    assert result.stderr.startswith("entropylaw: ") and result.stderr.count("\n") == 1
    assert name in result.stderr and cause in result.stderr
    assert not list(tmp_path.glob("*out.jsonl*"))


def test_a_line_of_100_megabytes_is_refused_by_its_number(run, tmp_path):
    with (tmp_path / "long.jsonl").open("wb") as handle:
        handle.write(good_line())
        handle.write(b'{"messages": "' + b"x" * 100_000_000 + b'"}\n')
    result = run("prepare", "long.jsonl", "--out", "out.jsonl")
    assert result.exit_code == 2 and "1 too long (row 2;" in result.stderr


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("compression: {level: 9, long_level: 9}\n", "compression.long_window_log: missing key"),
        ("compression: {level: 9, long_level: 9, long_window_log: 27, colour: 1}\n", "compression.colour: unknown key"),
        ("compression: {level: high, long_level: 9, long_window_log: 27}\n", "compression.level: expected int"),
        ("compression: {level: 40, long_level: 9, long_window_log: 27}\n", "level must be 1-9"),
        ("prepare: [\n", "params.yaml, line"),
        ("sft: {}\n", "missing section"),
    ],
)
def test_a_wrong_params_file_names_the_key(run, tmp_path, text, cause):
    write_lines(tmp_path / "data.jsonl", GOOD)
    prepare = (
        ""
        if text.startswith(("prepare", "sft"))
        else "prepare: {format: auto, max_characters: 10, max_dropped_share: 0.1, max_row_bytes: 1000}\n"
    )
    (tmp_path / "params.yaml").write_text(prepare + text, encoding="utf-8")
    result = run("compress", "data.jsonl")
    assert result.exit_code == 2
    assert cause in result.stderr and "params.yaml" in result.stderr and result.stderr.count("\n") == 1


def test_compress_prints_the_same_json_that_it_writes(run, tmp_path):
    write_lines(tmp_path / "data.jsonl", *[GOOD] * 50)
    result = run("compress", "data.jsonl", "--out", "r.json", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads((tmp_path / "r.json").read_text())
    assert json.loads(result.stdout)["r"] > 10


def test_prepare_reports_what_it_dropped(run, tmp_path):
    empty = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": " "}]}
    write_lines(tmp_path / "data.jsonl", *[GOOD] * 30, empty)
    result = run("prepare", "data.jsonl", "--out", "p.jsonl", "--report", "report.json")
    assert result.exit_code == 0 and "1 empty answer" in result.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["rows_kept"] == 30 and report["dropped"] == [{"row": 31, "reason": "empty answer", "detail": ""}]


def test_select_keeps_the_pools_own_fields_and_format(run, tmp_path):
    rows = [{"id": i, "instruction": f"question {i * 7919}", "input": "", "output": "yes " * i} for i in range(1, 20)]
    write_lines(tmp_path / "pool.jsonl", *rows)
    result = run("select", "zip", "pool.jsonl", "--out", "chosen.jsonl", "--rows", "5", "--report", "s.json")
    assert result.exit_code == 0, result.stderr
    chosen = [json.loads(line) for line in (tmp_path / "chosen.jsonl").read_text().splitlines()]
    assert len(chosen) == 5 and all(row in rows for row in chosen)
    assert json.loads((tmp_path / "s.json").read_text())["selected_rows"] == 5


def test_select_refuses_two_budgets(run, tmp_path):
    write_lines(tmp_path / "pool.jsonl", GOOD)
    result = run("select", "zip", "pool.jsonl", "--out", "o.jsonl", "--rows", "1", "--tokens", "5")
    assert result.exit_code == 2 and "not both" in result.stderr


@pytest.mark.parametrize("command", ["check", "gate", "assess", "accept"])
def test_without_measurements_nothing_passes(run, command):
    result = run(command)
    assert result.exit_code in (2, 3) and result.stderr.count("\n") == 1


@pytest.mark.parametrize("verdict", ["", "{}", '{"status": "pass"}', "[]", '{"status": "excellent", "rules": []}'])
def test_a_damaged_verdict_is_not_assessed(run, tmp_path, verdict):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "verdict.json").write_text(verdict)
    for command in ("check", "gate"):
        result = run(command)
        assert result.exit_code == 3 and "dvc repro" in result.stderr


def test_an_unknown_command_or_option_exits_2(run):
    assert run("conquer").exit_code == 2
    assert run("compress", "--colour").exit_code == 2


def test_every_command_has_an_example_in_its_help(run):
    for words in (["demo"], ["init"], ["check"], ["accept"], ["history"], ["score"], ["waive"], ["prepare"],
                  ["compress"], ["consistency"], ["base-model"], ["probe"], ["calibrate"], ["assess"], ["report"],
                  ["gate"], ["select", "zip"], ["select", "random"], ["train", "sft"], ["train", "kto"],
                  ["evaluate"], ["rate"], ["release"], ["lint"], ["compare"], ["backfill"], ["study"]):  # fmt: skip
        result = run(*words, "--help")
        example = result.stdout.partition("Example: ")[2]
        assert result.exit_code == 0 and f"entropylaw {words[0]}" in example, words


def test_the_help_lists_every_command_in_a_panel_with_a_whole_line(run):
    result = run("--help")
    panels = dict(part.split(":\n", 1) for part in result.stdout.split("\n\n")[3:])
    assert list(panels) == [START, DAILY, STAGES, RELEASE]
    lines = [line for panel in panels.values() for line in panel.rstrip().splitlines()]
    assert len(lines) == len(get_command(app).commands)
    assert all(line.startswith("  ") and line.endswith(".") and not line.endswith("..") for line in lines)
    assert "  check " in panels[DAILY] and "  train " in panels[STAGES]


def test_options_go_on_working_under_the_names_that_they_had(run, tmp_path):
    write_lines(tmp_path / "data.jsonl", GOOD)
    for option in ("--held-out", "--heldout"):
        result = run("compress", "data.jsonl", option, "none.jsonl")
        assert result.exit_code == 2 and "No such option" in result.stderr  # it has no such option under any name
        result = run("prepare", "data.jsonl", "--out", "p.jsonl", option, "none.jsonl")
        assert result.exit_code == 2 and "none.jsonl: no such file" in result.stderr
    assert "--heldout" not in run("init", "--help").stdout and "--held-out" in run("init", "--help").stdout


def test_the_module_and_its_version_start_in_a_fresh_process(tmp_path):
    done = subprocess.run(
        [str(Path(sys.executable).parent / "entropylaw"), "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("entropylaw ")


@pytest.mark.parametrize(("missing", "changes"), [("entropylaw.cli", {}), ("psutil", {"DVC_STAGE": "gate"})])
def test_a_mistake_anywhere_in_the_program_never_says_that_the_data_is_risky(tmp_path, missing, changes):
    """Also while it is imported, and before the command begins."""
    program = f"import sys; sys.modules[{missing!r}] = None; from entropylaw.__main__ import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), **changes}
    done = subprocess.run(
        [sys.executable, "-c", program, "--version"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.endswith("entropylaw: stopped by a mistake in this program; please report the lines above\n")


@pytest.mark.parametrize("by_dvc", [False, True])
def test_a_worker_watches_the_process_that_started_it_once(monkeypatch, by_dvc):
    watched = []
    monkeypatch.setenv("LOCAL_RANK", "0")
    if by_dvc:
        monkeypatch.setenv("DVC_STAGE", "train")
    for module in (cli, train_on_devices):
        monkeypatch.setattr(module, "end_with_starter", lambda: watched.append(True), raising=False)
    monkeypatch.setattr(cli, "stop_interrupting", lambda: None)
    monkeypatch.setattr(cli, "app", train_on_devices.across_devices(sys.exit))
    streams = sys.stdout, sys.stderr
    with pytest.raises(SystemExit):
        cli.main()
    sys.stdout, sys.stderr = streams
    assert watched == [True]
