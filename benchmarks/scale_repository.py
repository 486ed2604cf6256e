"""A repository whose data file has any number of rows, and every stage from its commit to the verdict, timed.

What is made once (base model, calibration), the first version and each later one start from copies of the repository
without its data, so that a stage never finds what an earlier measurement of the same rows has left behind.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.measured_versions import Measured, measure_or_read
from benchmarks.recut_rows import RecutRows, Version
from benchmarks.stages import MADE_ONCE, REPOSITORY, read_stages
from benchmarks.timed_commands import Timing, time_command
from corpus.artifacts import read_json, write_json
from entropylaw.repository import layout

DATA_FILE = layout.DATA / "sft.jsonl"
LAST_STAGE = "gate"
# What the gate says of a version by its exit code.
VERDICTS = (0, 1, 3)
ENTROPYLAW = shlex.join([sys.executable, "-m", "entropylaw"])
DVC = shlex.join([sys.executable, "-m", "dvc"])
# The same stages and the same model, trained on less and with fewer runs: for tests of what the stages hold, and where
# the cost of what is made once is of no interest.
QUICK: dict[str, dict[str, Any]] = {
    "base_model": {"steps": 24},
    "calibration": {"seeds": 2, "update_shares": [0.1], "updates": 2, "law_runs": False},
}
# Copies of the repository without its data: with base model and calibration, and with the first version accepted.
MADE, ACCEPTED = "made", "accepted"


@dataclass(frozen=True)
class ScaleRepository:
    """A Git and DVC repository in a folder, with ``rows`` as its data.

    ``params``: settings other than ours, by section of params.yaml. ``stop_above_mb``: a stage that holds more is
    stopped, and TooMuchMemory raised.
    """

    folder: Path
    rows: RecutRows
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    stop_above_mb: float = float("inf")

    @property
    def home(self) -> Path:
        return self.folder / "repository"

    def time(self, name: str, command: str, codes: tuple[int, ...] = (0,), stage: str = "") -> Timing:
        """Run a command in the repository, with this clone's packages."""
        variables = {
            "PYTHONPATH": os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH")))),
            # What is kept between runs has to be a part of the copies.
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "DVC_NO_ANALYTICS": "1",
        }
        if stage:
            variables["DVC_STAGE"] = stage
        return time_command(name, command, self.home, codes, variables, self.stop_above_mb)

    def run_stages(self, once: bool = False) -> list[Timing]:
        """Every stage up to the gate, as `dvc repro` runs them; ``once``: those that are run once, or all others."""
        stages = read_stages({layout.SFT: str(DATA_FILE)}, LAST_STAGE, self.home / "dvc.yaml")
        timings = []
        for stage, _, command in stages:
            if (stage in MADE_ONCE) != once:
                continue
            ours = f"{ENTROPYLAW} {command.removeprefix('entropylaw ')}"
            timings.append(self.time(stage, ours, VERDICTS if stage == LAST_STAGE else (0,), stage))
            print(f"  {stage:<14}{timings[-1].cpu_seconds:>8.1f} s CPU", file=sys.stderr, flush=True)
        return timings

    def write_data(self, version: Version) -> int:
        """Make this version the one that is in the repository, unless it is; returns the file's size in bytes."""
        file, note = self.home / DATA_FILE, self.folder / "data.json"
        here = asdict(version)
        if file.exists() and note.exists() and read_json(note) == here:
            return file.stat().st_size
        note.unlink(missing_ok=True)
        size = self.rows.write(version, file)
        write_json(note, here)
        return size

    def make(self, first: Version) -> list[Timing]:
        """Make the repository with its base model and calibration; nothing where it has been made.

        Returns what `init` and the stages that are run once took.
        """
        kept = self.folder / "once.json"
        if not kept.exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.home.mkdir(parents=True)
            self.write_data(first)
            for command in (
                "git init --quiet .",
                f"{DVC} init --quiet",
                # Rows are not copied to DVC's cache but linked there.
                f"{DVC} config cache.type hardlink,copy",
            ):
                self.time(command, command)
            timings = [self.time("init", f"{ENTROPYLAW} init --dataset sft={DATA_FILE}")]
            self.change_params()
            timings += self.run_stages(once=True)
            self.keep_copy(MADE)
            write_timings(kept, timings)
        return read_timings(kept)

    def measure_first(self, first: Version, again: bool = False) -> Measured:
        """Measure the first version and accept it; nothing where that has been done, unless ``again``."""

        def measure() -> Measured:
            self.restore_copy(MADE)
            measured = self.measure_stages(first)
            # A version is accepted only if DVC recorded its stages, as `dvc repro` would have.
            self.time("record", f"{DVC} commit --force --quiet --with-deps report")
            accepted = self.time("accept", f"{ENTROPYLAW} accept")
            shutil.rmtree(self.home / ".dvc" / "cache", ignore_errors=True)
            self.keep_copy(ACCEPTED)
            return replace(measured, accept=accepted)

        return measure_or_read(self.folder / "first.json", measure, again)

    def measure_changed(self, version: Version, again: bool = False) -> Measured:
        """What the stages from a commit of this version to its verdict take, after the first version was accepted."""

        def measure() -> Measured:
            self.restore_copy(ACCEPTED)
            return self.measure_stages(version)

        return measure_or_read(self.folder / f"changed-{version.changed:g}-{version.rows}.json", measure, again)

    def measure_stages(self, version: Version) -> Measured:
        size = self.write_data(version)
        timings = self.run_stages()
        compression, consistency = (
            read_json(self.home / layout.result(layout.SFT, name)) for name in ("compression.json", "consistency.json")
        )
        return Measured(
            version.rows,
            version.changed,
            size,
            read_json(self.home / layout.VERDICT)["status"],
            compression["r"],
            compression["r_long"],
            consistency["near_duplicates"],
            tuple(timings),
        )

    def change_params(self) -> None:
        from ruamel.yaml import YAML

        yaml, file = YAML(), self.home / "params.yaml"
        document = yaml.load(file.read_text(encoding="utf-8"))
        for section, values in self.params.items():
            document[section].update(values)
        with file.open("w", encoding="utf-8") as handle:
            yaml.dump(document, handle)

    def keep_copy(self, name: str) -> None:
        shutil.rmtree(self.folder / name, ignore_errors=True)
        shutil.copytree(self.home, self.folder / name, ignore=self.is_data, symlinks=True)

    def restore_copy(self, name: str) -> None:
        """Everything but the data becomes what it was; what was prepared of the data goes."""
        for path in self.home.iterdir():
            if path.name == layout.DATA.name:
                shutil.rmtree(path / "prepared", ignore_errors=True)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        shutil.copytree(self.folder / name, self.home, symlinks=True, dirs_exist_ok=True)

    def is_data(self, folder: str, names: list[str]) -> list[str]:
        """What the copies leave out."""
        if Path(folder) == self.home:
            return [layout.DATA.name]
        return ["cache"] if Path(folder) == self.home / ".dvc" else []


def write_timings(path: Path, timings: list[Timing]) -> None:
    write_json(path, [asdict(timing) for timing in timings])


def read_timings(path: Path) -> list[Timing]:
    return [Timing(**timing) for timing in json.loads(path.read_text(encoding="utf-8"))]
