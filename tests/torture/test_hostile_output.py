"""Whatever stands in names, reasons, owners, labels and errors: printed, it is text on one line and no command."""

import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from hostile import FRAGMENTS, hostile_text, results_with
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from corpus.artifacts import write_json
from corpus.visible_text import is_seen
from entropylaw import printing
from entropylaw.cli import app
from entropylaw.repository import layout
from entropylaw.terminal import print_result
from monitor.history import write_entry
from monitor.rules.registry import rule_ids
from monitor.waivers import add_waiver

# Behind a line break it would be a line of its own, which a reader takes for ours.
FORGED = "FORGED: releasable"
NAMES = (
    f"x\n{FORGED}",
    f"x\r\n::error::{FORGED}",
    f"x\x1b[2J\x1b[H\n##[set-output name=code]0\n{FORGED}",
    f"x\x1b[0K\rsection_start:1:a\r\x1b[0K\u2028{FORGED}",
    "x\u202egpj.\u2066\u200b\u3164\x9b1m##vso[task.complete]",
    "https://ana:ghp_s3cr3t@example.org/x?token=ghp_s3cr3t",
)


def assert_harmless(printed: str, markup: bool = False) -> None:
    """``markup``: a format with an escaping of its own, which has its own signs and, in JSON, no raw ones."""
    assert all(is_seen(c) or c in "\n\u200b" for c in printed), [c for c in printed if not is_seen(c)]
    assert not any(line.lstrip().startswith(FORGED) for line in printed.splitlines())
    if not markup:
        assert "::" not in printed and "##" not in printed and "\u200b" not in printed
    assert "s3cr3t" not in printed


@given(st.lists(hostile_text | st.text(), max_size=3))
@example(list(NAMES))
def test_each_line_said_is_one_line_of_text_whatever_stands_in_it(texts: list[str]) -> None:
    printed = print_in(lambda: printing.say(*texts))
    assert printed.count("\n") == len(texts)
    assert_harmless(printed)


@given(st.lists(hostile_text | st.text(), max_size=3))
@example(["a:", ":error::x"])
@example(["#", "#", "[error]x"])
def test_what_others_print_in_pieces_stays_in_its_lines_and_holds_no_command(texts: list[str]) -> None:
    def write() -> None:
        printing.guard_streams()
        for text in texts:
            assert sys.stdout.write(text) == len(text)

    printed = print_in(write)
    assert printed.count("\n") == "".join(texts).count("\n")
    assert_harmless(re.sub("[\r\t]", "", printed.replace(FORGED, "")))


def test_a_traceback_shows_no_command_either(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError(NAMES[2])

    monkeypatch.setattr("entropylaw.cli.app", fail)
    from entropylaw.cli import main

    def run() -> None:
        try:
            main()
        except SystemExit as end:
            assert end.code == 3  # 1 would say that the data is risky

    printed = print_in(run)
    assert "RuntimeError" in printed and "\x1b" not in printed and "##" not in printed


def print_in(write: Callable[[], None]) -> str:
    """What a function prints."""
    import contextlib
    import io

    before = sys.stdout, sys.stderr
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        try:
            write()
        finally:
            sys.stdout, sys.stderr = before
    return out.getvalue()


@pytest.fixture(params=[0, pytest.param(1, marks=pytest.mark.torture)])
def hostile_repository(in_tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Results, history and waivers in which every name, reason and owner is hostile."""
    names = (*NAMES, *(f for f in FRAGMENTS if f.isprintable() or f.isascii())) if request.param else NAMES
    dealt = itertools.cycle(names)
    verdict, past, waivers = results_with(lambda: next(dealt))
    write_json(layout.VERDICT, verdict)
    for entry in past:
        write_entry(layout.HISTORY, entry)
    for waiver in waivers:
        add_waiver(layout.WAIVERS, waiver, rule_ids())
    return in_tmp_path


COMMANDS = (
    "history",
    "history --json",
    "check",
    *(f"check --format {name}" for name in ("markdown", "json", "junit", "github", "gitlab")),
    "gate",
    "accept",
    "doctor",
    "doctor --json",
    "release check",
    "release check --json",
    "waive all --reason x --owner x --expires 2999-01-01",
)


# These import the libraries that draw and compute.
SLOW_COMMANDS = ("report", "assess")


@pytest.mark.parametrize(
    "commands", [COMMANDS, pytest.param(SLOW_COMMANDS, marks=pytest.mark.torture)], ids=["quick", "slow"]
)
def test_no_command_prints_what_its_files_hold_as_anything_but_text(
    commands: tuple[str, ...], hostile_repository: Path, tally: Callable[..., None]
) -> None:
    for command in commands:
        done = CliRunner().invoke(app, command.split())
        # Anything else would be a traceback.
        assert isinstance(done.exception, SystemExit | None), (command, done.exc_info)
        assert done.output
        markup = "--format" in command or "--json" in command
        printed = re.sub(r"(?m)^::(error|warning|notice) ", "", done.output) if "github" in command else done.output
        assert_harmless(printed, markup)
        tally("commands on hostile results")


def list_commands(group: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its names, also those of groups."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from list_commands(command, (*names, name))
        else:
            yield (*names, name), command


# The name that `make test` tries.
QUICK = NAMES[2]
ALL = list(list_commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", [QUICK, *(pytest.param(n, marks=pytest.mark.torture) for n in NAMES if n != QUICK)])
def test_no_command_prints_what_it_was_given_as_anything_but_text(
    name: str, in_tmp_path: Path, tally: Callable[..., None]
) -> None:
    """Every argument and every option of text, in a folder that holds nothing."""
    for words, command in ALL:
        # The first two make folders, and the others take seconds to say that there is no such file.
        if words[0] in ("demo", "init", *(("probe", "base-model") if name == QUICK else ())):
            continue
        given = [name for p in command.params if p.param_type_name == "argument" and p.nargs == 1]
        for option in command.params:
            if option.param_type_name == "option" and option.required:
                given += [option.opts[0], name]
        done = CliRunner().invoke(app, [*words, *given])
        assert isinstance(done.exception, SystemExit | None), (words, done.exc_info)
        assert done.output, words
        assert_harmless(done.output)
        tally("commands with hostile arguments")


ON_DATA = (
    "prepare FILE --out out.jsonl",
    "prepare FILE --out out.jsonl --json",
    "compress FILE",
    "compress FILE --json",
    "lint FILE --show-text",
    *(f"lint FILE --show-text --format {name}" for name in ("markdown", "json", "junit", "github", "gitlab", "sarif")),
    "select random FILE --out out.jsonl --rows 3",
    "compare FILE FILE --no-probe",
)


@pytest.mark.slow
@pytest.mark.parametrize("command", [ON_DATA[0], *(pytest.param(c, marks=pytest.mark.torture) for c in ON_DATA[1:])])
def test_no_command_prints_what_rows_hold_as_anything_but_text(
    command: str, in_tmp_path: Path, tally: Callable[..., None]
) -> None:
    """Texts, labels, roles, keys and the name of the file itself, sound rows and bad ones."""
    path = in_tmp_path / "x\x1b[2J::error::##[x] \u202e.jsonl"
    rows: list[Any] = [
        {"messages": [{"role": "user", "content": f"q {i}"}, {"role": "assistant", "content": f"a {i}"}]}
        for i in range(200)
    ]
    for i, name in enumerate(NAMES):
        rows[i]["messages"][0]["content"] = rows[i]["messages"][1]["content"] = name
        rows[i + 10]["source"] = rows[i + 10]["id"] = name
        rows[i + 20] |= {name: name, "metadata": {name: [name]}}
        rows[i + 30]["messages"][1] |= {name: name, "name": name, "tool_calls": name}
    rows[50]["messages"][0]["role"] = NAMES[2]
    rows[51]["messages"] = NAMES[1]
    rows[52] = {NAMES[1]: NAMES[2]}
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows) + NAMES[2] + "\n")
    (in_tmp_path / "params.yaml").write_text((Path(__file__).parents[2] / "params.yaml").read_text())
    done = CliRunner().invoke(app, [word.replace("FILE", path.name) for word in command.split()])
    assert isinstance(done.exception, SystemExit | None), done.exc_info
    assert done.output
    markup = "--format" in command or "--json" in command
    printed = re.sub(r"(?m)^::(error|warning|notice) ", "", done.output) if "github" in command else done.output
    assert_harmless(printed, markup)
    tally("commands on hostile rows")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_result_is_printed_without_commands_in_either_form(as_json: bool) -> None:
    result = {"owner": NAMES[2], "file": NAMES[5]}
    assert_harmless(print_in(lambda: print_result(result, as_json, list(NAMES))).replace("\\n", ""), markup=as_json)
