"""The command `select`: selects the rows to train on, by ZIP or one of the methods it is compared with."""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpus.errors import EntropylawError
from entropylaw.options import count_workers, take_options
from entropylaw.pipeline_command import Place
from entropylaw.select.options import CodecChoice, CommonOptions, Compat, Window, ZipOptions

if TYPE_CHECKING:
    from selection.engines import EngineName
    from selection.methods import Method
    from selection.report import SelectionReport

# Rules named in the summary; the report has all.
SHOWN_RULES = 3

app = typer.Typer(
    help="Select the rows to train on, by ZIP or one of the methods it is compared with.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


Model = Annotated[
    str | None,
    typer.Option(
        help="Folder or Hub id of the model that scores.",
        parser=Place,
        metavar="FOLDER|HUB_ID",
        show_default="row_scores.model, or models/base",
    ),
]


@app.command("configured")
@take_options
def select_as_configured(common: CommonOptions) -> None:
    """By the method that selection.method of params.yaml names, as the stage `select` does.

    Example: entropylaw select configured pool.jsonl --out chosen.jsonl
    """
    from corpus.params import read_section
    from selection.engines import count_cores
    from selection.methods import SelectionParams

    # Read here, so that no text of params.yaml is ever part of a shell's command.
    method = read_section(SelectionParams, "selection").method
    run_selection(method, common, workers=count_cores() if method == "zip" else 1)


@app.command("zip")
@take_options
def select_zip_rows(common: CommonOptions, zip: ZipOptions) -> None:
    """ZIP, the paper's Algorithm 1: rows that keep the compression ratio of the whole selection low.

    Example: entropylaw select zip pool.jsonl --out chosen.jsonl --rows 10000 --window global
    """
    workers = count_workers(zip.workers)
    window = zip.window
    if window is None and (zip.codec is CodecChoice.zlib or zip.compat is Compat.reference):
        window = Window.codec  # zlib has no other
    choices = {"window": window, "codec": zip.codec, "compat": zip.compat}
    changes = {
        **{"k1": zip.k1, "k2": zip.k2, "k3": zip.k3, "level": zip.level},
        **{name: choice.value for name, choice in choices.items() if choice},
    }
    run_selection("zip", common, changes, workers=workers, engine=zip.engine.value)


@app.command("random")
@take_options
def select_random_rows(common: CommonOptions) -> None:
    """Rows drawn at random, each as likely as any other.

    Example: entropylaw select random pool.jsonl --out chosen.jsonl --rows 10000 --seed 1
    """
    run_selection("random", common)


@app.command("cluster")
@take_options
def select_cluster_rows(common: CommonOptions) -> None:
    """K-means on text embeddings: the row nearest to the centre of each of as many clusters as rows are wanted.

    Example: entropylaw select cluster pool.jsonl --out chosen.jsonl --rows 1000
    """
    run_selection("cluster", common)


@app.command("perplexity")
@take_options
def select_perplexity_rows(common: CommonOptions, model: Model = None) -> None:
    """Rows with the highest loss of their answers.

    Example: entropylaw select perplexity pool.jsonl --out chosen.jsonl --rows 10000 --model models/base
    """
    run_selection("perplexity", common, scoring={"model": model})


@app.command("superfiltering")
@take_options
def select_superfiltering_rows(common: CommonOptions, model: Model = None) -> None:
    """Rows whose prompt helps least with the answer: perplexity given the prompt over perplexity without, below 1.

    Example: entropylaw select superfiltering pool.jsonl --out chosen.jsonl --rows 10000 --model models/base
    """
    run_selection("superfiltering", common, scoring={"model": model})


@app.command("superfiltering-loss")
@take_options
def select_superfiltering_loss_rows(common: CommonOptions, model: Model = None) -> None:
    """Like superfiltering with mean losses in place of perplexities, as the IFD paper defines it.

    Example: entropylaw select superfiltering-loss pool.jsonl --out chosen.jsonl --rows 10000 --model models/base
    """
    run_selection("superfiltering-loss", common, scoring={"model": model})


@app.command("deita")
@take_options
def select_deita_rows(
    common: CommonOptions,
    complexity_scorer: Annotated[
        str | None,
        typer.Option(
            help="Folder or Hub id.",
            parser=Place,
            metavar="FOLDER|HUB_ID",
            show_default="row_scores.complexity_scorer",
        ),
    ] = None,
    quality_scorer: Annotated[
        str | None,
        typer.Option(
            help="Folder or Hub id.", parser=Place, metavar="FOLDER|HUB_ID", show_default="row_scores.quality_scorer"
        ),
    ] = None,
) -> None:
    """Rows with the highest complexity times quality, passing over rows too similar to one already taken.

    Example: entropylaw select deita pool.jsonl --out chosen.jsonl --rows 6000 --quality-scorer models/quality
    """
    run_selection("deita", common, scoring={"complexity_scorer": complexity_scorer, "quality_scorer": quality_scorer})


@app.command("score")
@take_options
def select_score_rows(common: CommonOptions) -> None:
    """Preferences with the highest grade of the chosen answer.

    Example: entropylaw select score pairs.jsonl --out chosen.jsonl --rows 5000
    """
    run_selection("score", common)


@app.command("length")
@take_options
def select_longest_rows(common: CommonOptions) -> None:
    """Rows with the longest answers: in tokens with --tokens or --tokenizer, else in characters.

    Example: entropylaw select length pool.jsonl --out chosen.jsonl --rows 1000
    """
    run_selection("length", common)


@app.command("dsir")
@take_options
def select_dsir_rows(
    common: CommonOptions,
    target: Annotated[
        Path | None,
        typer.Option(help="File of rows like those that are wanted.", show_default="selection.target of params.yaml"),
    ] = None,
) -> None:
    """DSIR: rows whose words and pairs of words look like those of a target file, drawn at random.

    Example: entropylaw select dsir pool.jsonl --target wanted.jsonl --out chosen.jsonl --rows 10000
    """
    run_selection("dsir", common, {"target": None if target is None else str(target)})


@app.command("c4")
@take_options
def select_c4_rows(common: CommonOptions) -> None:
    """Random rows among those that pass the rules of C4, which were made for web pages.

    Example: entropylaw select c4 pool.jsonl --out chosen.jsonl --rows 10000
    """
    run_selection("c4", common)


@app.command("gopher")
@take_options
def select_gopher_rows(common: CommonOptions) -> None:
    """Random rows among those that pass the quality and repetition rules of Gopher, which were made for web pages.

    Example: entropylaw select gopher pool.jsonl --out chosen.jsonl --rows 10000
    """
    run_selection("gopher", common)


@app.command("fineweb")
@take_options
def select_fineweb_rows(common: CommonOptions) -> None:
    """Random rows among those that pass the rules of FineWeb: most of Gopher's and C4's, and three of its own.

    Example: entropylaw select fineweb pool.jsonl --out chosen.jsonl --rows 10000
    """
    run_selection("fineweb", common)


@app.command("k-centre")
@take_options
def select_k_centre_rows(common: CommonOptions) -> None:
    """k-centre greedy on text embeddings: each time the row farthest from all rows taken.

    Example: entropylaw select k-centre pool.jsonl --out chosen.jsonl --rows 1000
    """
    run_selection("k-centre", common)


@app.command("novelsum")
@take_options
def select_novelsum_rows(common: CommonOptions) -> None:
    """NovelSelect on text embeddings: each time the row with the highest novelty beside the rows taken.

    Example: entropylaw select novelsum pool.jsonl --out chosen.jsonl --rows 1000
    """
    run_selection("novelsum", common)


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
