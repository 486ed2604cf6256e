"""What a branch changes beside its data, in a repository of three small files."""

from pathlib import Path

import pytest
from test_history_guard import commit, git

from corpus.errors import NotAssessedError, ParamsError
from entropylaw.repository.changed_rules import list_changed_rules
from entropylaw.repository.history_guard import Base

STAGES = "stages:\n  assess: {cmd: entropylaw assess}\n  gate: {cmd: 'uv run entropylaw gate'}\n"


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Base:
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")
    Path("dvc.yaml").write_text(STAGES)
    Path("params.yaml").write_text("rules: {false_alarm_rate: 0.05}\n")
    Path("results").mkdir()
    Path("results/calibration.json").write_text("{}\n")
    first = commit("x1")
    return Base(first, first, "main")


def list_changes(base: Base) -> str:
    return "\n".join(list_changed_rules(base, "0" * 32))


def test_a_file_that_is_new_or_gone_is_named(base: Base) -> None:
    assert list_changes(base) == ""
    Path("waivers.yaml").write_text("waivers: []\n")
    Path("results/calibration.json").unlink()
    said = list_changes(base)
    assert "waivers.yaml: new in this branch; main" in said
    assert "results/calibration.json: is gone, and main" in said


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("entropylaw assess", "'true # entropylaw assess'"),
        ("entropylaw assess", "entropylaw --version; entropylaw assess"),
        ("entropylaw assess", "entropylaw report"),
        ("entropylaw assess", "entropylaw assess-not"),
        ("entropylaw assess", "['true', entropylaw assess]"),
        ("uv run entropylaw gate", "echo entropylaw gate"),
    ],
)
def test_a_stage_that_only_names_its_command_does_not_run_it(base: Base, old: str, new: str) -> None:
    Path("dvc.yaml").write_text(STAGES.replace(old, new))
    with pytest.raises(NotAssessedError, match=f"does not run `{old}`"):
        list_changes(base)


@pytest.mark.parametrize("new", ["entropylaw gate --strict", "uv  run entropylaw gate --strict", "entropylaw gate"])
def test_a_stage_that_runs_its_command_in_another_way_is_named(base: Base, new: str) -> None:
    Path("dvc.yaml").write_text(STAGES.replace("uv run entropylaw gate", new))
    assert "dvc.yaml: stages gate are not those of main" in list_changes(base)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("params.yaml", b"rules: \xff\n"),
        ("dvc.yaml", b"stages: \xff\n"),
        ("dvc.yaml", b"stages: hello\n"),
        ("dvc.yaml", b"stages: [1, 2]\n"),
    ],
)
def test_a_file_broken_by_hand_is_one_line_with_its_name(base: Base, path: str, content: bytes) -> None:
    Path(path).write_bytes(content)
    with pytest.raises(ParamsError, match=f"^{path}: "):
        list_changes(base)
