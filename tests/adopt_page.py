"""The commands of docs/adopt.md, by the heading they stand under, each with the exit code that the page gives it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "adopt.md"
EXITS = re.compile(r"# exits (\d)")
# DVC itself exits 255 where a stage failed.
FAILS = "# fails"
DVC_FAILED = 255


@dataclass(frozen=True)
class Step:
    command: str
    code: int


def read_steps(heading: str, page: Path = PAGE) -> list[Step]:
    """The commands under a heading, in their order. Raises KeyError where the page has no such heading."""
    parts = re.split(r"^#+ ", page.read_text("utf-8"), flags=re.MULTILINE)
    sections = {part.partition("\n")[0].strip(): part for part in parts}
    blocks = re.findall(r"^ *```console\n(.*?)^ *```", sections[heading], flags=re.DOTALL | re.MULTILINE)
    return [read_step(line) for block in blocks for line in block.splitlines()]


def read_step(line: str) -> Step:
    """A line of a block.

    >>> read_step("  dvc repro train     # fails at the gate: nothing trains")
    Step(command='dvc repro train', code=255)
    >>> read_step("entropylaw check    # exits 3: changed after it was measured").code
    3
    """
    command, _, comment = line.partition(" #")
    said = EXITS.search(f"#{comment}")
    code = int(said[1]) if said else DVC_FAILED if f"#{comment}".startswith(FAILS) else 0
    return Step(command.strip(), code)
