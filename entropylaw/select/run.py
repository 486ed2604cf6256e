"""What every command of `select` does: read the pool, select by a method, write the rows, and say what they are."""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.errors import EntropylawError
from entropylaw.select.options import CommonOptions

if TYPE_CHECKING:
    from selection.engines import EngineName
    from selection.methods import Method, SelectionParams
    from selection.report import SelectionReport

# Rules named in the summary; the report has all.
SHOWN_RULES = 3


def run_selection(
    method: Method,
    common: CommonOptions,
    changes: dict[str, Any] | None = None,
    scoring: dict[str, Any] | None = None,
    workers: int = 1,
    engine: EngineName = "threads",
) -> None:
    """Select and write; ``changes`` and ``scoring`` are options over the sections ``selection`` and ``row_scores``."""
    try:
        report, seconds = _write_selected_rows(method, common, changes or {}, scoring or {}, workers, engine)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; nothing was written") from None
    from corpus.artifacts import write_json
    from entropylaw.terminal import print_result

    if common.report:
        write_json(common.report, report)
    print_result(report, common.json, _summarise(report, seconds, common.out))


def _write_selected_rows(
    method: Method,
    common: CommonOptions,
    changes: dict[str, Any],
    scoring: dict[str, Any],
    workers: int,
    engine: EngineName,
) -> tuple[SelectionReport, dict[str, float]]:
    """The report of what was selected, and the seconds of each stage."""
    from corpus.files import copy_rows
    from corpus.params import read_section
    from corpus.prepare import PrepareParams
    from entropylaw.repository.datasets import reading_for
    from entropylaw.repository.layout import BASE_MODEL
    from entropylaw.select.pool import read_pool
    from entropylaw.select.selecting import select_from_pool
    from entropylaw.terminal import show_stages
    from selection.methods import SelectionParams
    from selection.report import describe_selection
    from training.row_scores import RowScoreParams

    prepare = read_section(PrepareParams, "prepare")
    params = read_section(SelectionParams, "selection")
    score_params = dataclasses.replace(read_section(RowScoreParams, "row_scores"), **_given(scoring))
    budget = _given({"rows": common.rows, "tokens": common.tokens})
    if len(budget) > 1:
        raise EntropylawError("give --rows or --tokens, not both")
    if budget:  # it replaces the one of params.yaml
        params = dataclasses.replace(params, rows=None, tokens=None)
    try:
        params = dataclasses.replace(params, method=method, **budget, **_given({"seed": common.seed, **changes}))
    except ValueError as error:
        raise EntropylawError(f"select {method}: {error}") from None
    _require_writable(common)
    tokenizer = common.tokenizer or (None if params.tokens is None else BASE_MODEL)
    with show_stages(_label_stages(method, "rows" if params.tokens is None else "tokens")) as progress:
        # Where the result goes there is room; the system's folder for temporary files may lie in memory.
        folder = next(parent for parent in common.out.parents if parent.is_dir())
        pool = read_pool(common.pool, prepare, tokenizer, progress, reading_for(common.pool), folder)
        chosen = select_from_pool(pool, params, score_params, workers, engine, progress)
        if not chosen.positions and params.budget(len(pool)).limit:
            raise EntropylawError(_explain_none(common.pool, len(pool), params))
        measuring = functools.partial(progress, "report")
        report = describe_selection(pool.texts, pool.sources, chosen, params, pool.token_counts, pool.hashes, measuring)
        pool.require_unchanged()
        copy_rows(common.pool, common.out, [pool.numbers[i] for i in chosen.positions], prepare.max_row_bytes)
    return report, {**pool.seconds, **chosen.seconds}


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _require_writable(common: CommonOptions) -> None:
    """Find out before the work, which may take hours, what would stop the result from being written."""
    from corpus.files import belongs_to, file_suffix

    file_suffix(common.out)
    for target in filter(None, (common.out, common.report)):
        if target.is_dir():
            raise EntropylawError(f"{target}: cannot be written: it is a directory")
        if belongs_to(common.pool.absolute(), target.absolute().as_posix()) or os.path.realpath(
            target
        ) == os.path.realpath(common.pool):
            raise EntropylawError(f"{target}: would replace the pool that is selected from; name another file")


def _explain_none(pool: Path, rows: int, params: SelectionParams) -> str:
    """Why nothing was selected. An empty file would pass for a result until a stage fails on it."""
    limit = "" if params.tokens is None else f", or none has as few as {params.tokens} tokens"
    return (
        f"{pool}: {params.method} takes none of the {rows} rows{limit}; nothing was written; change the method's "
        "settings, or take another method"
    )


def _label_stages(method: Method, unit: str) -> dict[str, str]:
    return {
        "read": "reading rows",
        "score": "scoring rows",
        "embed": "embedding rows",
        "filter": f"select {method}: rows read",
        "select": f"select {method}: {unit}",
        "report": "measuring R",
    }


def _summarise(report: SelectionReport, seconds: dict[str, float], out: Path) -> list[str]:
    tokens = "" if report.selected_tokens is None else f", {report.selected_tokens:,} tokens"
    lines = [
        f"{out}: {report.selected_rows} of {report.pool_rows} rows{tokens}; "
        f"R {report.pool_r:.3f} to {report.selected_r:.3f}, "
        f"long R {report.pool_r_long:.3f} to {report.selected_r_long:.3f}"
    ]
    if report.selected_novelsum is not None and report.pool_novelsum is not None:
        lines.append(
            f"NovelSum {report.pool_novelsum:.3f} to {report.selected_novelsum:.3f} "
            f"(of {report.compared_rows} rows each; higher is more diverse)"
        )
    if report.removed_rows:
        most = sorted(report.removed_rows.items(), key=lambda item: -item[1])[:SHOWN_RULES]
        causes = ", ".join(f"{rule} {count}" for rule, count in most if count)
        lines.append(f"{sum(report.removed_rows.values())} rows removed{causes and f': {causes}'}")
    if report.budget_rows is not None and report.selected_rows < report.budget_rows:
        cause = "the pool holds" if report.selected_rows == report.pool_rows else f"{report.method} finds"
        lines.append(f"fewer than the {report.budget_rows} rows asked for: {cause} no more")
    took = ", ".join(f"{stage} {spent:.1f}" for stage, spent in seconds.items())
    return [*lines, f"seconds: {took}"]
