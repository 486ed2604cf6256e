"""Commands and whole pipelines that are killed again and again: what is there is old or new, and a re-run mends all."""

from __future__ import annotations

import itertools
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from judge_server import say, serve_judge
from ruamel.yaml import YAML
from victim import State, Victim, build, list_stages

from corpus.files import write_rows
from entropylaw.demo.chitchat import ChatLog, to_conversation

pytestmark = [pytest.mark.slow, pytest.mark.torture]

Tally = Callable[..., None]

# What is written file by file, or grows while a model is trained. DVC deletes it before it runs the stage again.
FOLDERS = ("models/", "results/sft/live/", "results/preferences/live/")
# Deleted before the decision that it would outlive.
GONE = "results/approval.json"

COMMANDS = {
    "accept": ["entropylaw", "accept", "--name", "x2"],
    "score": ["entropylaw", "score", "x1", "--benchmark", "arena", "--value", "0.5"],
    "export": ["entropylaw", "export", "llamafactory"],
    "backfill": ["entropylaw", "backfill"],
    "select": [
        "entropylaw",
        "select",
        "zip",
        "data/prepared/sft.jsonl",
        "--out",
        "data/some.jsonl",
        "--rows",
        "100",
        "--workers",
        "2",
    ],
    "rate": ["entropylaw", "rate", "data/prepared/sft.jsonl", "--rows", "20", "--out", "results/quality.json"],
    "waive": ["entropylaw", "waive", "all", "--reason", "we want it", "--owner", "ana", "--expires", "2999-01-01"],
}
INIT = ["entropylaw", "init", "--dataset", "sft=data/chats.jsonl"]
# What a team may have in its .gitignore.
OWN = "# données\n*.pyc\n".encode("latin-1")
# Stages that take a second or two are killed more often than those that load torch.
QUICK = ("prepare", "compression", "consistency", "assess", "report", "gate", "select", "release")


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, chat_logs: list[ChatLog]) -> Victim:
    return build(tmp_path_factory.mktemp("team"), chat_logs)


@pytest.fixture(scope="module")
def risky(team: Victim, tmp_path_factory: pytest.TempPathFactory) -> Victim:
    """The same repository with a damaged version, which the gate has stopped."""
    other = team.copy(tmp_path_factory.mktemp("risky") / "team", seed=1)
    other.run(f"cp {team.place / 'damaged.jsonl'} data/chats.jsonl && dvc add --quiet data/chats.jsonl")
    other.run("dvc repro --quiet", code=255)
    return other


def survive(before: Victim, words: list[str], kills: int, place: Path, then: str = "true") -> int:
    """Kill a command until it was killed so often; how often that was. ``then``: what is run behind it, killed or not.

    After each kill every file is as it was or as it is to be; after the last one a run that nobody kills must leave the
    same as one that never was.
    """
    unbroken = before.copy(place / "unbroken", seed=0)
    old, began = unbroken.read_state(), time.monotonic()
    ended = unbroken.finish(words)
    seconds = time.monotonic() - began
    unbroken.run(then)
    new, for_git = unbroken.read_state(), unbroken.list_for_git()
    killed = 0
    # Each copy is killed several times: a run that begins after a kill is killed too.
    for number in itertools.count():
        victim = before.copy(place / f"killed{number}", seed=number)
        for _ in range(8):
            killed += victim.kill(words, within=seconds)
            # DVC records one stage after the other; `then` ends what was begun.
            require_old_or_new(victim, old, new, between=() if then == "true" else ("dvc.lock",))
            taken = victim.list_for_git() - for_git - before.list_for_git()
            assert not taken, f"git add --all would take {taken}"
        again = victim.finish(words)
        is_there = "in the history already" in again.said
        assert again.code == ended.code or is_there, f"{again}, and unbroken {ended}"
        victim.run(then)
        after = victim.read_state()
        assert after == new, [name for name in {*after, *new} if after.get(name) != new.get(name)]
        if killed >= kills:
            return killed
    raise AssertionError


def require_old_or_new(victim: Victim, old: State, new: State, between: Sequence[str] = ()) -> None:
    now = victim.read_state()
    for name in {*now, *old} - {*between}:
        if name.startswith(FOLDERS) or (name == GONE and name not in now) or Path(name).suffix == ".tmp":
            continue
        assert now.get(name) in (old.get(name), new.get(name)), f"{name} is neither old nor new"


def list_names() -> Iterator[str]:
    for name in ("prepare", "compression", "consistency", "probe", "select"):
        yield from (f"{name}@sft", f"{name}@preferences")
    yield from ("base_model", "calibration", "assess", "report", "gate", "sft", "kto", "evaluate", "release")


@pytest.mark.parametrize("stage", list(list_names()))
def test_a_stage_that_is_killed_runs_again_to_the_same_result(
    team: Victim, stage: str, tmp_path: Path, tally: Tally
) -> None:
    kills = 8 if stage.startswith(QUICK) else 4
    tally("kills of single stages", survive(team, list_stages(team)[stage], kills, tmp_path))


@pytest.mark.parametrize("command", ["accept", "score", "export", "backfill", "select"])
def test_a_command_that_is_killed_runs_again_to_the_same_result(
    team: Victim, command: str, tmp_path: Path, tally: Tally
) -> None:
    # A killed `accept` or `score` may have changed the history, and not the report that quotes it.
    then = "dvc repro --quiet" if command in ("accept", "score") else "true"
    tally("kills of other commands", survive(team, COMMANDS[command], 10, tmp_path, then))


def test_a_waiver_is_there_or_not_when_waive_is_killed(risky: Victim, tmp_path: Path, tally: Tally) -> None:
    tally("kills of other commands", survive(risky, COMMANDS["waive"], 10, tmp_path))


def test_a_judge_is_paid_once_when_rate_is_killed(team: Victim, tmp_path: Path, tally: Tally) -> None:
    with serve_judge(lambda received: say("[[4]]")) as judge:
        rated = team.copy(tmp_path / "rated", seed=0)
        yaml = YAML()
        params = yaml.load((rated.folder / "params.yaml").read_text())
        params["judge"].update(endpoint=judge.endpoint, model="judge", concurrent=1)
        with (rated.folder / "params.yaml").open("w") as handle:
            yaml.dump(params, handle)
        unbroken = rated.copy(tmp_path / "unbroken", seed=0)
        began = time.monotonic()
        assert unbroken.finish(COMMANDS["rate"]).code == 0
        seconds, rows = time.monotonic() - began, len(judge.received)
        victim = rated.copy(tmp_path / "killed", seed=0)
        kills = sum(victim.kill(COMMANDS["rate"], within=seconds) for _ in range(10))
        assert victim.finish(COMMANDS["rate"]).code == 0
        assert victim.read_state() == unbroken.read_state()
        # One answer may be on its way when the kill comes.
        assert len(judge.received) <= 2 * rows + kills
    tally("kills of other commands", kills)


@pytest.fixture
def fresh(chat_logs: list[ChatLog], tmp_path: Path) -> Victim:
    """A repository before `init`, whose own .gitignore is not UTF-8."""
    team = Victim(tmp_path / "fresh")
    rows = [to_conversation(log) for log in chat_logs if 200 < sum(map(len, log.turns)) < 2000][:120]
    write_rows(team.folder / "data" / "chats.jsonl", rows)
    (team.folder / ".gitignore").write_bytes(OWN)
    team.begin("data/chats.jsonl")
    return team


def test_init_that_is_killed_leaves_the_teams_own_gitignore(fresh: Victim, tmp_path: Path, tally: Tally) -> None:
    unbroken = fresh.copy(tmp_path / "unbroken", seed=0)
    began = time.monotonic()
    assert unbroken.finish(INIT).code == 0
    seconds, kills = time.monotonic() - began, 0
    for number in range(6):
        victim = fresh.copy(tmp_path / f"killed{number}", seed=number)
        for _ in range(3):
            kills += victim.kill(INIT, within=seconds)
            assert (victim.folder / ".gitignore").read_bytes().startswith(OWN)
            # All the data lies under data/; what Git would take of it are DVC's files.
            taken = [name for name in victim.list_for_git() if name.endswith((".jsonl", ".tmp"))]
            assert not taken, f"git add --all would take {taken}"
        assert victim.finish(INIT).code == 0
        assert victim.read_state() == unbroken.read_state()
    tally("kills of other commands", kills)


def test_two_inits_at_once_write_what_one_does(fresh: Victim, tmp_path: Path, tally: Tally) -> None:
    unbroken = fresh.copy(tmp_path / "unbroken", seed=0)
    assert unbroken.finish(INIT).code == 0
    for number in range(4):
        both = fresh.copy(tmp_path / str(number), seed=0)
        processes = [both.start(INIT) for _ in range(2)]
        said = [process.communicate(timeout=300)[0] for process in processes]
        codes = sorted(process.returncode for process in processes)
        assert codes == [0, 0] or (codes == [0, 2] and any("changed meanwhile" in text for text in said)), said
        assert both.read_state() == unbroken.read_state()
    tally("commands side by side", 8)


def test_a_pipeline_that_is_killed_goes_on_to_the_same_result(
    team: Victim, tmp_path: Path, chat_logs: list[ChatLog], tally: Tally
) -> None:
    """`dvc repro` alone is killed, or all that it runs. DVC's own notes of who reads what need no person either."""
    changed = team.copy(tmp_path / "changed", seed=0)
    rows = (team.folder / "data" / "chats.jsonl").read_text().splitlines(keepends=True)
    (changed.folder / "data" / "chats.jsonl").write_text("".join(rows[:380]))
    changed.run("dvc add --quiet data/chats.jsonl && git commit --quiet --all --message 'Less data'")
    words = ["dvc", "repro", "--quiet"]
    unbroken = changed.copy(tmp_path / "unbroken", seed=0)
    began = time.monotonic()
    assert unbroken.finish(words).code == 0
    seconds, kills = time.monotonic() - began, 0
    unbroken.run("entropylaw report")  # now with the curves of the training behind it
    new = unbroken.read_state()
    for number in range(4):
        victim = changed.copy(tmp_path / f"killed{number}", seed=number)
        for _ in range(10):
            kills += victim.kill(words, within=seconds / 3)
            taken = victim.list_for_git() - unbroken.list_for_git()
            assert not taken, f"git add --all would take {taken}"
        ended = victim.finish(words)
        is_lock_torn = ended.code != 0
        if is_lock_torn:  # DVC writes dvc.lock in place, and a kill may cut it off
            assert "restore it from Git" in victim.finish(["entropylaw", "doctor"]).said
            victim.run("git restore dvc.lock")
            ended = victim.finish(words)
        assert ended.code == 0, ended
        victim.run("entropylaw report")
        after = victim.read_state()
        other = {name for name in {*after, *new} if after.get(name) != new.get(name)}
        # Stages that had run before the lock was cut off ran once more, the report behind the training.
        assert other <= ({"dvc.lock"} if is_lock_torn else set())
    tally("kills of dvc repro", kills)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("stage", ["prepare@sft", "select@sft", "calibration", "sft"])
def test_a_stage_that_is_stopped_leaves_no_temporary_file(
    team: Victim, stage: str, number: int, tmp_path: Path, tally: Tally
) -> None:
    words = list_stages(team)[stage]
    unbroken = team.copy(tmp_path / "unbroken", seed=0)
    began = time.monotonic()
    assert unbroken.finish(words).code == 0
    seconds = time.monotonic() - began
    victim = team.copy(tmp_path / "stopped", seed=number)
    for _ in range(6):
        tally("commands stopped by SIGTERM or Ctrl-C", victim.kill(words, within=seconds, number=number))
        assert not list(victim.folder.rglob(".entropylaw-*"))
    assert victim.finish(words).code == 0
    assert victim.read_state() == unbroken.read_state()


@pytest.mark.parametrize(
    ("stage", "folder"),
    [("base_model", "models/base"), ("sft", ".entropylaw/checkpoints/sft-"), ("kto", ".entropylaw/")],
)
@pytest.mark.parametrize("blocks", [20, 130])
def test_a_model_that_has_no_room_names_its_folder(
    team: Victim, stage: str, folder: str, blocks: int, tmp_path: Path
) -> None:
    """``blocks``: no file may grow beyond so many of 1,024 bytes; the weights of these models have 123 of them."""
    words, victim = list_stages(team)[stage], team.copy(tmp_path / "full", seed=0)
    line = shlex.join([sys.executable, "-m", *words])
    ended = victim.finish(["bash", "-c", f"ulimit -f {blocks} && exec {line}"])
    told = ended.said.splitlines()[-1]
    if (stage, blocks) == ("base_model", 130):
        assert ended.code == 0  # it has no checkpoints, so it has room enough
    else:
        assert ended.code == 2 and told.startswith(f"entropylaw: {folder}") and ": cannot be written: " in told
    assert victim.finish(words).code == 0
    assert victim.read_state() == team.read_state()


def test_two_runs_of_a_pipeline_at_once_leave_what_one_does(team: Victim, tmp_path: Path, tally: Tally) -> None:
    """DVC lets one of them do a stage, and has the other stop or wait; neither mixes its results with the other's."""
    changed = team.copy(tmp_path / "changed", seed=0)
    rows = (team.folder / "data" / "chats.jsonl").read_text().splitlines(keepends=True)
    (changed.folder / "data" / "chats.jsonl").write_text("".join(rows[:380]))
    changed.run("dvc add --quiet data/chats.jsonl && git commit --quiet --all --message 'Less data'")
    unbroken = changed.copy(tmp_path / "unbroken", seed=0)
    assert unbroken.finish(["dvc", "repro", "--quiet"]).code == 0
    both = changed.copy(tmp_path / "both", seed=0)
    processes = [both.start(["dvc", "repro", "--quiet"]) for _ in range(2)]
    said = [process.communicate(timeout=900)[0] for process in processes]
    assert all("Traceback" not in text for text in said), said
    assert both.finish(["dvc", "repro", "--quiet"]).code == 0
    assert both.read_state() == unbroken.read_state()
    tally("pipelines side by side", 2)


def test_notes_of_dvc_that_a_kill_cut_off_do_not_stop_a_command_that_asks_dvc(team: Victim, tmp_path: Path) -> None:
    torn = team.copy(tmp_path / "torn", seed=0)
    (torn.folder / ".dvc" / "tmp" / "rwlock").write_text("")
    assert "JSON structure is corrupted" in torn.run("dvc status", code=1)
    assert torn.finish(COMMANDS["accept"]).code == 0
    assert "up to date" in torn.run("dvc status")


def test_the_same_version_is_accepted_once_by_two_at_once(team: Victim, tmp_path: Path, tally: Tally) -> None:
    for number in range(4):
        both = team.copy(tmp_path / str(number), seed=0)
        processes = [both.start(["entropylaw", "accept"]) for _ in range(2)]
        said = [process.communicate(timeout=300)[0] for process in processes]
        assert sorted(process.returncode for process in processes) == [0, 2], said
        assert sum("in the history already" in text for text in said) == 1
        assert len(list((both.folder / "history").glob("*.json"))) == 2
        assert "up to date" in both.run("dvc status")
    tally("commands side by side", 8)
