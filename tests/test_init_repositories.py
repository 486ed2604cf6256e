"""`entropylaw init` in repositories as they are: what is there already, who owns it, and what an error leaves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from entropylaw.cli import app
from entropylaw.init.dataset_paths import list_untracked, require_plain_name
from entropylaw.init.dvc_outputs import DvcRepository, read_dvc
from entropylaw.init.home import NewPipeline, find_obstacle
from entropylaw.init.ignore_lines import add_lines

pytestmark = pytest.mark.slow

DATASET = ("--dataset", "sft=data/chats.jsonl", "--ci", "none")


def make_rows(start: int, count: int = 120) -> list[dict[str, str]]:
    return [{"prompt": f"question {i}", "completion": f"answer {i}"} for i in range(start, start + count)]


def write_rows(path: str | Path, rows: Iterable[dict[str, str]]) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout


def dvc(*words: str, code: int = 0, first_on_path: Path | None = None) -> str:
    scripts = [str(first_on_path)] if first_on_path else []
    path = os.pathsep.join([*scripts, str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-m", "dvc", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path})
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def init(*words: str) -> Result:
    return CliRunner().invoke(app, ["init", *words])


def require_done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def require_refused(result: Result, *parts: str) -> None:
    assert result.exit_code == 2 and result.stderr.count("\n") == 1, result.output
    assert all(part in result.stderr for part in parts), result.stderr


def snapshot() -> dict[str, bytes | str]:
    """Every file here with its content, and where a link leads; not what DVC and Git keep for themselves."""
    kept = [path for path in Path().rglob("*") if path.parts[0] not in (".git", ".dvc") and not path.is_dir()]
    return {str(path): os.readlink(path) if path.is_symlink() else path.read_bytes() for path in kept}


@pytest.fixture(scope="module")
def new_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new")
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    Repo.init(str(folder)).close()
    write_rows(folder / "data/chats.jsonl", make_rows(0))
    return folder


@pytest.fixture
def repository(new_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "a")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@example.org")
    folder = Path(shutil.copytree(new_repository, tmp_path / "repository"))
    monkeypatch.chdir(folder)
    return folder


OWN_PIPELINE = """\
# How we train.
stages:
  clean:
    cmd: cp data/chats.jsonl clean.jsonl
    deps:
      - data/chats.jsonl
    outs: [clean.jsonl]

  train:  # on one GPU
    cmd: cp clean.jsonl model.bin
    deps:
      # what it learns from
      - clean.jsonl
    outs:
      - model.bin
"""
# Stands for our command: writes what each option names, and what the stages without options write.
FAKE_COMMAND = """\
#!/bin/sh
command=$1; shift
while [ $# -gt 0 ]; do
  case $1 in --out|--report|--curve|--rows|--live) mkdir -p "$(dirname "$2")"; echo x > "$2"; shift;; esac; shift
done
case $command in
  assess) echo x > results/verdict.json; echo x > results/metrics.json;;
  report) mkdir results/plots; echo x | tee results/report.html > results/report.md;;
  gate) [ -e ../risky ] && exit 1; echo x > results/approval.json;;
esac
"""


def test_beside_a_pipeline_of_the_teams_the_gate_comes_before_their_training(repository: Path, tmp_path: Path) -> None:
    Path("dvc.yaml").write_text(OWN_PIPELINE)
    dvc("add", "--quiet", "data/chats.jsonl")
    advice = require_done(init(*DATASET))
    assert "  dvc.yaml: data-risk/results/approval.json" in advice and "init --gate STAGE" in advice
    assert "Next: dvc repro data-risk/dvc.yaml" in advice
    assert Path("dvc.yaml").read_text() == OWN_PIPELINE
    require_refused(init("--gate", "evaluate", "--ci", "none"), "no such stage; there are dvc.yaml: clean, train")
    Path("dvc.yaml").chmod(0o640)
    require_done(init("--gate", "train", "--ci", "none"))
    assert Path("dvc.yaml").stat().st_mode & 0o777 == 0o640
    assert "waits for the gate" not in require_done(init("--ci", "none"))
    line = "      - data-risk/results/approval.json\n"
    assert Path("dvc.yaml").read_text() == OWN_PIPELINE.replace("      # what", f"{line}      # what")
    before = snapshot()
    require_done(init(*DATASET, "--gate", "dvc.yaml:train"))
    assert snapshot() == before

    fake = tmp_path / "bin" / "entropylaw"
    fake.parent.mkdir()
    fake.write_text(FAKE_COMMAND)
    fake.chmod(0o755)
    Path("risky").touch()
    assert "gate" in dvc("repro", "train", code=255, first_on_path=fake.parent)
    assert not Path("model.bin").exists()
    Path("risky").unlink()
    dvc("repro", "train", first_on_path=fake.parent)
    assert Path("model.bin").exists()


ODD_NAME = 'data/it\'s a "raw" $(touch pwned) & ${item} #1; chats.jsonl'


def test_no_name_is_ever_read_by_a_shell(repository: Path) -> None:
    Path("data/chats.jsonl").rename(ODD_NAME)
    require_done(init("--dataset", f"sft={ODD_NAME}", "--ci", "none"))
    text = Path("params.yaml").read_text()
    params = YAML(typ="safe").load(text)
    assert params["datasets"] == {"sft": {"path": ODD_NAME}}
    assert params["base_model"]["pretrained"] is None and "pretrained: null" in text
    dvc("repro", "--quiet", "prepare")
    assert json.loads(Path("results/sft/prepare.json").read_text())["rows_read"] == 120
    assert not list(Path().rglob("pwned"))
    git("add", "--all")
    assert not [name for name in git("ls-files", "-z").split("\0") if name.endswith(".jsonl")]


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("chats[1].jsonl", "would be read as a pattern"),
        ("what?.jsonl", "would be read as a pattern"),
        ("a\nb.jsonl", "a control character"),
        (os.fsdecode(b"caf\xe9.jsonl"), "no UTF-8"),
        ("tail /chats.jsonl", "ends in a blank"),
    ],
)
def test_a_name_that_git_or_dvc_would_misread_is_refused(repository: Path, name: str, cause: str) -> None:
    write_rows(f"data/{name}", make_rows(0))
    before = snapshot()
    require_refused(init("--dataset", f"sft=data/{name}"), cause, "rename it")
    assert snapshot() == before


def test_an_ordinary_name_is_none_of_these() -> None:
    require_plain_name("sft=x", Path("données/聊天 (2).jsonl"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of DVC's own
def test_dvc_says_who_owns_a_file(repository: Path, tmp_path: Path) -> None:
    """A file, a folder, a stage's output, an import, and a .dvc file that lies elsewhere and has another name."""
    write_rows("folder/deep/a.jsonl", make_rows(0))
    write_rows("elsewhere/b.jsonl", make_rows(0))
    write_rows(tmp_path / "source.jsonl", make_rows(0))
    write_rows("free/c.jsonl", make_rows(0))
    write_rows("mixed/kept.jsonl", make_rows(0))
    write_rows("mixed/new.jsonl", make_rows(0))
    write_rows("in-git/d.jsonl", make_rows(0))
    git("add", "in-git")
    Path("dvc.yaml").write_text("stages: {clean: {cmd: x, deps: [data/chats.jsonl], outs: [made/e.jsonl]}}\n")
    write_rows("made/e.jsonl", make_rows(0))
    with Repo() as repo:
        repo.add([str(Path(name).resolve()) for name in ("data/chats.jsonl", "folder", "elsewhere/b.jsonl")])
        repo.add([str(Path("mixed/kept.jsonl").resolve())])
        repo.imp_url(str(tmp_path / "source.jsonl"), "imported.jsonl")
    note = Path("elsewhere/b.jsonl.dvc").read_text()
    Path("elsewhere/b.jsonl.dvc").unlink()
    Path("notes").mkdir()
    Path("notes/other.dvc").write_text(f"wdir: ../elsewhere\n{note}")

    found = read_dvc(Path("data"))
    owned = ["data/chats.jsonl", "folder/deep/a.jsonl", "folder", "elsewhere/b.jsonl", "imported.jsonl", "made/e.jsonl"]
    places = {name: repository / name for name in [*owned, "in-git/d.jsonl", "free", "mixed", "free/c.jsonl"]}
    assert list_untracked({name: places[name] for name in [*owned, "in-git/d.jsonl"]}, found) == []
    assert list_untracked({"sft": places["free"]}, found) == [repository / "free"]
    assert list_untracked({"sft": places["free/c.jsonl"]}, found) == [repository / "free/c.jsonl"]
    assert list_untracked({"sft": places["mixed"]}, found) == [repository / "mixed/new.jsonl"]

    Path("elsewhere/b.jsonl").unlink()
    missing = init("--dataset", "sft=elsewhere/b.jsonl")
    require_refused(missing, "no such file; DVC knows it from notes/other.dvc: run `dvc pull elsewhere/b.jsonl`")
    require_done(init("--dataset", "sft=imported.jsonl", "--ci", "none"))
    assert YAML(typ="safe").load(Path("imported.jsonl.dvc"))["frozen"]


def test_a_clone_inside_is_no_pipeline_of_this_repository(repository: Path) -> None:
    subprocess.run(["git", "init", "--quiet", "tools/clone"], check=True)
    for folder in ("tools/clone", "own"):
        Path(folder).mkdir(exist_ok=True)
        Path(folder, "dvc.yaml").write_text("stages: {assess: {cmd: poetry run entropylaw assess}}\n")
    assert read_dvc(repository).own == (repository / "own/dvc.yaml",)


NEW = NewPipeline(
    {Path(name): b"new" for name in ("dvc.yaml", "params.yaml", "data/baseline.jsonl", "data/heldout.jsonl")},
    {"data/prepared/sft.jsonl": True, "results/evaluation.json": False, "models/sft": True},
)


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("data/baseline.jsonl", "data/baseline.jsonl is there already and is not ours"),
        ("data/heldout.jsonl", "data/heldout.jsonl is there already and is not ours"),
        ("dvc.lock", "dvc.lock is of another pipeline"),
        ("history/2024.md", "history/2024.md is there already and is no entry of our history"),
        ("history/notes.json", "history is there already and is no entry"),
        ("results/evaluation.json", "results/evaluation.json is there already, and a stage would replace it"),
        ("models/sft/weights.bin", "models/sft is there already, and a stage would replace it"),
    ],
)
def test_what_is_there_is_neither_adopted_nor_replaced(repository: Path, path: str, cause: str) -> None:
    found = DvcRepository(repository, (), (), ())
    assert find_obstacle(repository, NEW, found, []) is None
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text('{"rows": 3}')
    assert (find_obstacle(repository, NEW, found, []) or "").startswith(cause)
    assert find_obstacle(repository / "data-risk", NEW, found, []) is None


def test_a_file_that_is_the_same_is_no_obstacle(repository: Path) -> None:
    Path("data/baseline.jsonl").write_text("new")
    assert find_obstacle(repository, NEW, DvcRepository(repository, (), (), ()), []) is None


def test_an_unrelated_baseline_stays_as_it_is(repository: Path) -> None:
    write_rows("data/baseline.jsonl", make_rows(900))
    before = Path("data/baseline.jsonl").read_bytes()
    assert "data/baseline.jsonl is there already and is not ours" in require_done(init(*DATASET))
    assert Path("data/baseline.jsonl").read_bytes() == before
    assert Path("data-risk/data/baseline.jsonl").exists() and not Path("data/baseline.jsonl.dvc").exists()


def test_what_git_ignores_is_said_with_its_line_and_a_folder_of_its_own_is_not_ignored(repository: Path) -> None:
    Path(".gitignore").write_text("*.pyc\nresults/\n*.csv\n*.json\n")
    before = snapshot()
    line = "has to be in Git, and .gitignore, line 2, ignores it (results/)"
    require_refused(init(*DATASET, "--pipeline", "."), line, "--pipeline")
    assert snapshot() == before
    assert line in require_done(init(*DATASET))
    once = snapshot()
    require_done(init(*DATASET))
    assert snapshot() == once
    own = ["results/sft/probe_curve.csv", "results/verdict.json", "history/1.json", "dvc.lock"]
    private = [
        "results/report.html",
        "results/.a.json.a_b0c1d2.tmp",
        "models/base/weights.bin",
        "data/prepared/sft.jsonl",
    ]
    for name in [*own, *private, "../results/theirs.json"]:
        write_rows(f"data-risk/{name}", [])
    git("add", "--all")
    names = git("ls-files").split()
    assert {f"data-risk/{name}" for name in own} < set(names) and "data-risk/data/baseline.jsonl.dvc" in names
    assert not {f"data-risk/{name}" for name in private} & set(names) and "results/theirs.json" not in names


def test_a_folder_that_git_never_looks_into_is_no_place_for_the_pipeline(repository: Path) -> None:
    Path(".gitignore").write_text("/*\n!/data\n!/.gitignore\n")
    before = snapshot()
    require_refused(init(*DATASET), "data-risk has to be in Git, and .gitignore, line 1, ignores it (/*)")
    assert snapshot() == before


def test_data_behind_a_link_is_named_by_its_place_and_the_pipeline_lies_beside_it(repository: Path) -> None:
    Path("data").rename("storage")
    Path("data").symlink_to("storage")
    assert "data is a link to another folder" in require_done(init(*DATASET))
    params = YAML(typ="safe").load(Path("data-risk/params.yaml"))
    assert params["datasets"] == {"sft": {"path": "../storage/chats.jsonl"}}
    assert Path("storage/chats.jsonl.dvc").exists()


def test_a_run_that_fails_leaves_nothing_private_to_git(repository: Path) -> None:
    """DVC takes back the lines of .gitignore that it wrote in a run that failed; ours stay."""
    Path("data/.gitignore").write_bytes(b"/caf\xe9")
    require_done(init(*DATASET))
    git("add", "--all")
    git("commit", "--quiet", "--message", "one")
    params = Path("params.yaml")
    whole = params.read_text()
    params.write_text(whole.replace("long_window_log: 27", "long_window_log: 99"))
    dvc("repro", "compression", code=255)
    Path("results/plots").mkdir(parents=True)
    for left in ("results/plots/a.json", "results/report.html", "results/.report.html.a_b0c1d2.tmp"):
        Path(left).write_text("secret")
    Path("data/prepared/.sft.jsonl.a_b0c1d2.tmp").write_text("secret")
    assert Path("data/prepared/sft.jsonl").exists()
    git("add", "--all")
    names = git("ls-files").split()
    assert not [name for name in names if name.endswith((".jsonl", ".tmp", ".npy", ".html"))], names
    assert not any(name.startswith(("data/prepared/", "results/plots", ".entropylaw")) for name in names)
    git("commit", "--quiet", "--message", "two")
    params.write_text(whole)
    dvc("repro", "compression")
    git("add", "--all")
    assert "data/prepared/sft.jsonl" not in git("ls-files") and "results/sft/compression.json" in git("ls-files")


@pytest.mark.parametrize("content", [b"", b"*.pyc", b"# caf\xe9\n*.pyc\n", b"*.pyc\r\n/build"])
def test_a_gitignore_keeps_its_bytes_and_gets_each_line_once(content: bytes) -> None:
    once = add_lines(content, ["/models/base", ".*.tmp"], "# ours")
    assert once.startswith(content) and add_lines(once, [".*.tmp", "/models/base"], "# ours") == once
    assert once.split()[-2:] == [b"/models/base", b".*.tmp"]
    assert (b"\r\n.*.tmp\r\n" in once) == (b"\r\n" in content)
    assert once[len(content) :].strip().startswith(b"# ours")


def test_what_is_in_git_already_is_said_with_the_command_that_mends_it(repository: Path) -> None:
    require_done(init(*DATASET))
    git("add", "--force", "data/baseline.jsonl")
    require_refused(init("--ci", "none"), "data/baseline.jsonl: is in Git", "git rm -r --cached data/baseline.jsonl")


def test_when_dvc_refuses_everything_is_as_it_was(repository: Path) -> None:
    dvc("config", "cache.type", "symlink")
    Path(".dvcignore").write_text("/data/heldout.jsonl\n")
    before = snapshot()
    require_refused(init(*DATASET), "DVC refuses", ".dvcignore")
    assert snapshot() == before


def test_a_dry_run_shows_every_file_and_writes_none(repository: Path) -> None:
    Path("dvc.yaml").write_text(OWN_PIPELINE)
    Path(".gitignore").write_text("*.pyc\n")
    before = snapshot()
    shown = require_done(init("--dataset", "sft=data/chats.jsonl", "--gate", "train", "--dry-run"))
    assert snapshot() == before
    assert "--- a/dvc.yaml\n+++ b/dvc.yaml\n" in shown and "\n+      - data-risk/results/approval.json\n" in shown
    written = require_done(init("--dataset", "sft=data/chats.jsonl", "--gate", "train"))
    for line in written.splitlines():
        if line.startswith("wrote "):
            assert f"would write {line.removeprefix('wrote ')} (" in shown
    for note in Path().rglob("*.dvc"):
        if note.is_file():
            assert f"would write {note}: DVC tracks " in shown


def test_a_team_with_waivers_can_take_more_stages(repository: Path) -> None:
    require_done(init(*DATASET, "--stages", "monitor"))
    waivers = Path("waivers.yaml")
    waivers.write_text(waivers.read_text() + "# ours\n")
    text = waivers.read_text()
    require_done(init(*DATASET))
    assert waivers.read_text() == text and "  sft:\n    cmd:" in Path("dvc.yaml").read_text()


def test_without_a_dataset_a_pipeline_gets_only_what_it_misses(repository: Path) -> None:
    require_done(init(*DATASET))
    params, ignored = Path("params.yaml"), Path(".gitignore")
    params.write_text(params.read_text().replace("seeds: 5", "seeds: 7"))
    text = ignored.read_text()
    ignored.write_text("*.pyc\n")
    edited = snapshot()
    require_refused(init(*DATASET), "params.yaml: differs from what", "without --dataset")
    require_refused(init("--stages", "monitor"), "--stages: give --dataset too")
    assert snapshot() == edited
    require_done(init("--ci", "gitlab"))
    assert ignored.read_text() == f"*.pyc\n{text}"
    assert Path(".gitlab/data-risk.gitlab-ci.yml").exists() and "seeds: 7" in params.read_text()


@pytest.mark.parametrize("subdir", [False, True])
def test_in_a_part_of_a_monorepo_all_is_there_but_the_ci_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subdir: bool
) -> None:
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    team = tmp_path / "teams" / "chat"
    write_rows(team / "data/chats.jsonl", make_rows(0))
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    Repo.init(str(team if subdir else tmp_path), subdir=subdir).close()
    monkeypatch.chdir(team)
    shown = require_done(init("--dataset", "sft=data/chats.jsonl", "--ci", "gitlab"))
    assert "Next: dvc repro && entropylaw accept" in shown
    assert Path("dvc.yaml").exists() and Path("data/baseline.jsonl.dvc").exists()
    assert (tmp_path / ".gitlab/data-risk.gitlab-ci.yml").exists() and not Path(".gitlab").exists()
    assert not (tmp_path / "dvc.yaml").exists() and not (tmp_path / ".gitignore").exists()
    monkeypatch.chdir(tmp_path)
    again = init("teams/chat", "--ci", "none")
    assert require_done(again) == (
        "Next: dvc repro teams/chat/dvc.yaml && entropylaw accept, then commit; repeat this after every change of the "
        "data.\n"
    )
