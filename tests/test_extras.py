"""What is installed without the extra `train`, what works then, and what the rest says."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from sample_verdicts import history, sample_verdict
from typer.testing import CliRunner

from corpus.artifacts import write_json
from corpus.files import write_rows
from entropylaw.cli import app
from entropylaw.extras import TRAIN
from monitor.history import write_entry

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OURS = {"corpus", "selection", "training", "monitor", "reports", "entropylaw"}
# Distributions whose module has another name.
MODULES = {"detect-secrets": "detect_secrets", "ruamel.yaml": "ruamel", "scikit-learn": "sklearn"}
# Brought by typer, dvc, datasets and jinja2.
BROUGHT = {"click", "dvc_data", "huggingface_hub", "markupsafe"}


def modules(requirements: list[str]) -> set[str]:
    names = [re.match(r"[\w.-]+", requirement)[0] for requirement in requirements]
    return {MODULES.get(name, name.replace("-", "_")) for name in names}


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch, in_tmp_path: Path) -> Path:
    """As in an environment without the extra: none of its libraries can be imported."""
    for name in [name for name in sys.modules if name.partition(".")[0] in TRAIN]:
        monkeypatch.delitem(sys.modules, name)
    for name in TRAIN:
        monkeypatch.setitem(sys.modules, name, None)
    return in_tmp_path


def question_rows(count: int) -> list[dict[str, str]]:
    return [{"prompt": f"question {i}", "completion": f"answer {i} to what was asked"} for i in range(count)]


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == code, (words, done.output, done.exception)
    return done.output


def test_the_message_knows_every_library_of_the_extra() -> None:
    assert modules(PROJECT["optional-dependencies"]["train"]) == {*TRAIN, "numba"}
    for extra in ("demo", "deita", "deepspeed", "qlora", "eval"):
        assert "entropylaw[train]" in PROJECT["optional-dependencies"][extra]


def test_outside_training_only_libraries_of_the_core_are_imported() -> None:
    known = modules(PROJECT["dependencies"]) | BROUGHT | OURS | set(sys.stdlib_module_names)
    # Each of these is asked for where it may be missing.
    optional = {"numba", "ray", "chitchat_dataset"}
    found = set()
    for package in OURS - {"training"}:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                found |= {name.partition(".")[0] for name in names}
    assert found - known == optional


def test_a_pull_request_can_be_checked_without_the_extra(core: Path) -> None:
    for entry in history():
        write_entry("history", entry)
    write_json("results/verdict.json", sample_verdict("risky"))
    assert "Do not train" in run("check", code=1)
    assert "x4" in run("history")
    run("waive", "all", "--reason", "meant", "--owner", "ana", "--expires", "2999-12-31")
    run("check")
    write_rows("chats.jsonl", question_rows(20))
    assert "20 rows" in run("lint", "chats.jsonl")
    # There is no release here: that is what it says.
    assert "results/release.json: no such file" in run("release", "check", code=3)


def test_a_command_that_needs_the_extra_says_what_to_install(core: Path) -> None:
    write_rows("rows.jsonl", question_rows(60))
    write_rows("heldout.jsonl", [{"prompt": "another question", "completion": "and its answer"}])
    run("prepare", "rows.jsonl", "--dataset", "sft", "--out", "prepared.jsonl")
    for words in (
        ("base-model", "rows.jsonl", "--held-out", "heldout.jsonl", "--out", "base"),
        ("probe", "prepared.jsonl", "--base", "base", "--out", "probe.json"),
        ("train", "sft", "prepared.jsonl", "--from", "base", "--out", "model"),
    ):
        said = run(*words, code=2)
        cause, _, advice = said.partition(", which is not installed; ")
        assert re.fullmatch(r"entropylaw: this needs \w+", cause), said
        assert advice == 'run `pip install "entropylaw[train]"`\n'


def test_what_is_missing_for_another_reason_is_a_defect_and_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "monitor.gate", None)
    done = CliRunner().invoke(app, ["check"])
    assert isinstance(done.exception, ModuleNotFoundError)
