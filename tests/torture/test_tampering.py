"""A risky version waits at the gate, and somebody wants it through: no edit of files opens it unseen.

Each tampering is tried as it is, and once more after DVC was made to record it and all of it was committed. What is let
through by design, such as a waiver, is shown to reviewers.
"""

import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from ruamel.yaml import YAML
from tampering import build_once, commit, edited, find_entry, git, judge, record_all, run

from corpus.artifacts import read_json, write_json
from entropylaw.repository.history_guard import GITLAB_BASE, TARGET_VARIABLES
from monitor.history_entry import make_id
from reports.checks import CheckFormat

VERDICT = "results/verdict.json"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_once(tmp_path_factory)


@pytest.fixture
def work(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the repository, its remote beside it."""
    for name in (*TARGET_VARIABLES, GITLAB_BASE, "GITHUB_REF", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(built.parent, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(tmp_path / "copy" / "work")
    return Path.cwd()


def change(**fields: Any) -> Callable[[], None]:
    """Other fields of the verdict."""

    def tamper() -> None:
        with edited(VERDICT) as verdict:
            verdict.update(fields)

    return tamper


def change_rules(**fields: Any) -> Callable[[], None]:
    """Other fields of each rule that is risky or warns, in a verdict that says pass."""

    def tamper() -> None:
        with edited(VERDICT) as verdict:
            verdict["status"] = "pass"
            verdict["summary"] = "No rule found more than benign updates do, against x1."
            for rule in verdict["rules"]:
                if rule["status"] in ("risky", "warn"):
                    rule.update(fields)

    return tamper


def drop_rules(keep: Callable[[Any], bool]) -> Callable[[], None]:
    def tamper() -> None:
        with edited(VERDICT) as verdict:
            verdict["rules"] = [rule for rule in verdict["rules"] if keep(rule)]
            verdict["status"] = "pass"

    return tamper


def forget_the_old_tool() -> None:
    change_rules(status="pass", p_value=0.7)()
    change(tool_version="0.1.0")()


def begin_anew_by_hand() -> None:
    change(status="baseline", parent=None, rules=[], parent_measurements={}, rows=[], forecast=None)()


def call_it_baseline() -> None:
    change_rules(status="pass", p_value=0.7)()
    change(status="baseline")()


def flatter(name: str, **fields: Any) -> Callable[[], None]:
    """Other measurements of the version or its parent, and rules that fit."""

    def tamper() -> None:
        change_rules(status="pass", p_value=0.7)()
        with edited(VERDICT) as verdict:
            verdict[name]["sft"].update(fields)

    return tamper


def take_the_verdict_of_x1() -> None:
    git("checkout", "main", "--", VERDICT, "results/metrics.json", "results/approval.json")


def measure_less(file: str, **fields: Any) -> Callable[[], None]:
    """Other results of a measurement, and a verdict that `assess` made of them."""

    def tamper() -> None:
        with edited(f"results/sft/{file}") as result:
            result.update(fields)
        run("assess", code=None)

    return tamper


def widen(change_log_r: float, nats: float) -> Callable[[], None]:
    """A calibration by which everything is benign, and a verdict that `assess` made of it."""

    def tamper() -> None:
        with edited("results/calibration.json") as calibration:
            calibration["noise_l"] = [5.0, 5.0 + nats]
            for number, update in enumerate(calibration["updates"]):
                sign = (-1) ** number
                update.update(change_log_r=sign * change_log_r, change_log_r_long=sign * change_log_r,
                              change_l=sign * nats, change_c=sign * change_log_r)  # fmt: skip
        run("assess", code=None)

    return tamper


def another_base() -> None:
    with edited("results/calibration.json") as calibration:
        calibration["base_identity"] = "c" * 16
    with edited("results/sft/probe.json") as probe:
        probe["base_identity"] = "c" * 16
    run("assess", code=None)


def lose_the_history() -> None:
    for path in Path("history").glob("*.json"):
        path.unlink()
    run("assess", code=None)


def hide_the_history() -> None:
    find_entry().rename("history/x1.txt")
    run("assess", code=None)


def own_the_history(rename: bool) -> Callable[[], None]:
    """x1 with the hash of the version under test: then there is no other version to compare with."""

    def tamper() -> None:
        path, own = find_entry(), read_json(VERDICT)["version"]["data_hash"]
        with edited(str(path)) as entry:
            entry["data_hash"] = entry["datasets"]["sft"]["data_hash"] = own
            held = make_id(own, entry["config_fingerprint"], entry.get("parents"))
        if rename:
            path.rename(path.with_name(f"x1-{own[:8]}-{held[:8]}.json"))
        run("assess", code=None)

    return tamper


def another_configuration() -> None:
    with edited(str(find_entry())) as entry:
        entry["config_fingerprint"] = "0" * 16
    run("assess", code=None)


def waive_the_parent() -> None:
    with edited(str(find_entry())) as entry:
        entry["waived"] = True
    run("assess", code=None)


def poison_the_parent(*keys: str, value: Any) -> Callable[[], None]:
    def tamper() -> None:
        with edited(str(find_entry())) as entry:
            part = entry
            for key in keys[:-1]:
                part = part[key]
            part[keys[-1]] = value
        run("assess", code=None)

    return tamper


def forge_an_entry(**fields: Any) -> Callable[[], None]:
    """A version that holds the same rows as the one under test, said to have been accepted before it."""

    def tamper() -> None:
        path = accept_by_force()
        entry = read_json(path)
        path.unlink()
        entry.update(data_hash="f" * 32, status="pass", waived=False, waivers=[], name="x2", **fields)
        entry["datasets"]["sft"]["data_hash"] = "f" * 32
        held = make_id("f" * 32, entry["config_fingerprint"], entry["parents"])
        write_json(f"history/x2-ffffffff-{held[:8]}.json", entry)
        run("assess", code=None)

    return tamper


def accept_by_force() -> Path:
    """The entry of the version under test, as if somebody had waived all that is risky."""
    shutil.copy("waivers.yaml", "kept")
    words = ("--reason", "mine", "--owner", "me", "--expires", "2999-01-01")
    run("waive", "all", *words)
    record_all()
    run("accept", "--name", "x2")
    shutil.move("kept", "waivers.yaml")
    return next(path for path in Path("history").glob("x2-*.json"))


def accept_myself(status: str) -> Callable[[], None]:
    """The version's own entry, written by hand as one that was let through."""

    def tamper() -> None:
        path = accept_by_force()
        with edited(str(path)) as entry:
            entry.update(status=status, waived=False, waivers=[], start={"owner": "me", "reason": "fine"})
        run("assess", code=None)

    return tamper


def edit_text(path: str, old: str, new: str) -> Callable[[], None]:
    def tamper() -> None:
        text = Path(path).read_text()
        assert old in text, old
        Path(path).write_text(text.replace(old, new))

    return tamper


def edit_pipeline(do: Callable[[Any], None]) -> Callable[[], None]:
    def tamper() -> None:
        yaml = YAML()
        document = yaml.load(Path("dvc.yaml"))
        do(document["stages"])
        yaml.dump(document, Path("dvc.yaml"))

    return tamper


def run_instead(stage: str, command: str) -> Callable[[Any], None]:
    return lambda stages: stages[stage].update(cmd=command)


def forge_the_approval() -> None:
    git("checkout", "main", "--", "results/approval.json")
    with edited("results/approval.json") as approval:
        verdict = read_json(VERDICT)
        approval.update(status="pass", data_hash=verdict["version"]["data_hash"], version=verdict["version"]["name"])
    change_rules(status="pass", p_value=0.7)()


def change_a_row() -> None:
    """The damaged rows are mended, but for their hashes: the verdict would be of other text."""
    path = Path("data/prepared/sft.jsonl")
    lines = path.read_text().splitlines()
    for i in range(200, 240):
        row = json.loads(lines[i])
        row["messages"][-1]["content"] = json.loads(lines[i - 100])["messages"][-1]["content"]
        lines[i] = json.dumps(row, ensure_ascii=False)
    path.write_text("\n".join([*lines, ""]))
    run("assess", code=None)


def take_rows_out() -> None:
    """The damaged rows are gone from what is prepared, and the report of it says nothing."""
    path = Path("data/prepared/sft.jsonl")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:200]))
    run("assess", code=None)


def link_the_verdict() -> None:
    Path("elsewhere.json").write_text(git("show", f"main:{VERDICT}") + "\n")
    Path(VERDICT).unlink()
    os.symlink("../elsewhere.json", VERDICT)


def overwrite(path: str, text: str) -> Callable[[], None]:
    def tamper() -> None:
        Path(path).write_text(text)

    return tamper


def delete(path: str) -> Callable[[], None]:
    return lambda: Path(path).unlink()


PASSING = {"status": "pass", "p_value": 0.7, "statistic": 0.0}
TAMPERINGS: dict[str, Callable[[], None]] = {
    # The verdict
    "it says pass": change(status="pass"),
    "it says baseline": change(status="baseline"),
    "it says RISKY": change(status="RISKY"),
    "it says nothing": change(status=None),
    "its rules pass": change_rules(**PASSING),
    "its rules warn": change_rules(status="warn"),
    "its rules were skipped": change_rules(status="skipped", p_value=None),
    "its rules say error": change_rules(status="error"),
    "its rules say null": change_rules(status=None),
    "its rules are not numbers": change_rules(status="pass", p_value=math.nan),
    "it has no rules": drop_rules(lambda rule: False),
    "it has only rules that pass": drop_rules(lambda rule: rule["status"] not in ("risky", "warn")),
    "it is of another schema": change(schema_version=2),
    "it is of an older tool": forget_the_old_tool,
    "it is of the data of x1": change(version={"name": "x1", "data_hash": "1" * 32, "rows": 240}),
    "it is of another configuration": change(config_fingerprint="0" * 16),
    "it begins anew": begin_anew_by_hand,
    "it is called a baseline": call_it_baseline,
    "it names another parent": change(parent={"name": "x0", "data_hash": "1" * 32, "rows": 200}),
    "its R is lower": flatter("measurements", r=2.0, r_long=2.0),
    "its L is lower": flatter("measurements", l=4.9),
    "its C is higher": flatter("measurements", c=0.9),
    "its parent's L is higher": flatter("parent_measurements", l=6.0),
    "it is that of x1": take_the_verdict_of_x1,
    "it is a link": link_the_verdict,
    "it is empty": overwrite(VERDICT, ""),
    "it is a list": overwrite(VERDICT, "[]\n"),
    "it is cut": lambda: overwrite(VERDICT, Path(VERDICT).read_text()[:2000])(),
    "it is gone": delete(VERDICT),
    # What it rests on
    "R was lowered": measure_less("compression.json", r=1.5, r_long=1.5),
    "R is not a number": measure_less("compression.json", r_long=math.nan),
    "R is infinite": measure_less("compression.json", r_long=math.inf),
    "L was lowered": measure_less("probe.json", l=4.9),
    "C was raised": measure_less("consistency.json", agreement=0.99),
    "the data hash is that of x1": measure_less("prepare.json", data_hash="1" * 32),
    "rows were changed": change_a_row,
    "rows were taken out": take_rows_out,
    "the calibration is huge": widen(5.0, 50.0),
    "the calibration is wide": widen(0.5, 0.9),
    "the calibration is of another model": another_base,
    # The history
    "the history is gone": lose_the_history,
    "the history is hidden": hide_the_history,
    "the parent has the version's own hash": own_the_history(rename=False),
    "the parent has the version's own hash and a name that fits": own_the_history(rename=True),
    "the parent is of another configuration": another_configuration,
    "the parent was released under a waiver": waive_the_parent,
    "the parent's R is not a number": poison_the_parent("measurements", "sft", "r_long", value=math.nan),
    "the parent's R is null": poison_the_parent("measurements", "sft", "r_long", value=None),
    "the parent's L is infinite": poison_the_parent("measurements", "sft", "l", value=math.inf),
    "the parent's rows are none": poison_the_parent("measurements", "sft", "rows", value=0),
    "the parent has no datasets": poison_the_parent("datasets", value={}),
    "a version was forged": forge_an_entry(),
    "its own entry passes": accept_myself("pass"),
    "its own entry is a baseline": accept_myself("baseline"),
    # Parameters, pipeline, approval, DVC's record
    "parameters were loosened and nothing was run": edit_text("params.yaml", "alarm_rate: 0.05", "alarm_rate: 1e-9"),
    "the gate runs true": edit_pipeline(run_instead("gate", "true")),
    "the verdict is copied": edit_pipeline(run_instead("assess", f"cp mine.json {VERDICT}")),
    "there is no gate": edit_pipeline(lambda stages: stages.pop("gate")),
    "nothing assesses": edit_pipeline(lambda stages: stages.pop("assess")),
    "there are no stages": edit_pipeline(lambda stages: stages.clear()),
    "the approval was written by hand": forge_the_approval,
    "dvc.lock is gone": delete("dvc.lock"),
    "dvc.lock is empty": overwrite("dvc.lock", "schema: '2.0'\nstages: {}\n"),
    "the data are those of x1 again": lambda: git("checkout", "main", "--", "data/sft.jsonl.dvc") and None,
    "params.yaml is gone": delete("params.yaml"),
    "dvc.yaml is gone": delete("dvc.yaml"),
}  # fmt: skip

# Once DVC has recorded them, these are found by judging again alone. `check` does not take the time; `check --verify`
# does, and `gate`, `accept` and `export` do where another machine made the verdict.
ONLY_JUDGED_AGAIN = {
    "its rules pass", "its rules were skipped", "it is of an older tool", "the approval was written by hand",
}  # fmt: skip
# The share that `make test` tries: one of each kind.
SHARE = {"its rules pass", "the calibration is huge", "the parent has the version's own hash and a name that fits"}


@pytest.mark.parametrize(
    "recorded",
    [pytest.param(False, marks=pytest.mark.torture, id="as it is"), pytest.param(True, id="recorded and committed")],
)
@pytest.mark.parametrize(
    "name", [name if name in SHARE else pytest.param(name, marks=pytest.mark.torture) for name in TAMPERINGS]
)
def test_no_tampering_opens_the_gate(work: Path, name: str, recorded: bool, tally: Callable[..., None]) -> None:
    TAMPERINGS[name]()
    if recorded:
        if Path("dvc.yaml").exists() and Path("params.yaml").exists() and Path(VERDICT).exists():
            record_all()
        commit("Nothing to see")
    tally("tamperings")
    for words in (("check",), ("check", "--verify"), ("gate",)):
        code, said = run(*words, code=None)
        if recorded and words == ("check",) and name in ONLY_JUDGED_AGAIN:
            continue
        assert code in (1, 2, 3), f"{words} exited {code}: {said}"
        assert code != 2 or "params.yaml" in said or "verdict.json" in said, said
        if code == 3:
            assert any(file in said for file in ("results/", "history", "dvc.", "params.yaml", "data/", "sft")), said


def loosen() -> str:
    """Thresholds that nothing reaches, and a verdict by them."""
    yaml = YAML()
    params = yaml.load(Path("params.yaml"))
    params["rules"].update(false_alarm_rate=1e-12, risky_rate=1e-12)
    yaml.dump(params, Path("params.yaml"))
    judge()
    return "rules.false_alarm_rate 0.05"


def waive_for_myself() -> str:
    run("waive", "all", "--reason", "mine", "--owner", "mallory", "--expires", "2999-01-01")
    judge()
    return "waivers.yaml: waivers are not those of origin/main"


def widen_within_bounds() -> str:
    widen(0.5, 0.9)()
    judge()
    return "results/calibration.json: what counts as a benign update is not what it was in origin/main"


def confirm_a_forged_version() -> str:
    forge_an_entry(anchor=True)()
    judge()
    return "(confirmed)"


@pytest.mark.torture
@pytest.mark.parametrize("change_beside", [loosen, waive_for_myself, widen_within_bounds, confirm_a_forged_version])
def test_what_a_branch_changes_beside_its_data_is_shown_to_the_reviewer(
    work: Path, change_beside: Callable[[], str]
) -> None:
    said = change_beside()
    record_all()
    commit("Nothing to see")
    for format in get_args(CheckFormat):
        _, shown = run("check", "--format", format, code=None)
        assert said in shown.replace("\\", ""), (format, shown)  # Markdown escapes underscores


@pytest.mark.torture
def test_a_forged_version_that_is_confirmed_passes_without_signatures_and_not_with_them(work: Path) -> None:
    """What docs/decisions/0030 says that only a signature proves."""
    git("checkout", "--quiet", "main")
    Path("signers").write_text(
        "ci@example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZpbGxlcmZpbGxlcmZpbGxlcmZpbGxlcmZpbGxl\n"
    )
    edit_text("params.yaml", "signers: null", "signers: signers")()
    commit("From now on CI signs")
    git("push", "--quiet", "origin", "main")
    git("checkout", "--quiet", "update")
    git("merge", "--quiet", "--no-edit", "main")
    confirm_a_forged_version()
    record_all()
    commit("Nothing to see")
    code, said = run("check", code=None)
    assert code == 3 and "x2-ffffffff" in said and "has no signature" in said, said
