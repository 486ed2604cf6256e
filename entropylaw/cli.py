"""The command `entropylaw` and its subcommands: each reads files, calls one function and writes files."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from corpus.errors import EntropylawError
from entropylaw import __version__, compare, evaluate, history, lint, measure, rate, train, verdict
from entropylaw.backfill import command as backfill
from entropylaw.demo import command as demo
from entropylaw.extras import explain_missing
from entropylaw.init import command as init
from entropylaw.release import command as release
from entropylaw.select import command as select
from entropylaw.study import command as study


class Commands(TyperGroup):
    """Prints a user's mistake as one line and exits by the contract: 1 risky, 2 usage, 3 could not be assessed.

    Ctrl-C is one line too, and exit code 130, as shells have it.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except EntropylawError as error:
            message = " ".join(str(error).split())
            sys.stderr.write(f"entropylaw: {message}\n")
            raise typer.Exit(error.exit_code) from None
        except ModuleNotFoundError as error:
            missing = explain_missing(error.name)
            if missing is None:
                raise
            sys.stderr.write(f"entropylaw: {missing}\n")
            raise typer.Exit(2) from None
        except BrokenPipeError:  # the reader of our output left, as `| head` does
            sys.stderr.close()
            raise typer.Exit(0) from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            sys.stderr.write(f"entropylaw: {where}{error.strerror or error}\n")
            raise typer.Exit(2) from None
        except KeyboardInterrupt as interrupt:
            # A command that knows what the interruption left behind says so in the exception.
            sys.stderr.write(f"entropylaw: {str(interrupt) or 'stopped'}\n")
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Commands,
    name="entropylaw",
    help="Tells whether a new version of fine-tuning data is safe to train on, before anyone trains on it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"entropylaw {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    """Options of the whole program."""


app.command("demo")(demo.demo)
app.command("init")(init.init)
app.command("lint")(lint.lint)
app.command("check")(verdict.check)
app.command("accept")(history.accept)
app.command("history")(history.show_history)
app.command("score")(history.score)
app.command("waive")(history.waive)
app.command("rate")(rate.rate)
app.command("compare")(compare.compare)
app.command("backfill")(backfill.backfill)
app.command("prepare", rich_help_panel="Stages")(measure.prepare)
app.command("compress", rich_help_panel="Stages")(measure.compress)
app.command("consistency", rich_help_panel="Stages")(measure.consistency)
app.command("base-model", rich_help_panel="Stages")(measure.base_model)
app.command("probe", rich_help_panel="Stages")(measure.probe)
app.command("calibrate", rich_help_panel="Stages")(measure.calibrate)
app.command("assess", rich_help_panel="Stages")(verdict.assess)
app.command("report", rich_help_panel="Stages")(verdict.report)
app.command("gate", rich_help_panel="Stages")(verdict.gate)
app.add_typer(select.app, name="select")
app.add_typer(train.app, name="train")
app.command("evaluate", rich_help_panel="Stages")(evaluate.evaluate)
app.add_typer(release.app, name="release")
app.add_typer(study.app, name="study")


def main() -> None:
    # Threads that spin while they wait cost a factor of thirty where another process wants the same cores, as on a
    # laptop or a CI runner; waiting asleep costs a quarter on an idle machine. To be set before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app()
