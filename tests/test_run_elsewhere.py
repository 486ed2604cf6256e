"""Heavy stages that run through a program of the team's, such as a cluster's queue."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from corpus.errors import ParamsError
from corpus.params import parse_section
from entropylaw.repository.shipped_files import shipped_text
from training.launch import LaunchParams

QUEUE = """
import json, os, subprocess, sys
json.dump([os.getcwd(), *sys.argv[1:]], open("queued.json", "w"))
sys.exit(subprocess.run([sys.executable, "-m", *sys.argv[1:]]).returncode)
"""
# A user's error that is found at once: there is no such file.
EVALUATE = ("evaluate", "no rows.jsonl", "--model", "models/sft")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cluster.py").write_text(QUEUE)
    return tmp_path


def run(folder: Path, command: str | None, stages: tuple[str, ...], *words: str) -> subprocess.CompletedProcess[str]:
    params = YAML().load(shipped_text("params.yaml"))
    params["launch"] |= {"command": command, "stages": list(stages)}
    with open(folder / "params.yaml", "w", encoding="utf-8") as handle:
        YAML().dump(params, handle)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    return subprocess.run(
        [sys.executable, "-m", "entropylaw", *words], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_the_program_gets_the_command_line_and_its_exit_code_is_the_stages(folder: Path) -> None:
    here = run(folder, None, ("evaluate",), *EVALUATE)
    assert here.returncode == 2 and not (folder / "queued.json").exists()
    there = run(folder, f"{sys.executable} cluster.py {{command}}", ("evaluate",), *EVALUATE)
    assert (there.returncode, there.stdout, there.stderr) == (2, here.stdout, here.stderr)
    assert json.loads((folder / "queued.json").read_text()) == [str(folder), "entropylaw", "--here", *EVALUATE]


def test_other_stages_run_where_they_are(folder: Path) -> None:
    command = f"{sys.executable} cluster.py {{command}}"
    assert run(folder, command, ("sft", "kto"), *EVALUATE).returncode == 2
    assert run(folder, command, ("evaluate",), "--here", *EVALUATE).returncode == 2
    assert not (folder / "queued.json").exists()


def test_a_program_that_is_not_there_is_one_line(folder: Path) -> None:
    done = run(folder, "no-such-queue {line}", ("evaluate",), *EVALUATE)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "launch.command: no-such-queue cannot be run" in done.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("srun entropylaw", "must have {command} or {line} once"),
        ("srun {command} {line}", "must have {command} or {line} once"),
        ("srun 'go {command}'", "must have {command} or {line} once"),
        ("{command}", "must begin with a program"),
        ("srun '{command}", "cannot be split into words"),
        ("", "must have {command} or {line} once"),
    ],
)
def test_a_command_without_a_place_for_the_stages_is_refused(command: str, said: str) -> None:
    section = {"strategy": "single", "processes": None, "config_file": None, "command": command, "stages": ["sft"]}
    with pytest.raises(ParamsError, match=said):
        parse_section(LaunchParams, section, "launch")
