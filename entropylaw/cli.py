"""The command `entropylaw` and its subcommands: each reads files, calls one function and writes files."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from corpus.errors import EntropylawError
from corpus.interrupts import end_with_starter, interrupt_code, stop_interrupting
from entropylaw import __version__, compare, evaluate, history, lint, measure, rate, train, verdict
from entropylaw.backfill import command as backfill
from entropylaw.blame import command as blame
from entropylaw.demo import command as demo
from entropylaw.diff import command as diff
from entropylaw.doctor import command as doctor
from entropylaw.export import command as export
from entropylaw.extras import explain_missing
from entropylaw.init import command as init
from entropylaw.pipeline_command import PipelineCommand, PipelineGroup, WritingCommand
from entropylaw.power import command as power
from entropylaw.printing import guard_streams, guarded_streams, note, say
from entropylaw.release import command as release
from entropylaw.repair import command as repair
from entropylaw.repository.recorded_stages import STAGE_VARIABLE
from entropylaw.run_elsewhere import HERE
from entropylaw.select import model_commands as select
from entropylaw.standard_streams import flush_standard_streams, report_mistake
from entropylaw.study import command as study
from training.launch import is_worker

# The panels of `entropylaw --help`, in the order in which a team comes to need them.
START = "Start"
DAILY = "Every day"
STAGES = "One stage of the pipeline, as `dvc repro` runs it"
RELEASE = "Models and releases"
# Options as they were called once, without their dashes: scripts go on working.
RENAMED = {"heldout": "held-out"}
# They are about no pipeline that is there already; `lint` names files as the user does, also to a CI system.
WHERE_THE_USER_IS = ("demo", "init", "lint")
# They read a file that people add to, such as the history or waivers.yaml, and write it again. `backfill`, which may
# run for hours, and `init`, which is about no pipeline yet, see to that themselves.
ONE_AT_A_TIME = ("accept", "score", "waive", "export", "repair")


class Commands(TyperGroup):
    """Prints a user's mistake as one line and exits by the contract: 1 risky, 2 usage, 3 could not be assessed.

    Ctrl-C is one line too, and exit code 130, as shells have it; SIGTERM is 143.
    """

    def main(self, *arguments: Any, **options: Any) -> Any:
        with guarded_streams():
            return super().main(*arguments, **options)

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _told_in_one_line():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        with _told_in_one_line():
            return super().invoke(ctx)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """One list a panel: without rich, which is slow to load, typer writes a single one."""
        panels: dict[str, list[tuple[str, str]]] = {}
        width = formatter.width - 6 - max(map(len, self.commands))
        for name, command in self.commands.items():
            if not command.hidden:
                panel = getattr(command, "rich_help_panel", None) or "Commands"
                panels.setdefault(panel, []).append((f"{name:<11}", command.get_short_help_str(width)))
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)


@contextlib.contextmanager
def _told_in_one_line() -> Iterator[None]:
    try:
        yield
    except EntropylawError as error:
        message = " ".join(str(error).split())
        note(f"entropylaw: {message}")
        raise typer.Exit(error.exit_code) from None
    except ModuleNotFoundError as error:
        missing = explain_missing(error.name)
        if missing is None:
            raise
        note(f"entropylaw: {missing}")
        raise typer.Exit(2) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        note(f"entropylaw: {where}{error.strerror or error}")
        raise typer.Exit(2) from None
    except KeyboardInterrupt as interrupt:
        # A command that knows what the interruption left behind says so in the exception.
        note(f"entropylaw: {str(interrupt) or 'stopped'}")
        raise typer.Exit(interrupt_code()) from None


def _use_new_name(word: str) -> str:
    """An option or command by the name that it has now, so that the one that it had goes on working."""
    return RENAMED.get(word, word)


app = typer.Typer(
    cls=Commands,
    name="entropylaw",
    help="Tells whether a new version of fine-tuning data is safe to train on, before anyone trains on it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": _use_new_name},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"entropylaw {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
    here: bool = typer.Option(False, HERE, help="Run the stage here, whatever launch.command in params.yaml says."),
) -> None:
    """Options of the whole program."""


def _add(panel: str, name: str, function: Callable[..., None], short: str) -> None:
    """Add a command. ``short``: what `entropylaw --help` says of it, in a line of 80 columns."""
    cls = WritingCommand if name in ONE_AT_A_TIME else None if name in WHERE_THE_USER_IS else PipelineCommand
    app.command(name, cls=cls, rich_help_panel=panel, short_help=short)(function)


def _add_group(panel: str, name: str, group: typer.Typer, short: str) -> None:
    """Add a command that has subcommands."""
    for command in group.registered_commands:
        command.cls = PipelineCommand
    # One that does nothing by itself enters no folder: its subcommand does.
    cls = PipelineGroup if group.registered_callback else None
    app.add_typer(group, name=name, cls=cls, rich_help_panel=panel, short_help=short)


_add(START, "demo", demo.demo, "See it work: five versions of real data, the fifth damaged.")
_add(START, "init", init.init, "Add the pipeline to a repository of data.")
_add(START, "doctor", doctor.doctor, "Say what is set up, what is out of date, what runs next.")
_add(START, "lint", lint.lint, "Check data files on their own, without a repository.")
_add(START, "backfill", backfill.backfill, "Measure the versions that are in Git already.")
_add(DAILY, "check", verdict.check, "Show the verdict; the exit code tells it to CI.")
_add(DAILY, "repair", repair.repair, "Find the rows that a stopped version passes without.")
_add(DAILY, "accept", history.accept, "Record the version; later ones are compared with it.")
_add(DAILY, "history", history.show_history, "List the accepted versions and their numbers.")
_add(DAILY, "waive", history.waive, "Overrule a rule for the version under test.")
_add(DAILY, "compare", compare.compare, "Show R, L and C of two files or Git revisions.")
_add(DAILY, "diff", diff.diff, "Show the rows that two files or revisions differ in.")
_add(DAILY, "blame", blame.blame, "Show where the flagged rows come from, and who brought them.")
_add(DAILY, "power", power.power, "Say which accidents the gate would miss on this data.")
_add(DAILY, "rate", rate.rate, "Have a judge grade the answers of some rows.")
_add(STAGES, "prepare", measure.prepare, "Write the rows in canonical form; list those left out.")
_add(STAGES, "compress", measure.compress, "Measure R, the compression ratio.")
_add(STAGES, "consistency", measure.consistency, "Measure C, whether answers belong to their prompts.")
_add(STAGES, "base-model", measure.base_model, "Make the model that every version is probed from.")
_add(STAGES, "probe", measure.probe, "Measure L, the mean loss of a short run.")
_add(STAGES, "calibrate", measure.calibrate, "Measure what is normal for this data.")
_add(STAGES, "assess", verdict.assess, "Judge the version against its parent.")
_add(STAGES, "report", verdict.report, "Write the report as HTML and Markdown.")
_add(STAGES, "gate", verdict.gate, "Approve the version for training, or stop.")
_add_group(STAGES, "select", select.app, "Select the rows to train on, by ZIP or another method.")
_add_group(STAGES, "train", train.app, "Fine-tune on the selected rows with TRL.")
_add(STAGES, "evaluate", evaluate.evaluate, "Measure Z of the trained models.")
_add_group(RELEASE, "release", release.app, "Bind model, data, verdict and Z; check a release.")
_add(RELEASE, "export", export.export, "Write the approved rows for axolotl or LLaMA-Factory.")
_add(RELEASE, "score", history.score, "Record a Z that was measured elsewhere.")
_add_group(RELEASE, "study", study.app, "Compare selection methods at an equal budget.")


def main() -> None:
    # Threads that spin while they wait cost a factor of thirty where another process wants the same cores, as on a
    # laptop or a CI runner; waiting asleep costs a quarter on an idle machine. To be set before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    guard_streams()  # to the very end, where Python prints a traceback
    if STAGE_VARIABLE in os.environ or is_worker():
        # When DVC is gone nobody records what a stage makes, and the next run starts it again. A worker without the
        # process that started it would wait for the others for ever.
        end_with_starter()
    code: object = None
    try:
        app()
    except SystemExit as end:
        code = end.code
    except Exception:
        code = report_mistake()
    problem = flush_standard_streams()
    if problem is not None:
        note(f"entropylaw: {problem}")
        # Output that was lost must not look like a pass. An exit code that says more stays.
        code = code or 2
    stop_interrupting()
    sys.exit(code)  # type: ignore[arg-type]
