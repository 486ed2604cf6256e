"""parameters.md: every key of params.yaml and of studies/selection/params.yaml, with what its comment says.

A comment reads: what the key does, [its unit] where it has one, (where the value comes from). Comment lines straight
above a key are the beginning of its comment.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import ParamsError
from entropylaw.params_sections import SECTIONS
from entropylaw.study.params import StudyParams

REPOSITORY = Path(__file__).parents[2]
PARAMS = "params.yaml"
# The one that sets every key.
STUDY_PARAMS = "studies/preferences/params.yaml"

HEADER = """\
# Parameters

Every key that can be set, section by section, with the value that ships. This page is made by `make docs` from the
comments in [params.yaml](../../params.yaml) and [studies/selection/params.yaml](../../studies/selection/params.yaml):
change them there. An unknown, missing or ill-typed key is an error that names it; `null` is YAML's word for "not set".

*Source*: "paper" is Yin et al., 2024, [arXiv:2407.06645](https://arxiv.org/abs/2407.06645); "ours" is our own choice;
"measured" names the page with the measurement; "yours" is for you to fill in.
[Recipes](../training.md#choose-a-recipe) change some of the values for larger models.
"""

_KEY = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z_][\w-]*):(?P<value>[^#]*)(?:# ?(?P<comment>.*))?")
_COMMENT = re.compile(r"(?P<meaning>.*?) ?(?:\[(?P<unit>[^\[\]]+)\] )?\((?P<source>[^()]+)\)")
_DOC = re.compile(r"docs/([\w/.-]+\.md)")


@dataclass(frozen=True)
class Line:
    """One key of a params.yaml: its value as it stands there, empty for a section, and the words around it."""

    value: str
    comment: str


@dataclass(frozen=True)
class Comment:
    """
    >>> parse_comment("longer rows are cut [tokens] (ours; paper: 2048)")
    Comment(meaning='longer rows are cut', unit='tokens', source='ours; paper: 2048')
    >>> parse_comment("by name, such as [a, b]; empty: none (ours)").unit
    ''
    """

    meaning: str
    unit: str
    source: str


def parse_comment(text: str) -> Comment:
    """Raises ParamsError for a comment that lacks the meaning or the source."""
    match = _COMMENT.fullmatch(text)
    if match is None or not match["meaning"]:
        raise ParamsError(f"expected a comment of the form `what it does [unit] (source)`, found {text!r}")
    return Comment(match["meaning"], match["unit"] or "", match["source"])


def read_lines(text: str) -> dict[str, Line]:
    """Every key that has a line of its own, by its path, with its comment.

    >>> read_lines("# About a.\\na:\\n  # Above b.\\n  b: 1 # Beside it.\\n")
    {'a': Line(value='', comment='About a.'), 'a.b': Line(value='1', comment='Above b. Beside it.')}
    """
    lines: dict[str, Line] = {}
    above: list[str] = []
    parents: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            above.append(line.lstrip("# "))
        elif match := _KEY.fullmatch(line):
            del parents[len(match["indent"]) // 2 :]
            parents.append(match["key"])
            comment = " ".join([*above, match["comment"] or ""]).strip()
            lines[".".join(parents)] = Line(match["value"].strip(), comment)
            above = []
        else:  # a blank line parts the file's introduction from the first section
            above = []
    return lines


def write_parameters() -> str:
    """The page's text. Raises ParamsError naming the key that is missing, or whose comment lacks a part."""
    lines = read_lines((REPOSITORY / PARAMS).read_text(encoding="utf-8"))
    blocks = [HEADER, f"## {PARAMS}", *write_datasets(lines)]
    for name, cls in SECTIONS.items():
        blocks += write_section(name, cls, lines, PARAMS)
    study = read_lines((REPOSITORY / STUDY_PARAMS).read_text(encoding="utf-8"))
    blocks += [f"## {STUDY_PARAMS}", *write_section("study", StudyParams, study, STUDY_PARAMS)]
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def write_datasets(lines: dict[str, Line]) -> Iterator[str]:
    yield "### datasets"
    yield lines["datasets"].comment
    names = [path for path in lines if path.startswith("datasets.") and lines[path].value]
    yield table(row(path.removeprefix("datasets."), lines[path], f"{PARAMS}: {path}") for path in names)


def write_section(name: str, cls: type, lines: dict[str, Line], where: str) -> Iterator[str]:
    """The heading, the words and the table of one section, then the same for each section inside it."""
    if name not in lines:
        raise ParamsError(f"{where}: missing section {name!r}")
    yield f"### {name}"
    if lines[name].comment:
        yield lines[name].comment
    keys, inner = split_keys(name, cls, lines)
    if keys:
        yield table(row(key, find(lines, f"{name}.{key}", where), f"{where}: {name}.{key}") for key in keys)
    for key, inner_cls in inner.items():
        yield from write_section(f"{name}.{key}", inner_cls, lines, where)


def split_keys(name: str, cls: type, lines: dict[str, Line]) -> tuple[list[str], dict[str, type]]:
    """The keys of a section, and the sections inside it. A section written on one line, { a: 1, b: 2 }, is a key."""
    hints = typing.get_type_hints(cls)
    keys, inner = [], {}
    for field in dataclasses.fields(cls):
        line = lines.get(f"{name}.{field.name}")
        if dataclasses.is_dataclass(hints[field.name]) and (line is None or not line.value):
            inner[field.name] = hints[field.name]
        else:
            keys.append(field.name)
    return keys, inner


def find(lines: dict[str, Line], path: str, where: str) -> Line:
    """The line of a key; where its entries have lines of their own, their names stand for the value."""
    if path not in lines:
        raise ParamsError(f"{where}: {path}: missing key")
    entries = [name.removeprefix(f"{path}.") for name in lines if name.startswith(f"{path}.")]
    return dataclasses.replace(lines[path], value=", ".join(entries)) if entries else lines[path]


def table(rows: Iterator[str]) -> str:
    return "\n".join(["| key | default | what it does | unit | source |", "|---|---|---|---|---|", *rows])


def row(key: str, line: Line, where: str) -> str:
    try:
        comment = parse_comment(line.comment)
    except ParamsError as error:
        raise ParamsError(f"{where}: {error}") from None
    source = _DOC.sub(r"[\1](../\1)", comment.source)
    cells = (f"`{key}`", f"`{line.value}`", comment.meaning, comment.unit, source)
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"
