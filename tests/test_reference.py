"""The reference pages say what the code says: every command, every parameter, every constant of monitor/."""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from ruamel.yaml import YAML
from typer.testing import CliRunner

from corpus.errors import EntropylawError, ParamsError
from corpus.formats import Format, detect_format
from corpus.formats.kinds import PREPARED
from docs.reference import commands, constants, parameters
from docs.reference.generate import FOLDER, OTHER_PAGES, PAGES
from entropylaw.cli import app
from entropylaw.params_sections import SECTIONS
from entropylaw.study.params import StudyParams
from monitor.calibration.params import CalibrationParams

REPOSITORY = Path(__file__).parent.parent


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_the_code_says(name: str) -> None:
    found = (FOLDER / name).read_text(encoding="utf-8")
    assert found == PAGES[name](), f"docs/reference/{name} is not up to date: run `make docs` and commit the page"


@pytest.mark.parametrize("name", OTHER_PAGES)
def test_a_page_elsewhere_says_what_the_code_says(name: str) -> None:
    found = (REPOSITORY / name).read_text(encoding="utf-8")
    assert found == OTHER_PAGES[name](), f"{name} is not up to date: run `make docs` and commit the page"


def test_the_page_of_formats_shows_a_row_of_every_format() -> None:
    page = (REPOSITORY / "docs" / "formats.md").read_text(encoding="utf-8")
    shown = {detect_format(json.loads(row)) for row in re.findall(r"```json\n(.*)\n```", page)}
    assert shown == set(get_args(Format)) - PREPARED
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert all(f"\n### {format}\n" in page and f"| `{format}` |" in readme for format in shown)


def test_every_page_is_generated_and_linked() -> None:
    assert {path.name for path in FOLDER.glob("*.md")} == set(PAGES)
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for name in PAGES:
        assert f"(docs/reference/{name})" in readme


# --- commands


def walk(command: Any, *words: str) -> Iterator[tuple[str, ...]]:
    yield words
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, *words, name)


def test_every_command_stands_on_the_page_with_its_help() -> None:
    page = commands.write_commands()
    for words in list(walk(typer.main.get_command(app)))[1:]:
        width = {"prog_name": "entropylaw", "terminal_width": commands.WIDTH}
        shown = CliRunner().invoke(app, [*words, "--help"], **width).stdout
        assert f"\n### entropylaw {' '.join(words)}\n\n```text\n{shown.strip()}\n```\n" in page, words


def test_the_page_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = commands.write_commands()
    monkeypatch.setenv("COLUMNS", "41")
    monkeypatch.setenv("TERM", "dumb")
    assert commands.write_commands() == before


# --- parameters


def list_fields(cls: type, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    """Every key of a dataclass with its default and its type; a nested dataclass as itself and by its keys."""
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        made = field.default_factory
        default = field.default if made is dataclasses.MISSING else made()
        yield f"{prefix}.{field.name}", default, hints[field.name]
        if dataclasses.is_dataclass(hints[field.name]):
            yield from list_fields(hints[field.name], f"{prefix}.{field.name}")


FIELDS = [field for name, cls in SECTIONS.items() for field in list_fields(cls, name)]


def read_tables(page: str) -> dict[str, list[str]]:
    """The cells of every row of the page, by section and key."""
    cells: dict[str, list[str]] = {}
    section = ""
    for line in page.splitlines():
        if line.startswith("### "):
            section = line.removeprefix("### ")
        elif line.startswith("| `"):
            key, *others = (cell.strip() for cell in line.strip("|").replace("\\|", "/").split("|"))
            cells[f"{section}.{key.strip('`')}"] = others
    return cells


@pytest.fixture(scope="module")
def tables() -> dict[str, list[str]]:
    return read_tables((FOLDER / "parameters.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("path", "default", "hint"), FIELDS, ids=[path for path, _, _ in FIELDS])
def test_every_key_of_every_dataclass_is_on_the_page_with_its_default(
    tables: dict[str, list[str]], path: str, default: Any, hint: Any
) -> None:
    parent = path.rpartition(".")[0]
    if dataclasses.is_dataclass(hint) and path not in tables:  # a section of its own
        assert any(key.startswith(f"{path}.") for key in tables)
        return
    if path not in tables:  # a key of a section that stands on one line
        assert path.rpartition(".")[2] in YAML(typ="safe").load(tables[parent][0].strip("`"))
        return
    shown, meaning, unit, source = tables[path]
    value = YAML(typ="safe", pure=True).load(shown.strip("`"))
    expected = dataclasses.asdict(default) if dataclasses.is_dataclass(default) else default
    assert value == (list(expected) if isinstance(expected, tuple) else expected)
    assert meaning and source
    if holds_numbers(hint) and not path.endswith("seed"):
        assert unit, f"params.yaml: {path}: name the unit in [brackets]"
    for option in typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ():
        assert str(option) in meaning, f"params.yaml: {path}: the comment does not name {option}"


def holds_numbers(hint: Any) -> bool:
    """Whether a value is a number or several."""
    if dataclasses.is_dataclass(hint):
        return all(holds_numbers(inner) for inner in typing.get_type_hints(hint).values())
    return hint in (int, float) or any(
        holds_numbers(inner) for inner in typing.get_args(hint) if isinstance(inner, type)
    )


def test_the_page_has_no_key_that_the_code_does_not_read(tables: dict[str, list[str]]) -> None:
    study = [f"study.{field.name}" for field in dataclasses.fields(StudyParams)]
    known = {"datasets.sft.path", "datasets.preferences.path", *study, *(path for path, _, _ in FIELDS)}
    assert set(tables) - known == set()
    assert set(study) <= set(tables)


def test_sources_that_name_a_page_name_one_that_exists(tables: dict[str, list[str]]) -> None:
    links = {part.partition(")")[0] for cells in tables.values() for part in cells[3].split("](")[1:]}
    assert links and all((FOLDER / link).is_file() for link in links), links


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "calibration:\n  seeds: 5 # probes [runs]\n",
            "params.yaml: calibration.seeds: expected a comment of the form",
        ),
        (
            "calibration:\n  seeds: 5 # [runs] (ours)\n",
            "params.yaml: calibration.seeds: expected a comment of the form",
        ),
        ("calibration:\n  seeds: 5\n", "params.yaml: calibration.seeds: expected a comment of the form"),
        ("calibration:\n  seeds: 5 # probes (ours)\n", "params.yaml: calibration.update_shares: missing key"),
        ("probe:\n  steps: 48 # steps (ours)\n", "params.yaml: missing section 'calibration'"),
    ],
)
def test_a_comment_without_meaning_or_source_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ParamsError) as refused:
        list(parameters.write_section("calibration", CalibrationParams, parameters.read_lines(text), "params.yaml"))
    assert str(refused.value).startswith(message)


# --- constants


def write_module(folder: Path, text: str) -> list[constants.Constant]:
    package = folder / "planted"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "limits.py").write_text(text, encoding="utf-8")
    return list(constants.find_constants(package))


def test_numbers_are_found_with_their_values_and_the_comments_above_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    text = (
        "# Rows that are\n# needed.\nMIN_ROWS: int = 10\n\n# Four times that.\n_MOST = 4 * MIN_ROWS\nBARE = 0.5\n"
        "# Two.\nLOW, HIGH = 1, (2, 3)\n# Text.\nNAME = 'rows'\nFLAG = True\nSCHEMA_VERSION = 1\nlower = 7\n"
    )
    assert [(found.name, found.value, found.comment) for found in write_module(tmp_path, text)] == [
        ("MIN_ROWS", "10", "Rows that are needed."),
        ("_MOST", "40", "Four times that."),
        ("BARE", "0.5", ""),
        ("LOW", "1", "Two."),
        ("HIGH", "(2, 3)", "Two."),
    ]


def test_a_constant_without_a_comment_stops_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = constants.Constant("monitor.gate", "MIN_ROWS", "3", "")
    monkeypatch.setattr(constants, "find_constants", lambda folder: iter([bare]))
    with pytest.raises(EntropylawError, match=r"monitor\.gate\.MIN_ROWS"):
        constants.write_constants()


def test_every_limit_of_the_law_is_on_the_page() -> None:
    from monitor.law import entropy_law

    page = (FOLDER / "constants.md").read_text(encoding="utf-8")
    for name in ("HOLDS_P_VALUE", "HOLDS_R_SQUARED", "HOLDS_RANK_CORRELATION", "MIN_POINTS"):
        assert f"| `{name}` | {getattr(entropy_law, name)} |" in page
