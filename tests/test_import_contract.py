"""The layering of the packages, the size of functions, and the command line's promise to start fast."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sample_verdicts import sample_verdict

from corpus.artifacts import write_json

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("corpus", "selection", "training", "monitor", "reports", "entropylaw")
HEAVY = ("torch", "transformers", "trl", "pandas", "scipy", "matplotlib")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the packages in ``folder``, under the contracts of this repository."""
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(cache_dir=None))"
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    return subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def copied_packages(tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_imports_follow_the_contracts(copied_packages: Path) -> None:
    result = lint_imports(copied_packages)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "statement", "broken_contract"),
    [
        ("corpus/errors.py", "import monitor.verdict", "Imports point one way"),
        ("selection/__init__.py", "def load():\n    import training", "Imports point one way"),
        ("monitor/verdict.py", "def load():\n    import torch", "Model libraries are imported inside training only"),
        ("monitor/measures/compression.py", "def load():\n    import monitor.assess", "The floors of monitor"),
        ("monitor/law/results.py", "def load():\n    import monitor.law.curves", "No circles"),
        ("reports/words.py", "if TYPE_CHECKING:\n    import reports.report_data", "No circles"),
    ],
)
def test_an_import_against_the_contract_is_noticed_even_inside_a_function(
    copied_packages: Path, module: str, statement: str, broken_contract: str
) -> None:
    with (copied_packages / module).open("a") as handle:
        handle.write(f"\n\n{statement}\n")
    result = lint_imports(copied_packages)
    assert result.returncode == 1
    assert f"{broken_contract} BROKEN" in result.stdout


def test_importing_the_command_line_loads_no_heavy_library() -> None:
    program = f"import sys, entropylaw.cli; print(*[name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert (result.returncode, result.stdout.split()) == (0, []), result.stderr


def test_showing_a_verdict_loads_no_heavy_library(tmp_path: Path) -> None:
    write_json(tmp_path / "results" / "verdict.json", sample_verdict("pass"))
    program = (
        "import sys; from entropylaw.cli import app; app(['check'], standalone_mode=False); "
        f"sys.exit(' '.join(name for name in {HEAVY} if name in sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert "shows no risk" in result.stdout and result.stderr.strip() == "", result.stderr


def list_functions() -> list[tuple[str, ast.FunctionDef]]:
    return [
        (f"{path.relative_to(REPOSITORY)}: {node.name}", node)
        for package in (*PACKAGES, "benchmarks", "docs")
        for path in sorted((REPOSITORY / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    ]


def test_no_function_is_longer_than_80_lines_or_takes_more_than_9_parameters() -> None:
    functions = list_functions()
    assert len(functions) > 1000
    lines = {name: (node.end_lineno or 0) - node.lineno + 1 for name, node in functions}
    parameters = {
        name: len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]) for name, node in functions
    }
    assert {name: count for name, count in lines.items() if count > 80} == {}
    assert {name: count for name, count in parameters.items() if count > 9} == {}
