"""No stage reads a file outside of the repository unless whoever runs the machine says so."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from entropylaw.cli import app
from entropylaw.repository.data_places import CI_VARIABLE, TRUSTED_VARIABLE
from entropylaw.repository.recorded_stages import STAGE_VARIABLE

ROW = json.dumps({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "secret"}]}) + "\n"
ROWS = "".join(ROW.replace("q", f"question {i}") for i in range(20))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Git repository with its params.yaml, beside a file that is none of it."""
    folder = tmp_path / "team"
    (folder / "data").mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    (tmp_path / "private").mkdir()
    (tmp_path / "private/rows.jsonl").write_text(ROWS)
    (folder / "data/own.jsonl").write_text(ROWS)
    monkeypatch.chdir(folder)
    monkeypatch.delenv(TRUSTED_VARIABLE, raising=False)
    monkeypatch.delenv(STAGE_VARIABLE, raising=False)
    monkeypatch.delenv(CI_VARIABLE, raising=False)
    return folder


def name_in_params(path: str) -> None:
    params = (Path(__file__).parents[1] / "params.yaml").read_text()
    Path("params.yaml").write_text(params.replace("path: data/sft.jsonl", f"path: {json.dumps(path)}"))


def prepare(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["prepare", *words, "--out", "out.jsonl"])
    return done.exit_code, done.output


def link(name: str, target: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    os.symlink(target, name)


OUTSIDE = {
    "upwards": "../private/rows.jsonl",
    "upwards and back": "data/../../private/rows.jsonl",
    "absolute": "{tmp}/private/rows.jsonl",
    "a link": "data/link.jsonl",
    "a link to a link": "data/second.jsonl",
    "a folder that is a link": "data/folder/rows.jsonl",
    "a folder with a link in it": "data/several",
    "a folder with a folder that is a link": "data/deep",
    "a pattern": "data/several/*.jsonl",
    "a name like one of the cache": "../private/ab/{hex}",
}


# `make test` tries one of each kind.
SHARE = ("upwards", "a link", "a folder with a link in it")
MORE = [pytest.param(kind, marks=pytest.mark.torture) for kind in OUTSIDE if kind not in SHARE]


@pytest.mark.parametrize("kind", [*SHARE, *MORE])
def test_data_outside_of_the_repository_is_refused_in_one_line(kind: str, repository: Path) -> None:
    outside = repository.parent / "private"
    link("data/link.jsonl", "../../private/rows.jsonl")
    link("data/second.jsonl", "link.jsonl")
    link("data/folder", str(outside))
    link("data/several/b.jsonl", str(outside / "rows.jsonl"))
    link("data/deep/inner", str(outside))
    Path("data/several/a.jsonl").write_text(ROWS)
    cached = outside / "ab" / ("0" * 30)
    cached.parent.mkdir()
    cached.write_text(ROWS)
    name_in_params(OUTSIDE[kind].format(tmp=repository.parent, hex="0" * 30))
    code, said = prepare("--dataset", "sft")
    assert code == 2 and said.count("\n") == 1, said
    assert "outside of the repository" in said and TRUSTED_VARIABLE in said
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize("words", [["data/link.jsonl"], ["data/own.jsonl", "--held-out", "data/link.jsonl"]])
def test_nor_does_a_stage_read_it_by_its_command_line(
    words: list[str], repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link("data/link.jsonl", "../../private/rows.jsonl")
    name_in_params("data/own.jsonl")
    monkeypatch.setenv(STAGE_VARIABLE, "prepare@sft")
    code, said = prepare(*words)
    assert code == 2 and "outside of the repository" in said


@pytest.mark.parametrize("path", ["data/own.jsonl", "data/inner.jsonl", "data/cached.jsonl", "../team/data/own.jsonl"])
def test_data_in_the_repository_or_linked_from_the_cache_of_dvc_is_read(path: str, repository: Path) -> None:
    link("data/inner.jsonl", "own.jsonl")
    shared = repository.parent / "shared-cache/files/md5/0a"
    shared.mkdir(parents=True)
    (shared / ("b" * 30)).write_text(ROWS)
    link("data/cached.jsonl", str(shared / ("b" * 30)))
    name_in_params(path)
    code, said = prepare("--dataset", "sft")
    assert code == 0, said


@pytest.mark.parametrize("path", ["part-*.jsonl", "data/**/part-*.jsonl"])
def test_links_that_a_pattern_does_not_match_are_nothing_to_it(path: str, repository: Path) -> None:
    for name in (".venv/lib", "node_modules/rows.jsonl", "data/other.jsonl", "data/notes"):
        link(name, str(repository.parent / "private/rows.jsonl"))
    for name in ("part-1.jsonl", "data/part-1.jsonl"):
        Path(name).write_text(ROWS)
    name_in_params(path)
    code, said = prepare("--dataset", "sft")
    assert code == 0, said


@pytest.mark.parametrize("path", ["data/several", "data/several/**/*.jsonl", "data/*/inner/b.jsonl"])
def test_a_link_that_is_met_behind_another_is_found(path: str, repository: Path) -> None:
    link("other/b.jsonl", str(repository.parent / "private/rows.jsonl"))
    link("data/several/inner", "../../other")
    name_in_params(path)
    code, said = prepare("--dataset", "sft")
    assert code == 2 and "outside of the repository" in said, said


def test_links_in_a_circle_are_one_line(repository: Path) -> None:
    link("data/a.jsonl", "b.jsonl")
    link("data/b.jsonl", "a.jsonl")
    name_in_params("data/a.jsonl")
    code, said = prepare("--dataset", "sft")
    assert code == 2 and said.count("\n") == 1, said


def test_a_folder_that_whoever_runs_it_trusts_is_read(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name_in_params("../private/rows.jsonl")
    monkeypatch.setenv(TRUSTED_VARIABLE, f"/nowhere{os.pathsep}{repository.parent / 'private'}")
    code, said = prepare("--dataset", "sft")
    assert code == 0, said


@pytest.mark.parametrize("in_ci", [False, True])
def test_what_a_user_types_may_lie_anywhere(in_ci: bool, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if in_ci:
        monkeypatch.setenv(CI_VARIABLE, "true")
    name_in_params("data/own.jsonl")
    code, said = prepare("../private/rows.jsonl")
    assert code == 0, said


@pytest.mark.parametrize(
    "command",
    [
        "lint data",
        *(pytest.param(c, marks=pytest.mark.torture) for c in ("lint 'data/*.jsonl'", "compress data/link.jsonl")),
    ],
)
def test_in_ci_no_link_of_the_repository_leads_out_whatever_the_command(
    command: str, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link("data/link.jsonl", "../../private/rows.jsonl")
    name_in_params("data/own.jsonl")
    assert CliRunner().invoke(app, shlex.split(command)).exit_code == 0
    monkeypatch.setenv(CI_VARIABLE, "true")
    done = CliRunner().invoke(app, shlex.split(command))
    assert done.exit_code == 2 and "outside of the repository" in done.output


def test_a_pipeline_in_a_folder_of_its_own_reads_data_of_its_repository(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "data-risk").mkdir()
    monkeypatch.chdir(repository / "data-risk")
    name_in_params("../data/own.jsonl")
    code, said = prepare("--dataset", "sft")
    assert code == 0, said
