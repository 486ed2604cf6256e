"""commands.md: every command with its help, as the program prints it, at a fixed width."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Typer's own width is that of the terminal it runs in.
WIDTH = 100

HEADER = """\
# Commands

The help of every command, as `--help` prints it. This page is made by `make docs` from `entropylaw/cli.py` and the
files that it names: change the help there.

## Exit codes

| code | means |
|---|---|
| 0 | done; for `check` and `gate`: pass, warn or baseline |
| 1 | the version is risky and not waived; with `--strict`, also a warning; for `release check`: a check failed |
| 2 | usage or configuration: one line says what is wrong, where, and what to do |
| 3 | the version could not be assessed, which is never a pass |
| 130 | stopped by Ctrl-C |
"""


def write_commands() -> str:
    """The page's text."""
    import typer

    from entropylaw.cli import app

    program = typer.main.get_command(app)
    context = open_context(program, "entropylaw", None)
    blocks = [HEADER, "## Overview", "\n".join(list_commands(program))]
    for title, names in group_commands(program).items():
        blocks.append(f"## {title}")
        for name in names:
            blocks += describe(program.commands[name], name, context)  # type: ignore[attr-defined]
    blocks += ["## Options of the program", show_options(program, context)]
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def open_context(command: Any, name: str, parent: Any) -> Any:
    return command.context_class(
        command, info_name=name, parent=parent, terminal_width=WIDTH, **command.context_settings
    )


def group_commands(program: Any) -> dict[str, list[str]]:
    """Names of the commands by the title they stand under: those for every day, the stages, and the families."""
    groups: dict[str, list[str]] = {"Commands": [], "Stages of the pipeline": [], "Families of commands": []}
    for name, command in program.commands.items():
        if getattr(command, "commands", None):
            groups["Families of commands"].append(name)
        elif command.rich_help_panel == "Stages":
            groups["Stages of the pipeline"].append(name)
        else:
            groups["Commands"].append(name)
    return groups


def list_commands(program: Any) -> Iterator[str]:
    yield "| command | does |"
    yield "|---|---|"
    for names in group_commands(program).values():
        for name in names:
            command = program.commands[name]
            yield f"| [`{name}`](#entropylaw-{name}) | {summarize(command)} |"
            for child, subcommand in getattr(command, "commands", {}).items():
                yield f"| [`{name} {child}`](#entropylaw-{name}-{child}) | {summarize(subcommand)} |"


def summarize(command: Any) -> str:
    """The first paragraph of a command's help, in one line."""
    first: str = command.help.partition("\n\n")[0]
    return " ".join(first.split()).replace("|", "\\|")


def describe(command: Any, name: str, parent: Any) -> Iterator[str]:
    """The heading and the help of a command, then those of its subcommands."""
    context = open_context(command, name, parent)
    yield f"### {context.command_path}"
    yield f"```text\n{command.get_help(context)}\n```"
    for child, subcommand in getattr(command, "commands", {}).items():
        yield from describe(subcommand, child, context)


def show_options(program: Any, context: Any) -> str:
    formatter = context.make_formatter()
    with formatter.section("Options"):
        formatter.write_dl(
            [record for option in program.get_params(context) if (record := option.get_help_record(context))]
        )
    return f"```text\n{formatter.getvalue().strip()}\n```"
