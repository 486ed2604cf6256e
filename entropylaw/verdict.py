"""The commands about the verdict: assess, report, gate, check."""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entropylaw.printing import note, print_document, say
from entropylaw.repository import layout
from entropylaw.repository.calendar import read_today

if TYPE_CHECKING:
    from monitor.verdict import FlaggedRow
    from reports.training_curves import TrainingCurve


Base = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="REV",
        help="The target branch: its accepted versions must be in history/.",
        show_default="what the CI system names, else origin's default branch",
    ),
]


class CheckFormat(StrEnum):
    text = "text"
    markdown = "markdown"
    json = "json"
    junit = "junit"
    github = "github"
    gitlab = "gitlab"
    slack = "slack"


def assess(json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False) -> None:
    """Compare the measured version with its parent in history/ and write the verdict to results/verdict.json.

    Its status and measures stand in results/metrics.json too, for `dvc metrics diff` and `dvc exp show`. It exits 0
    whatever the verdict is; `entropylaw gate` is what stops a risky version.

    Example: entropylaw assess --json
    """
    from corpus.artifacts import write_json
    from entropylaw.repository.reassess import judge_version, record_verdict
    from entropylaw.terminal import print_result, show_progress
    from reports.metrics import list_metrics

    with show_progress("assess"):
        verdict = judge_version()
    write_json(layout.VERDICT, verdict)
    write_json(layout.METRICS, list_metrics(verdict))
    record_verdict()
    print_result(verdict, json, [f"{verdict.version.name}: {verdict.status}. {verdict.summary}"])


def load_texts(rows: Iterable[FlaggedRow]) -> dict[str, str]:
    """The canonical texts of flagged rows by content hash, from the prepared files.

    Raises EntropylawError when one is not there: the verdict is then about other data.
    """
    from corpus.errors import EntropylawError
    from corpus.records import canonical_text
    from corpus.row_facts import hashes_of
    from corpus.stored_rows import StoredRows
    from entropylaw.repository.missing_outputs import require_here

    hashes: dict[str, set[str]] = {}
    for row in rows:
        hashes.setdefault(row.dataset, set()).add(row.hash)
    texts: dict[str, str] = {}
    for dataset, wanted in hashes.items():
        path = layout.prepared(dataset)
        require_here(path, "prepare")
        records = StoredRows(path)
        found = [records[i] for i in hashes_of(records).find(wanted)]
        texts |= {row_hash: canonical_text(record) for record, row_hash in found}
        if missing := wanted - texts.keys():
            raise EntropylawError(
                f"{path}: {len(missing)} of the rows that {layout.VERDICT} names are not in it; run `dvc repro`"
            )
    return texts


def load_training_curves(data_hash: str) -> list[TrainingCurve]:
    """The training curves of the models that were trained on this data version, as their training.json says."""
    from corpus.artifacts import read_result
    from reports.training_curves import read_training_curve

    curves = []
    for dataset, method in ((layout.SFT, "SFT"), (layout.PREFERENCES, "KTO")):
        summary = layout.result(dataset, "training.json")
        # What training reports differs by method and release; only whose curve it is counts here.
        report = read_result(summary, dict[str, Any], "dvc repro") if summary.exists() else {}
        if report.get("version_hash") == data_hash:
            curves.append(read_training_curve(dataset, method, layout.result(dataset, "live")))
    return [curve for curve in curves if curve]


def report() -> None:
    """Write results/report.html, report.md and plots/ from the verdict and the history.

    Run again after training, it shows the training curves too; after `entropylaw power`, what this gate would miss.

    Example: entropylaw report && open results/report.html
    """
    from corpus.artifacts import write_text
    from corpus.params import read_section
    from entropylaw.repository.power_results import load_power
    from entropylaw.repository.results import load_verdict, load_waivers
    from monitor.history import read_history
    from reports.figures import draw_figures
    from reports.html import render_html
    from reports.markdown import render_markdown_report
    from reports.report_data import build_report_data
    from reports.report_params import ReportParams

    verdict = load_verdict()
    texts = load_texts(verdict.rows) if read_section(ReportParams, "report").show_text else {}
    curves = load_training_curves(verdict.version.data_hash)
    history, waivers, power = read_history(layout.HISTORY), load_waivers(), load_power(verdict)
    data = build_report_data(verdict, history, waivers, texts=texts, training=curves, power=power)
    figures = draw_figures(data)
    for chart in figures.charts():
        write_text(layout.PLOTS / f"{chart.name}.svg", chart.svg)
    write_text(layout.REPORT_HTML, render_html(data, figures))
    write_text(layout.REPORT_MD, render_markdown_report(data))
    say(f"{layout.REPORT_HTML}: {data.headline}")


def gate(
    strict: Annotated[bool, typer.Option("--strict", help="A warning blocks too.")] = False,
    base: Base = None,
) -> None:
    """Approve the version for training, or stop: exit 1 when it is risky, 3 when it could not be assessed.

    It also exits 3 where accepted versions of the target branch are missing in history/, or where the verdict does not
    follow from the data, parameters, results and history that are here. A verdict that another machine made is judged
    again to find that out, for which its rows must be here.

    Example: entropylaw gate && echo approved
    """
    from corpus.artifacts import write_json
    from entropylaw.repository.history_guard import require_history
    from entropylaw.repository.recorded_stages import STAGE_VARIABLE
    from entropylaw.repository.results import load_verdict, load_waivers
    from entropylaw.repository.trust import require_trustworthy
    from monitor.gate import decide_gate

    # An approval of earlier data must not outlive this decision.
    layout.APPROVAL.unlink(missing_ok=True)
    since = require_history(base)
    verdict = load_verdict()
    # As a stage of the pipeline it runs behind those that it depends on. Typed by hand, it may be of yesterday's data.
    require_trustworthy(since, verdict, is_ordered=STAGE_VARIABLE in os.environ)
    decision = decide_gate(verdict, load_waivers(), read_today(), strict)
    if decision.approved:
        write_json(layout.APPROVAL, decision)
        say(decision.reason)
        return
    note(f"entropylaw: {decision.reason}")
    raise typer.Exit(decision.exit_code)


def check(
    format: Annotated[CheckFormat, typer.Option(help="How to show it.")] = CheckFormat.text,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on a warning too.")] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Hash all data and results that are here, and judge the version again from its rows."
        ),
    ] = False,
    verdict: Annotated[Path, typer.Option(help="The verdict to show.")] = layout.VERDICT,
    base: Base = None,
) -> None:
    """Show the verdict, and exit 0 for pass or warn, 1 for risky, 3 when it could not be assessed.

    It also exits 3 where data, parameters or history changed after the verdict. To find that out it compares what DVC
    and Git note of them, in a fraction of a second. --verify also reads all data and results that are here, and judges
    the version again, for which its rows must be here.

    Example: entropylaw check --format markdown >> "$GITHUB_STEP_SUMMARY"
    """
    from dataclasses import replace

    from corpus.errors import NotAssessedError
    from entropylaw.repository.changed_rules import list_changed_rules
    from entropylaw.repository.datasets import known_datasets
    from entropylaw.repository.history_guard import require_history
    from entropylaw.repository.results import load_verdict, load_waivers
    from entropylaw.repository.trust import require_trustworthy
    from monitor.gate import decide_gate
    from monitor.history import read_history
    from reports.checks import render_check
    from reports.report_data import build_report_data, show_stale

    shown, history = load_verdict(verdict), read_history(layout.HISTORY)
    waivers, today = load_waivers(), read_today()
    # Only this format points into the data files, and reading params.yaml takes time.
    datasets = known_datasets() if format is CheckFormat.gitlab else {}
    files = {name: dataset.file for name, dataset in datasets.items()}
    data = build_report_data(shown, history, waivers, today, files=files, strict=strict)
    code: int = decide_gate(shown, waivers, today, strict).exit_code
    try:
        since = require_history(base)
        data = replace(data, notes=list_changed_rules(since, shown.version.data_hash) if since else ())
        require_trustworthy(since, shown, verdict, again="always" if verify else "never")
    except NotAssessedError as stale:
        data, code = show_stale(data, str(stale)), stale.exit_code
    print_document(render_check(data, format.value))
    raise typer.Exit(code)
