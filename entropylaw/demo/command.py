"""The command `demo`: five data versions of real conversations through real Git, DVC and `dvc repro`."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from corpus.errors import EntropylawError
from entropylaw.demo.outcome import format_table, list_deviations
from entropylaw.demo.repository import DemoRepository
from entropylaw.demo.sizes import FAST, FULL
from entropylaw.printing import say
from entropylaw.repository import layout

MARKER = Path(".entropylaw") / "demo"


def demo(
    workspace: Annotated[Path, typer.Option(help="Where the demo's repository is made.")] = Path("entropylaw-demo"),
    fast: Annotated[
        bool,
        typer.Option(
            "--fast", help="Half the data, a smaller model, no preferences, only x4 and x5 trained: about 3 minutes."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Another seed is another team's data and models.", min=0)] = 0,
) -> None:
    """Five versions of real conversations; the fifth is an accident, `dvc repro` stops before training on it, and
    `entropylaw repair` mends it.

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
    say("", *format_table(rows))
    say("", f"Report:  {workspace / layout.REPORT_HTML}", f"Summary: {summary}", f"Log:     {repository.log}")
    wrong = list_deviations(rows)
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
