"""Downloads what the stages that have to run will read, and nothing else: `python -m entropylaw.ci.fetch`.

In continuous integration the credentials of the DVC remote are needed for this alone. The stages, whose commands a pull
request may change, then run in a step that has none.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from corpus.errors import EntropylawError, NotAssessedError
from entropylaw.printing import guard_streams, note, say
from entropylaw.repository.datasets import known_datasets

# Up to the report and not the gate, so that a failure says that something could not be measured.
TARGET = "report"


def fetch_inputs(target: str = TARGET) -> list[str]:
    """Pull what is missing here for `dvc repro --allow-missing TARGET`; the paths that were pulled.

    Raises NotAssessedError where the remote does not have it or cannot be reached.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo, lock_repo

    try:
        with Repo(Repo.find_root()) as repo, lock_repo(repo):
            stages = _list_upstream(repo, target)
            # DVC takes a missing file for unchanged if it lies inside a folder that is tracked as a whole.
            unseen = [dep for stage in stages for dep in stage.deps if not _has_record(repo, dep)]
            pulled = _pull(repo, unseen)
            stale = _list_stale(repo, stages)
            made = {str(out) for stage in stale for out in stage.outs}
            read = [dep for stage in stale for dep in stage.deps if str(dep) not in made]
            return [*pulled, *_pull(repo, read)]
    except DvcException as error:
        raise NotAssessedError(f"the data could not be fetched: {error}; was it uploaded with `dvc push`?") from None


def _list_upstream(repo: Any, target: str) -> list[Any]:
    """The stages up to the target that have a command, the first to run first; .dvc files have none."""
    from dvc.repo.reproduce import plan_repro

    planned = plan_repro(repo.index.graph, repo.stage.collect(target))
    return [stage for stage in planned if stage.cmd]


def _list_stale(repo: Any, stages: list[Any]) -> list[Any]:
    """Those that changed since dvc.lock, and all that read what these will write."""
    stale: list[Any] = []
    for stage in stages:
        above = list(repo.index.graph.successors(stage))
        if any(other in stale for other in above) or stage.changed(allow_missing=True, upstream=above):
            stale.append(stage)
    return stale


def _has_record(repo: Any, dep: Any) -> bool:
    """Whether DVC knows the hash of just this file or folder, or it is here."""
    return os.path.exists(dep.fs_path) or any(out.fs_path == dep.fs_path for out in repo.index.outs)


def _pull(repo: Any, deps: list[Any]) -> list[str]:
    missing = [str(dep) for dep in deps if dep.protocol == "local" and not os.path.exists(dep.fs_path)]
    missing = list(dict.fromkeys(missing))
    if missing:
        repo.pull(targets=missing)
    return missing


def main() -> None:
    """The command: a line for each file or folder that was fetched."""
    guard_streams()
    try:
        # DVC puts the datasets' names into the commands of dvc.yaml, and a shell would run what stands in one.
        known_datasets()
        pulled = fetch_inputs()
    except EntropylawError as error:
        note(f"entropylaw: {error}")
        sys.exit(error.exit_code)
    for path in pulled:
        say(f"fetched {Path(path).as_posix()}")
    if not pulled:
        say("nothing to fetch: this data version was measured before")


if __name__ == "__main__":
    main()
