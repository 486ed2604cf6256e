"""A person in a Git + DVC repository of their own, who types what docs/adopt.md says."""

from __future__ import annotations

import codecs
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from adopt_page import read_steps
from ruamel.yaml import YAML

# Base model, calibration and models so small that all stages take seconds.
TINY: dict[str, dict[str, Any]] = {
    "base_model": {"vocabulary": 600, "hidden_size": 32, "layers": 1, "heads": 2, "max_length": 96, "steps": 60},
    "probe": {"steps": 16, "max_length": 96, "skipped_steps": 2},
    "calibration": {"seeds": 2, "updates": 2, "update_shares": [0.1, 0.2], "topics": 10, "law_runs": False},
    "sft": {"epochs": 0.5, "max_length": 96},
    "kto": {"epochs": 0.5, "max_length": 96},
    "evaluation": {"rows": 40, "max_length": 96},
}


def garble(row: dict[str, Any]) -> dict[str, Any]:
    """Damage that shares no code with the rules: every answer in ROT13."""
    turns = [
        {**turn, "value": codecs.encode(turn["value"], "rot13")} if turn["from"] == "gpt" else turn
        for turn in row["conversations"]
    ]
    return {**row, "conversations": turns}


class Stranger:
    """``place``: an empty folder, for their repository (``folder``), its Git and DVC remotes and their home."""

    def __init__(self, place: Path) -> None:
        self.place, self.folder, self.home = place, place / "work", place / "home"
        (self.home / "incoming").mkdir(parents=True)
        (self.folder / "data").mkdir(parents=True)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        who = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
        identity = dict.fromkeys(who, "ana@example.org")
        self.environment = {**os.environ, **identity, "PATH": path, "HOME": str(self.home), "DVC_NO_ANALYTICS": "1"}
        self.run("git init --quiet --initial-branch main")
        self.run(f"git init --quiet --bare --initial-branch main {place / 'origin.git'}")
        self.run(f"git remote add origin {place / 'origin.git'}")
        self.run("dvc init --quiet")
        self.run(f"dvc remote add --quiet --default store {place / 'store'}")

    def run(self, *words: str, code: int = 0) -> str:
        """What a command prints: one given in words, or as a line for the shell."""
        line = words[0] if len(words) == 1 else shlex.join(words)
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, f"{line}\nexited {done.returncode}, expected {code}\n{said}"
        return said

    def begin(self, *datasets: str) -> None:
        """Commit and push all that is there, the datasets under DVC."""
        self.run("dvc", "add", "--quiet", *datasets)
        self.run("git add --all && git commit --quiet --message 'Our data' && git push --quiet -u origin main")

    def follow(self, heading: str, after: str = "", before: str = "") -> list[str]:
        """Type what stands under a heading; what each command said. ``after``, ``before``: commands that are beyond the
        part to be typed.
        """
        steps = read_steps(heading)
        commands = [step.command for step in steps]
        first = commands.index(after) + 1 if after else 0
        last = commands.index(before) if before else len(steps)
        said = []
        for step in steps[first:last]:
            said.append(self.run(step.command, code=step.code))
            if step.command.startswith("entropylaw init") and "--dry-run" not in step.command:
                self.shrink()
        return said

    def shrink(self) -> None:
        """Tiny models: the page's own would take minutes."""
        (path,) = [path for path in self.folder.rglob("params.yaml") if "base_model:" in path.read_text()]
        yaml = YAML()
        params = yaml.load(path.read_text())
        for section in set(TINY) & set(params):
            params[section].update(TINY[section])
        with path.open("w") as handle:
            yaml.dump(params, handle)
