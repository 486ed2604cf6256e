"""Commands as processes of their own, in a folder that holds a verdict and what it needs, and no model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sample_verdicts import history, sample_verdict

from corpus.artifacts import write_json
from monitor.history import write_entry

RULES = ("redundancy", "loss", "both_rise")


@dataclass(frozen=True)
class Place:
    """A folder in which commands run. ``changes``: of their environment; None takes a variable away."""

    folder: Path
    changes: Mapping[str, str | None] = field(default_factory=dict)

    def start(
        self, words: Sequence[str], before: Callable[[], None] | None = None, **options: object
    ) -> subprocess.Popen[str]:
        """``before`` runs in the new process first, to limit what it may do."""
        changed = {**os.environ, **self.changes}
        environment = {key: value for key, value in changed.items() if value is not None}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            [sys.executable, "-m", "entropylaw", *words], cwd=self.folder, env=environment, preexec_fn=before,
            **{**streams, **options},
        )  # fmt: skip

    def run(
        self, *words: str, before: Callable[[], None] | None = None, **options: object
    ) -> subprocess.CompletedProcess[str]:
        """How a command ended. A traceback is never right, whatever was done to it."""
        process = self.start(words, before, **options)
        told, errors = process.communicate(timeout=300)
        assert "Traceback" not in (errors or ""), errors
        return subprocess.CompletedProcess(words, process.returncode, told, errors)

    def shell(self, line: str) -> subprocess.CompletedProcess[str]:
        """How a line of Bash ended, in which ``entropylaw`` is this program."""
        function = f'entropylaw() {{ "{sys.executable}" -m entropylaw "$@"; }}\n'
        done = subprocess.run(
            ["bash", "-c", function + line], cwd=self.folder, env=dict(os.environ), capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def temporary_files(self) -> list[Path]:
        return [path for path in self.folder.rglob(".*") if path.suffix == ".tmp"]


def make_place(folder: Path, status: str = "risky") -> Place:
    """A folder with a verdict of this status, the history that it rests on, and a data file of 2,000 rows."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in history():
        write_entry(folder / "history", entry)
    write_json(folder / "results" / "verdict.json", sample_verdict(status))
    write_rows_to(folder / "rows.jsonl", 2_000)
    return Place(folder)


def write_rows_to(path: Path, rows: int, about: str = "sea") -> None:
    turns = ({"prompt": f"What of the {about}, part {i}?", "response": f"It is {about} {i * i}."} for i in range(rows))
    path.write_text("".join(json.dumps(turn) + "\n" for turn in turns), encoding="utf-8")
