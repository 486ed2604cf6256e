"""The command `demo`: five data versions of real conversations through real Git, DVC and `dvc repro`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpus.errors import EntropylawError
from entropylaw.repository import layout

if TYPE_CHECKING:
    from entropylaw.demo.versions import DemoData

MARKER = Path(".entropylaw") / "demo"
WAIVED_UNTIL = "2099-12-31"


@dataclass(frozen=True)
class DemoSize:
    """Rows of each version, of the held-out set, and preference pairs; which versions are trained, not only measured;
    ``params``: what differs from the shipped params.yaml. No threshold differs.
    """

    rows: int
    heldout_rows: int
    pairs: int
    trained: tuple[str, ...]
    params: dict[str, dict[str, Any]]


# ZIP's sizes in proportion to pools of about a thousand rows; the paper's are for 300,000.
SMALL_POOL = {"k1": 200, "k2": 40, "k3": 20}
FULL = DemoSize(
    rows=1600,
    heldout_rows=300,
    pairs=200,
    trained=("x1", "x2", "x3", "x4"),
    params={"probe": {"steps": 32}, "calibration": {"seeds": 4}, "selection": SMALL_POOL, "sft": {"epochs": 1.0}},
)
FAST = DemoSize(
    rows=800,
    heldout_rows=150,
    pairs=0,
    trained=("x4",),
    params={
        "base_model": {"hidden_size": 64, "layers": 2, "steps": 160, "max_length": 128},
        "probe": {"steps": 24, "max_length": 128},
        "calibration": {"seeds": 3},
        "selection": SMALL_POOL,
        "sft": {"epochs": 1.0, "max_length": 128},
        "evaluation": {"max_length": 128},
    },
)


def demo(
    workspace: Annotated[Path, typer.Option(help="Where the demo's repository is made.")] = Path("entropylaw-demo"),
    fast: Annotated[
        bool,
        typer.Option(
            "--fast", help="Half the data, a smaller model, no preferences, only x4 and x5 trained: under 3 minutes."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Another seed is another team's data and models.", min=0)] = 0,
) -> None:
    """Five versions of real conversations; the fifth is an accident, and `dvc repro` stops before training on it.

    Example: entropylaw demo --fast --workspace /tmp/demo
    """
    from corpus.artifacts import write_json
    from entropylaw.demo.chitchat import load_chat_logs
    from entropylaw.demo.versions import build_versions

    size = FAST if fast else FULL
    data = build_versions(load_chat_logs(), size.rows, size.heldout_rows, size.pairs, seed)
    repository = DemoRepository(prepare_workspace(workspace), time.monotonic())
    rows = repository.play(data, size, seed)
    summary = workspace / "summary.json"
    write_json(summary, {"seed": seed, "fast": fast, "versions": rows})
    typer.echo("\n" + "\n".join(format_table(rows)))
    typer.echo(f"\nReport:  {workspace / layout.REPORT_HTML}\nSummary: {summary}\nLog:     {repository.log}")
    wrong = unexpected(rows)
    if wrong:
        raise EntropylawError(f"the demo did not go as it should: {'; '.join(wrong)}; see {repository.log}")


def prepare_workspace(workspace: Path) -> Path:
    """An empty folder; an earlier demo in it is replaced, anything else is left alone."""
    if workspace.exists() and any(workspace.iterdir()):
        if not (workspace / MARKER).exists():
            raise EntropylawError(f"{workspace}: not empty and not a demo; name another folder with --workspace")
        shutil.rmtree(workspace)
    (workspace / MARKER.parent).mkdir(parents=True, exist_ok=True)
    (workspace / MARKER).touch()
    return workspace.resolve()


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
        rows = []
        previous = None
        for name in ("x1", "x2", "x3", "x4"):
            trained = name in size.trained
            self.commit_data(name, data.versions[name])
            self.run("dvc", "repro", *([] if trained else ["gate"]))
            self.run("entropylaw", "accept", "--name", name)
            self.commit(f"Accept {name}")
            rows.append(self.summarise(name, trained))
            self.say(describe(rows[-1], previous))
            previous = rows[-1]

        self.run("git", "checkout", "--quiet", "-b", "benign-update")
        self.commit_data("benign", data.versions["benign"])
        self.run("dvc", "repro", "gate")
        rows.append(self.summarise("benign", trained=False))
        self.say(describe(rows[-1], previous))
        self.commit("Measure the benign update")
        self.run("git", "checkout", "--quiet", "-")
        self.run("dvc", "checkout", "--quiet")

        self.commit_data("x5", data.versions["x5"])
        models = [self.folder / layout.MODELS / name for name in ("sft", "kto")]
        before = [model_identity(model) for model in models]
        stopped = self.run("dvc", "repro", check=False)
        untouched = before == [model_identity(model) for model in models]
        row = self.summarise("x5", trained=not untouched)
        self.say(describe(row, previous))
        if stopped and untouched:
            self.say("`dvc repro` stopped at the gate: nothing was trained on x5")
        shutil.copytree(self.folder / layout.RESULTS, self.folder / "stopped-x5" / layout.RESULTS)

        self.say("hindsight: training once on x5 under a waiver, to see what the gate prevented")
        self.run("entropylaw", "waive", "all", "--reason", "hindsight for the demo", "--owner", "demo",
                 "--expires", WAIVED_UNTIL)  # fmt: skip
        self.run("dvc", "repro")
        self.run("entropylaw", "accept", "--name", "x5")
        self.commit("Release x5 under a waiver, for hindsight")
        row["z"] = self.summarise("x5", trained=True)["z"]
        rows.append(row)
        return rows

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
        options = ["--dataset", "sft=data/sft.jsonl", "--heldout", "export/heldout.jsonl"]
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
            handle.write("/demo.log\n/summary.json\n/export/\n/stopped-x5/\n")
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
            done = subprocess.run(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=subprocess.STDOUT, check=False
            )
        if check and done.returncode:
            raise EntropylawError(f"`{' '.join(command)}` ended with exit code {done.returncode}; see {self.log}")
        return done.returncode

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
        typer.echo(f"[{time.monotonic() - self.started:4.0f} s] {text}")


def model_identity(folder: Path) -> str | None:
    from corpus.artifacts import hash_folder

    return hash_folder(folder) if folder.is_dir() else None


def describe(row: dict[str, Any], previous: dict[str, Any] | None) -> str:
    def number(key: str) -> str:
        change = f" ({row[key] - previous[key]:+.3f})" if previous else ""
        return f"{row[key]:.3f}{change}"

    text = f"{row['name']}: {row['status']}; R {number('r')}, long R {number('r_long')}, L {number('l')}"
    return text if row["z"] is None else f"{text}, Z {row['z']:.4f}"


def format_table(rows: list[dict[str, Any]]) -> list[str]:
    """The table of Figure 5: what was known before training, and the performance that followed."""
    lines = [
        f"{'version':<9} {'rows':>5} {'added':>6} {'removed':>8} "
        f"{'R':>7} {'long R':>7} {'L':>7} {'C':>7} {'Z':>9}  verdict",
        "-" * 84,
    ]
    for row in rows:
        changes = [f"{'' if row[key] is None else row[key]:>{width}}" for key, width in (("added", 6), ("removed", 8))]
        numbers = " ".join(f"{row[key]:7.3f}" for key in ("r", "r_long", "l", "c"))
        z = f"{'-':>9}" if row["z"] is None else f"{row['z']:9.4f}"
        note = " (Z in hindsight)" if row["status"] == "risky" and row["z"] is not None else ""
        lines.append(f"{row['name']:<9} {row['rows']:>5} {' '.join(changes)} {numbers} {z}  {row['status']}{note}")
    return lines


def unexpected(rows: list[dict[str, Any]]) -> list[str]:
    """Where the demo's outcome differs from the paper's Figure 5; said, never hidden."""
    by_name = {row["name"]: row for row in rows}
    expected = {"x1": "baseline", "x2": "pass", "x3": "pass", "x4": "pass", "benign": "pass", "x5": "risky"}
    wrong = [
        f"{name} is {by_name[name]['status']}, not {status}"
        for name, status in expected.items()
        if by_name[name]["status"] != status
    ]
    if by_name["x5"]["trained"]:
        wrong.append("x5 was trained on before its waiver")
    if by_name["x5"]["z"] >= by_name["x4"]["z"]:
        wrong.append(f"Z of x5 ({by_name['x5']['z']:.4f}) is not below Z of x4 ({by_name['x4']['z']:.4f})")
    return wrong
