"""What the checks of `doctor` look at: a working copy and the pipeline in it, each fact read once and when needed."""

from __future__ import annotations

import os
import shlex
from functools import cached_property
from pathlib import Path
from typing import Any

from corpus.dataset_params import DatasetParams
from corpus.errors import NotAssessedError
from corpus.params import read_params
from corpus.prepare import PrepareReport
from entropylaw.doctor.declared_stages import DeclaredStage, list_declared
from entropylaw.doctor.stale_stages import find_stale
from entropylaw.repository.datasets import read_datasets
from entropylaw.repository.git import find_root
from entropylaw.repository.lockfile import LOCK_FILE, PIPELINE_FILE, LockedStage, base_name, read_lock, read_pipeline
from entropylaw.repository.pipeline_folder import is_pipeline
from entropylaw.repository.results import load_prepare_report

# What is to be done about a file of DVC's that cannot be read, beside restoring it from Git.
RESTORE = "mend it by hand"


class Checkout:
    """The repository around the current folder, which is the pipeline's where there is one.

    ``start``: the folder in which the user types commands. Reading a fact raises the EntropylawError that a command
    would end with.
    """

    def __init__(self, start: Path | None = None) -> None:
        self.start = start or Path.cwd()

    def as_typed(self, path: str | Path) -> str:
        """A path as the user would type it."""
        return Path(os.path.relpath(path, self.start)).as_posix()

    @property
    def repro(self) -> str:
        """What runs this pipeline, and no other one, from where the user is."""
        pipeline = self.as_typed(PIPELINE_FILE)
        return "dvc repro" if pipeline == PIPELINE_FILE.name else f"dvc repro {shlex.quote(pipeline)}"

    @cached_property
    def git_root(self) -> Path | None:
        """The root of the Git repository; None outside of one."""
        return Path(root) if (root := find_root()) else None

    @cached_property
    def dvc_root(self) -> Path | None:
        """The folder in which `dvc init` was run; None where it was not."""
        here = Path.cwd()
        return next((folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), None)

    @cached_property
    def has_pipeline(self) -> bool:
        return is_pipeline(Path())

    @cached_property
    def params(self) -> dict[str, Any]:
        return read_params()

    @cached_property
    def datasets(self) -> dict[str, DatasetParams]:
        return read_datasets()

    @cached_property
    def declared(self) -> list[DeclaredStage]:
        """The stages of dvc.yaml."""
        return list_declared(read_pipeline(RESTORE), self.params)

    @cached_property
    def locked(self) -> list[LockedStage]:
        """The stages as they last ran; none where none did."""
        return read_lock(RESTORE) if LOCK_FILE.exists() else []

    @cached_property
    def stale(self) -> dict[str, str]:
        """Why stages have to run, by name."""
        return find_stale(self.declared, self.locked, self.params)

    def is_stale(self, stage: str) -> bool:
        """Whether this stage, of any dataset, has to run."""
        return any(base_name(name) == stage for name in self.stale)

    def prepared(self, dataset: str) -> PrepareReport | None:
        """What was read and kept when a dataset was last prepared; None where that cannot be read."""
        try:
            return load_prepare_report(dataset)
        except NotAssessedError:
            return None
