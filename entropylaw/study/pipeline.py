"""The pipeline of a study: its files as they ship, and `dvc repro` on them."""

from __future__ import annotations

import dataclasses
import os
import subprocess  # nosec B404 # `dvc repro` runs in a process of its own
import sys
from collections.abc import Mapping
from pathlib import Path

from corpus.artifacts import write_text
from corpus.errors import EntropylawError, ParamsError
from corpus.interrupts import was_signalled
from corpus.params import PARAMS_FILE, read_params
from entropylaw.repository.datasets import read_datasets
from entropylaw.repository.layout import SFT, prepared
from entropylaw.repository.shipped_files import shipped_text
from entropylaw.study.files import StudyFiles
from entropylaw.study.params import StudyParams, parse_study_params
from entropylaw.study.sections import read_sections

# The studies that ship, by their folders.
SHIPPED = tuple(Path("studies") / name for name in ("selection", "preferences", "paper", "paper/preferences"))
STDERR = 2


def read_text(path: Path) -> str:
    """A file of a study as it lies here, or as it ships. Raises EntropylawError where it is neither."""
    if path.exists():
        return path.read_text(encoding="utf-8")
    if path.parent not in SHIPPED:
        known = ", ".join(folder.as_posix() for folder in SHIPPED)
        raise EntropylawError(f"{path}: no such file; the studies that ship are {known}")
    return shipped_text(path.as_posix())


def require_dataset(files: StudyFiles) -> None:
    """Raise where a study cannot be made here: it selects from a dataset and trains on it as the pipeline does."""
    params = parse_study_params(read_text(files.params), files.params)
    if params.dataset not in read_datasets():
        what = "conversations" if params.dataset == SFT else "preferences"
        raise EntropylawError(f"{PARAMS_FILE}: the study selects {what}, and there is no dataset {params.dataset}")
    read_sections(params)


def write_pipeline(files: StudyFiles) -> list[Path]:
    """Write the study's pipeline and parameters where they are missing; the paths of what was written."""
    missing = [path for path in (files.pipeline, files.params) if not path.exists()]
    for path in missing:
        text = read_text(path)
        if path.parent != SHIPPED[0] and SFT not in read_datasets():
            # Nothing prepares conversations here: preferences are aligned from the base model.
            text = text.replace(f"      - {prepared(SFT).as_posix()}\n", "").replace("      - sft\n", "")
        write_text(path, text)
    return missing


def require_watched_keys(files: StudyFiles) -> None:
    """Raise ParamsError for a key of the study that its stages watch and that is not set: DVC would stop at it, though
    the key has a default.
    """
    stages = read_params(files.pipeline).get("stages", {})
    study = read_params(files.params).get("study", {})
    defaults = {field.name: field.default for field in dataclasses.fields(StudyParams)}
    for stage in stages.values():
        for item in stage.get("do", stage).get("params", []):
            watched = item.get(files.params.as_posix(), []) if isinstance(item, Mapping) else []
            for key in [key.removeprefix("study.") for key in watched]:
                if key in StudyParams.ADDED and key not in study:
                    value = "null" if defaults[key] is None else defaults[key]
                    raise ParamsError(f"{files.params}: study.{key}: missing key; add `{key}: {value}`")


def reproduce(pipeline: Path) -> None:
    """Run `dvc repro` with its output on stderr, so that stdout holds the result alone.

    Raises EntropylawError when a stage fails.
    """
    # The stages call `entropylaw`, which need not be on the path of whoever called it by its full name.
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"}
    with subprocess.Popen(  # nosec B603 # our own words, and no shell
        [sys.executable, "-m", "dvc", "repro", str(pipeline)], env=environment, stdout=STDERR
    ) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            # Ctrl-C reached it too, and it has its locks to release; a signal to this process alone did not.
            if was_signalled():
                process.terminate()
            process.wait()
            raise
    if code:
        raise EntropylawError(f"`dvc repro {pipeline}` ended with exit code {code}; its last lines say why")
