"""A repository of its own for a study: `entropylaw study --recipe`, with nothing needed but the tool."""

from __future__ import annotations

import io
import os
import subprocess  # nosec B404 # git, dvc and our own command
import sys
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
    settings = request.settings.read_text(encoding="utf-8") if request.settings else None
    folder, marker = request.folder, request.folder / MARKER
    if not marker.exists():
        if folder.exists() and any(folder.iterdir()):
            raise EntropylawError(f"{folder}: not empty and not a study's; name another folder with --workspace")
        make_repository(request)
        write_json(marker, request.identity())
    elif read_json(marker) != request.identity():
        raise EntropylawError(f"{folder}: made with another recipe, data or sample; name another with --workspace")
    if settings is not None and "mix" not in parse_yaml(settings, request.settings):
        write_text(folder / request.pipeline / "params.yaml", settings)
    note(f"entropylaw: the study is made in {folder}; edit {folder / request.pipeline / 'params.yaml'} to change it")
    return folder


def make_repository(request: StudyRequest) -> None:
    """A Git and DVC repository with the rows to select from, and the pipeline with the recipe's settings."""
    from entropylaw.study.files import StudyFiles
    from entropylaw.study.params import parse_study_params

    path = StudyFiles(request.pipeline).params
    text = request.settings.read_text(encoding="utf-8") if request.settings else read_text(path)
    wanted = parse_study_params(text, request.settings or path).dataset
    folder = request.folder
    folder.mkdir(parents=True, exist_ok=True)
    run(folder, "git", "init", "--quiet")
    run(folder, "dvc", "init", "--quiet")
    if "mix" in parse_yaml(text, request.settings or path) and not request.data:
        options = mix_in(folder, request, text)
    else:
        written = write_pool_files(wanted, request.data, request.sample, folder)
        options = [word for name in written.datasets for word in ("--dataset", f"{name}=data/{name}.jsonl")]
        if written.held_out is not None:
            options += ["--held-out", written.held_out]
    run(folder, sys.executable, "-m", "entropylaw", "init", "--recipe", request.recipe, *options)


def mix_in(folder: Path, request: StudyRequest, text: str) -> list[str]:
    """Have the study's own stage make the pool, and give the options of `init` for its datasets.

    ``text``: of the study's params.yaml. Its files are named as seen from here, so the repository gets full paths.
    """
    from entropylaw.init.recipes import new_yaml
    from entropylaw.study.files import StudyFiles
    from entropylaw.study.mix import read_mix

    files = StudyFiles(request.pipeline)
    yaml, buffer = new_yaml(), io.StringIO()
    document = yaml.load(text)
    for name, corpora in document["mix"].items():
        for corpus in corpora.values() if name in KINDS else ():
            if not is_hub_name(corpus["path"]):
                corpus["path"] = os.path.abspath(corpus["path"])
    if request.sample is not None:
        document["mix"]["sample"] = request.sample
    yaml.dump(document, buffer)
    write_text(folder / files.params, buffer.getvalue())
    write_text(folder / files.pipeline, read_text(files.pipeline))
    run(folder, sys.executable, "-m", "dvc", "repro", f"{files.pipeline.as_posix()}:mix")
    datasets = read_mix(folder / files.params).datasets
    return [word for name in datasets for word in ("--dataset", f"{name}=data/{name}.jsonl")]


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
