"""Writes the reference pages from the code: `make docs`. tests/test_reference.py fails when a page is not up to date.

A new page is a function that gives its text, and a line in PAGES. Pages elsewhere stand in OTHER_PAGES.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from corpus.artifacts import write_text
from corpus.errors import EntropylawError
from docs.reference.commands import write_commands
from docs.reference.constants import write_constants
from docs.reference.formats import write_formats, write_readme
from docs.reference.lint import write_lint
from docs.reference.parameters import write_parameters
from docs.reference.rules import write_rules

FOLDER = Path(__file__).parent
PAGES: dict[str, Callable[[], str]] = {
    "commands.md": write_commands,
    "constants.md": write_constants,
    "lint.md": write_lint,
    "parameters.md": write_parameters,
    "rules.md": write_rules,
}


# By their path in the repository.
OTHER_PAGES: dict[str, Callable[[], str]] = {
    "README.md": write_readme,
    "docs/formats.md": write_formats,
}


def main() -> None:
    pages = {FOLDER / name: write for name, write in PAGES.items()}
    pages |= {FOLDER.parents[1] / name: write for name, write in OTHER_PAGES.items()}
    for path, write in pages.items():
        try:
            text = write()
        except EntropylawError as error:
            sys.exit(f"make docs: {error}")
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
            print(f"wrote {path.relative_to(FOLDER.parents[1])}")


if __name__ == "__main__":
    main()
