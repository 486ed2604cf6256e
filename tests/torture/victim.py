"""A repository whose commands are killed, and what must be true of it afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML
from stranger import Stranger, garble

from corpus.files import write_rows
from entropylaw.demo.chitchat import ChatLog, pair_by_rating, to_conversation

# No part of a repository's content: Git's and DVC's own, and what nobody commits.
OUTSIDE = (".git", ".dvc/cache", ".dvc/tmp", ".entropylaw")
# What differs between two unbroken runs: how long they took, in reports of trainings and in the pages that quote them.
CLOCK_KEYS = ("seconds", "tokens_per_second", "train_seconds")

State = dict[str, str]


@dataclass(frozen=True)
class Ended:
    """How a command ended. ``code``: negative where a signal ended it."""

    code: int
    said: str


class Victim(Stranger):
    """A team's repository, whole pipelines of which take seconds. ``seed`` decides when it is killed."""

    def __init__(self, place: Path, seed: int = 0) -> None:
        super().__init__(place)
        self.random = random.Random(seed)

    def copy(self, place: Path, seed: int) -> Victim:
        """The same repository in another place."""
        other = object.__new__(Victim)
        other.place, other.folder, other.home = place, place / "work", self.home
        other.environment, other.random = self.environment, random.Random(seed)
        shutil.copytree(self.folder, other.folder, symlinks=True)
        return other

    def start(self, words: Sequence[str]) -> subprocess.Popen[str]:
        """Start a command in a session of its own, by which all its processes are known."""
        if words[0] == "entropylaw":
            words = [sys.executable, "-m", *words]
        return subprocess.Popen(
            words, cwd=self.folder, env=self.environment, start_new_session=True, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def finish(self, words: Sequence[str]) -> Ended:
        process = self.start(words)
        said, _ = process.communicate(timeout=600)
        return Ended(process.returncode, said)

    def kill(self, words: Sequence[str], within: float, number: int = signal.SIGKILL) -> bool:
        """Start a command and kill it at a random moment ``within`` so many seconds: sometimes the process that was
        started, sometimes all that it started with it. Whether it was still running. None of them may stay.
        """
        process = self.start(words)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self.random.uniform(0, within))
        running = process.poll() is None
        if running and self.random.random() < 0.5:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        with process:
            said = process.stdout.read() if process.stdout else ""  # to its end: nobody holds the pipe open any more
        assert "Traceback" not in without_orphans(said), said
        deadline = time.monotonic() + 120
        while left := list(session(process.pid)):
            assert time.monotonic() < deadline, f"{words}: {left} were left behind"
            time.sleep(0.1)
        return running

    def read_state(self) -> State:
        """A hash of each file's content, but for what depends on the clock."""
        state = {}
        for root, folders, names in os.walk(self.folder):
            here = Path(root).relative_to(self.folder)
            folders[:] = [name for name in folders if (here / name).as_posix() not in OUTSIDE]
            for name in names:
                path = Path(root) / name
                state[(here / name).as_posix()] = hashlib.md5(without_clock(path)).hexdigest()
        return state

    def list_for_git(self) -> set[str]:
        """What `git add --all` would take that is not committed."""
        return set(self.run("git ls-files --others --exclude-standard").splitlines())


def session(number: int) -> Iterator[str]:
    """The processes of a session that still run."""
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == number and process.status() != psutil.STATUS_ZOMBIE:
                yield shlex.join(process.cmdline())
        except (ProcessLookupError, psutil.Error):
            continue


# Python's own words of a worker whose starter was killed before it sent the worker its task.
_ORPHAN = re.compile(r'Traceback[^\n]*\n  File "<string>", line 1, in <module>\n(  [^\n]*\n)+EOFError: [^\n]*\n')


def without_orphans(said: str) -> str:
    """What was said by others than workers that were never given a task."""
    return _ORPHAN.sub("", said)


def without_clock(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".json":
        return json.dumps(_drop(json.loads(content))).encode()
    if path.name == "dvc.lock" and content:
        # It holds hashes of such files, and the stages in the order in which they were recorded.
        lock = YAML(typ="safe").load(content)
        for stage in lock["stages"].values():
            for entry in (*stage.get("deps", ()), *stage.get("outs", ())):
                file = path.parent / entry["path"]
                if file.suffix == ".json" and file.is_file():
                    entry |= {"md5": hashlib.md5(without_clock(file)).hexdigest(), "size": None}
        return json.dumps(lock, sort_keys=True).encode()
    return content


def _drop(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _drop(item) for key, item in value.items() if key not in CLOCK_KEYS}
    return [_drop(item) for item in value] if isinstance(value, list) else value


def build(place: Path, logs: Sequence[ChatLog]) -> Victim:
    """A repository with a version before the pipeline, an accepted baseline, and a new version that was released."""
    team = Victim(place)
    chosen = [log for log in logs if 200 < sum(map(len, log.turns)) < 2000][:420]
    rows = [to_conversation(log) for log in chosen]
    data = team.folder / "data"
    write_rows(data / "pairs.jsonl", pair_by_rating(chosen[:300], 60))
    write_rows(data / "chats.jsonl", rows[:240])
    team.begin("data/chats.jsonl", "data/pairs.jsonl")
    write_rows(data / "chats.jsonl", rows[:300])
    team.run("dvc add --quiet data/chats.jsonl data/pairs.jsonl && git commit --quiet --all --message 'More data'")
    team.run("entropylaw init --dataset sft=data/chats.jsonl --dataset preferences=data/pairs.jsonl")
    team.shrink()
    resume_often(team.folder / "params.yaml")
    team.run("dvc repro --quiet && entropylaw accept --name x1")
    team.run("git add --all && git commit --quiet --message 'The first version'")
    write_rows(data / "chats.jsonl", rows[:400])
    team.run("dvc add --quiet data/chats.jsonl && dvc repro --quiet")
    team.run("git add --all && git commit --quiet --message 'The next version'")
    write_rows(team.place / "damaged.jsonl", [*rows[:300], *map(garble, rows[300:400])])
    return team


def resume_often(path: Path) -> None:
    """Have trainings write checkpoints, and a judge that does not exist."""
    yaml = YAML()
    params = yaml.load(path.read_text())
    for section in ("sft", "kto"):
        params[section]["save_every_steps"] = 2
    with path.open("w") as handle:
        yaml.dump(params, handle)


def list_stages(team: Stranger) -> dict[str, list[str]]:
    """The command of every stage, as DVC recorded it."""
    stages = YAML(typ="safe").load((team.folder / "dvc.lock").read_text())["stages"]
    return {name: shlex.split(stage["cmd"]) for name, stage in stages.items()}
