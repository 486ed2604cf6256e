"""The lines of .gitattributes that spare a team merge conflicts in files which `dvc repro` makes again anyway."""

from __future__ import annotations

from pathlib import Path

FILE = ".gitattributes"
# `-merge`: where both branches changed such a file, Git keeps ours whole instead of writing both sides into it, and
# calls it unmerged until it is added. What a stage wrote is never a mixture of two runs.
LINES = ("dvc.lock -merge", "results/** -merge")
COMMENT = "# Made by `dvc repro`: after a merge run it again, then `git add dvc.lock results`."


def keep_whole(folder: Path) -> list[Path]:
    """Have Git never mix two runs in what the pipeline in ``folder`` writes; the .gitattributes if it was changed.

    Lines that are there stay, and so does what somebody says of these files in another way.
    """
    from corpus.artifacts import write_text

    target = folder / FILE
    text = target.read_text(encoding="utf-8") if target.exists() else ""
    said = {line.split()[0] for line in text.splitlines() if line.strip()}
    missing = [line for line in LINES if line.split()[0] not in said]
    if not missing:
        return []
    if text and not text.endswith("\n"):
        text += "\n"
    write_text(target, text + "\n".join([COMMENT, *missing]) + "\n")
    return [target]
