"""A verdict on other data than is here: `check` says so by default, wherever DVC notes the data."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from ruamel.yaml import YAML
from sample_verdicts import history, of_conversations, sample_verdict
from typer.testing import CliRunner

from corpus.artifacts import write_json
from corpus.errors import NotAssessedError
from entropylaw.cli import app
from entropylaw.repository import reassess, tracked_data, trust
from entropylaw.repository.lockfile import hash_as_dvc
from entropylaw.repository.reassess import is_judged_here, record_verdict
from monitor.history import write_entry
from reports.checks import CheckFormat

ROWS = b'{"prompt": "a", "completion": "b"}\n' * 20
PIPELINE = """\
stages:
  prepare:
    foreach: ${datasets}
    do: {cmd: "entropylaw prepare --dataset ${key}", deps: ["${item.path}"], outs: ["data/prepared/${key}.jsonl"]}
  assess: {cmd: entropylaw assess, deps: [data/prepared/sft.jsonl, history], outs: [results/verdict.json]}
"""
PARAMS = "datasets: {sft: {path: PATH}}\nprobe: {steps: 16, learning_rate: 1e-3}\n"


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def write(path: str | Path, content: str | bytes) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def note(path: str, name: str, content: bytes, more: str = "") -> Path:
    """A .dvc file as `dvc add` writes it."""
    return write(path, f"{more}outs:\n- md5: {md5(content)}\n  size: {len(content)}\n  hash: md5\n  path: {name}\n")


def measure(path: str, hashed: str, size: int) -> None:
    """What a run leaves behind in the current folder, for data of this hash."""
    shutil.rmtree("history", ignore_errors=True)
    for entry in history():
        write_entry("history", entry)
    write_json("results/verdict.json", of_conversations(sample_verdict("pass")))
    prepared = {"path": "data/prepared/sft.jsonl", "hash": "md5", "md5": "1" * 32, "size": 9}
    source = {"path": path, "hash": "md5", "md5": hashed, "size": size}
    read = {"path": "history", "hash": "md5", "md5": hash_as_dvc(Path("history"))}
    verdict = {"path": "results/verdict.json", "hash": "md5", "md5": hash_as_dvc(Path("results/verdict.json"))}
    params = {"params.yaml": {"datasets.sft": {"path": path}, "probe": {"steps": 16, "learning_rate": 0.001}}}
    stages = {
        "prepare@sft": {"cmd": "entropylaw prepare", "deps": [source], "params": params, "outs": [prepared]},
        "assess": {"cmd": "entropylaw assess", "deps": [prepared, read], "outs": [verdict]},
    }
    write("dvc.yaml", PIPELINE)
    write("params.yaml", PARAMS.replace("PATH", json.dumps(path)))
    YAML().dump({"schema": "2.0", "stages": stages}, Path("dvc.lock"))


def check(*options: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["check", *options])
    assert not done.stderr
    return done.exit_code, done.stdout


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)
    (tmp_path / ".dvc").mkdir()
    return tmp_path


def beside() -> str:
    note("data/chats.jsonl.dvc", "chats.jsonl", ROWS)
    return "data/chats.jsonl"


def under_another_name() -> str:
    note("data/all-data.dvc", "chats.jsonl", ROWS)
    return "data/chats.jsonl"


def with_wdir() -> str:
    note("notes/chats.dvc", "chats.jsonl", ROWS, "wdir: ../data\n")
    subprocess.run(["git", "add", "notes"], check=True)
    return "data/chats.jsonl"


def as_a_folder() -> str:
    # Its hash is as good as any other: nothing is here to compare it with.
    note("data/shards.dvc", "shards", ROWS)
    return "data/shards"


def of_a_stage_of_another_pipeline() -> str:
    write("export/dvc.yaml", "stages: {clean: {cmd: python clean.py, outs: [chats.jsonl]}}\n")
    out = {"path": "chats.jsonl", "hash": "md5", "md5": md5(ROWS), "size": len(ROWS)}
    left = {**out, "md5": "0" * 32}  # DVC keeps the record of stages that are gone
    stages = {"old": {"cmd": "python old.py", "outs": [left]}, "clean": {"cmd": "python clean.py", "outs": [out]}}
    YAML().dump({"schema": "2.0", "stages": stages}, Path("export/dvc.lock"))
    return "export/chats.jsonl"


def in_git() -> str:
    write("data/chats.jsonl", ROWS)
    return "data/chats.jsonl"


TRACKED: dict[str, tuple[Callable[[], str], str]] = {
    "beside its .dvc file": (beside, "data/chats.jsonl.dvc"),
    "under another name": (under_another_name, "data/all-data.dvc"),
    "with a wdir": (with_wdir, "notes/chats.dvc"),
    "as a folder": (as_a_folder, "data/shards.dvc"),
    "made by a stage of another pipeline": (of_a_stage_of_another_pipeline, "export/dvc.lock"),
    "kept by Git": (in_git, "data/chats.jsonl"),
}


@pytest.mark.parametrize(("track", "changed"), TRACKED.values(), ids=TRACKED)
@pytest.mark.parametrize("below", ["", "data-risk"])
def test_data_that_was_changed_and_not_measured_is_not_assessed(
    repository: Path, monkeypatch: pytest.MonkeyPatch, track: Callable[[], str], changed: str, below: str
) -> None:
    path = track()
    if below:
        (repository / below).mkdir()
        monkeypatch.chdir(repository / below)
        path = f"../{path}"
    measure(path, md5(ROWS), len(ROWS))
    assert check()[0] == 0
    source = repository / changed
    text = source.read_bytes()
    source.write_bytes(text.replace(md5(ROWS).encode(), b"c" * 32) if text != ROWS else ROWS.replace(b"a", b"z"))
    code, shown = check()
    assert code == 3 and shown.startswith("? NOT ASSESSED: ")
    assert f"{path} was changed after it was measured: run `dvc repro`" in flat(shown)
    assert "shows no risk" not in shown and "CHECKS" not in shown and "MEASURES" not in shown


@pytest.mark.parametrize("format", get_args(CheckFormat))
def test_every_format_says_so(repository: Path, format: str) -> None:
    measure(beside(), md5(ROWS), len(ROWS))
    assert check("--format", format)[0] == 0
    note("data/chats.jsonl.dvc", "chats.jsonl", ROWS * 2)
    code, shown = check("--format", format)
    assert code == 3 and "data/chats.jsonl was changed after it was measured" in flat(shown).replace("\\", "")


def test_a_file_that_was_edited_without_dvc_being_told_is_not_assessed(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(beside(), md5(ROWS), len(ROWS))
    write("data/chats.jsonl", ROWS)
    assert check()[0] == 0
    # Of the same size.
    write("data/chats.jsonl", ROWS.replace(b"a", b"z"))
    assert check()[0] == 3
    # Too large to be read each time: only --verify does.
    monkeypatch.setattr(tracked_data, "QUICK_BYTES", len(ROWS) - 1)
    assert check()[0] == 0 and check("--verify")[0] == 3
    write("data/chats.jsonl", ROWS * 2)
    assert check()[0] == 3


def shard_hash(**shards: bytes) -> str:
    listing = [{"md5": md5(content), "relpath": f"{name}.jsonl"} for name, content in sorted(shards.items())]
    return md5(json.dumps(listing).encode()) + ".dir"


def test_the_gate_does_not_approve_what_was_not_measured(repository: Path) -> None:
    def gate(**env: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["gate"], env=env)
        return done.exit_code, done.stderr

    note("data/chats.jsonl.dvc", "chats.jsonl", ROWS)
    measure("data/chats.jsonl", md5(ROWS), len(ROWS))
    # A verdict from Git is judged again, and its rows are not here.
    for env in ({}, {"DVC_STAGE": "gate"}):
        code, said = gate(**env)
        assert code == 3 and "run `dvc pull data/prepared/sft.jsonl results/sft/agreement.npy`" in said
    # A branch can commit whatever lies in the repository, but nothing in Git's own folder.
    write(".entropylaw/judged", hashlib.blake2b(Path("results/verdict.json").read_bytes(), digest_size=16).hexdigest())
    assert gate()[0] == 3
    record_verdict()  # as `assess` does
    assert gate() == (0, "") and Path("results/approval.json").exists()
    note("data/chats.jsonl.dvc", "chats.jsonl", ROWS * 2)
    code, said = gate()
    assert code == 3 and "was changed after it was measured" in said and not Path("results/approval.json").exists()
    # DVC runs it behind the stages that it depends on, and does not ask twice.
    assert gate(DVC_STAGE="gate") == (0, "")


def test_a_mark_of_this_machine_is_of_the_results_too(repository: Path) -> None:
    note("data/chats.jsonl.dvc", "chats.jsonl", ROWS)
    measure("data/chats.jsonl", md5(ROWS), len(ROWS))
    write("results/sft/probe_rows.csv", "row\n")
    record_verdict()
    assert is_judged_here()
    write("results/sft/probe_rows.csv", "other\n")
    assert not is_judged_here()


def test_what_was_asked_to_be_verified_and_could_not_is_not_assessed(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note("data/chats.jsonl.dvc", "chats.jsonl", ROWS)
    measure("data/chats.jsonl", md5(ROWS), len(ROWS))
    monkeypatch.setattr(trust, "verify_results", lambda *_: None)  # it wants files of stages that never ran
    code, said = check("--verify")
    assert code == 3 and "dvc pull data/prepared/sft.jsonl" in flat(said)


def test_only_the_decision_must_come_out_again(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another processor gives other last digits, and statistics that differ in the third."""
    verdict = of_conversations(sample_verdict("pass"))
    write_json("results/verdict.json", verdict)
    monkeypatch.setattr(reassess, "require_rows", lambda: None)
    rules = tuple(replace(rule, statistic=0.00107, p_value=0.4) for rule in verdict.rules)
    monkeypatch.setattr(reassess, "_judge_again", lambda path: replace(verdict, rules=rules))
    reassess.require_same_verdict(Path("results/verdict.json"), verdict)
    assert "the decision is the same" in capsys.readouterr().err
    rules = (replace(rules[0], status="warn"), *rules[1:])
    monkeypatch.setattr(reassess, "_judge_again", lambda path: replace(verdict, rules=rules))
    with pytest.raises(NotAssessedError, match="is not the verdict on what is here"):
        reassess.require_same_verdict(Path("results/verdict.json"), verdict)


def test_what_was_not_measured_is_not_accepted_under_the_measures_of_another_version(repository: Path) -> None:
    measure(beside(), md5(ROWS), len(ROWS))
    before = sorted(Path("history").iterdir())
    note("data/chats.jsonl.dvc", "chats.jsonl", ROWS * 2)
    done = CliRunner().invoke(app, ["accept"])
    assert done.exit_code == 3 and "data/chats.jsonl was changed after it was measured" in done.stderr
    assert sorted(Path("history").iterdir()) == before


def test_a_file_inside_a_folder_that_dvc_tracks_as_a_whole(repository: Path) -> None:
    """Its hash stands in DVC's list of the folder, which is data itself and may not be here."""
    listing = json.dumps([{"md5": md5(ROWS), "relpath": "chats.jsonl"}, {"md5": md5(b"x"), "relpath": "other.jsonl"}])
    folder = md5(listing.encode())
    kept = write(f".dvc/cache/files/md5/{folder[:2]}/{folder[2:]}.dir", listing)
    write("data.dvc", f"outs:\n- md5: {folder}.dir\n  hash: md5\n  path: data\n")
    measure("data/chats.jsonl", md5(ROWS), len(ROWS))
    assert check()[0] == 0
    measure("data/chats.jsonl", md5(ROWS * 2), len(ROWS) * 2)
    assert "was changed after it was measured" in flat(check()[1])
    kept.unlink()
    code, shown = check()
    assert code == 3 and "run `dvc pull data/chats.jsonl`" in flat(shown)
    # What was measured is here, and a newer version of the folder is noted, as after a `git pull`.
    write("data/chats.jsonl", ROWS * 2)
    code, shown = check()
    assert code == 3 and "data is not here as DVC notes it: run `dvc pull data`" in flat(shown)
    write("data/chats.jsonl", ROWS)
    write("data/other.jsonl", b"x")
    measure("data/chats.jsonl", md5(ROWS), len(ROWS))
    assert check()[0] == 0


def test_a_folder_whose_list_is_in_a_cache_that_teams_share(repository: Path) -> None:
    listing = json.dumps([{"md5": md5(ROWS), "relpath": "chats.jsonl"}])
    folder = md5(listing.encode())
    write(f"shared/files/md5/{folder[:2]}/{folder[2:]}.dir", listing)
    write(".dvc/config", "[core]\n    remote = ours\n['remote \"ours\"']\n    url = s3://ours\n")
    write(".dvc/config.local", "[cache]\n    dir = ../shared\n")
    write("data.dvc", f"outs:\n- md5: {folder}.dir\n  hash: md5\n  path: data\n")
    measure("data/chats.jsonl", md5(ROWS), len(ROWS))
    assert check()[0] == 0


def test_shards_that_are_tracked_one_by_one(repository: Path) -> None:
    """As DVC sees the folder of a pattern: with the .dvc files in it, and the shards whether they are here or not."""
    for name in ("a", "b"):
        note(f"data/chats/{name}.jsonl.dvc", f"{name}.jsonl", ROWS)
    notes = {f"{name}.jsonl.dvc": Path(f"data/chats/{name}.jsonl.dvc").read_bytes() for name in ("a", "b")}
    files = {**notes, "a.jsonl": ROWS, "b.jsonl": ROWS}
    listing = [{"md5": md5(files[name]), "relpath": name} for name in sorted(files)]
    measure("data/chats", md5(json.dumps(listing).encode()) + ".dir", sum(map(len, files.values())))
    assert check()[0] == 0
    write("data/chats/a.jsonl", ROWS)
    assert check()[0] == 0
    note("data/chats/c.jsonl.dvc", "c.jsonl", ROWS)
    assert check()[0] == 3


def test_a_parameter_or_a_dataset_that_was_changed_is_not_assessed(repository: Path) -> None:
    measure(beside(), md5(ROWS), len(ROWS))
    params = Path("params.yaml").read_text()
    for before, after, key in (("16", "24", "probe"), ("chats.jsonl", "talks.jsonl", "datasets.sft")):
        write("params.yaml", params.replace(before, after))
        code, shown = check()
        assert code == 3 and f"params.yaml: {key} is not what stage prepare@sft ran with" in flat(shown)


def test_a_dataset_on_the_hub_counts_by_its_name_in_params(repository: Path) -> None:
    measure(beside(), md5(ROWS), len(ROWS))
    hub = "hf://team/chats@4f2a"
    params = {"params.yaml": {"datasets.sft": {"path": hub}}}
    lock = YAML(typ="safe").load(Path("dvc.lock"))
    lock["stages"]["prepare@sft"] |= {"deps": [], "params": params}
    YAML().dump(lock, Path("dvc.lock"))
    write("params.yaml", f"datasets: {{sft: {{path: '{hub}'}}}}\n")
    assert check()[0] == 0
    write("params.yaml", f"datasets: {{sft: {{path: '{hub}b'}}}}\n")
    assert check()[0] == 3


def test_without_a_record_of_the_run_nothing_is_assessed(repository: Path) -> None:
    measure(beside(), md5(ROWS), len(ROWS))
    Path("dvc.lock").unlink()
    code, shown = check()
    assert code == 3 and "dvc.lock: no such file" in flat(shown)
    Path("data/chats.jsonl.dvc").unlink()
    measure("data/chats.jsonl", md5(ROWS), len(ROWS))
    code, shown = check()
    assert code == 3 and "neither here nor tracked by DVC: run `dvc pull`" in flat(shown)


def test_a_verdict_that_was_kept_elsewhere_is_shown_as_it_is(repository: Path) -> None:
    measure(beside(), md5(ROWS), len(ROWS))
    note("data/chats.jsonl.dvc", "chats.jsonl", ROWS * 2)
    write_json("kept/verdict.json", sample_verdict("risky"))
    assert check("--verdict", "kept/verdict.json")[0] == 1
    assert check("--verdict", str(Path("results/verdict.json").resolve()))[0] == 3


def test_a_verdict_outside_a_pipeline_is_shown_as_it_is(repository: Path) -> None:
    write_json("results/verdict.json", sample_verdict("pass"))
    assert check()[0] == 0
    write("dvc.yaml", "stages: {train: {cmd: python train.py}}\n")
    assert check()[0] == 0
    write("dvc.lock", "schema: '2.0'\nstages: {train: {cmd: python train.py}}\n")
    assert check()[0] == 0


def test_the_check_takes_no_time_and_does_not_start_dvc(repository: Path) -> None:
    measure(beside(), md5(ROWS), len(ROWS))
    for i in range(200):
        note(f"other/{i}.dvc", f"{i}.jsonl", ROWS)
    program = (
        "import sys, time; from entropylaw.cli import app\ntry: app(['check'])\n"
        "except SystemExit as end: print(end.code, 'dvc' in sys.modules, 'torch' in sys.modules, time.process_time())"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
                          capture_output=True, text=True, check=True)  # fmt: skip
    code, dvc, torch, seconds = done.stdout.splitlines()[-1].split()
    assert (code, dvc, torch) == ("0", "False", "False"), done.stdout + done.stderr
    # 0.3 s on the machine it was written on, and room for a slower one.
    assert float(seconds) < 1.5


@pytest.mark.slow
def test_what_dvc_itself_adds_is_seen(repository: Path) -> None:
    """`dvc add` of changed data, and no `dvc repro`."""
    shutil.rmtree(".dvc")
    program = (
        "from dvc.cli import main\n"
        "assert main(['init', '--quiet']) == 0\n"
        "for times in (1, 2):\n"
        f"    open('data/chats.jsonl', 'wb').write({ROWS!r} * times)\n"
        "    assert main(['add', '--quiet', 'data/chats.jsonl']) == 0\n"
        "    __import__('shutil').copy('data/chats.jsonl.dvc', f'{times}.txt')\n"
    )
    Path("data").mkdir()
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    measure("data/chats.jsonl", md5(ROWS), len(ROWS))
    assert check()[0] == 3
    Path("data/chats.jsonl").unlink()
    assert check()[0] == 3
    shutil.copy("1.txt", "data/chats.jsonl.dvc")
    assert check()[0] == 0


def test_the_hook_runs_when_any_of_it_is_in_the_commit() -> None:
    (hook,) = YAML(typ="safe").load((Path(__file__).parent.parent / ".pre-commit-hooks.yaml").read_text())
    for name in (
        "data/chats.jsonl.dvc", "dvc.lock", "dvc.yaml", "params.yaml", "waivers.yaml", "results/verdict.json",
        "history/0002-x2.json", "data-risk/dvc.lock", "data-risk/history/0001-x1.json", "data/chats.jsonl",
        "data/pairs.parquet", "raw/export.csv.gz",
    ):  # fmt: skip
        assert re.search(hook["files"], name), name
    for name in ("README.md", "train.py", "docs/figure.svg", "src/params.py"):
        assert not re.search(hook["files"], name), name
