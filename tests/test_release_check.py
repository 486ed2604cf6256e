"""`entropylaw release check`: a whole repository whose dvc.lock DVC wrote itself, and what is changed in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from sample_results import evaluation, prepare_report, selection_report
from sample_verdicts import history, sample_verdict
from typer.testing import CliRunner

from corpus.artifacts import read_json, write_json
from entropylaw.cli import app
from entropylaw.repository.lockfile import hash_as_dvc
from entropylaw.repository.reassess import record_verdict
from entropylaw.repository.shipped_files import shipped_text
from monitor.history import write_entry
from monitor.measures.evidence import version_hash
from monitor.rules.registry import rule_ids
from monitor.waivers import Waiver, add_waiver
from training.fine_tuning import TrainingReport
from training.model_card import Provenance, TrainedOn, render_model_card
from training.sft import SftParams

pytestmark = pytest.mark.slow

DATASETS = ("sft", "preferences")
MODELS = {"sft": "models/sft", "preferences": "models/kto"}
PREPARED = {"sft": "a1" * 16, "preferences": "b2" * 16}
SELECTED = {"sft": "c3" * 16, "preferences": "d4" * 16}
VERSION = version_hash(PREPARED)
BOUND = [
    *(f"results/{name}.json" for name in ("verdict", "approval", "evaluation", "release")),
    "results/release.md",
    *(f"results/{dataset}/{name}.json" for dataset in DATASETS for name in ("prepare", "selection")),
    *(f"{folder}/{file}" for folder in MODELS.values() for file in ("model.safetensors", "README.md")),
]
IN_THE_TAG = ["dvc.lock", "dvc.yaml", "params.yaml", "waivers.yaml", "data/sft.jsonl.dvc", "history/x4"]


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, env={**os.environ, "DVC_NO_ANALYTICS": "1"})


def card(dataset: str, provenance: Provenance) -> str:
    report = TrainingReport("sft", 40, 0, 900, 1.0, 5, 5.1, 4.9, None, 1.0, 900.0, ())
    return render_model_card(report, SftParams(), TrainedOn(SELECTED[dataset], 40, "models/base", "f00d"), provenance)


def write_model(dataset: str, provenance: Provenance) -> None:
    folder = Path(MODELS[dataset])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(bytes(range(200)) + dataset.encode())
    (folder / "README.md").write_text(card(dataset, provenance), encoding="utf-8")


def write_results() -> None:
    """A risky version that was let through: every kind of check has something to look at."""
    verdict = sample_verdict("risky")
    verdict = replace(verdict, version=replace(verdict.version, data_hash=VERSION))
    write_json("results/verdict.json", verdict)
    for rule in verdict.risky_rules():
        waiver = Waiver(rule.id, VERSION, "It is meant.", "ada@example.org", "2999-12-31")
        add_waiver("waivers.yaml", waiver, rule_ids())
    for entry in history():
        write_entry("history", entry)
    for dataset in DATASETS:
        write_json(f"results/{dataset}/prepare.json", prepare_report(PREPARED[dataset]))
        write_json(f"results/{dataset}/selection.json", selection_report(PREPARED[dataset], SELECTED[dataset]))
        write_model(dataset, Provenance("zip", 90, VERSION, "risky", ("redundancy",)))
    write_json("results/evaluation.json", evaluation(VERSION))


def fill_in(pipeline: dict[str, Any]) -> None:
    """Something in every other file that the pipeline reads or writes, so that DVC can take it down as run."""
    for stage in pipeline["stages"].values():
        for entry in [*stage.get("do", stage).get("deps", ()), *stage.get("do", stage).get("outs", ())]:
            name = entry if isinstance(entry, str) else next(iter(entry))
            for dataset in DATASETS:
                path = Path(name.replace("${item.path}", f"data/{dataset}.jsonl").replace("${key}", dataset))
                if path.exists():
                    continue
                if not path.suffix:
                    path = path / "a file"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"content of {path}\n")
    for stage in pipeline["stages"].values():
        for entry in stage.get("do", stage).get("metrics", ()):
            for dataset in DATASETS:
                path = Path(next(iter(entry)).replace("${key}", dataset))
                if not path.exists():
                    write_json(path, {"made": 1})


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, ["release", *words])


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release that passes every check, committed and tagged."""
    folder = tmp_path_factory.mktemp("released")
    before = Path.cwd()
    os.chdir(folder)
    try:
        for name in ("dvc.yaml", "params.yaml", "waivers.yaml"):
            Path(name).write_text(shipped_text(name), encoding="utf-8")
        run("git", "init", "--quiet")
        run("git", "config", "user.email", "test@localhost")
        run("git", "config", "user.name", "Test")
        run(sys.executable, "-m", "dvc", "init", "--quiet")
        write_results()
        fill_in(YAML(typ="safe").load(Path("dvc.yaml").read_text()))
        record_verdict()  # as `assess` does; the rows here are made up, and cannot be judged again
        gate = CliRunner().invoke(app, ["gate"], env={"DVC_STAGE": "gate"})
        assert gate.exit_code == 0, gate.output
        done = invoke()
        assert done.exit_code == 0 and "warning" not in done.stderr, done.stderr
        run(sys.executable, "-m", "dvc", "add", "--quiet", *map(str, sorted(Path("data").glob("*.jsonl"))))
        run(sys.executable, "-m", "dvc", "commit", "--force", "--quiet")
        run("git", "add", "--all")
        run("git", "commit", "--quiet", "-m", "release")
        for tag in ("v1.2.0", "sft@v1.2.0", "kto#prod"):
            run("git", "tag", tag)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def repository(released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "repository"
    shutil.copytree(released, folder, ignore=shutil.ignore_patterns("cache", "tmp"))
    monkeypatch.chdir(folder)
    return folder


def check(*words: str) -> tuple[int, dict[str, str]]:
    """The exit code, and of the checks that did not pass the reasons."""
    result = invoke("check", "--json", *words)
    document = json.loads(result.stdout)
    assert document["exit_code"] == result.exit_code
    found: dict[str, str] = {}
    for item in document["checks"]:
        assert "\n" not in item["reason"]
        if item["status"] != "passed":
            found[item["id"]] = f"{found.get(item['id'], '')} {item['status']}: {item['reason']}"
    return result.exit_code, found


def entry_file(name: str) -> str:
    (path,) = Path("history").glob(f"{name}-*.json")
    return path.as_posix()


def edit(path: str, **changes: Any) -> None:
    write_json(path, {**read_json(path), **changes})


def replace_text(path: str, old: str, new: str) -> None:
    text = Path(path).read_text(encoding="utf-8")
    assert old in text
    Path(path).write_text(text.replace(old, new), encoding="utf-8")


def test_a_release_whose_parts_fit_together_may_go_out_and_says_so_in_words(repository: Path) -> None:
    result = invoke("check", "--tag", "v1.2.0")
    assert result.exit_code == 0, result.stdout
    lines = result.stdout.splitlines()
    assert lines[-1] == "releasable: all checks passed"
    assert [line.split()[:3] for line in lines[:-1]] == [
        ["✓", "passed", name]
        for name in ("release", "verdict", "waivers", "data", "selection", "models", "scores", "lock", "tag")
    ]


def test_the_hash_of_a_model_is_the_one_that_dvc_gives_it(repository: Path) -> None:
    lock = YAML(typ="safe").load(Path("dvc.lock").read_text())
    outs = {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}
    for path in ("models/kto", "models/base", "results/verdict.json"):
        assert hash_as_dvc(Path(path)) == outs[path]
    assert read_json("results/release.json")["models"]["kto"]["dvc_hash"] == outs["models/kto"]


def tamper_with_model() -> None:
    with Path("models/kto/model.safetensors").open("ab") as handle:
        handle.write(b"x")


def lower_score() -> None:
    edit("results/evaluation.json", z={"heldout": -4.9311})
    assert "heldout" in invoke().stderr


def drop_benchmark() -> None:
    edit(entry_file("x4"), scores={"heldout": -4.911, "mt_bench": 6.1})
    assert "mt_bench" in invoke().stderr


def train_outside_the_gate() -> None:
    write_model("sft", Provenance())
    assert "models/sft/README.md" in invoke().stderr


def train_on_other_rows() -> None:
    replace_text("models/sft/README.md", SELECTED["sft"], "e5" * 16)
    assert "models/sft/README.md" in invoke().stderr


# What is done, the check that tells, and a word of its reason.
FAULTS: dict[str, tuple[Callable[[], object], str, str]] = {
    "approval of another configuration": (
        lambda: edit("results/approval.json", config_fingerprint="0" * 16), "verdict", "approval.json"),
    "approval withdrawn": (lambda: edit("results/approval.json", approved=False), "verdict", "approval.json"),
    "expired waiver": (
        lambda: replace_text("waivers.yaml", "2999-12-31", "2001-01-31"), "waivers", "expired on 2001-01-31"),
    "waiver by another owner": (lambda: replace_text("waivers.yaml", "ada@", "eve@"), "waivers", "redundancy"),
    "no waiver left": (lambda: Path("waivers.yaml").unlink(), "waivers", "redundancy"),
    "scores of other data": (lambda: edit("results/evaluation.json", data_hash="0" * 32), "data", "evaluation.json"),
    "selected from another pool": (
        lambda: edit("results/sft/selection.json", pool_hash="0" * 32), "selection", "results/sft/selection.json"),
    "another model": (tamper_with_model, "models", "dvc checkout models/kto"),
    "model trained outside the gate": (train_outside_the_gate, "models", "behind the gate"),
    "model trained on other rows": (train_on_other_rows, "models", "other rows"),
    "lower score": (lower_score, "scores", "−4.911 of x4, the last accepted version (−0.020, tolerance 0.02)"),
    "benchmark dropped": (drop_benchmark, "scores", "release.tolerance.mt_bench"),
    "release of another tool": (lambda: edit("results/release.json", tool_version="9"), "release", "tool_version"),
    "parameters changed since": (
        lambda: replace_text("params.yaml", "near_duplicate_jaccard: 0.8", "near_duplicate_jaccard: 0.7"),
        "lock", "params.yaml: consistency"),
    "data changed since": (
        lambda: replace_text("data/sft.jsonl.dvc", "md5: ", "md5: 0"), "lock", "data/sft.jsonl: "),
    "data file changed since": (
        lambda: Path("data/heldout.jsonl").write_text("other\n"), "lock", "data/heldout.jsonl"),
    "measurement changed since": (
        lambda: Path("results/sft/compression.json").write_text("{}\n"), "lock", "results/sft/compression.json"),
    "release page changed": (
        lambda: replace_text("results/release.md", "Approved by", "Approved By"), "lock", "results/release.md"),
}  # fmt: skip


def test_an_approval_by_a_waiver_that_ends_on_no_day_is_told_in_one_line(repository: Path) -> None:
    replace_text("results/approval.json", "2999-12-31", "soon")
    code, found = check()
    assert code == 1 and "ends on no day" in found["verdict"]


def test_data_that_is_not_here_is_known_by_a_dvc_file_of_another_name(repository: Path) -> None:
    Path("data/sft.jsonl.dvc").rename("data/all.dvc")
    Path("data/sft.jsonl").unlink()
    code, found = check()
    assert code == 0, found


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_told_by_its_own_check(repository: Path, fault: str) -> None:
    make, name, word = FAULTS[fault]
    make()
    code, found = check()
    assert code == 1
    # Whatever is not as it was when DVC took it down breaks the chain of hashes too.
    assert {key for key in found if key != "lock"} == ({name} - {"lock"}), found
    assert word in found[name] and "failed: " in found[name]


def test_all_faults_are_listed_at_once(repository: Path) -> None:
    tamper_with_model()
    edit("results/evaluation.json", data_hash="0" * 32)
    Path("waivers.yaml").unlink()
    assert {"models", "data", "waivers", "lock"} <= check()[1].keys()


def test_a_stage_that_ran_on_another_file_than_was_made_breaks_the_chain(repository: Path) -> None:
    """As when dvc.lock was merged from two branches: each entry is true, but not of one run."""
    lock = YAML(typ="safe").load(Path("dvc.lock").read_text())
    (dep,) = [dep for dep in lock["stages"]["sft"]["deps"] if dep["path"] == "data/selected/sft.jsonl"]
    dep["md5"] = "0" * 32
    with Path("dvc.lock").open("w") as handle:
        YAML(typ="safe").dump(lock, handle)
    code, found = check()
    assert code == 1 and found.keys() == {"lock"}
    assert "data/selected/sft.jsonl: `sft` ran on another one than `select@sft` made" in found["lock"]


def test_a_score_lower_by_the_tolerance_is_tolerated_and_null_compares_nothing(repository: Path) -> None:
    edit("results/evaluation.json", z={"heldout": -4.931})
    assert invoke().stderr == ""
    lower_score()
    replace_text("params.yaml", "heldout: 0.02", "heldout: null")
    assert invoke().stderr == ""


@pytest.mark.parametrize("change", [{"waived": True, "status": "risky"}, {"config_fingerprint": "0" * 16}])
def test_a_version_that_is_no_reference_is_none_for_scores_either(repository: Path, change: dict[str, Any]) -> None:
    edit(entry_file("x4"), scores={"heldout": -4.0}, **change)
    assert invoke().stderr == ""
    assert read_json("results/release.json")["previous"]["name"] == "x3"


def test_a_version_accepted_since_is_the_one_to_compare_with(repository: Path) -> None:
    write_entry("history", replace(history()[3], number=0, name="x4b", data_hash="ab" * 16, scores={"heldout": -4.5}))
    code, found = check()
    assert code == 1 and "of x4b" in found["scores"] and "previous" in found["release"]


def fall_in_small_steps(**changes: Any) -> None:
    """x1 to x4 lose 0.015 each, less than the tolerance, and so does the release."""
    for number in (1, 2, 3, 4):
        edit(entry_file(f"x{number}"), scores={"heldout": -4.905 + 0.015 * (4 - number)})
    for name, change in changes.items():
        edit(entry_file(name), **change)


def test_small_falls_of_z_add_up_against_the_anchor(repository: Path) -> None:
    fall_in_small_steps()
    code, found = check()
    assert code == 1 and "against −4.860 of x1, the anchor (−0.060, tolerance 0.02)" in found["scores"]
    assert "entropylaw accept --anchor" in found["scores"] and "x4, the last" not in found["scores"]


@pytest.mark.parametrize("change", [{"anchor": True}, {"status": "baseline"}])
def test_a_version_that_a_person_confirmed_takes_the_place_of_the_first(
    repository: Path, change: dict[str, Any]
) -> None:
    fall_in_small_steps(x4=change)
    assert "scores" not in check()[1]


def test_a_waived_anchor_is_none_for_scores_either(repository: Path) -> None:
    fall_in_small_steps(x3={"anchor": True, "waived": True})
    assert "of x1, the anchor" in check()[1]["scores"]


def test_where_the_anchor_has_no_score_the_first_version_since_that_has_one_takes_its_place(repository: Path) -> None:
    fall_in_small_steps(x1={"scores": {}})
    assert "against −4.875 of x2, the first one scored since the anchor x1 (−0.045" in check()[1]["scores"]


def test_confirming_the_released_version_accepts_what_it_lost_in_small_steps_and_not_in_one(repository: Path) -> None:
    fall_in_small_steps()
    own = replace(history()[3], number=0, name="x5", data_hash=VERSION, scores={"heldout": -4.92}, anchor=True)
    write_entry("history", own)
    assert "scores" not in check()[1]
    edit(entry_file("x4"), scores={"heldout": -4.8})
    assert "of x4, the last accepted version" in check()[1]["scores"]


def test_a_benchmark_of_the_anchor_that_was_given_up_since_is_not_asked_for(repository: Path) -> None:
    edit(entry_file("x1"), scores={"heldout": -5.061, "mt_bench": 9.0})
    assert "scores" not in check()[1]


def test_accepting_the_released_version_itself_changes_nothing(repository: Path) -> None:
    write_entry("history", replace(history()[3], number=0, name="x5", data_hash=VERSION, scores={"heldout": -4.92}))
    assert check() == (0, {})


@pytest.mark.parametrize(
    "path",
    [
        "results/release.json", "results/release.md", "results/verdict.json", "results/approval.json",
        "results/evaluation.json", "results/sft/prepare.json", "results/preferences/selection.json",
        "results/calibration.json", "dvc.lock",
    ],
)  # fmt: skip
def test_what_is_missing_is_no_pass(repository: Path, path: str) -> None:
    Path(path).unlink()
    code, found = check()
    assert code == 3
    assert any(path in reason for reason in found.values())
    assert all("failed" not in reason for reason in found.values()), found


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("stages: [\n}\n", "dvc.lock, line 2: not YAML"),
        ("stages: {release: {outs: [{path: results/release.md}]}}\n", "no record of MD5 hashes as DVC 3 writes it"),
        ("stages: {}\n", "has no stage `release`"),
    ],
)
def test_a_damaged_lock_is_no_pass_and_says_where(repository: Path, text: str, word: str) -> None:
    Path("dvc.lock").write_text(text)
    code, found = check()
    assert code == 3 and found.keys() == {"lock"}
    assert word in found["lock"] and "run `dvc repro`" in found["lock"]


@pytest.mark.parametrize(("version", "word"), [(1, "--force release"), (99, "newer"), (None, "--force release")])
def test_a_release_of_an_unknown_schema_is_not_checked(repository: Path, version: object, word: str) -> None:
    edit("results/release.json", schema_version=version)
    code, found = check()
    assert code == 3 and word in found["release"]


def test_a_version_that_could_not_be_assessed_is_no_release(repository: Path) -> None:
    edit("results/verdict.json", status="not_assessed")
    assert "could not be assessed" in check()[1]["verdict"]


def test_without_data_and_models_the_lock_speaks_for_them(repository: Path) -> None:
    for folder in ("models", "data/prepared", "data/selected"):
        shutil.rmtree(folder)
    for path in Path("data").glob("*.jsonl"):
        path.unlink()
    result = invoke("check", "--tag", "v1.2.0")
    assert result.exit_code == 0 and "models/sft, models/kto: not pulled" in result.stdout
    replace_text("dvc.lock", read_json("results/release.json")["models"]["sft"]["dvc_hash"], "0" * 32 + ".dir")
    code, found = check()
    assert code == 1 and "models/sft: dvc.lock names another model" in found["lock"]


def test_a_params_file_that_cannot_be_read_is_a_usage_error(repository: Path) -> None:
    replace_text("params.yaml", "heldout: 0.02", "heldout: -1")
    result = invoke("check")
    assert result.exit_code == 2 and "heldout must not be negative" in result.stderr


def test_a_release_of_several_versions_is_not_written(repository: Path) -> None:
    Path("results/release.json").unlink()
    edit("results/evaluation.json", data_hash="0" * 32)
    result = invoke()
    assert result.exit_code == 2 and "results/evaluation.json: is of data 00000" in result.stderr
    assert not Path("results/release.json").exists()


@pytest.mark.parametrize("tag", ["v1.2.0", "sft@v1.2.0", "kto#prod"])
def test_a_tag_at_this_commit_passes_whether_it_is_gtos_or_plain(repository: Path, tag: str) -> None:
    assert check("--tag", tag) == (0, {})


@pytest.mark.parametrize(
    ("tag", "word"),
    [
        ("reward@v1.2.0", "its `artifacts` are: kto, sft"),
        ("sub=sft@v1.2.0", "no such artifact"),
        ("sft@v1.2.0!", "takes a version back"),
        ("sft@1.2.0", "tag it like sft@v1.2.0"),
    ],
)
def test_a_tag_that_names_no_model_of_the_release_is_refused(repository: Path, tag: str, word: str) -> None:
    run("git", "tag", tag)
    code, found = check("--tag", tag)
    assert code == 1 and word in found["tag"]


def test_an_artifact_that_is_no_model_of_the_release_is_refused(repository: Path) -> None:
    replace_text("dvc.yaml", "path: models/sft", "path: models/base")
    assert "models/base for sft, which is no model" in check("--tag", "sft@v1.2.0")[1]["tag"]


def test_a_tag_elsewhere_is_refused_and_one_that_is_not_here_is_not_checked(repository: Path) -> None:
    code, found = check("--tag", "v9.9.9")
    assert code == 3 and "git fetch --tags" in found["tag"]
    run("git", "commit", "--quiet", "--allow-empty", "-m", "later")
    code, found = check("--tag", "v1.2.0")
    assert code == 1 and "is checked out" in found["tag"]


def test_what_is_not_committed_in_the_tag_is_named(repository: Path) -> None:
    Path("results/approval.json").write_bytes(Path("results/approval.json").read_bytes() + b"\n")
    entry = entry_file("x4")
    Path(entry).unlink()
    run("git", "rm", "--quiet", "--cached", "results/release.md")
    run("git", "commit", "--quiet", "-m", "without")
    run("git", "tag", "v2.0.0")
    reasons = check("--tag", "v2.0.0")[1]["tag"]
    assert "results/approval.json: differs" in reasons and "results/release.md: is not committed" in reasons
    assert f"{entry}: is in v2.0.0 and not here" in reasons


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([*BOUND, *IN_THE_TAG]), st.integers(0), st.integers(1, 255))
def test_no_byte_of_what_is_bound_can_change_unnoticed(repository: Path, path: str, place: int, mask: int) -> None:
    path = entry_file("x4") if path == "history/x4" else path
    before = Path(path).read_bytes()
    changed = bytearray(before)
    changed[place % len(before)] ^= mask
    Path(path).write_bytes(changed)
    try:
        result = invoke("check", *([] if path in BOUND else ["--tag", "v1.2.0"]))
        assert result.exit_code in (1, 2, 3), result.stdout
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    finally:
        Path(path).write_bytes(before)


def test_the_waivers_of_the_release_are_those_of_the_approval(repository: Path) -> None:
    release = read_json("results/release.json")
    assert release["waivers"] == read_json("results/approval.json")["waivers"] and len(release["waivers"]) == 3
    assert asdict(Waiver(**release["waivers"][0])) == release["waivers"][0]
