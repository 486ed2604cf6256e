"""No code of ours runs what stands in data, in a file of a model or in a name: read from the source, call by call."""

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]
PACKAGES = ("corpus", "selection", "training", "monitor", "reports", "entropylaw")
LOOKED_AT = (ast.Call, ast.Import, ast.ImportFrom)
# Modules that run or rebuild what they read (PyYAML among them), and archives that write where their names say.
MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "tarfile", "zipfile", "xmlrpc", "yaml"}
# Ray's workers get an object that the same run has made.
ALLOWED = {("selection/engines.py", "pickle"), ("corpus/workers.py", "pickle")}
# The one place that speaks to a server by itself; its client has a timeout and follows no redirect.
CLIENT = "training/chat_endpoint.py"
NETWORK = {"urllib.request", "http.client", "requests", "httpx", "aiohttp", "socket", "ftplib", "smtplib"}
CALLS = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen"),
    *("subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell"),
    *("pandas.read_pickle", "pd.read_pickle", "shutil.unpack_archive", "tempfile.mktemp"),
    *("ElementTree.parse", "ElementTree.fromstring", "minidom.parseString"),
}
# What no call may be given, whatever the function.
ARGUMENTS = {"shell": True, "trust_remote_code": True, "allow_pickle": True, "weights_only": False, "verify": False}
PRINTS = re.compile(r"print|(typer|click)\.s?(echo|secho)|sys\.(__)?std(out|err)(__)?(\.buffer)?\.write(lines)?")


@cache
def our_code() -> dict[str, list[ast.AST]]:
    """The calls and imports of every file, by its name."""
    files = [path for package in PACKAGES for path in (HOME / package).rglob("*.py")]
    read = {path.relative_to(HOME).as_posix(): path.read_text(encoding="utf-8") for path in files}
    nodes = {name: ast.walk(ast.parse(text)) for name, text in read.items()}
    return {name: [node for node in found if isinstance(node, LOOKED_AT)] for name, found in nodes.items()}


def find_dangers(name: str, nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Each line of a file that could run or fetch what it should not."""
    for node in nodes:
        for module in list_imported(node):
            unsafe = module.split(".")[0] in MODULES and (name, module) not in ALLOWED
            if unsafe or (module in NETWORK and name != CLIENT):
                yield f"{name}:{node.lineno}: import {module}"
        if isinstance(node, ast.Call):
            yield from (f"{name}:{node.lineno}: {danger}" for danger in list_dangers_of_call(node))


def list_imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def name_of(node: ast.expr) -> str:
    """A function's name with its dots; of what is called otherwise, such as f()(), as much as has one."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}".lstrip(".")
    return node.id if isinstance(node, ast.Name) else ""


def list_dangers_of_call(node: ast.Call) -> Iterator[str]:
    called = name_of(node.func)
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    if called in CALLS:
        yield called
    for argument, value in ARGUMENTS.items():
        held = given.get(argument)
        # What is no plain word could be either.
        if held is not None and not (isinstance(held, ast.Constant) and held.value is not value):
            yield f"{called}({argument}={ast.unparse(held)})"
    if "typ" in given and isinstance(given["typ"], ast.Constant) and given["typ"].value not in ("safe", "base", "rt"):
        yield f"{called}({ast.unparse(given['typ'])})"
    if called == "torch.load" and "weights_only" not in given:
        yield "torch.load without weights_only"
    if called.endswith("urlopen") or (called.endswith("opener.open") and "timeout" not in given):
        yield f"{called} without a timeout"


def test_no_code_of_ours_runs_or_fetches_what_it_reads() -> None:
    assert len(our_code()) > 300
    assert not [danger for name, nodes in our_code().items() for danger in find_dangers(name, nodes)]


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import tarfile",
        "import requests",
        "import yaml",
        "from urllib import request",
        "eval(text)",
        "subprocess.run(words, shell=True)",
        "subprocess.run(words, shell=flag)",
        "model.from_pretrained(name, trust_remote_code=True)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "YAML(typ='unsafe')",
        "self._opener.open(request)",
        "os.system(command)",
    ],
)
def test_each_of_these_would_be_found(line: str) -> None:
    assert list(find_dangers("x.py", ast.walk(ast.parse(line))))


def test_nothing_but_printing_writes_to_a_terminal_or_a_log() -> None:
    printing = {
        "entropylaw/printing.py",
        "entropylaw/__main__.py",  # before any of our packages may be imported
        "entropylaw/standard_streams.py",  # where the program cannot even start
    }
    found = [
        f"{name}:{node.lineno}"
        for name, nodes in our_code().items()
        if name not in printing
        for node in nodes
        if isinstance(node, ast.Call) and PRINTS.fullmatch(name_of(node.func))
    ]
    assert not found, "use say, note or print_document of entropylaw/printing.py"


def test_a_page_escapes_what_it_is_given() -> None:
    """Jinja does not escape unless it is told to."""
    [environment] = [
        node
        for node in our_code()["reports/html.py"]
        if isinstance(node, ast.Call) and name_of(node.func) == "Environment"
    ]
    assert {k.arg: ast.unparse(k.value) for k in environment.keywords}["autoescape"] == "True"
