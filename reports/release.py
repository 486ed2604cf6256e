"""results/release.md: what an approver reads and signs before a model is released, with the checks behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from corpus.errors import EntropylawError
from reports.escaping import escape_log, escape_markdown, markdown_code
from reports.markdown_table import table
from reports.numbers import MISSING, finite, format_change, format_count, format_number
from reports.words import WORDS, Words

# How the status of a check is shown.
CHECK_WORDS = {
    "passed": Words("passed", "✓"),
    "failed": Words("FAILED", "✗"),
    "unchecked": Words("NOT CHECKED", "?"),
}


def render_release(release: Mapping[str, Any]) -> str:
    """The release as Markdown: the verdict, what the models were made from, their scores, waivers, and the sign-off.

    ``release`` is the content of results/release.json. Raises EntropylawError naming the key when one is missing.
    """
    try:
        blocks = [
            *_verdict(release),
            "## Checks",
            _checks(release),
            "## Scores",
            _scores(release),
            *_sources(release),
            "## Waivers",
            _waivers(release),
            "## What this release binds together",
            "A change of any of these hashes makes it another release.",
            _bindings(release),
            _datasets(release),
            _models(release),
            "## Sign-off",
            _sign_off(release),
        ]
    except KeyError as error:
        raise EntropylawError(f"results/release.json: missing key {error}; run `entropylaw release` again") from None
    return "\n\n".join(blocks) + "\n"


def _verdict(release: Mapping[str, Any]) -> list[str]:
    words = WORDS.get(release["status"], Words(str(release["status"]), "?"))
    return [
        f"# Release of {escape_markdown(release['version']['name'])}",
        f"**{words.icon} {escape_markdown(words.word)}.** {escape_markdown(release['verdict_summary'])}",
    ]


def render_checks(checks: Iterable[Mapping[str, str]]) -> str:
    """The checks (``id``, ``status``, ``reason``), a line each, for a terminal or a log, and the conclusion.

    >>> print(render_checks([{"id": "verdict", "status": "passed", "reason": "x4 is pass"}]), end="")
    ✓ passed       verdict    x4 is pass
    releasable: all checks passed
    """
    lines, statuses = [], []
    for check in checks:
        words = CHECK_WORDS[check["status"]]
        statuses.append(check["status"])
        lines.append(f"{words.icon} {words.word:<11}  {check['id']:<9}  {escape_log(check['reason'])}")
    return "\n".join([*lines, _conclude(statuses)]) + "\n"


def _conclude(statuses: list[str]) -> str:
    failed, unchecked = statuses.count("failed"), statuses.count("unchecked")
    if failed:
        return f"not releasable: {failed} failed" + (f", {unchecked} could not be checked" if unchecked else "")
    if unchecked:
        return f"not releasable as far as known: {unchecked} could not be checked"
    return "releasable: all checks passed"


def _checks(release: Mapping[str, Any]) -> str:
    rows = []
    for check in release["checks"]:
        words = CHECK_WORDS.get(check["status"], Words(str(check["status"]), "?"))
        status = f"{words.icon} {escape_markdown(words.word)}"
        rows.append([escape_markdown(check["id"]), status, escape_markdown(check["reason"])])
    note = "As they stood when this was written; `entropylaw release check` makes them again before a release."
    return f"{note}\n\n{table(['Check', 'Result', 'Finding'], rows, 'lll')}"


def _scores(release: Mapping[str, Any]) -> str:
    previous = release["previous"] or {"name": "", "scores": {}}
    rows = []
    for benchmark, score in release["scores"].items():
        value, before = finite(score), finite(previous["scores"].get(benchmark))
        change = value - before if value is not None and before is not None else None
        rows.append([escape_markdown(benchmark), format_number(before), format_number(value), format_change(change)])
    if not rows:
        return "No score was recorded for this release."
    before_name = markdown_code(previous["name"]) if previous["name"] else "no earlier release"
    header = ["Benchmark (higher is better)", before_name, markdown_code(release["version"]["name"]), "Change"]
    return table(header, rows, "lrrr")


def _sources(release: Mapping[str, Any]) -> list[str]:
    """The held-out score by source, where there are several."""
    rows = [
        [escape_markdown(source) or MISSING, format_count(score["rows"]), format_number(finite(score["z"]))]
        for source, score in release.get("sources", {}).items()
    ]
    return [table(["Held-out rows of source", "Rows", "Z"], rows, "lrr")] if rows else []


def _waivers(release: Mapping[str, Any]) -> str:
    if not release["waivers"]:
        return "None."
    keys = ("rule", "owner", "reason", "expires")
    rows = [[escape_markdown(str(waiver[key])) for key in keys] for waiver in release["waivers"]]
    return table(["Rule", "Owner", "Reason", "Expires"], rows, "llll")


def _bindings(release: Mapping[str, Any]) -> str:
    version = release["version"]
    return "\n".join(
        [
            f"- Version: {markdown_code(version['name'])}, {format_count(version['rows'])} rows",
            f"- Data: {markdown_code(release['data_hash'])}",
            f"- Configuration: {markdown_code(release['config_fingerprint'])}",
        ]
    )


def _datasets(release: Mapping[str, Any]) -> str:
    rows = [
        [
            markdown_code(name),
            format_count(dataset["rows"]),
            format_count(dataset["selected_rows"]),
            escape_markdown(dataset["method"]),
            markdown_code(dataset["data_hash"]),
        ]
        for name, dataset in release["datasets"].items()
    ]
    return table(["Dataset", "Rows", "Trained on", "Selection", "Data hash"], rows, "lrrll")


def _models(release: Mapping[str, Any]) -> str:
    rows = [
        [markdown_code(name), markdown_code(model["path"]), markdown_code(model["hash"]) if model["hash"] else MISSING]
        for name, model in release["models"].items()
    ]
    return table(["Model", "Path", "Hash"], rows, "lll")


def _sign_off(release: Mapping[str, Any]) -> str:
    checks = ["The verdict and its reasons are understood.", "The scores are good enough for the use intended."]
    if any(check["status"] != "passed" for check in release["checks"]):
        checks.append("Every check above that did not pass is settled, and this page written anew.")
    if release["waivers"]:
        checks.append("Every waiver above is justified and has not expired.")
    lines = [f"- [ ] {check}" for check in checks]
    return "\n".join([*lines, "", "Approved by: ____________________  Date: ____________"])
