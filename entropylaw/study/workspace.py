"""A repository of its own for a study: `entropylaw study --recipe`, with nothing needed but the tool."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess  # nosec B404 # git, dvc and our own command
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from corpus.artifacts import read_json, write_json, write_text
from corpus.errors import EntropylawError
from corpus.files import is_hub_name
from corpus.params import parse_yaml
from entropylaw.init.recipes import RECIPES
from entropylaw.printing import note
from entropylaw.repository.datasets import KINDS
from entropylaw.study.pipeline import STDERR, read_text
from entropylaw.study.pool_files import write_pool_files

# What the repository was made for, so that another request does not get its results.
MARKER = Path(".entropylaw") / "study.json"


@dataclass(frozen=True)
class StudyRequest:
    """What `entropylaw study --recipe` is asked for, in the words of its options."""

    recipe: str
    pipeline: Path
    data: list[str]
    settings: Path | None
    sample: int | None
    workspace: Path | None

    @property
    def folder(self) -> Path:
        return self.workspace or Path(f"entropylaw-study-{self.recipe}")

    def identity(self) -> dict[str, object]:
        """What the rows and settings of the repository depend on; its studies are made beside each other."""
        asked = {**asdict(self), "data": [option.partition("=")[0] + "=" + _place(option) for option in self.data]}
        return {key: asked[key] for key in ("recipe", "data", "sample")}


def _place(option: str) -> str:
    return os.path.realpath(option.partition("=")[2])


def open_workspace(request: StudyRequest) -> Path:
    """The folder of the repository, which is made where it is not there yet, with the study's settings in it.

    Raises EntropylawError where another study's repository, or anything else, is in its place.
    """
    if request.recipe not in RECIPES:
        raise EntropylawError(f"--recipe {request.recipe}: unknown; known are {', '.join(RECIPES)}")
    if request.pipeline.is_absolute() or ".." in request.pipeline.parts:
        raise EntropylawError(f"--pipeline {request.pipeline}: with --recipe, name a folder in the new repository")
    settings = request.settings.read_text(encoding="utf-8") if request.settings else None
    folder, marker = request.folder, request.folder / MARKER
    if not marker.exists():
        if folder.exists() and any(folder.iterdir()):
            raise EntropylawError(f"{folder}: not empty and not a study's; name another folder with --workspace")
        with _removed_on_failure(folder):
            make_repository(request)
            write_json(marker, request.identity())
    elif read_json(marker) != request.identity():
        raise EntropylawError(f"{folder}: made with another recipe, data or sample; name another with --workspace")
    params = folder / request.pipeline / "params.yaml"
    if settings is not None and request.settings is not None:
        write_text(params, _place_mix(settings, request.settings, request.sample))
    note(f"entropylaw: the study is made in {folder}; edit {request.settings or params} to change it")
    return folder


@contextlib.contextmanager
def _removed_on_failure(folder: Path) -> Iterator[None]:
    """Where a repository cannot be made, leave nothing of it, so that the next try finds an empty place again."""
    was_there = folder.exists()
    try:
        yield
    except BaseException:  # Ctrl-C too
        shutil.rmtree(folder, ignore_errors=True)
        if was_there:
            folder.mkdir(exist_ok=True)
        raise


def make_repository(request: StudyRequest) -> None:
    """A Git and DVC repository with the rows to select from, and the pipeline with the recipe's settings."""
    from entropylaw.study.files import StudyFiles
    from entropylaw.study.params import parse_study_params

    path = StudyFiles(request.pipeline).params
    text = request.settings.read_text(encoding="utf-8") if request.settings else read_text(path)
    wanted = parse_study_params(text, request.settings or path).dataset
    is_mixed = "mix" in parse_yaml(text, request.settings or path)
    if is_mixed and request.data:
        raise EntropylawError(
            f"--data: {request.pipeline.as_posix()} mixes a pool of its own; name the files in the section mix of "
            "--settings FILE"
        )
    folder = request.folder
    folder.mkdir(parents=True, exist_ok=True)
    run(folder, "git", "init", "--quiet")
    run(folder, "dvc", "init", "--quiet")
    if is_mixed:
        options = mix_in(folder, request, text)
    else:
        written = write_pool_files(wanted, request.data, request.sample, folder)
        options = [word for name in written.datasets for word in ("--dataset", f"{name}=data/{name}.jsonl")]
        if written.held_out is not None:
            options += ["--held-out", written.held_out]
    run(folder, sys.executable, "-m", "entropylaw", "init", "--recipe", request.recipe, *options)


def mix_in(folder: Path, request: StudyRequest, text: str) -> list[str]:
    """Have the study's own stage make the pool, and give the options of `init` for its datasets.

    ``text``: of the study's params.yaml.
    """
    from entropylaw.study.files import StudyFiles
    from entropylaw.study.mix import read_mix

    files = StudyFiles(request.pipeline)
    write_text(folder / files.params, _place_mix(text, request.settings or files.params, request.sample))
    write_text(folder / files.pipeline, read_text(files.pipeline))
    run(folder, sys.executable, "-m", "dvc", "repro", f"{files.pipeline.as_posix()}:mix")
    datasets = read_mix(folder / files.params).datasets
    return [word for name in datasets for word in ("--dataset", f"{name}=data/{name}.jsonl")]


def _place_mix(text: str, path: Path, sample: int | None) -> str:
    """The params.yaml of a study for its repository. Where it mixes a pool, of so many rows as ``sample`` says, the
    files are named as seen from here, so they get full paths. Raises ParamsError, naming ``path``, for a wrong mix.
    """
    from entropylaw.init.recipes import new_yaml
    from entropylaw.study.mix import parse_mix

    plain = parse_yaml(text, path)
    if "mix" not in plain:
        return text
    parse_mix(plain, path)
    yaml, buffer = new_yaml(), io.StringIO()
    document = yaml.load(text)
    for name, corpora in document["mix"].items():
        for corpus in corpora.values() if name in KINDS else ():
            if not is_hub_name(corpus["path"]):
                corpus["path"] = os.path.abspath(corpus["path"])
    if sample is not None:
        document["mix"]["sample"] = sample
    yaml.dump(document, buffer)
    return buffer.getvalue()


def run(folder: Path, *command: str) -> None:
    """Run a command in the repository, what it prints going to stderr. Raises EntropylawError where it fails."""
    scripts = str(Path(sys.executable).parent)
    path = f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}
    # The repository is the study's own, whatever Git is told about one around it.
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "DVC_ROOT"):
        environment.pop(name, None)
    done = subprocess.run(command, cwd=folder, env=environment, stdout=STDERR, check=False)  # nosec B603 # no shell
    if done.returncode:
        raise EntropylawError(f"`{' '.join(command)}` in {folder} ended with exit code {done.returncode}")
