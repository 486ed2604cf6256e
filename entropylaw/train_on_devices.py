"""Runs a training command on several devices: the user types it once, and each device gets a worker process."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec

import typer

from corpus.errors import EntropylawError
from entropylaw.pipeline_command import tell_workers

P = ParamSpec("P")


def across_devices(command: Callable[P, None]) -> Callable[P, None]:
    """The command as the section `launch` of params.yaml wants it run: here, or in several workers.

    The workers get this process's command line. Only the first of them prints, and a user's error that several of
    them make is said once, by the process that started them.
    """

    @functools.wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> None:
        from corpus.params import read_section
        from training.launch import LaunchParams, is_worker, launch_workers

        if is_worker():
            _run_as_worker(lambda: command(*arguments, **options))
            return
        params = read_section(LaunchParams, "launch")
        if params.strategy == "single":
            command(*arguments, **options)
        else:
            tell_workers()
            launch_workers(params, "entropylaw", sys.argv[1:])

    return run


def _run_as_worker(run: Callable[[], None]) -> None:
    from training.launch import is_first_process, leave_process_group, report_failure

    with contextlib.ExitStack() as stack:
        if not is_first_process():
            silence = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(silence))
            stack.enter_context(contextlib.redirect_stderr(silence))
        try:
            run()
        except EntropylawError as error:
            if not report_failure(str(error)):
                raise
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:  # passed on by the process that started the workers; that one says so
            raise typer.Exit(130) from None
        leave_process_group()
