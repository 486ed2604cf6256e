"""`entropylaw doctor`: one test for each thing it can say, in a repository that no stage and no DVC ever ran in."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from sample_results import prepare_report
from sample_verdicts import history, sample_verdict, written_verdict
from typer.testing import CliRunner

from corpus.artifacts import to_json, write_json
from corpus.prepare import PrepareParams
from entropylaw.cli import app
from entropylaw.doctor import versions
from entropylaw.doctor.checkout import Checkout
from entropylaw.doctor.declared_stages import DeclaredStage, list_declared
from entropylaw.doctor.finding import Finding
from entropylaw.doctor.registry import examine
from entropylaw.doctor.stale_stages import find_stale
from entropylaw.repository.dvc_locks import drop_torn_rwlock
from entropylaw.repository.lockfile import LockedStage, hash_as_dvc, look_up
from monitor.calibration.calibrate import Calibration
from monitor.calibration.params import CalibrationParams
from monitor.history import read_history, write_entry
from monitor.rule_params import RuleParams
from training.base_model import BaseModelCard
from training.base_model_params import BaseModelParams

# Enough of our pipeline for every check; the whole of it takes a second to parse.
PIPELINE = {
    "stages": {
        "prepare": {
            "foreach": "${datasets}",
            "do": {
                "cmd": "entropylaw prepare --dataset ${key}",
                "deps": ["${item.path}"],
                "params": ["datasets.${key}", "prepare"],
                "outs": ["data/prepared/${key}.jsonl", {"results/${key}/prepare.json": {"cache": False}}],
            },
        },
        "base_model": {
            "cmd": "entropylaw base-model",
            "deps": ["data/baseline.jsonl"],
            "params": ["base_model"],
            "outs": ["models/base"],
        },
        "calibration": {
            "cmd": "entropylaw calibrate",
            "deps": ["data/baseline.jsonl", "models/base"],
            "params": ["calibration"],
            "outs": [{"results/calibration.json": {"cache": False}}],
        },
        "assess": {
            "cmd": "entropylaw assess",
            "deps": ["data/prepared/sft.jsonl", "results/calibration.json", "history"],
            "params": ["rules"],
            "outs": [{"results/verdict.json": {"cache": False}}],
        },
        "sft": {"cmd": "python train.py", "deps": ["results/verdict.json"], "outs": ["models/sft"]},
    }
}
CHAT = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
PAIR = {"prompt": "a", "chosen": "b", "rejected": "c"}


def git(*words: str, folder: Path = Path()) -> None:
    given = ["-c", "user.name=t", "-c", "user.email=t@localhost", *words]
    subprocess.run(["git", "-C", str(folder), *given], check=True, capture_output=True)


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def write_rows(path: str, row: object, rows: int = 3) -> None:
    write(path, f"{json.dumps(row)}\n" * rows)


def track(path: str) -> None:
    """What `dvc add` writes."""
    write(f"{path}.dvc", f"outs:\n- md5: {hash_as_dvc(Path(path))}\n  hash: md5\n  path: {Path(path).name}\n")


def lock() -> None:
    """What DVC records when every stage has run on what is here now."""
    yaml = YAML(typ="safe")
    params, pipeline = (yaml.load(Path(name)) for name in ("params.yaml", "dvc.yaml"))

    def entries(paths: tuple[str, ...]) -> list[dict[str, str]]:
        return [
            {"path": path, "hash": "md5", "md5": hash_as_dvc(Path(path)) if Path(path).exists() else "0" * 32}
            for path in paths
        ]

    stages = {
        stage.name: {
            "cmd": "",
            "deps": entries(stage.deps),
            "params": {"params.yaml": {key: look_up(params, key) for key in stage.params}},
            "outs": entries(stage.outs),
        }
        for stage in list_declared(pipeline, params)
    }
    Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": stages}))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which everything was measured and accepted."""
    folder = tmp_path_factory.mktemp("repository")
    verdict = sample_verdict("pass")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        git("init", "--quiet", "--initial-branch=main")
        Path(".dvc").mkdir()
        sections = {
            "prepare": PrepareParams(),
            "base_model": BaseModelParams(),
            "calibration": CalibrationParams(),
            "rules": RuleParams(),
        }
        write("params.yaml", to_json({"datasets": {"sft": {"path": "data/sft.jsonl"}}, **sections}))
        write_json("dvc.yaml", PIPELINE)
        for name in ("sft", "baseline"):
            write_rows(f"data/{name}.jsonl", CHAT)
        track("data/sft.jsonl")
        write_json("results/sft/prepare.json", prepare_report(rows_kept=3))
        accepted = replace(history(1)[0], name="x9", data_hash=verdict.version.data_hash)
        for entry in (*history(), replace(accepted, config_fingerprint=verdict.config_fingerprint)):
            write_entry("history", entry)
        card = BaseModelCard("base", None, None, 0.5, 500_000, 100, 1000, 5.0, 4.0, split="question")
        write_json("models/base/entropylaw.json", card)
        write_json("results/calibration.json", Calibration(400, (4.0, 4.1), (), (), "base", CalibrationParams()))
        write_json("results/verdict.json", verdict)
        write(".github/workflows/data-risk.yml", "run: entropylaw check\n")
        write(".pre-commit-config.yaml", "- id: entropylaw-check\n")
        lock()
        git("add", "--all")
        git("commit", "--quiet", "--message", "data")
    return folder


@pytest.fixture
def repository(measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "repository"
    shutil.copytree(measured, folder)
    monkeypatch.chdir(folder)
    return folder


def find(subject: str) -> Finding:
    (finding,) = [finding for finding in examine(Checkout()) if finding.subject == subject]
    return finding


def change_params(section: str, **values: object) -> None:
    params = json.loads(Path("params.yaml").read_text())
    params[section] |= values
    write("params.yaml", json.dumps(params))


def test_a_repository_in_order_has_nothing_to_do(repository: Path) -> None:
    shown = CliRunner().invoke(app, ["doctor"])
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.endswith("\nAll is in order.\n") and "->" not in shown.stdout
    for words in (
        "Git and DVC, main at ",
        "at the root of the repository, 5 stages: prepare to sft",
        "data/sft.jsonl: ",
        "here, 3 rows of format messages",
        "small, from the baseline, 500,000 parameters",
        "400 rows, 2 seeds",
        "x5: pass.",
        "5 accepted versions, the latest x9",
        ".github/workflows/data-risk.yml; a pre-commit hook",
        "nothing to run: all 5 stages are up to date",
    ):
        assert words in shown.stdout, words
    assert max(map(len, shown.stdout.splitlines())) <= 110


def test_json_says_the_same_from_a_subfolder(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("params.yaml").write_text("a: [")
    monkeypatch.chdir("data")
    shown = CliRunner().invoke(app, ["doctor", "--json"])
    assert shown.exit_code == 2
    said = json.loads(shown.stdout)
    assert not said["ok"]
    (broken,) = [finding for finding in said["findings"] if finding["state"] == "broken"]
    assert broken["text"].startswith("params.yaml, line 1: not YAML")


def test_remedies_are_commands_for_the_folder_that_the_user_is_in(repository: Path) -> None:
    Path("data/sft.jsonl").unlink()
    shutil.rmtree("models")
    findings = {finding.subject: finding for finding in examine(Checkout(repository.parent))}
    assert findings["data sft"].remedy == "run `dvc pull repository/data/sft.jsonl`"
    assert findings["base model"].remedy == "run `dvc pull repository/models/base`"
    change_params("calibration", seeds=9)
    findings = {finding.subject: finding for finding in examine(Checkout(repository.parent))}
    assert findings["next"].remedy == findings["calibration"].remedy == "run `dvc repro repository/dvc.yaml`"


# The ground: Git, DVC, the pipeline, params.yaml.


def test_outside_of_git_and_of_dvc_it_names_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find("repository").remedy == "run `git init`"
    git("init", "--quiet")
    assert find("repository").remedy == "run `dvc init`"


def test_where_nothing_is_set_up_it_writes_the_command_for_the_data_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")
    Path(".dvc").mkdir()
    assert find("pipeline").remedy == "run `entropylaw init --dataset sft=PATH`, PATH being your conversations"
    write("package.json", '{"name": "site"}')
    write_rows("pairs.jsonl", PAIR)
    write_rows("my data/part-1.jsonl", CHAT)
    write("my data.dvc", "outs:\n- md5: 0\n  hash: md5\n  path: my data\n")
    git("add", "my data.dvc")
    finding = find("pipeline")
    assert finding.state == "broken"
    assert finding.remedy == "run `entropylaw init --dataset 'sft=my data' --dataset preferences=pairs.jsonl`"


def test_a_merge_conflict_is_named_before_anything_that_follows_from_it(repository: Path) -> None:
    git("checkout", "--quiet", "-b", "other")
    write("waivers.yaml", "a\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "a")
    git("checkout", "--quiet", "main")
    write("waivers.yaml", "b\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "b")
    with pytest.raises(subprocess.CalledProcessError):
        git("merge", "other")
    finding = find("repository")
    assert (finding.state, finding.text) == ("broken", "merge conflict in waivers.yaml")


@pytest.mark.parametrize("left", ["", '{"read": {"a'])
def test_notes_of_dvc_that_a_kill_cut_off_are_said_to_be_in_the_way(repository: Path, left: str) -> None:
    write(".dvc/tmp/rwlock", '{"read": {}, "write": {}}')
    assert find("repository").state == "ok"
    write(".dvc/tmp/rwlock", left)
    found = find("repository")
    assert (found.state, found.remedy.partition("then ")[2]) == ("broken", "`rm .dvc/tmp/rwlock`")
    drop_torn_rwlock(Path(".dvc/tmp"))
    assert not Path(".dvc/tmp/rwlock").exists() and find("repository").state == "ok"


@pytest.mark.parametrize("share", [0, 0.3, 0.8])
def test_a_dvc_lock_that_a_kill_cut_off_is_to_be_restored(repository: Path, share: float) -> None:
    whole = Path("dvc.lock").read_text()
    write("dvc.lock", whole[: int(share * len(whole))])
    found = find("dvc.lock")
    assert found.state == "broken" and "restore it from Git" in found.remedy


def test_a_shallow_clone_is_said_to_be_one(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("note", "")
    git("add", "note")
    git("commit", "--quiet", "--message", "more")
    git("clone", "--quiet", "--depth", "1", repository.as_uri(), str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    Path(".dvc").mkdir()
    finding = find("repository")
    assert finding.state == "to do" and "git fetch --unshallow" in finding.remedy


@pytest.mark.parametrize(
    ("change", "text", "remedy"),
    [
        (lambda section: section.pop("max_tokens"), "calibration.max_tokens: missing key", "add `max_tokens: 2000000`"),
        (lambda section: section.update(seeds=1), "calibration: seeds and updates must be at least 2", "mend it"),
        (lambda section: section.update(rows=1), "calibration.rows: unknown key", "mend it"),
    ],
)
def test_a_params_yaml_that_a_stage_would_refuse_is_named_with_its_key(
    repository: Path, change: Callable[[dict[str, Any]], object], text: str, remedy: str
) -> None:
    params = json.loads(Path("params.yaml").read_text())
    change(params["calibration"])
    write("params.yaml", json.dumps(params))
    finding = find("params.yaml")
    assert finding.state == "broken"
    assert finding.text.startswith(text) and finding.remedy.startswith(remedy)


def test_a_damaged_dvc_yaml_or_dvc_lock_is_broken_and_named(repository: Path) -> None:
    write("dvc.lock", "<<<<<<< HEAD\n")
    (broken,) = [finding for finding in examine(Checkout()) if finding.state == "broken"]
    assert broken.subject == "dvc.lock" and broken.text.startswith("dvc.lock: expected sections")
    write("dvc.yaml", "stages:\n  assess:\n    cmd: entropylaw assess\n  x: [\n")
    finding = find("pipeline")
    assert finding.text.startswith("dvc.yaml, line ") and finding.remedy == "restore it from Git, or mend it by hand"


# The data.


def test_data_that_is_not_pulled_is_broken_only_where_it_has_to_be_measured(repository: Path) -> None:
    Path("data/sft.jsonl").unlink()
    finding = find("data sft")
    assert (finding.state, finding.remedy) == ("to do", "run `dvc pull data/sft.jsonl`")
    note = Path("data/sft.jsonl.dvc")
    note.write_text(note.read_text().replace("md5: ", "md5: 0", 1))
    assert find("data sft").state == "broken"


def test_data_is_known_to_be_tracked_by_a_dvc_file_elsewhere(repository: Path) -> None:
    Path("data/sft.jsonl").unlink()
    note = Path("data/sft.jsonl.dvc").read_text()
    Path("data/sft.jsonl.dvc").unlink()
    write("notes/chats.dvc", f"wdir: ../data\n{note}")
    git("add", "--all")
    assert find("data sft").remedy == "run `dvc pull data/sft.jsonl`"


def test_data_that_nobody_tracks_and_that_is_gone_is_broken(repository: Path) -> None:
    change_params("datasets", sft={"path": "data/renamed.jsonl"})
    finding = find("data sft")
    assert (finding.state, finding.text) == ("broken", "data/renamed.jsonl: no such file")
    assert "params.yaml" in finding.remedy


# What is out of date.


def test_changed_data_make_its_stages_and_all_after_them_run(repository: Path) -> None:
    write_rows("data/sft.jsonl", CHAT, rows=4)
    findings = {finding.subject: finding for finding in examine(Checkout())}
    assert findings["next"].text.startswith(
        "3 stages, prepare@sft to sft, because of prepare@sft: data/sft.jsonl changed; under a minute on two cores and "
        "as long as your model needs for sft"
    )
    assert findings["verdict"].state == "to do"
    assert findings["verdict"].text.startswith("out of date (after prepare@sft); it was x5: pass.")
    assert findings["calibration"].state == findings["base model"].state == "ok"


def test_changed_parameters_make_only_what_reads_them_run(repository: Path) -> None:
    change_params("calibration", seeds=9)
    findings = {finding.subject: finding for finding in examine(Checkout())}
    assert findings["calibration"].text == "has to be made: calibration changed in params.yaml"
    assert findings["base model"].state == "ok"
    assert "about 3 minutes" in findings["next"].text


def test_a_result_that_somebody_edited_has_to_be_made_again(repository: Path) -> None:
    Path("results/calibration.json").write_text("{}")
    assert find("calibration").text == "has to be made: results/calibration.json is not what it wrote"


def test_where_no_stage_ran_all_of_them_run(repository: Path) -> None:
    Path("dvc.lock").unlink()
    finding = find("next")
    assert finding.text.startswith("all stages, because of prepare@sft: it never ran; about 3 minutes on two cores")


def test_a_base_model_that_is_not_pulled_is_not_made_again(repository: Path) -> None:
    shutil.rmtree("models")
    finding = find("base model")
    assert (finding.state, finding.remedy) == ("to do", "run `dvc pull models/base`")


@pytest.mark.parametrize("pretrained", ["models/none", "models/none.gguf", "package:none"])
def test_a_second_model_that_is_not_here_is_named(repository: Path, pretrained: str) -> None:
    assert "second model" not in {finding.subject for finding in examine(Checkout())}
    section = {"pretrained": pretrained, "revision": None, "tokens": 9, "max_length": 64}
    write("params.yaml", json.dumps(json.loads(Path("params.yaml").read_text()) | {"second_model": section}))
    finding = find("second model")
    assert finding.state == "broken" and pretrained.removeprefix("package:") in finding.text


# What was decided.


def record_verdict(status: str) -> None:
    write_json("results/verdict.json", written_verdict(status))
    lock()


def test_a_risky_verdict_is_a_matter_for_check_and_none_for_doctor(repository: Path) -> None:
    record_verdict("risky")
    finding = find("verdict")
    assert finding.state == "to do" and "entropylaw check" in finding.remedy


def test_without_a_verdict_it_says_how_to_get_one(repository: Path) -> None:
    Path("results/verdict.json").unlink()
    assert find("verdict") == Finding("verdict", "to do", "none yet", "run `dvc repro`")


def test_a_verdict_with_a_rule_of_an_earlier_release_is_named_as_such(repository: Path) -> None:
    path = Path("results/verdict.json")
    document = json.loads(path.read_text())
    rule = {"id": "wording", "dataset": "sft", "status": "pass", "reason": "none"}
    path.write_text(json.dumps({**document, "rules": [rule]}))
    finding = find("verdict")
    assert finding.state == "to do" and finding.remedy == "run `dvc repro`"
    assert finding.text == "results/verdict.json: 'wording' is no rule of this version of the tool"


def find_accepted() -> Path:
    """The file of the version that the verdict is about."""
    return next(path for path in Path("history").glob("*.json") if json.loads(path.read_text())["name"] == "x9")


def test_a_version_that_is_not_accepted_yet_is_to_be(repository: Path) -> None:
    # Amended, for no commit is to have had it: a version that is gone again is another finding.
    find_accepted().unlink()
    lock()
    git("commit", "--quiet", "--all", "--amend", "--message", "not accepted")
    finding = find("history")
    assert finding.state == "to do" and finding.remedy == "run `entropylaw accept`, then commit"


def test_an_empty_history_and_one_of_another_configuration_each_have_their_remedy(repository: Path) -> None:
    accepted = read_history("history")
    shutil.rmtree("history")
    for entry in accepted:
        write_entry("history", replace(entry, config_fingerprint="another"))
    git("add", "--all", "history")
    git("commit", "--quiet", "--all", "--amend", "--message", "another configuration")
    assert "accept --baseline" in find("history").remedy
    shutil.rmtree("history")
    git("commit", "--quiet", "--all", "--amend", "--message", "no history")
    assert find("history").text == "no accepted version yet"


def test_a_damaged_file_of_the_history_is_broken_and_named(repository: Path) -> None:
    accepted = find_accepted()
    accepted.write_text("<<<<<<< HEAD")
    finding = find("history")
    assert finding.state == "broken" and accepted.name in finding.text


def test_accepted_versions_that_git_has_and_that_are_gone_are_broken(repository: Path) -> None:
    find_accepted().unlink()
    finding = find("history")
    assert finding.state == "broken" and "git checkout" in finding.remedy


def waive(data_hash: str, expires: str) -> None:
    entry = {"rule": "copies", "data_hash": data_hash, "reason": "known", "owner": "kim", "expires": expires}
    write("waivers.yaml", json.dumps({"waivers": [entry]}))


def test_waivers_are_counted_and_one_that_is_needed_and_expired_is_broken(repository: Path) -> None:
    risky = sample_verdict("risky").version.data_hash
    waive(risky, "2020-01-31")
    assert find("waivers") == Finding("waivers", "ok", "0 valid, 1 expired; none is for this version")
    record_verdict("risky")
    finding = find("waivers")
    assert finding.state == "broken" and "copies for this version expired on 2020-01-31" in finding.text
    waive(risky, "2999-01-31")
    assert find("waivers") == Finding("waivers", "ok", "1 valid, 0 expired; for this version: copies")


def test_an_ill_formed_waiver_is_broken(repository: Path) -> None:
    write("waivers.yaml", "waivers: [{rule: nonsense}]")
    finding = find("waivers")
    assert finding.state == "broken" and "waivers.yaml: waivers[0]" in finding.text


# What is around it.


def test_without_a_ci_file_nobody_checks_pull_requests(repository: Path) -> None:
    shutil.rmtree(".github")
    Path(".pre-commit-config.yaml").unlink()
    finding = find("CI")
    assert finding.state == "to do" and finding.text.endswith("no pull request is checked; no pre-commit hook")


def test_torch_is_missed_only_where_the_next_run_needs_it(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "find_version", lambda package: None if package == "torch" else "3.67")
    finding = find("versions")
    assert finding.state == "ok" and finding.text.endswith("dvc 3.67, torch not installed")
    change_params("calibration", seeds=9)
    finding = find("versions")
    assert finding.state == "broken" and finding.remedy == 'run `pip install "entropylaw[train]"`'


def test_a_missing_dvc_is_broken(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "find_version", lambda package: None)
    assert find("versions").remedy.startswith('run `pip install "dvc')


def test_the_order_of_stages_in_dvc_yaml_does_not_matter() -> None:
    late, early = DeclaredStage("late", ("a",), ("b",), ()), DeclaredStage("early", (), ("a",), ("k",))
    ran = [LockedStage("late", {"a": "1"}, {"b": "2"}, {}), LockedStage("early", {}, {"a": "1"}, {"k": 1})]
    assert find_stale([late, early], ran, {"k": 1}) == {}
    changed = {"early": "k changed in params.yaml", "late": "after early"}
    assert list(find_stale([late, early], ran, {"k": 2}).items()) == list(changed.items())
    # A stage that was given another name.
    assert find_stale([late, early], ran[:1], {"k": 1}) == {"early": "it never ran", "late": "after early"}
