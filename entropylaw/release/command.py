"""The commands `release` and `release check`: they bind a model to its data, selection, verdict and score."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entropylaw.printing import note, print_document, say
from entropylaw.repository import layout
from entropylaw.repository.calendar import read_today

if TYPE_CHECKING:
    from entropylaw.release.checks import Check, Finding
    from entropylaw.release.scores import ReleaseParams

app = typer.Typer(rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def release(context: typer.Context) -> None:
    """Bind model, data, selection, verdict and Z into results/release.json and release.md.

    Both files list what speaks against the release; `entropylaw release check` is what stops it.

    Example: entropylaw release
    """
    if context.invoked_subcommand is None:
        write_release()


def write_release() -> None:
    """Write results/release.json and release.md. Raises EntropylawError where a part is missing or is of other data."""
    from corpus.artifacts import hash_folder, write_json, write_text
    from corpus.errors import EntropylawError
    from corpus.params import read_section
    from entropylaw.release.checks import check_results, find_data_problems
    from entropylaw.release.document import SCHEMA_VERSION, load_release
    from entropylaw.release.scores import ReleaseParams
    from entropylaw.repository.lockfile import hash_as_dvc
    from reports.release import render_release

    params = read_section(ReleaseParams, "release")
    described = describe_release()
    # No release can be described at all where its parts are of different data.
    if problems := find_data_problems(described)[0]:
        raise EntropylawError(problems[0])
    folders = [layout.trained_model(dataset) for dataset in described["datasets"]]
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        **described,
        "models": {
            folder.name: {"path": folder.as_posix(), "hash": hash_folder(folder), "dvc_hash": hash_as_dvc(folder)}
            for folder in folders
        },
    }
    document["checks"] = check_results(document, params, read_today())
    write_json(layout.RELEASE_JSON, document)
    write_text(layout.RELEASE_MD, render_release(load_release()))
    say(f"{layout.RELEASE_MD}: release of {document['version']['name']}")
    for check in document["checks"]:
        if check.status != "passed":
            note(f"warning: {check.reason}")


@app.command("check")
def check_release(
    tag: Annotated[
        str | None,
        typer.Option(help="The Git tag that releases it, GTO's or a plain one.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Check, without data, GPU or models, that results/release.json may go out; exit 1 when it may not, 3 when that
    could not be checked.

    Example: entropylaw release check --tag v1.2.0
    """
    from corpus.params import read_section
    from entropylaw.release.scores import ReleaseParams
    from reports.escaping import log_json
    from reports.release import render_checks

    checks = check_everything(tag, read_section(ReleaseParams, "release"), read_today())
    statuses = {check.status for check in checks}
    exit_code = 1 if "failed" in statuses else 3 if "unchecked" in statuses else 0
    document = {"schema_version": 1, "tag": tag, "exit_code": exit_code, "checks": checks}
    print_document(log_json(document) if json else render_checks([vars(check) for check in checks]))
    raise typer.Exit(exit_code)


def check_everything(tag: str | None, params: ReleaseParams, today: datetime.date) -> list[Check]:
    """Every check of the release in the current folder, and of its tag where one is given."""
    from entropylaw.release.checks import check_results, make_check
    from entropylaw.release.document import load_release
    from entropylaw.release.lock import find_lock_problems
    from entropylaw.release.tag import find_tag_problems

    document: dict[str, Any] = {}

    def find_release_problems() -> Finding:
        document.update(load_release())
        described = describe_release()
        problems = [
            f"{layout.RELEASE_JSON}: {key} is not what the results and the history say now; run `dvc repro release`"
            for key, value in described.items()
            if document[key] != value and not (key == "version" and is_same_version(document[key], value))
        ]
        return problems, f"{layout.RELEASE_JSON} binds {document['version']['name']} ({document['data_hash']})"

    checks = make_check("release", find_release_problems)
    if not document:
        return checks
    checks += check_results(document, params, today)
    checks += make_check("lock", lambda: find_lock_problems(document))
    if tag is not None:
        checks += make_check("tag", lambda: find_tag_problems(tag, document))
    return checks


def is_same_version(told: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether two descriptions are of one version; it may have got its name after the release was written."""
    return {**told, "name": ""} == {**now, "name": ""}


def list_sources(models: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Rows and Z by source of the released model, the last one; empty where the held-out rows are of one source."""
    released = list(models.values())[-1] if models else None
    sources = released.get("sources") if isinstance(released, dict) else None
    if not isinstance(sources, dict):
        return {}
    return {
        name: {"rows": score.get("rows"), "z": score.get("z")}
        for name, score in sources.items()
        if isinstance(score, dict)
    }


def describe_release() -> dict[str, Any]:
    """What the results in the current folder and the history say of the release, as release.json has it."""
    import json
    from dataclasses import replace

    from corpus.artifacts import to_json
    from entropylaw.release.scores import last_scored
    from entropylaw.repository.datasets import read_datasets
    from entropylaw.repository.results import (
        load_approval,
        load_evaluation,
        load_prepare_report,
        load_selection,
        load_verdict,
    )
    from monitor.history import find_own, read_history

    approval = load_approval()
    verdict = load_verdict()
    history = read_history(layout.HISTORY)
    evaluation = load_evaluation()
    datasets = {}
    for dataset in read_datasets():
        selection = load_selection(dataset)
        datasets[dataset] = {
            "data_hash": load_prepare_report(dataset).data_hash,
            "rows": selection.pool_rows,
            "selected_rows": selection.selected_rows,
            "selected_hash": selection.selected_hash,
            "method": selection.method,
        }
    before = last_scored(history, verdict.config_fingerprint, verdict.version.data_hash)
    accepted = find_own(history, verdict.config_fingerprint, verdict.version.data_hash)
    described = {
        "status": verdict.status,
        "version": replace(verdict.version, name=accepted.name) if accepted else verdict.version,
        "verdict_summary": verdict.summary,
        "data_hash": verdict.version.data_hash,
        "config_fingerprint": verdict.config_fingerprint,
        "datasets": datasets,
        "scores": evaluation.z,
        "previous": {"name": before.name, "scores": before.scores} if before else None,
        "waivers": approval.waivers,
        "tool_version": verdict.tool_version,
        **({"sources": sources} if (sources := list_sources(evaluation.models)) else {}),
    }
    plain: dict[str, Any] = json.loads(to_json(described))
    return plain
