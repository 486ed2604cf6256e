"""A repository of preferences without conversations: its chosen answers are what the base model reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from corpus.artifacts import write_json
from corpus.errors import EntropylawError, ParamsError
from corpus.formats import read_records
from corpus.prepare import PrepareParams, decide_record, prepare_file, read_prepared
from corpus.records import Conversation, Message, Preference, chosen_conversation, content_hash
from entropylaw.cli import app
from entropylaw.history import load_scores_of
from entropylaw.init.data_files import make_data
from entropylaw.init.dataset_paths import parse_datasets
from entropylaw.init.dvc_outputs import DvcRepository
from entropylaw.init.pipeline import render_pipeline
from entropylaw.init.stages import Stages
from entropylaw.repository import layout
from entropylaw.repository.datasets import main_dataset, read_datasets
from entropylaw.repository.recorded_stages import list_fresh_stages
from entropylaw.repository.reported_scores import read_reported_scores, report_score
from entropylaw.repository.rows import held_out_hashes
from monitor.history import HistoryEntry, read_history, write_entry
from tests.sample_results import evaluation
from tests.sample_verdicts import sample_verdict

FILE = Path("data/pairs.jsonl")


def pair(i: int, chosen: str = "") -> dict[str, Any]:
    return {"prompt": f"question {i}", "chosen": chosen or f"good answer {i}", "rejected": f"bad answer {i}"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(rows: Iterable[dict[str, Any]], path: Path = FILE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def hashes(path: Path) -> list[str]:
    return [row_hash for _, row_hash in read_prepared(path)]


def write_data(datasets: dict[str, Path], heldout: Path | None) -> None:
    for path, content in make_data(datasets, heldout).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_the_baseline_and_the_held_out_rows_are_the_chosen_answers_each_once(folder: Path) -> None:
    write([*(pair(i) for i in range(300)), pair(7), {**pair(8), "rejected": "another bad answer"}])
    write_data({"preferences": FILE}, heldout=None)
    baseline, held_out = hashes(layout.BASELINE), hashes(layout.HELDOUT)
    expected = {
        content_hash(Conversation((Message("user", f"question {i}"), Message("assistant", f"good answer {i}"))))
        for i in range(300)
    }
    assert {*baseline, *held_out} == expected and len(baseline) + len(held_out) == 300
    assert 5 <= len(held_out) <= 30


def test_of_many_rows_those_with_the_lowest_hashes_are_taken_in_file_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(pair(i) for i in range(300))
    write_data({"preferences": FILE}, heldout=None)
    everything = [*hashes(layout.BASELINE), *hashes(layout.HELDOUT)]
    monkeypatch.setattr("entropylaw.init.data_files.MAX_BASELINE_ROWS", 40)
    monkeypatch.setattr("entropylaw.init.data_files.MAX_HELDOUT_ROWS", 3)
    write_data({"preferences": FILE}, heldout=None)
    baseline, held_out = hashes(layout.BASELINE), hashes(layout.HELDOUT)
    assert len(held_out) == 3 and baseline == [h for h in everything if h in set(baseline)]
    assert sorted(baseline) == sorted(set(everything) - set(held_out))[:40]
    monkeypatch.setattr("entropylaw.init.data_files.MAX_CHARACTERS", 10)
    write_data({"preferences": FILE}, heldout=None)
    assert len(hashes(layout.BASELINE)) == len(hashes(layout.HELDOUT)) == 1


def test_no_pair_teaches_an_answer_that_is_held_out(folder: Path) -> None:
    write(pair(i) for i in range(300))
    write_data({"preferences": FILE}, heldout=None)
    report = prepare_file(FILE, layout.prepared("preferences"), PrepareParams(), held_out_hashes(layout.HELDOUT))
    kept = [record for record, _ in read_prepared(layout.prepared("preferences"))]
    taught = {content_hash(chosen_conversation(record)) for record in kept if isinstance(record, Preference)}
    assert taught == set(hashes(layout.BASELINE))
    assert report.dropped_counts == {"held out": len(hashes(layout.HELDOUT))}


def test_a_rejected_answer_that_is_held_out_elsewhere_stays() -> None:
    prompt, good, bad = (Message("user", "Hi"),), (Message("assistant", "Hello"),), (Message("assistant", "No"),)
    held_out = frozenset({content_hash(Conversation((*prompt, *good)))})
    assert decide_record(Preference(prompt, good, bad), PrepareParams(), held_out).reason == "held out"
    assert decide_record(Preference(prompt, good), PrepareParams(), held_out).reason == "held out"
    for kept in (Preference(prompt, bad, good), Preference(prompt, (), good), Preference(prompt, bad)):
        assert decide_record(kept, PrepareParams(), held_out).reason is None


def test_a_held_out_file_of_conversations_is_taken(folder: Path) -> None:
    write(pair(i) for i in range(50))
    row = {"messages": [{"role": "user", "content": "question 3"}, {"role": "assistant", "content": "good answer 3"}]}
    write([row], Path("held.jsonl"))
    write_data({"preferences": FILE}, heldout=Path("held.jsonl"))
    assert len(hashes(layout.HELDOUT)) == 1 and len(hashes(layout.BASELINE)) == 49


def test_with_conversations_too_the_baseline_is_theirs(folder: Path) -> None:
    write(pair(i) for i in range(300))
    chats = Path("data/chats.jsonl")
    write(({"prompt": f"chat {i}", "completion": f"reply {i}"} for i in range(300)), chats)
    write_data({"sft": chats, "preferences": FILE}, heldout=None)
    records = {content_hash(record) for record in read_records(chats)}
    assert {*hashes(layout.BASELINE), *hashes(layout.HELDOUT)} == records


def test_preferences_without_a_chosen_answer_give_no_baseline(folder: Path) -> None:
    write({"prompt": f"question {i}", "completion": "bad", "label": False} for i in range(50))
    with pytest.raises(EntropylawError, match=r"data/pairs\.jsonl: 0 different chosen answers are too few"):
        write_data({"preferences": FILE}, heldout=None)
    assert not layout.BASELINE.exists()


def test_init_takes_either_dataset_and_asks_for_one(folder: Path) -> None:
    write([pair(1)])
    dvc = DvcRepository(folder.resolve(), (), (), ())
    assert parse_datasets([f"preferences={FILE}"], folder, dvc) == {"preferences": folder.resolve() / FILE}
    with pytest.raises(EntropylawError, match="--dataset sft=PATH for conversations, --dataset preferences=PATH"):
        parse_datasets([], folder, dvc)


def set_up(datasets: dict[str, str]) -> None:
    for name, text in render_pipeline(datasets, stages=Stages.monitor).items():
        Path(name).write_text(text, encoding="utf-8")


def test_params_may_name_either_dataset_and_no_other(folder: Path) -> None:
    assert main_dataset() == "sft"
    set_up({"preferences": FILE.as_posix()})
    assert list(read_datasets()) == ["preferences"] and main_dataset() == "preferences"
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("  preferences:", "  rewards:"))
    with pytest.raises(ParamsError, match=r"expected sft, preferences or both, found \['rewards'\]"):
        read_datasets()


def test_a_study_says_that_it_needs_conversations(folder: Path) -> None:
    set_up({"preferences": FILE.as_posix()})
    for name in (".git", ".dvc"):
        (folder / name).mkdir()
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    for name in ("objects", "refs"):
        (folder / ".git" / name).mkdir()
    result = CliRunner().invoke(app, ["study"])
    assert result.exit_code == 2 and "the study selects conversations, and there is no dataset sft" in result.stderr
    assert not (folder / "studies").exists()


def judge(status: str = "pass") -> str:
    """A verdict on the version under test; its hash."""
    verdict = sample_verdict(status)
    write_json(layout.VERDICT, verdict)
    return verdict.version.data_hash


def score(*words: str) -> str:
    result = CliRunner().invoke(app, ["score", *words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_score_of_a_version_under_test_waits_to_be_accepted(folder: Path) -> None:
    version = judge()
    assert score("--benchmark", "mt_bench", "--value", "7.5") == "results/scores.json: mt_bench 7.5\n"
    score("--benchmark", "ours", "--value", "0.25")
    score("--benchmark", "ours", "--value", "0.5")
    assert read_reported_scores(version) == {"mt_bench": 7.5, "ours": 0.5}
    # It goes with what `evaluate` measured, and not into another version.
    write_json(layout.EVALUATION, evaluation(version, heldout=-4.9, ours=0.1))
    verdict = sample_verdict("pass")
    assert load_scores_of(verdict) == {"heldout": -4.9, "mt_bench": 7.5, "ours": 0.5}
    other = replace(verdict, version=replace(verdict.version, data_hash="0" * 32))
    assert load_scores_of(other) == {}


def test_what_was_reported_of_another_version_is_replaced(folder: Path) -> None:
    report_score("a" * 32, "ours", 1.0)
    report_score("b" * 32, "theirs", 2.0)
    assert (read_reported_scores("a" * 32), read_reported_scores("b" * 32)) == ({}, {"theirs": 2.0})


def test_the_score_of_an_accepted_version_goes_into_the_history(folder: Path) -> None:
    verdict = sample_verdict("pass")
    write_json(layout.VERDICT, verdict)
    entry = HistoryEntry(
        name="x6",
        data_hash=verdict.version.data_hash,
        config_fingerprint=verdict.config_fingerprint,
        status="pass",
        rows=verdict.version.rows,
        measurements={},
        datasets={},
        tool_version="0.2.0",
    )
    write_entry(layout.HISTORY, entry)
    assert score("--benchmark", "ours", "--value", "0.5").startswith("history/x6-")
    assert read_history(layout.HISTORY)[0].scores == {"ours": 0.5}
    assert not layout.REPORTED_SCORES.exists()
    score("x6", "--benchmark", "ours", "--value", "0.75")
    assert read_history(layout.HISTORY)[0].scores == {"ours": 0.75}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # DVC's own libraries
def test_a_score_told_by_a_running_stage_leaves_dvcs_records_to_dvc(
    folder: Path, monkeypatch: pytest.MonkeyPatch, quiet_dvc: None
) -> None:
    from dvc.repo import Repo

    Path("dvc.yaml").write_text("stages: {gate: {cmd: echo yes > approval.txt, outs: [approval.txt]}}\n")
    with Repo.init(no_scm=True) as repo:
        repo.reproduce()
    assert list_fresh_stages() == ("gate",)
    # DVC locks what the stage reads until its command has ended.
    monkeypatch.setenv("DVC_STAGE", "train")
    assert list_fresh_stages() == ()


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("[]", "expected object, found array"),
        ('{"data_hash": "x"}', "z: missing key"),
        ('{"data_hash": "x", "z": {"a": "b"}}', r"z\[\.\.\.\]: expected float, found str"),
        ('{"data_hash": "x", "z": {"a": null}}', r"z\[\.\.\.\]: expected float, found null"),
    ],
)
def test_a_damaged_file_of_scores_is_one_line(folder: Path, content: str, cause: str) -> None:
    layout.RESULTS.mkdir()
    layout.REPORTED_SCORES.write_text(content)
    with pytest.raises(EntropylawError, match=rf"^results/scores\.json: {cause}; delete it, and report the scores"):
        read_reported_scores("x")


def test_a_score_must_be_a_number(folder: Path) -> None:
    with pytest.raises(EntropylawError, match="expected a finite number, found nan"):
        report_score("a" * 32, "ours", float("nan"))


def test_without_a_verdict_there_is_no_version_under_test(folder: Path) -> None:
    result = CliRunner().invoke(app, ["score", "--benchmark", "ours", "--value", "1"])
    assert result.exit_code == 3 and "results/verdict.json" in result.stderr
    assert read_history(layout.HISTORY) == ()
