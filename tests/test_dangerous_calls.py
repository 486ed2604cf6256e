"""No code of ours runs what stands in data, in a file of a model or in a name: read from the source, call by call."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]
PACKAGES = ("corpus", "selection", "training", "monitor", "reports", "entropylaw")
# Modules that run or rebuild what they read, and archives that write where their names say. One place may pickle: Ray's
# workers get an object that the same run has made.
MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "tarfile", "zipfile", "telnetlib", "xmlrpc"}
ALLOWED = {("selection/engines.py", "pickle")}
# The one place that speaks to a server by itself; its client has a timeout and follows no redirect.
CLIENT = "training/chat_endpoint.py"
NETWORK = {"urllib.request", "http.client", "requests", "httpx", "aiohttp", "socket", "ftplib", "smtplib"}
CALLS = {
    *("eval", "exec", "compile", "__import__", "execfile"),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell"),
    *(
        "pandas.read_pickle",
        "pd.read_pickle",
        "shutil.unpack_archive",
        "tempfile.mktemp",
        "yaml.load",
        "yaml.unsafe_load",
    ),
    *("jinja2.Environment", "jinja2.Template", "ElementTree.parse", "ElementTree.fromstring", "minidom.parseString"),
}
# What no call may be given, whatever the function.
ARGUMENTS = {"shell": True, "trust_remote_code": True, "allow_pickle": True, "weights_only": False, "verify": False}


def find_dangers(name: str, source: str) -> Iterator[str]:
    """Each line of a file that could run or fetch what it should not."""
    for node in ast.walk(ast.parse(source)):
        for module in list_imported(node):
            if module.split(".")[0] in MODULES and (name, module) not in ALLOWED:
                yield f"{name}:{node.lineno}: import {module}"
            if module in NETWORK and name != CLIENT:
                yield f"{name}:{node.lineno}: import {module}"
        if isinstance(node, ast.Call):
            yield from (f"{name}:{node.lineno}: {danger}" for danger in list_dangers_of_call(node))


def list_imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def list_dangers_of_call(node: ast.Call) -> Iterator[str]:
    called = ast.unparse(node.func)
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    if called in CALLS:
        yield called
    for argument, value in ARGUMENTS.items():
        held = given.get(argument)
        # What is no plain word could be either.
        if held is not None and not (isinstance(held, ast.Constant) and held.value is not value):
            yield f"{called}({argument}={ast.unparse(held)})"
    if called == "YAML" and not {ast.unparse(v) for k, v in given.items() if k == "typ"} <= {
        "'safe'",
        "'base'",
        "'rt'",
    }:
        yield f"{called}({ast.unparse(given['typ'])})"
    if called == "torch.load" and "weights_only" not in given:
        yield "torch.load without weights_only"
    if called.endswith("urlopen") or (called.endswith("opener.open") and "timeout" not in given):
        yield f"{called} without a timeout"


def test_no_code_of_ours_runs_or_fetches_what_it_reads() -> None:
    files = [path for package in PACKAGES for path in (HOME / package).rglob("*.py")]
    assert len(files) > 300
    found = [
        danger
        for path in files
        for danger in find_dangers(path.relative_to(HOME).as_posix(), path.read_text(encoding="utf-8"))
    ]
    assert not found


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import tarfile",
        "import requests",
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
    assert list(find_dangers("x.py", line))


def test_a_template_of_ours_escapes_what_it_is_given() -> None:
    """The page is made by Jinja, whose environments do not escape unless told to."""
    [environment] = [
        node
        for node in ast.walk(ast.parse((HOME / "reports/html.py").read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Environment")
    ]
    assert {k.arg: ast.unparse(k.value) for k in environment.keywords}["autoescape"] == "True"
