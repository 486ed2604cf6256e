"""The study of the selection methods on the demo's conversations, with the demo's base model.

    python -m benchmarks.selection_study WORKSPACE                      # x4, about half an hour on two cores
    python -m benchmarks.selection_study WORKSPACE --version x1 --seeds 5 --only random zip zip-global

Makes a Git and DVC repository in WORKSPACE whose baseline is one of the demo's data versions, and runs `entropylaw
study` in it: the table and the figures lie in WORKSPACE/studies/selection/results.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from corpus.files import write_rows
from entropylaw.demo.chitchat import load_chat_logs
from entropylaw.demo.sizes import FULL
from entropylaw.demo.versions import build_versions
from entropylaw.repository.shipped_files import shipped_text
from entropylaw.study.files import SELECTION


def make_repository(workspace: Path, version: str, seed: int) -> None:
    """Make a repository by `entropylaw init`, with the sizes of the demo's base model in params.yaml."""
    data = build_versions(load_chat_logs(), FULL.rows, FULL.heldout_rows, 0, seed)
    write_rows(workspace / "data" / "sft.jsonl", data.versions[version])
    write_rows(workspace / "export" / "heldout.jsonl", data.heldout)
    run(workspace, "git", "init", "--quiet")
    run(workspace, "dvc", "init", "--quiet")
    run(workspace, "entropylaw", "init", "--dataset", "sft=data/sft.jsonl", "--held-out", "export/heldout.jsonl")
    yaml = YAML()
    params = yaml.load(workspace / "params.yaml")
    for section, changes in FULL.params.items():
        params[section].update(changes)
    params["sft"]["epochs"] = 2.0
    yaml.dump(params, workspace / "params.yaml")


def choose_methods(workspace: Path, seeds: int, only: list[str] | None) -> None:
    """Write the study's parameters as they ship, except for the number of seeds and the methods left out."""
    target = workspace / SELECTION.params
    target.parent.mkdir(parents=True, exist_ok=True)
    yaml = YAML()
    params = yaml.load(shipped_text(SELECTION.params.as_posix()))
    params["study"]["seeds"] = list(range(seeds))
    for name in [name for name in params["study"]["methods"] if only and name not in only]:
        del params["study"]["methods"][name]
    yaml.dump(params, target)


def run(folder: Path, *command: str) -> None:
    scripts = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"}
    subprocess.run(command, cwd=folder, env=environment, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path, help="a folder that does not exist yet")
    parser.add_argument("--version", default="x4", help="the demo's data version to select from")
    parser.add_argument("--seed", type=int, default=1, help="of the demo's data")
    parser.add_argument("--seeds", type=int, default=3, help="models for each method")
    parser.add_argument("--only", nargs="+", help="entries of study.methods; by default all")
    options = parser.parse_args()
    options.workspace.mkdir(parents=True)
    make_repository(options.workspace, options.version, options.seed)
    choose_methods(options.workspace, options.seeds, options.only)
    run(options.workspace, "entropylaw", "study")


if __name__ == "__main__":
    main()
