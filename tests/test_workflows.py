"""The pull-request checks that `init` writes: their structure, and their scripts run step by step on real data."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from sample_verdicts import written_verdict
from typer.testing import CliRunner
from workflow_runner import JobRun, WorkflowRunner, run_script

from corpus.artifacts import write_json
from entropylaw import __version__
from entropylaw.cli import app
from entropylaw.init.ci_files import CI_FILES, CiSystem, choose_ci, render_ci_file
from reports.markdown import COMMENT_MARKER

pytestmark = pytest.mark.slow

GITHUB = YAML(typ="safe").load(render_ci_file(CiSystem.github))
GITLAB = YAML(typ="safe").load(render_ci_file(CiSystem.gitlab))
JOBS: dict[str, Any] = GITHUB["jobs"]
ROOT = Path(__file__).parent.parent
ACTION = YAML(typ="safe").load(ROOT / "action.yml")
COMMENT = YAML(typ="safe").load(ROOT / ".github/actions/comment/action.yml")
# The workflow of few lines: its one step is the action.
WITH_ACTION = {
    "jobs": {
        "measure": {
            "steps": ACTION["runs"]["steps"],
            "outputs": {name: output["value"] for name, output in ACTION["outputs"].items()},
        },
        "comment": JOBS["comment"],
        "data-risk": JOBS["data-risk"],
    }
}

PIPELINE = """\
stages:
  assess:
    cmd: python measure.py
    deps: [FILE, measure.py]
    outs:
      - results/verdict.json:
          cache: false
  report:
    cmd: cp results/verdict.json results/report.html
    deps: [results/verdict.json]
    outs: [results/report.html]
"""
# Stands for all that measures: the first word of the data names the verdict, and some data cannot be measured.
MEASURE = """\
import shutil
word = open("FILE").read().split(",")[0]
shutil.copy(f"verdicts/{word}.json", "results/verdict.json")
"""
FAKE_GH = """\
#!{python}
import json, os, sys
with open({calls!r}, "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
if "--paginate" in sys.argv:
    print(os.environ.get("FAKE_IDS", ""))
sys.exit(int(os.environ.get("FAKE_CODE", "0")))
"""
# Makes an environment whose pip only writes down what it is asked for.
FAKE_PYTHON = """\
#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then
  for folder in "$@"; do :; done
  mkdir -p "$folder/bin"
  printf '#!/bin/sh\\necho "$@" >> {pips}\\n' > "$folder/bin/pip"
  printf '#!/bin/sh\\nexec {python} "$@"\\n' > "$folder/bin/python"
  chmod +x "$folder/bin/pip" "$folder/bin/python"
  exit 0
fi
exec {python} "$@"
"""


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


class Team:
    """A Git + DVC repository with a DVC remote, whose main branch holds a measured version that passed."""

    def __init__(self, place: Path, file: str = "data/sft.jsonl") -> None:
        self.place, self.folder, self.file = place, place / "work", file
        self.bin, self.calls, self.pips = place / "bin", place / "gh-calls", place / "pip-calls"
        self.bin.mkdir(parents=True)
        for name, text in {"gh": FAKE_GH, "python": FAKE_PYTHON}.items():
            (self.bin / name).write_text(text.format(python=sys.executable, calls=str(self.calls), pips=self.pips))
            (self.bin / name).chmod(0o755)
        for name in (".dvc", "verdicts", "results", "data"):
            (self.folder / name).mkdir(parents=True)
        git(self.folder, "init", "--quiet", "--initial-branch", "main")
        self.write(".dvc/config", f"[core]\n    remote = store\n['remote \"store\"']\n    url = {place / 'store'}\n")
        self.write(".dvc/.gitignore", "/config.local\n/tmp\n/cache\n")
        self.write(".gitignore", f"/{file}\n/results/report.html\n")
        self.write("params.yaml", f"datasets:\n  sft: {file}\n")
        self.write("dvc.yaml", PIPELINE.replace("FILE", file))
        self.write("measure.py", MEASURE.replace("FILE", file))
        for status in ("pass", "risky", "not_assessed"):
            write_json(self.folder / "verdicts" / f"{status}.json", written_verdict(status))
        self.set_data("pass, the first version")
        subprocess.run(
            ["dvc", "repro", "--pull", "--quiet"], cwd=self.folder, env=self.environment(), check=True, timeout=100
        )
        self.commit("x1")

    def environment(self, **more: str) -> dict[str, str]:
        scripts = str(Path(sys.executable).parent)
        path = os.pathsep.join([str(self.bin), scripts, os.environ["PATH"]])
        return {**os.environ, "PATH": path, "HOME": str(self.place), "DVC_NO_ANALYTICS": "1", **more}

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def commit(self, message: str) -> None:
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "-m", message)

    def store(self, content: bytes, suffix: str = "") -> str:
        digest = hashlib.md5(content).hexdigest() + suffix
        target = self.place / "store" / "files" / "md5" / digest[:2] / digest[2:]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return digest

    def set_data(self, text: str) -> None:
        """As `dvc add` and `dvc push` leave the data, and a clone finds it: in the remote and in a .dvc file."""
        digest, path = self.store(text.encode()), Path(self.file)
        if path.parent != Path("data"):
            listing = [{"md5": digest, "relpath": path.name}]
            digest, path = self.store(json.dumps(listing).encode(), ".dir"), path.parent
        pointer = f"outs:\n- md5: {digest}\n  hash: md5\n  path: {path.name}\n"
        self.write(f"{path}.dvc", pointer)

    def open_pull_request(self, change: Callable[[Team], None]) -> Path:
        """A clone as actions/checkout leaves it: at the merge into main, without any data."""
        git(self.folder, "checkout", "--quiet", "-B", "change", "main")
        change(self)
        self.commit("A change")
        git(self.folder, "checkout", "--quiet", "-B", "merged", "main")
        git(self.folder, "merge", "--quiet", "--no-ff", "--no-edit", "change")
        clone = self.place / "clones" / str(len(list(self.place.glob("clones/*"))))
        git(self.place, "clone", "--quiet", "--branch", "merged", f"file://{self.folder}", str(clone))
        return clone

    def runner(
        self, clone: Path, fork: bool = False, workflow: dict[str, Any] = GITHUB, **environment: str
    ) -> WorkflowRunner:
        temp = self.place / f"temp-{clone.name}"
        temp.mkdir(exist_ok=True)
        self.calls.write_text("")
        context = {
            "github.event_name": "pull_request",
            "github.repository": "team/data",
            "github.event.pull_request.head.repo.full_name": "stranger/data" if fork else "team/data",
            "github.event.pull_request.number": "7",
        }
        variables = {
            "GITHUB_EVENT_NAME": "pull_request",
            "GITHUB_REPOSITORY": "team/data",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_RUN_ID": "42",
            "GITHUB_REF": "refs/pull/7/merge",
            "GITHUB_ACTION_PATH": str(ROOT),
        }
        inputs = {f"inputs.{name}": part.get("default", "") for name, part in ACTION["inputs"].items()}
        return WorkflowRunner(
            workflow, clone, temp, self.environment(**variables, **environment), {**context, **inputs}
        )

    def gh_calls(self) -> list[list[str]]:
        return [json.loads(line) for line in self.calls.read_text().splitlines()]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Team:
    return Team(tmp_path_factory.mktemp("team"))


def run_all(runner: WorkflowRunner) -> dict[str, JobRun]:
    return {name: runner.run_job(name) for name in ("measure", "comment", "data-risk")}


def set_data(text: str) -> Callable[[Team], None]:
    return lambda team: team.set_data(text)


def cut_off_remote(clone: Path) -> None:
    (clone / ".dvc" / "config.local").write_text("['remote \"store\"']\n    url = /nowhere/store\n")


@pytest.mark.parametrize(
    ("data", "code", "told", "annotation"),
    [
        ("pass, with more rows", 0, "### ✓ Pass", "::notice"),
        ("risky, merged twice", 1, "### ✗ Risky", "::error"),
        ("not_assessed, for want of history", 3, "### ? Not assessed", "::error"),
        ("broken, no stage can read it", 3, "could not be measured: see [the log](https://", "::error"),
    ],
)
def test_a_pull_request_ends_as_its_data_deserve_and_tells_why(
    team: Team, data: str, code: int, told: str, annotation: str
) -> None:
    runner = team.runner(team.open_pull_request(set_data(data)))
    jobs = run_all(runner)
    assert jobs["data-risk"].code == code, jobs["measure"].log
    assert (jobs["measure"].result, jobs["data-risk"].result) == (("failure", "success")[not code],) * 2
    assert told in runner.summary and annotation in jobs["measure"].log
    assert runner.summary.startswith(COMMENT_MARKER)
    listed, posted = team.gh_calls()
    assert "--paginate" in listed and f'startswith("{COMMENT_MARKER}")' in listed[-1].replace("\\", "")
    assert posted[:4] == ["api", "--method", "POST", "repos/team/data/issues/7/comments"]
    assert posted[-1].strip() == f"body={runner.summary}".strip()


def test_what_was_measured_before_needs_neither_data_nor_remote(team: Team) -> None:
    clone = team.open_pull_request(lambda team: team.write("train.py", "pass\n"))
    cut_off_remote(clone)
    jobs = run_all(runner := team.runner(clone, fork=True))
    assert jobs["data-risk"].code == 0, jobs["measure"].log
    assert "### ✓ Pass" in runner.summary and not (clone / team.file).exists()


def test_a_fork_without_the_remote_is_not_assessed_and_told_what_to_do(team: Team) -> None:
    clone = team.open_pull_request(set_data("pass, of a stranger"))
    cut_off_remote(clone)
    jobs = run_all(runner := team.runner(clone, fork=True, FAKE_CODE="1"))
    assert jobs["data-risk"].code == 3
    assert "A fork has no access to the secrets" in runner.summary and "`dvc repro`" in runner.summary
    # Its token may not comment, which is no failure.
    assert jobs["comment"].result == "success" and "::notice::" in jobs["comment"].log


def test_documentation_alone_is_not_measured_and_passes(team: Team) -> None:
    def describe(team: Team) -> None:
        (team.folder / "docs").mkdir()
        team.write("docs/figure.svg", "<svg/>")
        team.write("README.md", "# Our data\n")

    jobs = run_all(runner := team.runner(team.open_pull_request(describe)))
    assert (jobs["data-risk"].code, jobs["comment"].result) == (0, "skipped")
    assert jobs["measure"].ran == ["actions/checkout", "Look for a change beyond documentation"]
    assert "Only documentation changed" in runner.summary


def test_data_beside_documentation_is_measured(team: Team) -> None:
    def add(team: Team) -> None:
        (team.folder / "docs").mkdir()
        team.write("docs/chats.jsonl.dvc", "outs: []\n")

    jobs = run_all(team.runner(team.open_pull_request(add)))
    assert "Measure" in jobs["measure"].ran


def test_a_first_pull_request_without_committed_results_says_so(team: Team) -> None:
    clone = team.open_pull_request(lambda team: (team.folder / "dvc.lock").unlink())
    jobs = run_all(runner := team.runner(clone))
    assert jobs["data-risk"].code == 0, jobs["measure"].log
    assert "No results are committed yet" in runner.summary and "`dvc push`" in runner.summary
    assert "No results are committed yet" in jobs["measure"].outputs["comment"]
    assert "Keep" in jobs["measure"].ran


def test_when_the_change_cannot_be_told_the_data_are_measured(team: Team) -> None:
    clone = team.open_pull_request(lambda team: team.write("README.md", "# Data\n"))
    git(clone, "checkout", "--quiet", "--orphan", "rootless")
    git(clone, "commit", "--quiet", "-m", "No parent")
    runner = team.runner(clone)
    runner.workflow = {**GITHUB, "jobs": {"measure": {"steps": JOBS["measure"]["steps"][:2]}}}
    runner.run_job("measure")
    assert runner.context["steps.changed.outputs.data"] == "true"


def test_a_changed_file_in_a_folder_tracked_as_a_whole_is_measured(tmp_path: Path) -> None:
    team = Team(tmp_path, "data/chats/sft.jsonl")
    jobs = run_all(team.runner(team.open_pull_request(set_data("risky, inside a folder"))))
    assert jobs["data-risk"].code == 1, jobs["measure"].log


def test_one_comment_is_written_anew_by_later_runs(team: Team) -> None:
    runner = team.runner(team.folder, FAKE_IDS="901\n902")
    runner.context["needs.measure.outputs.comment"] = text = f"{COMMENT_MARKER}\n\n`$(id)` \"'"
    assert runner.run_job("comment").result == "success"
    assert team.gh_calls()[1] == [
        "api", "--method", "PATCH", "repos/team/data/issues/comments/901", "--raw-field", f"body={text}",
    ]  # fmt: skip


@pytest.mark.parametrize("result", ["failure", "cancelled", "skipped", ""])
@pytest.mark.parametrize(("told", "code"), [("", 3), ("0", 3), ("1", 1), ("3", 3)])
def test_the_required_job_passes_only_what_succeeded(team: Team, result: str, told: str, code: int) -> None:
    runner = team.runner(team.folder)
    runner.context |= {"needs.measure.result": result, "needs.measure.outputs.code": told}
    assert runner.run_job("data-risk").code == code


def run_gitlab(team: Team, clone: Path, job: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    given = {"CI_PROJECT_DIR": str(clone), "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"}
    variables = {key: value.replace("$CI_PROJECT_DIR", str(clone)) for key, value in job["variables"].items()}
    script = "\n".join([*job["before_script"], *job["script"]])
    return run_script(script, clone, team.environment(**variables, **given))


@pytest.mark.parametrize(("data", "code"), [("pass, again", 0), ("risky, again", 1), ("broken, again", 3)])
def test_a_gitlab_job_ends_as_its_data_deserve(team: Team, data: str, code: int) -> None:
    clone = team.open_pull_request(set_data(data))
    done = run_gitlab(team, clone, GITLAB["data-risk"])
    assert done.returncode == code, done.stdout + done.stderr
    for report in GITLAB["data-risk"]["artifacts"]["reports"].values():
        assert (clone / report).exists() == (code != 3)


@pytest.mark.parametrize(("system", "schema"), [("github", "github-workflows"), ("gitlab", "gitlab-ci")])
def test_a_template_follows_the_systems_published_schema(tmp_path: Path, system: str, schema: str) -> None:
    path = tmp_path / f"{system}.yml"
    path.write_text(render_ci_file(CiSystem(system)), encoding="utf-8")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(path)]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout.startswith("ok")


@pytest.mark.parametrize("system", CI_FILES)
def test_a_template_installs_the_version_that_wrote_it(system: CiSystem) -> None:
    text = render_ci_file(system)
    assert re.search(rf"^ +TOOL: entropylaw=={re.escape(__version__)}$", text, re.MULTILINE)
    assert "__" not in text


def test_every_action_is_pinned_to_a_commit_and_names_its_version() -> None:
    uses = re.findall(r"uses: (.*)", render_ci_file(CiSystem.github) + (ROOT / "action.yml").read_text())
    assert len(uses) == 13
    assert all(re.fullmatch(r"actions/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line) for line in uses)


def test_no_job_has_more_rights_than_it_needs() -> None:
    assert GITHUB["permissions"] == {"contents": "read"}
    assert {name: job["permissions"] for name, job in JOBS.items() if "permissions" in job} == {
        "comment": {"pull-requests": "write"},
        "data-risk": {},
    }
    # Commands of the pull request run in `measure` alone, and there without the token. Only the step that downloads
    # sees credentials, and it runs none of these commands.
    assert "uses" not in str(JOBS["comment"]) and "github.token" not in str(JOBS["measure"])
    assert JOBS["measure"]["steps"][0]["with"]["persist-credentials"] is False
    assert [step["name"] for step in JOBS["measure"]["steps"] if "secrets." in str(step)] == ["Fetch"]
    assert "secrets." not in str({**GITHUB, "jobs": {**JOBS, "measure": JOBS["measure"] | {"steps": []}}})
    steps = ACTION["runs"]["steps"]
    assert [step["name"] for step in steps if "inputs.credentials" in str(step)] == ["Fetch"]
    assert "dvc repro" not in str([step for step in steps if step.get("name") == "Fetch"])
    assert "github.token" not in str(ACTION) and "secrets." not in str(ACTION)


def test_no_script_is_built_from_what_a_pull_request_says() -> None:
    scripts = [step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step]
    assert len(scripts) == 9
    scripts += [step["run"] for step in [*ACTION["runs"]["steps"], *COMMENT["runs"]["steps"]] if "run" in step]
    assert len(scripts) == 18 and not any("${{" in script for script in scripts)


def test_the_tools_python_imports_nothing_of_the_pull_request(team: Team) -> None:
    def plant(team: Team) -> None:
        for name in ("entropylaw", "dvc", "ruamel"):
            (team.folder / name).mkdir(exist_ok=True)
            team.write(f"{name}/__init__.py", "raise SystemExit('planted')\n")
        team.set_data("pass, with planted modules")

    clone = team.open_pull_request(plant)
    runner = team.runner(clone)
    runner.workflow = {**GITHUB, "jobs": {"measure": {"steps": [
        step for step in JOBS["measure"]["steps"] if step.get("name") not in ("Measure", "Judge")]}}}  # fmt: skip
    job = runner.run_job("measure")
    assert job.result == "success" and "planted" not in job.log, job.log
    assert "fetched data/sft.jsonl" in job.log


def named(steps: list[dict[str, Any]]) -> dict[str, str]:
    return {step["name"]: step["run"] for step in steps if "run" in step}


def test_the_action_and_the_written_workflow_run_the_same() -> None:
    written, action = named(JOBS["measure"]["steps"]), named(ACTION["runs"]["steps"])
    # The action installs itself, and takes credentials as an input.
    differ = {name for name in written.keys() | action.keys() if written.get(name) != action.get(name)}
    assert differ == {"Name the environment", "Install", "Fetch"}
    assert action["Fetch"].endswith(written["Fetch"])
    assert named(COMMENT["runs"]["steps"]) == named(JOBS["comment"]["steps"])
    for step in ACTION["runs"]["steps"]:
        assert "uses" in step or step["shell"] == "bash"


@pytest.mark.parametrize(("data", "code"), [("risky, by the action", 1)])
def test_the_action_ends_as_its_data_deserve(team: Team, data: str, code: int) -> None:
    runner = team.runner(team.open_pull_request(set_data(data)), workflow=WITH_ACTION)
    runner.context["inputs.credentials"] = "STORE_KEY=a b=c\n\nnot a variable\n"
    jobs = run_all(runner)
    assert jobs["data-risk"].code == code, jobs["measure"].log
    assert jobs["measure"].outputs["code"] == str(code)
    assert runner.summary.strip() == jobs["measure"].outputs["comment"].strip()


def test_credentials_reach_the_download_alone(team: Team) -> None:
    steps = {step.get("name"): step for step in ACTION["runs"]["steps"]}
    show = "env | grep -c '^KEY=x y$' || true; env | grep -c CREDENTIALS || true"
    script = steps["Fetch"]["run"].replace("~/data-risk-env/bin/python -P -m entropylaw.ci.fetch", show)
    runner = team.runner(team.folder)
    fetch, measure = {**steps["Fetch"], "run": script}, {**steps["Measure"], "run": show}
    runner.workflow = {"jobs": {"measure": {"steps": [{**fetch, "if": ""}, {**measure, "if": ""}]}}}
    runner.context["inputs.credentials"] = "KEY=x y\n"
    assert runner.run_job("measure").log.split() == ["1", "0", "0", "0"]


def test_everything_is_installed_with_its_hash(team: Team) -> None:
    for workflow in (GITHUB, WITH_ACTION):
        team.pips.write_text("")
        runner = team.runner(team.folder, workflow=workflow)
        runner.context |= {"steps.changed.outputs.data": "true", "inputs.remote": "s3", "env.REMOTE": "s3"}
        steps = [step for step in workflow["jobs"]["measure"]["steps"] if step.get("name") == "Install"]
        environment = {**GITHUB["env"], "REMOTE": "s3"} if workflow is GITHUB else {}
        runner.workflow = {"env": environment, "jobs": {"measure": {"steps": steps}}}
        assert runner.run_job("measure").result == "success"
        calls = team.pips.read_text().splitlines()
        assert all("--no-deps" in call for call in calls) and len(calls) == 3
        hashed = [call for call in calls if "--require-hashes" in call]
        assert [Path(call.split()[-1]).name for call in hashed] == ["train.txt", "s3.txt"]
        (tool,) = [call.split()[-1] for call in calls if call not in hashed]
        assert tool in (f"entropylaw=={__version__}", str(ROOT))


def test_the_hashed_requirements_are_those_that_the_tests_ran_with() -> None:
    pinned = re.compile(r"^([\w.-]+)==(\S+?)(?:\+cpu)? \\\n    --hash=sha256:[0-9a-f]{64}$", re.MULTILINE)
    constraints = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    tested = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in constraints.items()}
    found: dict[str, str] = {}
    for file in sorted((ROOT / "requirements").iterdir()):
        text = file.read_text()
        packages = pinned.findall(text)
        assert len(packages) == text.count("==")
        # A package is in one version everywhere, so that a remote's file can be installed after `train.txt`.
        assert all(found.get(name, version) == version for name, version in packages)
        found |= dict(packages)
    train = dict(pinned.findall((ROOT / "requirements" / "train.txt").read_text()))
    # What builds the tool, and what comes with Python or torch, is in no environment of the tests.
    assert set(train) - set(tested) == {"hatchling", "setuptools", "trove-classifiers"}
    assert {name: version for name, version in train.items() if tested.get(name, version) != version} == {}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    names = {re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", part)[0]).lower() for part in wanted}
    assert names <= set(train)
    remotes = {path.stem for path in (ROOT / "requirements").iterdir()} - {"train"}
    assert remotes == {"s3", "gs", "azure", "ssh"}
    assert all(f"dvc-{remote}" in found for remote in remotes)


def test_where_the_tools_home_is_known_the_written_workflow_uses_its_action(tmp_path: Path) -> None:
    text = render_ci_file(CiSystem.github, "teams/chat", home="team/entropylaw")
    path = tmp_path / "workflow.yml"
    path.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout.startswith("ok")
    workflow = YAML(typ="safe").load(text)
    checkout, action = workflow["jobs"]["measure"]["steps"]
    assert checkout["uses"].startswith("actions/checkout@")
    assert action["uses"] == f"team/entropylaw@v{__version__}" and action["with"]["folder"] == "teams/chat"
    assert set(action["with"]) <= set(ACTION["inputs"])
    assert workflow["jobs"]["comment"] == JOBS["comment"] and workflow["jobs"]["data-risk"] == JOBS["data-risk"]
    assert workflow["jobs"]["measure"]["outputs"] == JOBS["measure"]["outputs"]
    assert "__" not in text and "TOOL" not in text


def test_a_pipeline_in_a_folder_of_its_own_is_measured_there() -> None:
    workflow = YAML(typ="safe").load(render_ci_file(CiSystem.github, "teams/ana's data"))
    folders = {step.get("working-directory") for step in workflow["jobs"]["measure"]["steps"] if "run" in step}
    assert folders == {None, "teams/ana's data"}
    gitlab = YAML(typ="safe").load(render_ci_file(CiSystem.gitlab, "teams/ana's data"))
    assert gitlab["data-risk"]["variables"]["FOLDER"] == "teams/ana's data"


def test_the_component_is_the_written_gitlab_job(team: Team) -> None:
    header, _, body = (ROOT / "templates" / "data-risk.yml").read_text().partition("\n---\n")
    inputs = YAML(typ="safe").load(header)["spec"]["inputs"]
    assert set(re.findall(r"\$\[\[ inputs\.(\w+) \]\]", body)) == set(inputs)
    for name, part in inputs.items():
        body = body.replace(f"$[[ inputs.{name} ]]", json.dumps(part["default"]))
    job = YAML(typ="safe").load(body)["data-risk"]
    assert job.pop("stage") == "test" and job == GITLAB["data-risk"]


def yaml_blocks() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "ci.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_few_lines_of_the_documentation_are_a_workflow_with_inputs_that_there_are(tmp_path: Path) -> None:
    first, comment, component, *_ = yaml_blocks()
    path = tmp_path / "workflow.yml"
    path.write_text(first + comment, encoding="utf-8")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout.startswith("ok")
    workflow = YAML(typ="safe").load(first + comment)
    checkout, action = workflow["jobs"]["data-risk"]["steps"]
    assert checkout["with"] == JOBS["measure"]["steps"][0]["with"]
    assert action["uses"].endswith(f"@v{__version__}") and set(action["with"]) <= set(ACTION["inputs"])
    assert workflow["permissions"] == {"contents": "read"}
    # The token that may write is in a job without a checkout, and without a command of the pull request.
    (posted,) = workflow["jobs"]["comment"]["steps"]
    assert posted["uses"].endswith(f".github/actions/comment@v{__version__}")
    assert set(posted["with"]) == set(COMMENT["inputs"])
    (included,) = YAML(typ="safe").load(component)["include"]
    assert included["component"].endswith(f"/data-risk@v{__version__}") and included["inputs"] == {"remote": "s3"}


def test_the_required_check_always_runs_and_no_filter_keeps_it_waiting() -> None:
    assert set(GITHUB["on"]) == {"pull_request", "merge_group", "push"}
    assert GITHUB["on"]["pull_request"] is None and GITHUB["on"]["merge_group"] is None
    assert JOBS["data-risk"]["if"] == "always()" and JOBS["data-risk"]["needs"] == "measure"
    assert "if" not in JOBS["measure"]
    assert all(job["timeout-minutes"] <= 60 for job in JOBS.values())
    assert "pull_request.number" in GITHUB["concurrency"]["group"]


def test_the_hook_stops_a_commit_of_a_risky_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (hook,) = YAML(typ="safe").load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert all(re.search(hook["files"], name) for name in ("dvc.lock", "results/verdict.json", "waivers.yaml"))
    assert re.search(hook["files"], "data/sft.jsonl.dvc")
    program, *words = shlex.split(hook["entry"])
    assert program == "entropylaw" and hook["pass_filenames"] is False
    assert CliRunner().invoke(app, words).exit_code == 3
    for status, code in (("pass", 0), ("risky", 1)):
        write_json(Path("results/verdict.json"), written_verdict(status))
        assert CliRunner().invoke(app, words).exit_code == code


@pytest.mark.parametrize(
    ("url", "system"),
    [
        (None, "github"),
        ("git@github.com:team/gitlab-data.git", "github"),
        ("https://gitlab.example.org/team/data.git", "gitlab"),
        ("git@gitlab.com:team/data.git", "gitlab"),
        ("../gitlab/data.git", "github"),
    ],
)
def test_the_remotes_host_chooses_the_system_and_a_wish_overrules_it(
    tmp_path: Path, url: str | None, system: str
) -> None:
    git(tmp_path, "init", "--quiet")
    if url:
        git(tmp_path, "remote", "add", "origin", url)
    assert choose_ci(tmp_path, None) == system
    assert [choose_ci(tmp_path, wish) for wish in CiSystem] == list(CiSystem)


def test_below_the_root_of_the_git_repository_the_remote_chooses_too(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "remote", "add", "origin", "git@gitlab.com:team/data.git")
    (folder := tmp_path / "data").mkdir()
    assert choose_ci(folder, None) == CiSystem.gitlab
    assert choose_ci(folder, CiSystem.none) == CiSystem.none
