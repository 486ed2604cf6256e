"""Files in which a merge left both sides: where that begins, and how to get out of it."""

from __future__ import annotations

import re
from pathlib import PurePath

# As Git writes them; a row of equals signs alone may also be a heading.
_OURS = re.compile(r"^<<<<<<< ", re.M)
_DIVIDER = re.compile(r"^=======$", re.M)

# What DVC's stages write again; every one of these files is of one run, so they are taken from one side together.
MADE_AGAIN = "dvc.lock results"


def describe_conflict(path: object, text: str) -> str | None:
    """What is wrong with a text that holds both sides of a merge, and what to do; None of any other text.

    >>> text = "rows: 3\\n<<<<<<< HEAD\\nr: 2.5\\n=======\\nr: 2.6\\n>>>>>>> update\\n"
    >>> print(describe_conflict("params.yaml", text))
    params.yaml, line 2: a merge conflict; keep what is meant and delete the lines of <<<<<<<, ======= and >>>>>>>
    >>> describe_conflict("params.yaml", "rows: 3")
    """
    start = _OURS.search(text)
    if start is None or not _DIVIDER.search(text, start.end()):
        return None
    line = text.count("\n", 0, start.start()) + 1
    return f"{path}, line {line}: a merge conflict; {_find_way_out(PurePath(str(path)))}"


def _find_way_out(path: PurePath) -> str:
    if path.name == "dvc.lock" or "results" in path.parts:
        return (
            f"take one side with `git checkout --theirs -- {MADE_AGAIN}` (after a commit, `git checkout HEAD^ -- "
            f"{MADE_AGAIN}`), run `dvc repro`, which makes it anew, then `git add {MADE_AGAIN}`"
        )
    if path.name == "waivers.yaml":
        return (
            f"take one side with `git checkout --ours -- {path}`, then repeat `entropylaw waive` for each waiver that "
            f"only the other one has (`git show MERGE_HEAD:./{path}`)"
        )
    if path.suffix == ".dvc":
        return (
            f"take one side with `git checkout --theirs -- {path}` and run `dvc checkout {path}`; to have the rows of "
            "both, put them together then and run `dvc add`"
        )
    if "history" in path.parts:
        return f"both sides accepted this version: take one with `git checkout --theirs -- {path}`"
    return "keep what is meant and delete the lines of <<<<<<<, ======= and >>>>>>>"
