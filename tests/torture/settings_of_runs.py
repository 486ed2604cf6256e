"""The pipeline's own commands, run under settings that must not change what they write: locale, threads, folder, …"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent.parent
# One process runs several commands one after the other: to start each anew would take longer than what it does.
DRIVER = """
import json, pathlib, sys
from typer.testing import CliRunner
from entropylaw.cli import app
from entropylaw.repository.results import load_verdict, load_waivers
from monitor.history import read_history
from reports.checks import render_check
from reports.report_data import build_report_data
for words in json.loads(sys.argv[1]):
    done = CliRunner().invoke(app, words)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    print(json.dumps([words, done.exit_code, done.stdout if words[0] in SHOWN else ""]))
    if done.exit_code not in (0, 1):
        sys.exit(done.stderr)
if pathlib.Path("results/report.md").exists():
    data = build_report_data(load_verdict(), read_history(), load_waivers())
    for form in ("text", "markdown", "json", "junit", "github", "gitlab"):
        print(json.dumps([["check", form], 0, render_check(data, form)]))
"""
# What they print is compared too; what stages print is for people, and may hold a duration.
SHOWN = ("check", "history", "lint", "compare")
# Python imports this before anything else. Folders are then listed backwards, as another file system may list them.
LISTED_BACKWARDS = """
import os
_scandir, _listdir = os.scandir, os.listdir
class _Backwards(list):
    def __enter__(self): return self
    def __exit__(self, *error): return None
    def __next__(self): return self.pop(0)
    def close(self): return None
def _name(entry): return os.fsencode(entry.name)
os.scandir = lambda *place: _Backwards(sorted(_scandir(*place), key=_name, reverse=True))
os.listdir = lambda *place: sorted(_listdir(*place), key=os.fsencode, reverse=True)
"""


@dataclass(frozen=True)
class Setting:
    """How a run differs from the others. ``place``: its folder, below the one that all share. ``python``: another
    interpreter. ``backwards``: whether folders are listed in the opposite order.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    place: str = "work"
    python: str = sys.executable
    backwards: bool = False


def list_commands(folder: Path, stages: Sequence[str]) -> list[list[str]]:
    """The commands of these stages, in words, as `dvc repro` would run them: read from dvc.yaml."""
    yaml = YAML(typ="safe")
    pipeline, params = (yaml.load((folder / name).read_text("utf-8")) for name in ("dvc.yaml", "params.yaml"))
    commands = []
    for name in stages:
        stage = pipeline["stages"][name]
        for key in params["datasets"] if "foreach" in stage else [""]:
            text = stage.get("do", stage)["cmd"].replace("${key}", key)
            text = text.replace("${selection.method}", params["selection"]["method"])
            assert "${" not in text, text
            commands.append(re.split(r"\s+", text.strip())[1:])
    return commands


def run_commands(folder: Path, commands: Sequence[Sequence[str]], setting: Setting | None = None) -> list[list[object]]:
    """Run commands in a folder, in one process: each with its exit code, and what it printed where that is a result."""
    setting = setting or Setting()
    paths = [str(ROOT)]
    if setting.backwards:
        hook = folder.parent / f"{folder.name} hook"
        hook.mkdir(exist_ok=True)
        (hook / "sitecustomize.py").write_text(LISTED_BACKWARDS)
        paths.insert(0, str(hook))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONDONTWRITEBYTECODE": "1",
        "DVC_STAGE": "gate",
        "PYTHONPATH": os.pathsep.join(paths),
        **{name: value for name, value in os.environ.items() if name.startswith("OPENBLAS")},
        **setting.environment,
    }
    done = subprocess.run(
        [setting.python, "-c", f"SHOWN = {SHOWN}{DRIVER}", json.dumps(commands)],
        cwd=folder, env=environment, capture_output=True, check=False,
    )  # fmt: skip
    said = done.stdout.decode("utf-8", "backslashreplace")
    assert done.returncode == 0, f"{setting}\n{said}\n{done.stderr.decode('utf-8', 'backslashreplace')}"
    return [json.loads(line) for line in said.splitlines() if line.startswith("[[")]


def read_files(folder: Path) -> dict[str, bytes]:
    """Every file that the stages made, by its path."""
    places = [
        folder / "models",
        folder / "results",
        folder / "data" / "prepared",
        folder / "data" / "selected",
        folder / "history",
    ]
    files = (path for place in places for path in place.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(files)}


def run_again(start: Path, place: Path, commands: Sequence[Sequence[str]], setting: Setting) -> tuple[object, ...]:
    """What the commands print and write in a copy of the folder ``start``, under a setting."""
    folder = place / setting.place
    shutil.copytree(start, folder)
    printed = run_commands(folder, commands, setting)
    return printed, read_files(folder)


def differing(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> list[str]:
    """The files that are not the same in both."""
    return [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
