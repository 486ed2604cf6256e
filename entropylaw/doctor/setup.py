"""Checks of the ground that everything stands on: Git, DVC, the pipeline, params.yaml."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from corpus.errors import EntropylawError
from corpus.params import parse_section
from entropylaw.doctor.checkout import Checkout
from entropylaw.doctor.data_here import suggest_init
from entropylaw.doctor.finding import Finding
from entropylaw.repository.dvc_locks import is_rwlock_torn
from entropylaw.repository.git import is_shallow, run_git
from entropylaw.repository.lockfile import base_name

# Unmerged files that are named; the others are counted.
NAMED_FILES = 3


def check_repository(checkout: Checkout) -> Iterator[Finding]:
    """Whether this is a Git and DVC repository, in a state that a pipeline can run in."""
    if checkout.git_root is None:
        yield Finding("repository", "broken", f"{Path.cwd()} is not inside a Git repository", "run `git init`")
        return
    if checkout.dvc_root is None:
        yield Finding("repository", "broken", "DVC is not set up in this Git repository", "run `dvc init`")
        return
    if unmerged := sorted({line.split("\t")[-1] for line in run_git("ls-files", "--unmerged").splitlines()}):
        more = f" and {len(unmerged) - NAMED_FILES} more" if len(unmerged) > NAMED_FILES else ""
        named = ", ".join(unmerged[:NAMED_FILES])
        yield Finding(
            "repository", "broken", f"merge conflict in {named}{more}", "resolve it, `git add` the files, `dvc repro`"
        )
        return
    notes = checkout.dvc_root / ".dvc" / "tmp"
    if is_rwlock_torn(notes):
        yield Finding(
            "repository",
            "broken",
            f"DVC was killed while it wrote {notes / 'rwlock'}, and does not run until that is gone",
            f"see that no DVC command is running, then `rm {shlex.quote(os.path.relpath(notes / 'rwlock'))}`",
        )
        return
    commit = run_git("rev-parse", "--short", "HEAD")
    branch = run_git("rev-parse", "--abbrev-ref", "HEAD")
    where = f"{branch} at {commit}" if branch != "HEAD" else f"commit {commit}"
    text = f"Git and DVC, {where}" if commit else "Git and DVC, nothing committed yet"
    if is_shallow():
        yield Finding(
            "repository",
            "to do",
            f"{text}; this clone is shallow: `compare` and `backfill` do not see older commits",
            "run `git fetch --unshallow` where you need them",
        )
    else:
        yield Finding("repository", "ok", text)


def check_pipeline(checkout: Checkout) -> Iterator[Finding]:
    """Whether our pipeline is here, and how much of it the team has."""
    if not checkout.has_pipeline:
        yield Finding("pipeline", "broken", "`entropylaw init` was not run in this repository", suggest_init())
        return
    root = checkout.git_root or Path.cwd()
    folder = Path.cwd().relative_to(root).as_posix() if Path.cwd().is_relative_to(root) else "."
    names = list(dict.fromkeys(base_name(stage.name) for stage in checkout.declared))
    where = "at the root of the repository" if folder == "." else f"in {folder}/"
    yield Finding("pipeline", "ok", f"{where}, {len(names)} stages: {names[0]} to {names[-1]}")


def check_params(checkout: Checkout) -> Iterator[Finding]:
    """Whether params.yaml has what the stages read, and nothing else in it."""
    from entropylaw.params_sections import SECTIONS

    read = {key.partition(".")[0] for stage in checkout.declared for key in stage.params}
    wrong = []
    for name, section in SECTIONS.items():
        if name not in read:
            continue
        try:
            if name not in checkout.params:
                raise EntropylawError(f"missing section {name!r}")
            parse_section(section, checkout.params[name], name)
        except EntropylawError as error:
            text, _, remedy = str(error).rpartition("; ")
            if not remedy.startswith(("add ", "delete ", "rename ")):
                text, remedy = str(error), "mend it; docs/reference/parameters.md has every key"
            wrong.append((text, remedy))
    checkout.datasets  # noqa: B018 - raises where the section is ill-formed
    for text, remedy in wrong:
        yield Finding("params.yaml", "broken", text, remedy)
    if not wrong:
        yield Finding("params.yaml", "ok", f"{len(checkout.params)} sections")


def check_lock(checkout: Checkout) -> Iterator[Finding]:
    """Nothing where dvc.lock can be read; else its error, once for all checks that need it."""
    checkout.locked  # noqa: B018 - raises where it cannot be read
    yield from ()
