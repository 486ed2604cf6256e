"""constants.md: the numbers in monitor/ that no parameter changes, with the comments that stand above them."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from corpus.errors import EntropylawError

REPOSITORY = Path(__file__).parents[2]
PACKAGE = "monitor"
# Versions of file formats decide nothing about a version of the data.
LEFT_OUT = frozenset({"SCHEMA_VERSION"})

HEADER = """\
# Constants

The numbers in `monitor/` that no parameter changes. Many of them decide a verdict; some bound memory, time or the size
of a file. This page is made by `make docs` from the code: each value is the one the program uses, and the words are the
comment above it. What can be set is on the page [parameters](parameters.md).
"""

_NAME = re.compile(r"_?[A-Z][A-Z0-9_]*")


@dataclass(frozen=True)
class Constant:
    module: str
    name: str
    value: str
    comment: str


def write_constants() -> str:
    """The page's text. Raises EntropylawError naming the constants that have no comment."""
    found = list(find_constants(REPOSITORY / PACKAGE))
    if bare := [f"{constant.module}.{constant.name}" for constant in found if not constant.comment]:
        raise EntropylawError(f"write a comment above each of these constants: {', '.join(bare)}")
    blocks = [HEADER]
    for module, constants in groupby(found, lambda constant: constant.module):
        path = f"{module.replace('.', '/')}.py"
        rows = [f"| `{constant.name}` | {constant.value} | {escape(constant.comment)} |" for constant in constants]
        blocks += [f"## [{path}](../../{path})", "\n".join(["| constant | value | why |", "|---|---|---|", *rows])]
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def find_constants(folder: Path) -> Iterator[Constant]:
    """The upper-case numbers and tuples of numbers of a package's modules, in the order of its files."""
    for path in sorted(folder.rglob("*.py")):
        module = ".".join(path.relative_to(folder.parent).with_suffix("").parts).removesuffix(".__init__")
        source = path.read_text(encoding="utf-8")
        names = [(name, line) for name, line in list_names(source) if name not in LEFT_OUT]
        if not names:
            continue
        loaded = importlib.import_module(module)
        for name, line in names:
            value = getattr(loaded, name)
            if is_number(value):
                yield Constant(module, name, show(value), read_comment(source.splitlines(), line))


def list_names(source: str) -> Iterator[tuple[str, int]]:
    """The upper-case names that a module assigns at its top level, each with the number of its line.

    >>> list(list_names("A: int = 1\\nB, _C = 2, 3\\nlower = 4\\n"))
    [('A', 1), ('B', 2), ('_C', 2)]
    """
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        else:
            continue
        for target in targets:
            for name in ast.walk(target):
                if isinstance(name, ast.Name) and _NAME.fullmatch(name.id):
                    yield name.id, node.lineno


def is_number(value: object) -> bool:
    """
    >>> is_number(0.5), is_number((1, 2)), is_number(True), is_number(())
    (True, True, False, False)
    """
    if isinstance(value, tuple):
        return bool(value) and all(is_number(item) for item in value)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def show(value: object) -> str:
    """
    >>> show(4_000_000), show(0.5), show((2, 3)), show(1e-12)
    ('4,000,000', '0.5', '(2, 3)', '1e-12')
    """
    if isinstance(value, tuple):
        return f"({', '.join(map(show, value))})"
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def escape(text: str) -> str:
    return text.replace("|", r"\|")


def read_comment(lines: list[str], number: int) -> str:
    """The comment beside line ``number``, else the one straight above it.

    >>> read_comment(["# Two lines", "# of words.", "A = 1"], 3)
    'Two lines of words.'
    >>> read_comment(["A = 1  # Beside it."], 1)
    'Beside it.'
    >>> read_comment(["# Of another.", "A = 1", "B = 2"], 3)
    ''
    """
    _, beside, own = lines[number - 1].partition("  # ")
    if beside:
        return own
    end = start = number - 1
    while start and lines[start - 1].startswith("# "):
        start -= 1
    return " ".join(line.removeprefix("# ") for line in lines[start:end])
