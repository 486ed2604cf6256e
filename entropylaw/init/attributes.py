"""The lines of .gitattributes that spare a team merge conflicts in files which `dvc repro` makes again anyway."""

from __future__ import annotations

from pathlib import Path

from entropylaw.init.changes import FileChange, plan_change

FILE = ".gitattributes"
# `-merge`: where both branches changed such a file, Git keeps ours whole instead of writing both sides into it, and
# calls it unmerged until it is added. What a stage wrote is never a mixture of two runs.
LINES = (b"dvc.lock -merge", b"results/** -merge")
COMMENT = b"# Made by `dvc repro`: after a merge run it again, then `git add dvc.lock results`."


def plan_attributes(home: Path) -> list[FileChange]:
    """The .gitattributes by which Git never mixes two runs in what the pipeline in ``home`` writes.

    Lines that are there stay, and so does what somebody says of these files in another way.
    """
    target = home / FILE
    before = target.read_bytes() if target.exists() else b""
    said = {line.split()[0] for line in before.splitlines() if line.strip()}
    missing = [line for line in LINES if line.split()[0] not in said]
    if not missing:
        return []
    gap = b"" if before.endswith(b"\n") or not before else b"\n"
    return plan_change(target, before + gap + b"\n".join([COMMENT, *missing]) + b"\n")
