"""Runs a GitHub workflow's `run:` scripts on this machine, with the files and variables GitHub gives them.

Of the expression language it knows what the workflow uses: names, strings, ==, !=, !, &&, ||, always(), cancelled().
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOKEN = re.compile(r"'[^']*'|!=|==|&&|\|\||!|[()]|[\w.-]+")
OPERATORS = {"&&": "and", "||": "or", "!": "not", "(": "(", ")": ")", "==": "==", "!=": "!="}
STATUS_FUNCTIONS = {"always": "(lambda: True)", "cancelled": "(lambda: False)"}

Context = dict[str, str]


def evaluate(expression: str, context: Context) -> Any:
    def translate(token: str) -> str:
        if token.startswith("'"):
            return token
        return OPERATORS.get(token) or STATUS_FUNCTIONS.get(token) or repr(context.get(token, ""))

    return eval(" ".join(map(translate, TOKEN.findall(expression))))


def fill(text: object, context: Context) -> str:
    def value(match: re.Match[str]) -> str:
        found = evaluate(match[1], context)
        return str(found).lower() if isinstance(found, bool) else str(found)

    return re.sub(r"\$\{\{(.*?)\}\}", value, str(text))


@dataclass
class JobRun:
    """What became of a job: its result, its last failing step's exit code, its outputs, what its steps printed."""

    result: str = "skipped"
    code: int = 0
    outputs: Context = field(default_factory=dict)
    log: str = ""
    ran: list[str] = field(default_factory=list)


@dataclass
class WorkflowRunner:
    """``environment`` is that of every step; ``temp`` is RUNNER_TEMP and holds the summary."""

    workflow: dict[str, Any]
    folder: Path
    temp: Path
    environment: dict[str, str]
    context: Context
    paths: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        return (self.temp / "summary.md").read_text(encoding="utf-8")

    def run_job(self, name: str) -> JobRun:
        job, run = self.workflow["jobs"][name], JobRun()
        if not self._wanted(job, "success"):
            return run
        run.result = "success"
        for step in job["steps"]:
            if "run" in step:
                self._run_step(step, run)
            elif self._wanted(step, run.result):
                run.ran.append(step["uses"].partition("@")[0])
        run.outputs = {key: fill(value, self.context) for key, value in job.get("outputs", {}).items()}
        self.context[f"needs.{name}.result"] = run.result
        self.context |= {f"needs.{name}.outputs.{key}": value for key, value in run.outputs.items()}
        return run

    def _wanted(self, part: dict[str, Any], result: str) -> bool:
        condition = str(part.get("if", "")).strip().removeprefix("${{").removesuffix("}}")
        implicit = "always()" in condition or "cancelled()" in condition or result == "success"
        return implicit and (not condition or bool(evaluate(condition, self.context)))

    def _run_step(self, step: dict[str, Any], run: JobRun) -> None:
        place = f"steps.{step.get('id', step['name'])}"
        if not self._wanted(step, run.result):
            self.context[f"{place}.outcome"] = "skipped"
            return
        run.ran.append(step["name"])
        output = self.temp / "output"
        output.write_text("")
        added = self.temp / "path"
        added.write_text("")
        environment = self.environment | {
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(self.temp / "summary.md"),
            "GITHUB_PATH": str(added),
            "RUNNER_TEMP": str(self.temp),
            "PATH": os.pathsep.join([*self.paths, self.environment["PATH"]]),
            **{key: fill(value, self.context) for key, value in self.workflow.get("env", {}).items()},
            **{key: fill(value, self.context) for key, value in step.get("env", {}).items()},
        }
        folder = self.folder / fill(step.get("working-directory", "."), self.context)
        done = run_script(fill(step["run"], self.context), folder, environment)
        self.paths = [*added.read_text().split("\n")[:-1], *self.paths]
        run.log += done.stdout + done.stderr
        self.context[f"{place}.outcome"] = "failure" if done.returncode else "success"
        if done.returncode:
            run.result, run.code = "failure", done.returncode
        self.context |= {f"{place}.outputs.{key}": value for key, value in read_outputs(output.read_text()).items()}


def run_script(script: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """As GitHub and GitLab run one: bash stops at the first command that fails, in a pipe too."""
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={"HOME": os.environ.get("HOME", "/"), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def read_outputs(text: str) -> Context:
    """The outputs in a GITHUB_OUTPUT file: NAME=VALUE, and NAME<<END with lines up to END."""
    outputs, lines = {}, iter(text.splitlines())
    for line in lines:
        name, equals, value = line.partition("=")
        if "<<" in name or not equals:
            name, _, end = line.partition("<<")
            value = "\n".join(iter(lambda end=end: next(lines), end))
        outputs[name] = value
    return outputs
