"""The command `backfill`: measures the past data versions of a repository and adds them to its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entropylaw.options import AsJson
from entropylaw.printing import note
from entropylaw.repository import layout
from entropylaw.terminal import print_result, show_progress

if TYPE_CHECKING:
    from entropylaw.backfill.plan import BackfilledVersion, BackfillPlan
    from entropylaw.repository.data_trail import Rename
    from entropylaw.repository.setting import Setting
    from monitor.history import HistoryEntry
    from monitor.verdict import Measurements


@dataclass(frozen=True)
class Backfill:
    """``versions``: oldest first, without the present one. ``shallow``: this clone does not reach back to the first.

    ``renames``: of the data, by dataset, oldest first.
    """

    config_fingerprint: str
    shallow: bool
    versions: tuple[BackfilledVersion, ...]
    renames: Mapping[str, tuple[Rename, ...]] = field(default_factory=dict)


def backfill(
    since: Annotated[
        str | None,
        typer.Option(help="Begin anew with the data as it was at this Git revision.", show_default="the first commit"),
    ] = None,
    last: Annotated[
        int | None, typer.Option(help="Only so many versions, the latest.", min=1, show_default="all")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be measured; write nothing.")] = False,
    json: AsJson = False,
) -> None:
    """Measure the data versions before the present one, from Git and DVC, into history/.

    Each is judged against the one recorded before it, by today's configuration, base model and calibration. What is
    risky is shown but not recorded. It exits 0 whatever it finds; after an interruption, run it again.

    Example: entropylaw backfill --dry-run
    """
    from entropylaw.backfill.plan import rehearse, state_cost
    from entropylaw.backfill.run import measure_versions
    from entropylaw.repository.git import is_shallow, require_repository
    from entropylaw.repository.setting import load_setting
    from monitor.history import read_history

    require_repository(Path())
    setting = load_setting()
    history = read_history(layout.HISTORY)
    plan = plan_versions(setting, history, since, last)
    if todo := plan.to_measure():
        note(f"backfill: {state_cost(todo, setting.configuration.probe.steps)}")
    done = rehearse(plan) if dry_run else measure_versions(plan, setting, history)
    result = Backfill(setting.configuration.fingerprint(), is_shallow(), tuple(done), list_renames(plan))
    print_result(result, json, render_backfill(result))


def plan_versions(
    setting: Setting, history: Sequence[HistoryEntry], since: str | None, last: int | None
) -> BackfillPlan:
    """The past versions in Git, and what is to be done with each. Raises EntropylawError as ``plan_backfill`` does."""
    from entropylaw.backfill.past_versions import list_past_versions, number_main_line
    from entropylaw.backfill.plan import BackfillPlan, plan_backfill
    from entropylaw.repository.committed_data import hash_present

    fingerprint = setting.configuration.fingerprint()
    comparable = [entry for entry in history if entry.config_fingerprint == fingerprint]
    indices = number_main_line()
    present = {dataset: hash_present(file.as_posix()) for dataset, file in setting.datasets.items()}
    with show_progress("versions in Git") as progress:
        versions = list_past_versions(setting.datasets, indices, since, progress)
    # A new beginning is compared with nothing that was before it.
    begun = {version.commit for version in versions}
    references = [entry for entry in comparable if since is None or entry.commit in begun]
    # What is here now is for the pipeline to judge and for a person to accept.
    past = [version for version in versions if {name: data.content for name, data in version.stored.items()} != present]
    past = past if last is None else past[-last:]
    return BackfillPlan(past, plan_backfill(past, comparable, indices), references)


def list_renames(plan: BackfillPlan) -> dict[str, tuple[Rename, ...]]:
    """How the data was renamed since the oldest of the versions, by dataset."""
    renames: dict[str, tuple[Rename, ...]] = {}
    for version in plan.versions:
        for dataset, data in version.data.items():
            if data.renames:
                renames.setdefault(dataset, data.renames)
    return renames


def render_backfill(result: Backfill) -> list[str]:
    """A table of all versions, oldest first, and below it why some are left out and what to do next."""
    from reports.escaping import escape_log
    from reports.text import wrap
    from reports.words import LEGEND

    if not result.versions:
        lines = ["No data version before the present one was found in Git."]
    else:
        width = max(len("version"), *(len(escape_log(version.name)) for version in result.versions))
        header = f"{'version':<{width}}  {'date':<10}  {'dataset':<11}  {'rows':>9}  "
        lines = [header + "".join(f"{name:>8}" for name in ("R", "long R", "L", "C")) + "  verdict"]
        for version in result.versions:
            label = f"{escape_log(version.name):<{width}}  {version.date:<10}  "
            lines += [label + cells for cells in _list_cells(version)]
        lines += ["", *LEGEND, ""]
    by_reason: dict[str, list[str]] = {}
    for version in result.versions:
        if version.reason:
            by_reason.setdefault(version.reason, []).append(version.name)
    for reason, names in by_reason.items():
        lines += wrap(f"{', '.join(names)}: left out, {reason}", rest="  ")
    for dataset, renames in result.renames.items():
        lines += wrap(f"{dataset}: {'; '.join(map(str, renames))}", rest="  ")
    return lines + [line for advice in _advise(result) for line in wrap(advice)]


def _list_cells(version: BackfilledVersion) -> list[str]:
    """The numbers and the verdict of a version, a line for each dataset."""
    from reports.numbers import format_count, format_number
    from reports.words import WORDS

    verdict = version.outcome if version.status is None else WORDS[version.status].word.lower()
    if version.status is not None and version.outcome != "recorded":
        verdict = f"{verdict}, {version.outcome}"

    def line(dataset: str, rows: int | None, measured: Measurements | None) -> str:
        values = [getattr(measured, key, None) for key in ("r", "r_long", "l", "c")]
        numbers = "".join(f"{format_number(value):>8}" for value in values)
        return f"{dataset:<11}  {format_count(rows):>9}  {numbers}  {verdict}"

    if not version.measurements:
        return [line("", version.rows, None)]
    return [line(dataset, measured.rows, measured) for dataset, measured in version.measurements.items()]


def _advise(result: Backfill) -> list[str]:
    outcomes = [version.outcome for version in result.versions]
    advice = []
    if risky := next((version for version in result.versions if version.status == "risky" and version.reason), None):
        advice.append(
            "What is risky does not become a reference, so later versions are judged against the last one before it. "
            f"If the change was meant, begin anew with it: `entropylaw backfill --since {risky.commit[:7]}`."
        )
    if result.shallow:
        advice.append("This clone is shallow, so older versions are not in it: `git fetch --unshallow` gets them.")
    if recorded := outcomes.count("recorded"):
        count = "1 version is" if recorded == 1 else f"{recorded} versions are"
        advice.append(
            f"{count} now in {layout.HISTORY}/. `dvc repro` compares the present one with the last of them; "
            f"commit {layout.HISTORY}/ with it."
        )
    return advice
