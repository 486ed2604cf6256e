"""The demo's scratch repository, and the demo's story as the commands that a user would type in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess  # nosec B404 # the demo is what its commands print
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.errors import EntropylawError
from entropylaw.demo.outcome import describe_version
from entropylaw.demo.sizes import DemoSize
from entropylaw.plain_progress import SECONDS_BETWEEN_LINES
from entropylaw.printing import say
from entropylaw.repository import layout
from entropylaw.terminal import last_line

if TYPE_CHECKING:
    from entropylaw.demo.versions import DemoData

WAIVED_UNTIL = "2099-12-31"


class DemoRepository:
    """A scratch Git + DVC repository, driven by the commands that a user types."""

    def __init__(self, folder: Path, started: float) -> None:
        self.folder = folder
        self.log = folder / "demo.log"
        self.started = started
        scripts = str(Path(sys.executable).parent)
        self.environment = {
            **os.environ,
            "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}",
            "DVC_NO_ANALYTICS": "1",
            "HF_HUB_OFFLINE": "1",
            # The repository is the demo's own, whatever Git is told about one around it.
            "GIT_CEILING_DIRECTORIES": str(folder.parent),
        }
        for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "DVC_ROOT"):
            self.environment.pop(name, None)

    def play(self, data: DemoData, size: DemoSize, seed: int) -> list[dict[str, Any]]:
        """Commit by commit; returns one summary row per version."""
        self.say("making a Git + DVC repository with `entropylaw init`")
        self.create(data, size, seed)
        rows = self.accept_versions(data, size)
        benign = self.check_benign_update(data, rows[-1])
        accident = self.stop_accident(data, rows[-1])
        self.train_in_hindsight(accident)
        return [*rows, benign, accident, self.repair_accident(rows[-1])]

    def accept_versions(self, data: DemoData, size: DemoSize) -> list[dict[str, Any]]:
        """x1 to x4: each is measured and accepted, and trained where the size says so."""
        rows: list[dict[str, Any]] = []
        for name in ("x1", "x2", "x3", "x4"):
            trained = name in size.trained
            self.commit_data(name, data.versions[name])
            self.run("dvc", "repro", *([] if trained else ["gate"]))
            self.run("entropylaw", "accept", "--name", name)
            self.commit(f"Accept {name}")
            rows.append(self.summarise(name, trained))
            self.say(describe_version(rows[-1], rows[-2] if len(rows) > 1 else None))
        return rows

    def check_benign_update(self, data: DemoData, previous: dict[str, Any]) -> dict[str, Any]:
        """An update of x4 as teams make them, measured on a branch that is left again."""
        self.run("git", "checkout", "--quiet", "-b", "benign-update")
        self.commit_data("benign", data.versions["benign"])
        self.run("dvc", "repro", "gate")
        row = self.summarise("benign", trained=False)
        self.say(describe_version(row, previous))
        self.commit("Measure the benign update")
        self.run("git", "checkout", "--quiet", "-")
        self.run("dvc", "checkout", "--quiet")
        return row

    def stop_accident(self, data: DemoData, previous: dict[str, Any]) -> dict[str, Any]:
        """x5: the gate has to stop `dvc repro` before a model changes."""
        self.commit_data("x5", data.versions["x5"])
        models = [self.folder / layout.MODELS / name for name in ("sft", "kto")]
        before = [model_identity(model) for model in models]
        stopped = self.run("dvc", "repro", check=False)
        untouched = before == [model_identity(model) for model in models]
        row = self.summarise("x5", trained=not untouched)
        self.say(describe_version(row, previous))
        if stopped and untouched:
            self.say("`dvc repro` stopped at the gate: nothing was trained on x5")
        shutil.copytree(self.folder / layout.RESULTS, self.folder / "stopped-x5" / layout.RESULTS)
        return row

    def train_in_hindsight(self, row: dict[str, Any]) -> None:
        """Train on x5 after all, and add its Z to the summary ``row``."""
        self.say("hindsight: training once on x5 under a waiver, to see what the gate prevented")
        self.run("entropylaw", "waive", "all", "--reason", "hindsight for the demo", "--owner", "demo",
                 "--expires", WAIVED_UNTIL)  # fmt: skip
        self.run("dvc", "repro")
        self.run("entropylaw", "accept", "--name", "x5")
        self.commit("Release x5 under a waiver, for hindsight")
        row["z"] = self.summarise("x5", trained=True)["z"]

    def repair_accident(self, previous: dict[str, Any]) -> dict[str, Any]:
        """x5 without the rows behind the alarm, measured on a branch that is left again."""
        self.say("repair: taking out the rows behind the alarm")
        self.run("git", "checkout", "--quiet", "-b", "repair-x5")
        self.run("entropylaw", "repair", "--apply", "--rows", "repaired-rows.jsonl")
        self.run("dvc", "add", "--quiet", "data/sft.jsonl")
        self.commit("Repair x5")
        self.run("dvc", "repro", "gate")
        row = self.summarise("repaired", trained=False)
        self.say(describe_version(row, previous))
        self.commit("Measure the repaired version")
        self.run("git", "checkout", "--quiet", "-")
        self.run("dvc", "checkout", "--quiet")
        return row

    def create(self, data: DemoData, size: DemoSize, seed: int) -> None:
        from ruamel.yaml import YAML

        from corpus.files import write_rows

        self.run("git", "init", "--quiet")
        self.run("git", "config", "user.name", "Entropylaw demo")
        self.run("git", "config", "user.email", "demo@localhost")
        self.run("git", "config", "commit.gpgsign", "false")
        self.run("dvc", "init", "--quiet")
        self.run("dvc", "config", "core.autostage", "true")
        self.run("dvc", "config", "core.check_update", "false")
        write_rows(self.folder / "data" / "sft.jsonl", data.versions["x1"])
        write_rows(self.folder / "export" / "heldout.jsonl", data.heldout)
        options = ["--dataset", "sft=data/sft.jsonl", "--held-out", "export/heldout.jsonl"]
        if data.preferences:
            write_rows(self.folder / "data" / "preferences.jsonl", data.preferences)
            options += ["--dataset", "preferences=data/preferences.jsonl"]
        self.run("entropylaw", "init", ".", *options)
        yaml = YAML()
        params = yaml.load((self.folder / "params.yaml").read_text(encoding="utf-8"))
        for section, changes in size.params.items():
            params[section].update(changes)
        for section in params.values():
            if "seed" in section:
                section["seed"] = seed
        with (self.folder / "params.yaml").open("w", encoding="utf-8") as handle:
            yaml.dump(params, handle)
        with (self.folder / ".gitignore").open("a", encoding="utf-8") as handle:
            handle.write("/demo.log\n/summary.json\n/export/\n/stopped-x5/\n/repaired-rows.jsonl\n")
        self.commit("Add the pipeline")

    def commit_data(self, name: str, rows: list[dict[str, Any]]) -> None:
        from corpus.files import write_rows

        write_rows(self.folder / "data" / "sft.jsonl", rows)
        self.run("dvc", "add", "--quiet", "data/sft.jsonl")
        self.commit(f"Data version {name}")

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--allow-empty", "-m", message)

    def run(self, *command: str, check: bool = True) -> int:
        """Run a command in the repository, its output appended to the log; raise EntropylawError when it fails."""
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"\n$ {' '.join(command)}\n")
            log.flush()
            process = subprocess.Popen(  # nosec B603 # our own words, and no shell
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
            code = self.wait_for(process)
        if check and code:
            told = last_line(self.log.read_text(encoding="utf-8", errors="replace"))
            raise EntropylawError(f"`{' '.join(command)}` ended with exit code {code}: {told}; see {self.log}")
        return code

    def wait_for(self, process: subprocess.Popen[bytes]) -> int:
        """The exit code of a process; while it takes long, its last words are passed on."""
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(SECONDS_BETWEEN_LINES)
                self.say(f"… {last_line(self.log.read_text(encoding='utf-8', errors='replace'))}")
        except BaseException:
            process.kill()
            process.wait()
            raise

    def summarise(self, name: str, trained: bool) -> dict[str, Any]:
        from corpus.artifacts import read_json

        verdict = read_json(self.folder / layout.VERDICT)
        measured = verdict["measurements"][layout.SFT]
        z = read_json(self.folder / layout.EVALUATION)["z"]["heldout"] if trained else None
        return {
            "name": name,
            "status": verdict["status"],
            "trained": trained,
            "rows": measured["rows"],
            "added": measured["added"],
            "removed": measured["removed"],
            "r": measured["r"],
            "r_long": measured["r_long"],
            "l": measured["l"],
            "c": measured["c"],
            "z": z,
            "reasons": [rule["reason"] for rule in verdict["rules"] if rule["status"] == verdict["status"] == "risky"],
        }

    def say(self, text: str) -> None:
        say(f"[{time.monotonic() - self.started:4.0f} s] {text}")


def model_identity(folder: Path) -> str | None:
    from corpus.artifacts import hash_folder

    return hash_folder(folder) if folder.is_dir() else None
