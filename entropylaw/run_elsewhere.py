"""Runs a heavy stage through a program of the team's, such as a cluster's queue, as params.yaml says."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec

from corpus.errors import ParamsError
from entropylaw.pipeline_command import started_in
from entropylaw.standard_streams import flush_standard_streams

if TYPE_CHECKING:
    from training.launch import HeavyStage, LaunchParams

P = ParamSpec("P")

# Given to the command line that runs elsewhere, so that it does the work and passes it on to nobody.
HERE = "--here"


def run_elsewhere(stage: HeavyStage) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """The command as ``launch.command`` wants it run: here, or by that program, which this process becomes.

    The program gets the same command line, in the same folder, and its exit code is the stage's. So it must wait until
    the work is done, and its machine must see the same files.
    """

    def wrap(command: Callable[P, None]) -> Callable[P, None]:
        @functools.wraps(command)
        def run(*arguments: P.args, **options: P.kwargs) -> None:
            from training.launch import fill_command, is_worker

            params = _read_launch()
            if params.command is None or stage not in params.stages or HERE in sys.argv or is_worker():
                command(*arguments, **options)
                return
            words = fill_command(params.command, ["entropylaw", HERE, *sys.argv[1:]])
            os.chdir(started_in())
            flush_standard_streams()
            try:
                os.execvp(words[0], words)  # nosec B606 # the program that the team names in its own params.yaml
            except OSError as error:
                raise ParamsError(
                    f"params.yaml: launch.command: {words[0]} cannot be run: {error.strerror}; or set it to null"
                ) from None

        return run

    return wrap


def _read_launch() -> LaunchParams:
    from corpus.params import PARAMS_FILE, read_params, read_section
    from training.launch import LaunchParams

    # A command that needs the section says itself that it is missing.
    if os.path.exists(PARAMS_FILE) and "launch" not in read_params():
        return LaunchParams()
    return read_section(LaunchParams, "launch")
