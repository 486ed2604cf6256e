"""`init --stages` and `init --trainer`: a team gets the stages, sections and plots that it needs, and no more."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from click.testing import Result
from ruamel.yaml import YAML
from typer.testing import CliRunner

from corpus.errors import EntropylawError
from corpus.params import STAGES_THAT_READ, parse_section
from entropylaw.cli import app
from entropylaw.init.pipeline import is_as_written, render_pipeline
from entropylaw.init.stages import Stages, choose_stages, list_made, list_sections
from entropylaw.init.trainer import Trainer, parse_trainer
from entropylaw.params_sections import SECTIONS
from entropylaw.repository.shipped_files import shipped_text

SFT, PREFERENCES = {"sft": "data/chats.jsonl"}, {"preferences": "data/pairs.jsonl"}
TEAMS = [(stages, datasets) for stages in Stages for datasets in (SFT, PREFERENCES, {**SFT, **PREFERENCES})]
# What no stage makes: data, and what a person writes.
SOURCES = {"data/baseline.jsonl", "data/heldout.jsonl", "history", "waivers.yaml"}
COMMAND = "cd ${HOME:-/root} && train.py --epochs 3 # \"ours\": 50%\nif [ -n '$X' ]; then echo {}; fi"


@functools.cache
def load(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text) or {}


@functools.cache
def _render(datasets: tuple[tuple[str, str], ...], stages: Stages, trainer: Trainer | None) -> dict[str, str]:
    return render_pipeline(dict(datasets), stages=stages, trainer=trainer)


def render(datasets: dict[str, str], stages: Stages, trainer: Trainer | None = None) -> dict[str, str]:
    """The pipeline's files. To write them takes a quarter of a second, so each is written once."""
    return _render(tuple(datasets.items()), stages, trainer)


def write(folder: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("stages", "datasets"), TEAMS)
def test_what_a_stage_reads_is_written_by_another_or_by_a_person(stages: Stages, datasets: dict[str, str]) -> None:
    pipeline = load(render(datasets, stages)["dvc.yaml"])
    made = list_made(pipeline, pipeline["stages"], datasets)
    for stage in pipeline["stages"].values():
        for path in stage.get("do", stage).get("deps", []):
            expected = {path.replace("${key}", name) for name in datasets}
            assert path in SOURCES or path == "${item.path}" or expected <= made, path
    plotted = [path for plot in pipeline["plots"] for settings in plot.values() for path in settings["y"]]
    assert plotted
    assert all(any(PurePosixPath(path).is_relative_to(out) for out in made) for path in plotted)
    assert all(artifact["path"] in made for artifact in pipeline.get("artifacts", {}).values())


@pytest.mark.parametrize(("stages", "datasets"), TEAMS)
def test_params_has_the_sections_that_a_stage_reads_and_no_other(stages: Stages, datasets: dict[str, str]) -> None:
    texts = render(datasets, stages)
    pipeline, params = load(texts["dvc.yaml"]), load(texts["params.yaml"])
    assert params["datasets"] == {name: {"path": path} for name, path in datasets.items()}
    bodies = [stage.get("do", stage) for stage in pipeline["stages"].values()]
    named = {key.partition(".")[0] for body in bodies for key in body.get("params", [])}
    trains = {"sft", "kto"} & set(pipeline["stages"])
    # `launch` is about how stages run, and `history` about whom `check` and `gate` believe.
    assert set(params) == named | {"history"} | ({"launch"} if trains else set())
    for name in set(params) - {"datasets"}:
        parse_section(SECTIONS[name], params[name], name)


def test_each_choice_ends_where_it_says() -> None:
    last = {stages: list(load(render(SFT, stages)["dvc.yaml"])["stages"])[-1] for stages in Stages}
    assert last == {Stages.monitor: "gate", Stages.select: "select", Stages.all: "release"}


@pytest.mark.parametrize("stages", [Stages.monitor, Stages.select])
def test_what_is_left_is_word_for_word_the_shipped_file(stages: Stages) -> None:
    texts = render_pipeline({"sft": "data/sft.jsonl", "preferences": "data/preferences.jsonl"}, stages=stages)
    for name in ("dvc.yaml", "params.yaml"):
        parts, shipped = texts[name].strip().split("\n\n"), shipped_text(name).strip().split("\n\n")
        kept = [part for part in parts if part in shipped]
        # The plots alone are changed: what training draws is gone.
        assert [part.split(":")[0] for part in parts if part not in kept] == (["plots"] if name == "dvc.yaml" else [])
        assert [part for part in shipped if part in kept] == kept


def test_a_message_about_a_missing_section_knows_which_stages_it_comes_with() -> None:
    pipeline = load(shipped_text("dvc.yaml"))
    sections = {
        stages: list_sections(pipeline, choose_stages(pipeline, stages, ("sft", "preferences"))) for stages in Stages
    }
    assert {name for name, stages in STAGES_THAT_READ.items() if stages == "select"} == (
        sections[Stages.select] - sections[Stages.monitor]
    )
    assert {name for name, stages in STAGES_THAT_READ.items() if stages == "all"} == (
        sections[Stages.all] - sections[Stages.select]
    )


def test_preferences_alone_are_aligned_from_the_base_model() -> None:
    texts = render(PREFERENCES, Stages.all)
    pipeline = load(texts["dvc.yaml"])
    kto = pipeline["stages"]["kto"]
    assert "--from models/base " in kto["cmd"] and "models/base" in kto["deps"]
    assert "models/sft" not in texts["dvc.yaml"] and "sft" not in pipeline["artifacts"]
    # The law is of models trained on conversations: its fourteen runs would be for nothing.
    assert load(texts["params.yaml"])["calibration"]["law_runs"] is False
    assert load(render(SFT, Stages.monitor)["params.yaml"])["calibration"]["law_runs"] is True


def test_a_trainer_runs_behind_the_gate_on_the_rows_it_is_for() -> None:
    trainer = Trainer("train.sh", ("models/mine",), ("train.sh",))
    for stages, rows in ((Stages.monitor, "prepared"), (Stages.select, "selected")):
        pipeline = load(render({**SFT, **PREFERENCES}, stages, trainer)["dvc.yaml"])
        name, stage = list(pipeline["stages"].items())[-1]
        assert (name, stage["cmd"], stage["outs"]) == ("train", "train.sh", ["models/mine"])
        data = [f"data/{rows}/{dataset}.jsonl" for dataset in ("sft", "preferences")]
        assert stage["deps"] == ["results/approval.json", *data, "train.sh"]


def test_the_files_that_a_command_names_make_it_run_again(tmp_path: Path) -> None:
    for name in ("train.py", "axolotl.yaml", "model.bin"):
        (tmp_path / name).touch()
    command = "python ./train.py --config=axolotl.yaml --out model.bin missing.txt /etc/passwd"
    trainer = parse_trainer(("command", command), ["model.bin"], Stages.monitor, tmp_path)
    assert trainer == Trainer(command, ("model.bin",), ("train.py", "axolotl.yaml"))
    unfinished = parse_trainer(("command", "echo 'open"), [], Stages.monitor, tmp_path)
    assert unfinished == Trainer("echo 'open")
    assert parse_trainer(None, [], Stages.all, tmp_path) is None


@pytest.mark.parametrize(
    ("option", "outs", "stages", "cause"),
    [
        (("command", "train"), [], Stages.all, "--stages all has trainers of its own"),
        (("axolotl", "train"), [], Stages.monitor, '--trainer axolotl: expected --trainer command "…"'),
        (("command", "  "), [], Stages.monitor, "--trainer command: expected"),
        (None, ["models/mine"], Stages.monitor, "--trainer-out: say what writes it"),
        (("command", "train"), ["/models"], Stages.monitor, "expected a file or folder of the repository"),
        (("command", "train"), ["a\nb"], Stages.monitor, "expected a file or folder of the repository"),
        (("command", "train"), ["models/${x}"], Stages.monitor, "expected a file or folder of the repository"),
        (("command", "train"), ["results/mine"], Stages.monitor, "the pipeline keeps files of its own in results"),
        (("command", "train"), ["models"], Stages.monitor, "the pipeline keeps files of its own in models/base"),
        (("command", "train"), ["data/x/../prepared"], Stages.monitor, "in data/prepared"),
    ],
)
def test_a_trainer_that_cannot_be_a_stage_is_refused(
    tmp_path: Path, option: tuple[str, str] | None, outs: list[str], stages: Stages, cause: str
) -> None:
    with pytest.raises(EntropylawError) as refused:
        parse_trainer(option, outs, stages, tmp_path)
    assert cause in str(refused.value) and "\n" not in str(refused.value)


def test_files_written_for_fewer_stages_may_be_replaced_by_those_for_more() -> None:
    texts = render(SFT, Stages.monitor)
    for name, text in texts.items():
        assert is_as_written(name, text, SFT, None, {})
    assert not is_as_written("params.yaml", texts["params.yaml"].replace("steps: 48", "steps: 49"), SFT, None, {})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # DVC's own libraries
def test_dvc_reads_every_form_and_hands_the_shell_the_command_as_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet_dvc: None
) -> None:
    from dvc.repo import Repo
    from networkx import descendants

    forms = ((Stages.monitor, SFT), (Stages.select, {**SFT, **PREFERENCES}), (Stages.all, PREFERENCES))
    for stages, datasets in forms:
        folder = tmp_path / stages
        for path in (*datasets.values(), *SOURCES):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            _ = target.mkdir() if path == "history" else target.write_text("{}\n")
        trainer = None if stages is Stages.all else Trainer(COMMAND, ("models/mine",))
        write(folder, render(datasets, stages, trainer))
        monkeypatch.chdir(folder)
        with Repo.init(no_scm=True) as repo:
            found = {stage.name: stage for stage in repo.index.stages}
            assert {f"prepare@{name}" for name in datasets} <= set(found) and "gate" in found
            assert ("release" in found) == (stages is Stages.all)
            if trainer:
                assert found["train"].cmd == COMMAND
            # Raises where two stages write one file, or wait for each other.
            repo.index.check_graph()
            before = {stage.name for stage in descendants(repo.index.graph, list(found.values())[-1])}
            assert "gate" in before and {f"prepare@{name}" for name in datasets} <= before


@pytest.fixture
def monitored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Commands run in the folder of a team that takes the stages up to the gate."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, render(SFT, Stages.monitor))
    (tmp_path / "data").mkdir()
    row = {"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "It is 4."}]}
    (tmp_path / "data" / "chats.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".dvc").mkdir()
    return lambda *words: CliRunner().invoke(app, list(words))


@pytest.mark.parametrize(
    ("words", "section", "stages"),
    [
        (["release"], "release", "all"),
        (["release", "check"], "release", "all"),
        (["select", "random", "data/chats.jsonl", "--rows", "1", "--out", "x.jsonl"], "selection", "select"),
        (["train", "sft", "data/chats.jsonl", "--out", "models/x"], "launch", "all"),
        (["evaluate", "data/chats.jsonl", "--model", "data"], "evaluation", "all"),
        (["rate", "data/chats.jsonl"], "judge", "all"),
    ],
)
def test_a_command_of_a_later_stage_names_the_section_that_it_lacks(
    monitored: Callable[..., Result], words: list[str], section: str, stages: str
) -> None:
    result = monitored(*words)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert f"params.yaml: missing section '{section}'; `entropylaw init --stages {stages}` writes it" in result.stderr


@pytest.mark.parametrize("words", [["compress"], ["consistency"], ["lint"]])
def test_a_command_that_needs_no_such_section_runs_without(monitored: Callable[..., Result], words: list[str]) -> None:
    result = monitored(*words, "data/chats.jsonl")
    assert result.exit_code == 0, result.stderr
