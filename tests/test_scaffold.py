"""`entropylaw init`: what it adds to somebody's repository, and what it leaves alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from corpus.params import read_params
from entropylaw.cli import app
from entropylaw.init.ci_files import CI_FILES, render_ci_file
from entropylaw.init.pipeline import render_pipeline
from entropylaw.init.recipes import RECIPES
from entropylaw.repository.shipped_files import shipped_text

pytestmark = pytest.mark.slow


def conversation(i):
    return {"messages": [{"role": "user", "content": f"question {i}"}, {"role": "assistant", "content": f"answer {i}"}]}


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def dvc(folder, *words):
    # Stages call `entropylaw` by its name, as in an active environment.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "dvc", *words]
    environment = {**os.environ, "PATH": path}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, env=environment).stdout


def init(*words):
    return CliRunner().invoke(app, ["init", *map(str, words)])


@pytest.fixture(scope="module")
def new_repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new") / "team data"
    folder.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    dvc(folder, "init", "--quiet")
    write_lines(folder / "data" / "sft.jsonl", [conversation(i) for i in range(200)])
    return folder


@pytest.fixture
def repository(new_repository, tmp_path, monkeypatch):
    """A copy of the new repository: DVC takes a second to make one."""
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    folder = Path(shutil.copytree(new_repository, tmp_path / new_repository.name))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def prepared_repository(new_repository, tmp_path_factory):
    """The repository with the pipeline, without a check of pull requests."""
    folder = Path(shutil.copytree(new_repository, tmp_path_factory.mktemp("prepared") / new_repository.name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_NO_ANALYTICS", "1")
        patch.chdir(folder)
        result = init("--dataset", "sft=data/sft.jsonl", "--ci", "none")
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture
def prepared(prepared_repository, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(prepared_repository, tmp_path / prepared_repository.name))
    monkeypatch.chdir(folder)
    return folder


def snapshot(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and ".git/" not in p.as_posix()}


def test_without_preferences_no_stage_needs_them(prepared):
    stages = dvc(prepared, "stage", "list", "--name-only").split()
    assert "prepare@sft" in stages and "sft" in stages and "gate" in stages
    assert not any("preferences" in stage or stage == "kto" for stage in stages)
    assert "preferences" not in (prepared / "dvc.yaml").read_text().replace("`preferences`", "")
    assert "kto" not in YAML().load((prepared / "params.yaml").read_text())


def test_a_team_may_take_more_stages_later_and_fewer_again(prepared):
    options = ["--dataset", "sft=data/sft.jsonl", "--ci", "none"]
    before = snapshot(prepared)
    assert init(*options, "--stages", "monitor").exit_code == 0
    assert "select" not in YAML().load((prepared / "dvc.yaml").read_text())["stages"]
    assert "selection" not in read_params(prepared / "params.yaml")
    assert init(*options).exit_code == 0
    assert snapshot(prepared) == before
    command = 'python train.py "$DATA" --out models/mine'
    trainer = ["--trainer", "command", command, "--trainer-out", "models/mine"]
    assert init(*options, "--stages", "select", *trainer).exit_code == 0
    stage = YAML().load((prepared / "dvc.yaml").read_text())["stages"]["train"]
    assert stage["cmd"] == command and stage["outs"] == ["models/mine"]
    refused = init(*options, *trainer)
    assert refused.exit_code == 2 and "--stages all has trainers of its own" in refused.stderr


def test_with_both_datasets_the_pipeline_is_the_shipped_one(repository):
    pair = {"prompt": "Hi", "chosen": "Hello!", "rejected": "Go away"}
    write_lines(repository / "data" / "preferences.jsonl", [pair] * 3)
    result = init("--dataset", "sft=data/sft.jsonl", "--dataset", "preferences=data/preferences.jsonl")
    assert result.exit_code == 0, result.stderr
    for name in ("dvc.yaml", "params.yaml", "waivers.yaml"):
        assert (repository / name).read_text() == shipped_text(name)
    assert {"prepare@preferences", "kto", "probe@preferences"} <= set(
        dvc(repository, "stage", "list", "--name-only").split()
    )


def test_another_file_name_changes_only_params(repository):
    (repository / "data" / "sft.jsonl").rename(repository / "data" / "chats.jsonl")
    assert init("--dataset", "sft=data/chats.jsonl").exit_code == 0
    assert YAML().load((repository / "params.yaml").read_text())["datasets"] == {"sft": {"path": "data/chats.jsonl"}}
    assert "chats" not in (repository / "dvc.yaml").read_text()


def test_the_baseline_and_the_held_out_rows_are_the_present_version_and_share_no_row(prepared):
    rows = {
        name: {json.loads(line)["hash"] for line in (prepared / "data" / f"{name}.jsonl").read_text().splitlines()}
        for name in ("baseline", "heldout")
    }
    assert len(rows["baseline"] | rows["heldout"]) == 200 and not rows["baseline"] & rows["heldout"]
    assert 2 <= len(rows["heldout"]) <= 25
    for name in ("sft", "baseline", "heldout"):
        assert (prepared / "data" / f"{name}.jsonl.dvc").exists()


def test_a_given_held_out_file_is_used(repository):
    write_lines(repository / "held.jsonl", [conversation(i) for i in range(1000, 1007)])
    assert init("--dataset", "sft=data/sft.jsonl", "--held-out", "held.jsonl").exit_code == 0
    assert len((repository / "data" / "heldout.jsonl").read_text().splitlines()) == 7
    assert len((repository / "data" / "baseline.jsonl").read_text().splitlines()) == 200


@pytest.mark.parametrize("name", ["dvc.yaml", "params.yaml", "waivers.yaml"])
def test_a_file_that_is_not_ours_is_never_overwritten(repository, name):
    (repository / name).write_text("stages: {}\n")
    before = snapshot(repository)
    refused = init("--dataset", "sft=data/sft.jsonl", "--pipeline", ".")
    assert refused.exit_code == 2 and name in refused.stderr and refused.stderr.count("\n") == 1
    assert snapshot(repository) == before
    result = init("--dataset", "sft=data/sft.jsonl")
    assert result.exit_code == 0, result.stderr
    assert (
        f"{name} is there already and is not ours: the pipeline gets a folder of its own, data-risk/" in result.stdout
    )
    assert all(snapshot(repository)[path] == content for path, content in before.items())
    params = YAML().load((repository / "data-risk" / "params.yaml").read_text())
    assert params["datasets"] == {"sft": {"path": "../data/sft.jsonl"}}


def qa(i):
    return {"frage": f"question {i}", "antwort": f"answer {i}"}


def test_columns_are_written_into_params_and_read_by_them(repository):
    write_lines(repository / "data" / "sft.jsonl", [qa(i) for i in range(200)])
    refused = init("--dataset", "sft=data/sft.jsonl")
    assert refused.exit_code == 2 and "`columns: {prompt: frage, completion: antwort}`" in refused.stderr
    options = [
        "--dataset",
        "sft=data/sft.jsonl",
        "--columns",
        "sft.prompt=frage",
        "--columns",
        "sft.completion=antwort",
    ]
    result = init(*options)
    assert result.exit_code == 0, result.stderr
    dataset = {"path": "data/sft.jsonl", "columns": {"prompt": "frage", "completion": "antwort"}}
    assert YAML().load((repository / "params.yaml").read_text())["datasets"] == {"sft": dataset}
    row = json.loads((repository / "data" / "baseline.jsonl").read_text().splitlines()[0])
    assert row["messages"][0]["content"].startswith("question ")
    dvc(repository, "repro", "prepare@sft")
    assert json.loads((repository / "results" / "sft" / "prepare.json").read_text())["rows_read"] == 200
    before = snapshot(repository)
    assert init(*options).exit_code == 0
    assert snapshot(repository) == before


def test_columns_that_change_make_the_data_be_prepared_again(repository):
    write_lines(repository / "data" / "sft.jsonl", [{**qa(i), "andere": f"another answer {i}"} for i in range(200)])
    assert init("--dataset", "sft=data/sft.jsonl", "--columns", "sft.prompt=frage", "--columns",
                "sft.completion=antwort").exit_code == 0  # fmt: skip
    dvc(repository, "repro", "prepare@sft")
    prepared = repository / "data" / "prepared" / "sft.jsonl"
    assert "another" not in prepared.read_text()
    params = repository / "params.yaml"
    params.write_text(params.read_text().replace("completion: antwort", "completion: andere"))
    dvc(repository, "repro", "prepare@sft")
    assert "another answer" in prepared.read_text()


def test_a_pipeline_of_an_older_version_goes_on_with_paths(repository):
    """There `foreach` hands each dataset's path itself to the stage."""
    assert init("--dataset", "sft=data/sft.jsonl").exit_code == 0
    pipeline, params = repository / "dvc.yaml", repository / "params.yaml"
    pipeline.write_text(
        pipeline.read_text().replace("${item.path}", "${item}").replace("        - datasets.${key}\n", "")
    )
    text = params.read_text()
    before, _, after = text.partition("  sft: # conversations\n")
    params.write_text(f"{before}  sft: data/sft.jsonl\n" + after.partition("\n")[2])
    dvc(repository, "repro", "prepare@sft")
    assert json.loads((repository / "results" / "sft" / "prepare.json").read_text())["rows_read"] == 200


PAIR = {"prompt": "Hi", "chosen": "Hello!", "rejected": "Go away"}


@pytest.mark.parametrize(
    ("dataset", "row", "cause"),
    [
        ("sft", PAIR, "holds preferences (format preference); conversations are expected here"),
        ("sft", {"prompt": "Hi", "completion": "Hello!", "label": 1}, "holds preferences (format unpaired)"),
        ("sft", {**conversation(1), "label": "false"}, "holds preferences (format unpaired)"),
        ("preferences", conversation(1), "holds conversations (format messages); preferences are expected here"),
        ("sft", {**conversation(1), "images": ["x.png"]}, "'images' changes training"),
        ("sft", {"messages": []}, "50 of 50 rows are unusable"),
    ],
)
def test_the_wrong_kind_of_rows_is_refused_before_anything_is_written(repository, dataset, row, cause):
    write_lines(repository / "data" / "other.jsonl", [row] * 50)
    files = {"sft": "data/sft.jsonl", dataset: "data/other.jsonl"}
    before = snapshot(repository)
    result = init(*[word for name, file in files.items() for word in ("--dataset", f"{name}={file}")])
    assert result.exit_code == 2
    assert result.stderr.startswith("entropylaw: ") and result.stderr.count("\n") == 1
    assert "data/other.jsonl" in result.stderr and cause in result.stderr
    assert snapshot(repository) == before


def test_running_it_twice_changes_nothing(prepared):
    # The second run writes what the first was told not to.
    for again in (False, True):
        before = snapshot(prepared)
        assert init("--dataset", "sft=data/sft.jsonl").exit_code == 0
        assert (snapshot(prepared) == before) == again


def test_one_check_of_pull_requests_is_written_and_one_that_is_there_stays(prepared):
    options = ["--dataset", "sft=data/sft.jsonl"]
    files = {name: prepared / path for name, path in CI_FILES.items()}
    assert not any(path.exists() for path in files.values())
    assert init(*options, "--ci", "gitlab").exit_code == 0
    assert files["gitlab"].read_text() == render_ci_file("gitlab") and not files["github"].exists()
    assert init(*options).exit_code == 0
    assert files["github"].read_text() == render_ci_file("github")
    files["github"].write_text("name: ours\n")
    assert init(*options).exit_code == 0
    assert files["github"].read_text() == "name: ours\n"


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ([], "--dataset sft=PATH"),
        (["--dataset", "data/sft.jsonl"], "expected sft=PATH"),
        (["--dataset", "chat=data/sft.jsonl"], "expected sft=PATH"),
        (["--dataset", "sft=data/none.jsonl"], "no such file"),
        (["--dataset", "sft=data/sft.jsonl", "--dataset", "sft=data/sft.jsonl"], "given twice"),
        (["--dataset", "sft=data/sft.jsonl", "--held-out", "none.jsonl"], "no such file"),
        (["--dataset", "sft=data/sft.jsonl", "--recipe", "gpt-5"], "known are tiny-cpu"),
        (["--dataset", "sft=data/sft.jsonl", "--columns", "prompt=q"], "expected DATASET.OURS=THEIRS"),
        (["--dataset", "sft=data/sft.jsonl", "--columns", "sft.question=prompt"], "unknown name 'question'"),
        (["--dataset", "sft=data/sft.jsonl", "--columns", "sft.prompt=q"], "no column 'q'; the rows have messages"),
    ],
)
def test_a_wrong_option_is_one_line_and_changes_nothing(repository, options, cause):
    before = snapshot(repository)
    result = init(*options)
    assert result.exit_code == 2 and cause in result.stderr and result.stderr.count("\n") == 1
    assert snapshot(repository) == before


def test_a_dataset_outside_the_repository_is_refused(repository, tmp_path):
    outside = write_lines(tmp_path / "outside.jsonl", [conversation(1)])
    result = init("--dataset", f"sft={outside}")
    assert result.exit_code == 2 and "inside the repository" in result.stderr


def test_outside_git_or_dvc_it_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    write_lines(tmp_path / "sft.jsonl", [conversation(1)])
    result = init("--dataset", "sft=sft.jsonl")
    assert result.exit_code == 2 and "git init" in result.stderr
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    result = init("--dataset", "sft=sft.jsonl")
    assert result.exit_code == 2 and "dvc init" in result.stderr


@pytest.mark.parametrize("recipe", [None, *RECIPES])
def test_every_comment_survives_the_adaptation_but_those_of_the_section_left_out(recipe):
    both = {"sft": "data/sft.jsonl", "preferences": "data/preferences.jsonl"}
    shipped = render_pipeline(both, recipe)["params.yaml"]
    adapted = render_pipeline({"sft": "data/chats.parquet"}, recipe)["params.yaml"]
    (left_out,) = [part for part in shipped.split("\n\n") if "\nkto:" in part]
    kept, _, pairs = shipped.replace(left_out, "").partition("  preferences: # chosen")
    lines = [*kept.splitlines(), *pairs.splitlines()[2:]]
    comments = [line.partition("#")[2] for line in lines]
    assert len([comment for comment in comments if comment]) > 50
    assert [comment for comment in comments if comment not in adapted] == []
    assert "KTO on preferences" in left_out and "KTO on preferences" not in adapted
    expected = YAML(typ="safe").load(shipped)
    del expected["kto"]
    assert YAML(typ="safe").load(adapted) == {**expected, "datasets": {"sft": {"path": "data/chats.parquet"}}}


def test_a_recipe_is_the_params_of_the_new_repository(repository):
    write_lines(repository / "data" / "preferences.jsonl", [{"prompt": "Hi", "chosen": "Hello!", "rejected": "No"}] * 3)
    both = ["--dataset", "sft=data/sft.jsonl", "--dataset", "preferences=data/preferences.jsonl"]
    result = init(*both, "--recipe", "llama-3-8b")
    assert result.exit_code == 0, result.stderr
    params = read_params(repository / "params.yaml")
    assert params["base_model"]["pretrained"] == "meta-llama/Meta-Llama-3-8B"
    assert params["sft"]["batch_rows"] == 128
    assert params["rules"] == read_params(Path(__file__).parent.parent / "params.yaml")["rules"]
    before = snapshot(repository)
    result = init(*both, "--recipe", "qwen-small")
    assert result.exit_code == 2 and "params.yaml: differs from what" in result.stderr
    assert snapshot(repository) == before
