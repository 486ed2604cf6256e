"""Entropylaw's packages have generic names: it finds its own in a repository that has packages of the same names."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from random import Random

import pytest

from entropylaw.own_packages import NAMES

# Every test starts the command, or DVC, in a process of its own.
pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parent.parent
HAS_RAY = importlib.util.find_spec("ray") is not None


class UsersRepository:
    """A folder with packages named like ours that fail when they are imported, and a script as `pip` would install it.

    The environment has PYTHONPATH=. with our checkout behind it, as site-packages is behind it in an installation.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "repository"
        for name in NAMES:
            self.write(f"{name}/__init__.py", f"raise RuntimeError('this is the package {name} of the user')\n")
        # A folder without an __init__.py, as of data, is no package that could hide ours.
        self.write("entropylaw/readme.txt", "pipeline files")
        answers = Random(1)
        rows = [
            {"messages": [{"role": role, "content": str(answers.random())} for role in ("user", "assistant")]}
            for _ in range(40)
        ]
        self.write("pool.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        self.script = folder / "bin" / "entropylaw"
        self.script.parent.mkdir()
        entry = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]["entropylaw"]
        module, function = entry.split(":")
        self.script.write_text(
            f"#!{sys.executable}\nimport sys\nfrom {module} import {function}\n"
            f"if __name__ == '__main__':\n    sys.exit({function}())\n"
        )
        self.script.chmod(0o755)
        tools = os.pathsep.join([str(self.script.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = {**os.environ, "PYTHONPATH": f".{os.pathsep}{REPOSITORY}", "PATH": tools}
        self.environment["DVC_NO_ANALYTICS"] = "1"

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        # With a time limit: a process pool starts its workers again for as long as they fail.
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=120
        )

    def run_python(self, program: str) -> str:
        done = self.run(sys.executable, "-c", program)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def theirs(tmp_path: Path) -> UsersRepository:
    return UsersRepository(tmp_path)


BY = {"script": ["entropylaw"], "module": [sys.executable, "-m", "entropylaw"]}


def test_the_users_packages_come_first_unless_something_is_done(theirs: UsersRepository) -> None:
    """Or the other tests would prove nothing."""
    for name in NAMES:
        done = theirs.run(sys.executable, "-c", f"import {name}")
        assert done.returncode == 1 and f"this is the package {name} of the user" in done.stderr


@pytest.mark.parametrize("by", BY)
def test_a_command_runs_beside_packages_of_the_same_names(theirs: UsersRepository, by: str) -> None:
    done = theirs.run(*BY[by], "compress", "pool.jsonl", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 40


@pytest.mark.parametrize("by", BY)
def test_each_package_that_a_command_needs_is_ours(theirs: UsersRepository, by: str) -> None:
    """Users' errors of commands that import `reports` (check) and `training` (train): one line, and no traceback."""
    for words, said in (
        (["check"], "results/verdict.json"),
        (["train", "sft", "none.jsonl", "--out", "m"], "none.jsonl"),
    ):
        done = theirs.run(*BY[by], *words)
        assert done.returncode in (2, 3) and done.stderr.count("\n") == 1 and said in done.stderr, done.stderr


def test_a_command_runs_inside_dvc_beside_packages_of_the_same_names(theirs: UsersRepository) -> None:
    theirs.write(
        "dvc.yaml",
        "stages:\n  compression:\n    cmd: entropylaw compress pool.jsonl --out r.json\n    deps: [pool.jsonl]\n"
        "    outs: [{r.json: {cache: false}}]\n",
    )
    assert theirs.run("git", "init", "--quiet").returncode == 0
    assert theirs.run("dvc", "init", "--quiet").returncode == 0
    done = theirs.run("dvc", "repro", "--quiet")
    assert done.returncode == 0, done.stderr
    assert json.loads((theirs.folder / "r.json").read_text())["rows"] == 40


@pytest.mark.parametrize("by", BY)
def test_the_workers_of_a_selection_find_our_packages_too(theirs: UsersRepository, by: str) -> None:
    select = [*BY[by], "select", "zip", "pool.jsonl", "--rows", "10", "--k1", "20", "--k2", "8", "--k3", "2"]
    for workers in ("1", "2"):
        done = theirs.run(*select, "--out", f"{workers}.jsonl", "--workers", workers)
        assert done.returncode == 0, done.stderr
    assert (theirs.folder / "1.jsonl").read_bytes() == (theirs.folder / "2.jsonl").read_bytes()


@pytest.mark.skipif(not HAS_RAY, reason="ray is not installed")
def test_ray_workers_find_our_packages_too(theirs: UsersRepository) -> None:
    """Ray puts the current folder first on their path."""
    select = ["entropylaw", "select", "zip", "pool.jsonl", "--rows", "10", "--k1", "20", "--k2", "8", "--k3", "2"]
    for engine in ("processes", "ray"):
        done = theirs.run(*select, "--out", f"{engine}.jsonl", "--workers", "2", "--engine", engine)
        assert done.returncode == 0, done.stderr
    assert (theirs.folder / "processes.jsonl").read_bytes() == (theirs.folder / "ray.jsonl").read_bytes()


@pytest.mark.parametrize(
    "engine",
    ["processes", pytest.param("ray", marks=pytest.mark.skipif(not HAS_RAY, reason="ray is not installed"))],
)
def test_the_workers_of_consistency_find_our_packages_too(theirs: UsersRepository, engine: str) -> None:
    """A piece has at most 4,096 rows, and for a single piece no worker is started."""
    theirs.write("large.jsonl", (theirs.folder / "pool.jsonl").read_text() * 110)
    for name, options in (("alone", ["--workers", "1"]), (engine, ["--workers", "2", "--engine", engine])):
        done = theirs.run("entropylaw", "consistency", "large.jsonl", "--out", f"{name}.json", *options)
        assert done.returncode == 0, done.stderr
    assert (theirs.folder / "alone.json").read_bytes() == (theirs.folder / f"{engine}.json").read_bytes()


def test_the_workers_that_train_together_find_our_packages_too(theirs: UsersRepository) -> None:
    printed = theirs.run_python(
        "import entropylaw; from training.launch import LaunchParams, launch_workers; "
        "launch_workers(LaunchParams('ddp', processes=2), 'entropylaw', ['compress', 'pool.jsonl'])"
    )
    assert printed.count("(40 rows)") == 2


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_process_pool_of_a_notebook_finds_our_packages_too(theirs: UsersRepository, method: str) -> None:
    """The pool unpickles our function by its name, and a notebook has no script that would import entropylaw first."""
    program = (
        "import entropylaw, multiprocessing; from corpus.records import hash_fraction; "
        f"pool = multiprocessing.get_context({method!r}).Pool(1); print(pool.map(hash_fraction, ['8' + '0' * 31]))"
    )
    assert theirs.run_python(program) == "[0.5]\n"


def test_the_workers_of_a_notebook_find_our_packages_whatever_it_put_on_the_path(theirs: UsersRepository) -> None:
    printed = theirs.run_python(
        "import entropylaw, sys; sys.path.insert(0, '.'); "
        "rows = entropylaw.prepare_records(entropylaw.read_records('pool.jsonl')).rows; "
        "print(len(entropylaw.select_rows(rows, entropylaw.SelectionParams(rows=7), workers=2)))"
    )
    assert printed == "7\n"


def test_importing_entropylaw_makes_the_names_ours_whatever_is_put_on_the_path_later(theirs: UsersRepository) -> None:
    program = (
        "import entropylaw, importlib, sys; sys.path.insert(0, '.'); "
        f"print(*[importlib.import_module(name).__file__ for name in {NAMES}])"
    )
    assert theirs.run_python(program).split() == [str(REPOSITORY / name / "__init__.py") for name in NAMES]


def test_nothing_but_our_packages_is_found_before_the_rest_of_the_path(theirs: UsersRepository) -> None:
    """Whatever else lies in the folder of our packages, which may be site-packages, must not hide anything."""
    from entropylaw.own_packages import STAND_INS

    assert {path.stem for path in Path(STAND_INS).glob("*.py")} == set(NAMES)
    theirs.write("tests/__init__.py", "mine = True\n")  # our checkout has a folder of this name as well
    assert theirs.run_python("import entropylaw; from tests import mine; print(mine)") == "True\n"


@pytest.mark.parametrize("by", BY)
def test_a_package_that_was_imported_before_ours_is_named_in_one_line(theirs: UsersRepository, by: str) -> None:
    theirs.write("training/__init__.py", "")
    theirs.write("sitecustomize.py", "import training\n")
    done = theirs.run(*BY[by], "compress", "pool.jsonl")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("entropylaw: another package named 'training'")
    assert str(theirs.folder / "training" / "__init__.py") in done.stderr


def test_a_package_that_is_missing_is_named_in_one_line(theirs: UsersRepository, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    installed.mkdir()
    for name in ("entropylaw", *NAMES[:-1]):
        (installed / name).symlink_to(REPOSITORY / name)
    theirs.environment["PYTHONPATH"] = f".{os.pathsep}{installed}"
    done = theirs.run("entropylaw", "--version")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"{installed / NAMES[-1]} is missing" in done.stderr
