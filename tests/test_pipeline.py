"""The whole pipeline in a scratch Git + DVC repository: a good version passes, a bad one trains nothing."""

import contextlib
import datetime
import json
import shutil

import pytest
from stranger import Stranger, garble
from typer.testing import CliRunner

from corpus.artifacts import hash_folder
from corpus.files import write_rows
from entropylaw.cli import app
from entropylaw.demo.chitchat import pair_by_rating, to_conversation

pytestmark = [pytest.mark.slow, pytest.mark.long]

ROWS = 320
NEW = 80


class Repository(Stranger):
    def call(self, *words, code=0):
        """Run a command of ours in this process: the stages start processes enough."""
        with contextlib.chdir(self.folder):
            done = CliRunner().invoke(app, words)
        assert done.exit_code == code, f"{words}\n{done.output}"
        return done.output

    def verdict(self):
        return json.loads((self.folder / "results" / "verdict.json").read_text())

    def set_data(self, rows):
        write_rows(self.folder / "data" / "sft.jsonl", rows)

    def models(self):
        return {name: hash_folder(self.folder / "models" / name) for name in ("sft", "kto")}


@pytest.fixture(scope="module")
def story(tmp_path_factory, chat_logs):
    """A baseline that was trained, accepted and tagged as docs/adopt.md says, and the rows of later versions."""
    repository = Repository(tmp_path_factory.mktemp("story"))
    logs = [log for log in chat_logs if 200 < sum(map(len, log.turns)) < 2000]
    rows = [to_conversation(log) for log in logs]
    repository.set_data(rows[:ROWS])
    write_rows(repository.folder / "data" / "preferences.jsonl", pair_by_rating(logs[:ROWS], 80))
    repository.begin("data/sft.jsonl", "data/preferences.jsonl")
    repository.follow("Everything", before="git switch --create new-chats")
    assert "up to date" in repository.run("dvc", "status")
    return repository, rows


def test_the_first_version_is_a_baseline_and_every_artifact_is_there(story):
    repository, _ = story
    assert repository.verdict()["status"] == "baseline"
    for name in (
        "results/report.html", "results/report.md", "results/approval.json", "results/evaluation.json",
        "results/release.json", "results/release.md", "results/sft/training.json", "results/preferences/training.json",
        "models/sft/model.safetensors", "models/kto/model.safetensors",
    ):  # fmt: skip
        assert (repository.folder / name).stat().st_size > 0, name
    metrics = json.loads((repository.folder / "results" / "metrics.json").read_text())
    assert metrics.pop("status") == "baseline" and set(metrics) == {"sft", "preferences"}
    measured = repository.verdict()["measurements"]
    assert metrics == {name: {key: measured[name][key] for key in of} for name, of in metrics.items()}
    selection = json.loads((repository.folder / "results" / "preferences" / "selection.json").read_text())
    assert 0 < selection["selected_tokens"] < selection["pool_tokens"]
    for model in ("sft", "kto"):
        card = (repository.folder / "models" / model / "README.md").read_text()
        assert "| Verdict on the data version | baseline (version" in card and "| Selection | zip: " in card
    release = json.loads((repository.folder / "results" / "release.json").read_text())
    assert release["models"]["kto"]["hash"] == hash_folder(repository.folder / "models" / "kto")
    (entry,) = (repository.folder / "history").glob("x1-*.json")
    history = json.loads(entry.read_text())
    assert history["scores"]["heldout"] == release["scores"]["heldout"] < 0


def test_a_release_holds_together_and_is_tagged_as_it_was_committed(story):
    repository, _ = story
    repository.call("release", "check", "--tag", "v1.0.0")
    release = repository.folder / "results" / "release.md"
    signed = release.read_bytes()
    release.write_bytes(signed + b"Approved by: somebody else")
    repository.call("release", "check", code=1)
    release.write_bytes(signed)


def test_accepting_a_version_does_not_change_its_own_verdict(story):
    repository, _ = story
    paths = [repository.folder / "results" / name for name in ("verdict.json", "report.md", "release.md")]
    before = [path.read_bytes() for path in paths]
    assert b"# Release of x1" in before[2]
    # DVC has it on record: nothing runs. What it would make is what is here.
    assert "up to date" in repository.run("dvc", "repro")
    repository.run("dvc", "repro", "--force", "--single-item", "assess", "report", "release")
    assert [path.read_bytes() for path in paths] == before


def test_a_benign_update_passes_the_gate(story):
    repository, rows = story
    repository.set_data(rows[30:ROWS] + rows[ROWS : ROWS + 30])
    repository.run("dvc", "repro", "gate")
    verdict = repository.verdict()
    assert verdict["status"] == "pass", verdict["summary"]
    assert verdict["parent"]["name"] == "x1"
    measured = verdict["measurements"]["sft"]
    assert abs(measured["added"] - 30) <= 2 and measured["rows"] - measured["added"] == measured["kept"]
    repository.call("check", "--strict", "--verify")


def test_a_damaged_and_repeated_update_is_stopped_before_training_and_a_waiver_lets_it_through(story):
    repository, rows = story
    models = repository.models()
    damaged = [garble(row) for row in rows[ROWS : ROWS + 24]]
    repository.set_data(rows[: ROWS - 24] + damaged + damaged)
    output = repository.run("dvc", "repro", code=255)
    assert "risky" in output
    verdict = repository.verdict()
    assert verdict["status"] == "risky"
    risky = {rule["id"] for rule in verdict["rules"] if rule["status"] == "risky"}
    # Two dozen rows are too few for L to be sure; that they repeat and are damaged is.
    assert "redundancy" in risky and risky & {"agreement", "copies", "damage", "loss", "level"}
    flagged = {row["row"] for row in verdict["rows"]}
    assert flagged and all(row > ROWS - 24 for row in flagged)
    assert repository.models() == models
    assert not (repository.folder / "results" / "approval.json").exists()
    assert "risky" in (repository.folder / "results" / "report.md").read_text().lower()
    for style in ("text", "markdown", "json", "junit", "github", "gitlab"):
        assert repository.call("check", "--verify", "--format", style, code=1)
    repository.call("accept", code=1)

    tomorrow = (datetime.date.today() + datetime.timedelta(days=1)).isoformat()
    repository.call("waive", "redundancy", "--reason", "one is not enough", "--owner", "test",
                   "--expires", tomorrow)  # fmt: skip
    repository.call("gate", code=1)
    repository.call("waive", "all", "--reason", "seen", "--owner", "test", "--expires", tomorrow)
    repository.call("check")
    repository.run("dvc", "repro", "gate")
    assert json.loads((repository.folder / "results" / "approval.json").read_text())["waivers"]
    assert "cannot be the anchor" in repository.call("accept", "--anchor", code=2)
    repository.call("accept", "--name", "waived")
    # A version released under a waiver is recorded, and is no reference for the next one.
    repository.set_data(rows[30:ROWS] + rows[ROWS : ROWS + 30])
    repository.run("dvc", "repro", "assess")
    assert repository.verdict()["parent"]["name"] == "x1"
    assert "x2 is pass, and the anchor" in repository.call("accept", "--name", "x2", "--anchor")
    anchors = [entry["name"] for entry in json.loads(repository.call("history", "--json")) if entry["anchor"]]
    assert anchors == ["x2"]


def test_another_configuration_is_not_assessed_until_a_person_begins_anew(story, tmp_path):
    repository, _ = story
    params = repository.folder / "params.yaml"
    before = params.read_text()
    shutil.copy(repository.folder / "results" / "verdict.json", tmp_path)
    try:
        params.write_text(before.replace("near_duplicate_jaccard: 0.8", "near_duplicate_jaccard: 0.7"))
        repository.run("dvc", "repro", "gate", code=255)
        assert repository.verdict()["status"] == "not_assessed"
        repository.call("gate", code=3)
        repository.call("check", code=3)
        repository.call("accept", code=3)
        assert "Next: `dvc repro`" in repository.call("accept", "--baseline", "--name", "anew")
        repository.run("dvc", "repro", "gate")
        assert "up to date" in repository.run("dvc", "status", "assess", "report", "gate")
        assert repository.verdict()["status"] == "baseline"
        assert "entropylaw accept" not in repository.call("check", "--verify")
    finally:
        params.write_text(before)


def test_the_bad_commit_of_the_page_is_stopped(story):
    repository, rows = story
    models = repository.models()
    write_rows(repository.home / "incoming" / "chats.jsonl", [*rows[:ROWS], *map(garble, rows[ROWS : ROWS + NEW])])
    repository.follow("Everything", after="entropylaw release check --tag v1.0.0")
    assert repository.models() == models
