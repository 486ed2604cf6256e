"""The command `study`: compares selection methods at an equal token budget, as a DVC pipeline of its own."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from corpus.errors import EntropylawError
from entropylaw.options import AsJson
from entropylaw.printing import note, say
from entropylaw.repository.layout import STUDY

app = typer.Typer(rich_markup_mode=None)

PLOTS = "plots"
LENGTHS_HEADER = ("tokens", "rows")

Folder = Annotated[Path, typer.Option("--pipeline", help="The study's folder, with its dvc.yaml and params.yaml.")]


@app.callback(invoke_without_command=True)
def study(
    context: typer.Context,
    pipeline: Folder = STUDY,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Make a repository for the study, with this recipe's model and settings.", show_default=False
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="With --recipe: sft=FILE or preferences=FILE to select from; by default the datasets of this "
            "repository, else the demo's conversations.",
            metavar="NAME=PATH",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(help="With --recipe: the study's params.yaml; by default the one that ships.", show_default=False),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(help="With --recipe: select from so many rows at most.", min=20, show_default=False)
    ] = None,
    workspace: Annotated[
        Path | None,
        typer.Option(help="With --recipe: its repository; by default entropylaw-study-RECIPE.", show_default=False),
    ] = None,
    json: AsJson = False,
) -> None:
    """Compare selection methods on your data: train on what each selects, at equal tokens, and measure Z.

    Writes studies/selection/ where it is missing (edit its params.yaml to choose the methods), runs its stages with
    `dvc repro`, and prints the table. What is up to date is not run again. `--pipeline studies/preferences` compares
    selections of preference pairs, each aligned by KTO.

    Example: entropylaw study
    """
    if context.invoked_subcommand is not None:
        return
    from entropylaw.study.workspace import StudyRequest, open_workspace

    if recipe is not None:
        with contextlib.chdir(open_workspace(StudyRequest(recipe, pipeline, data or [], settings, sample, workspace))):
            run_here(pipeline, json)
        return
    for option, value in {"--data": data, "--settings": settings, "--sample": sample, "--workspace": workspace}.items():
        if value:
            raise EntropylawError(f"{option}: give --recipe too; without it, the study is of this repository")
    run_here(pipeline, json)


def run_here(folder: Path, json: bool) -> None:
    """Run the study of a folder in this repository, and print its table."""
    from corpus.artifacts import read_json
    from entropylaw.repository.git import require_repository
    from entropylaw.study.files import StudyFiles
    from entropylaw.study.params import read_study_params
    from entropylaw.study.pipeline import reproduce, require_dataset, require_watched_keys, write_pipeline
    from entropylaw.study.results import load_study
    from entropylaw.terminal import print_result
    from reports.study.table import render_study_text

    files = StudyFiles(folder)
    require_repository(Path())
    require_dataset(files)
    for path in write_pipeline(files):
        note(f"wrote {path}")
    params = read_study_params(files.params)
    require_watched_keys(files)
    reproduce(files.pipeline)
    if json:
        print_result(read_json(files.table("json")), True, [])
        return
    say(*render_study_text(load_study(params, files)).splitlines())
    say(f"Tables and figures: {files.table('md')}")


@app.command("run")
def run(
    name: Annotated[str, typer.Argument(help="An entry of study.methods.", show_default=False)],
    pipeline: Folder = STUDY,
) -> None:
    """One stage: select by one method, measure the selection, train on it with each seed, and evaluate.

    Example: entropylaw study run zip
    """
    from corpus.artifacts import write_json, write_text
    from entropylaw.study.files import StudyFiles
    from entropylaw.study.params import read_study_params
    from entropylaw.study.run import run_method
    from reports.study.table import render_csv

    files = StudyFiles(pipeline)
    params = read_study_params(files.params)
    if name not in params.methods:
        raise EntropylawError(
            f"{files.params}: no entry {name} in study.methods; there are {', '.join(params.methods)}"
        )
    result, lengths = run_method(name, params, files)
    write_json(files.result(name), result)
    write_text(files.lengths(name), render_csv(LENGTHS_HEADER, sorted(lengths.items())))
    z = ", ".join(f"{run.z:.4f}" for run in result.runs)
    say(f"{name}: {result.runs[0].selected.rows} rows of {result.budget_tokens} tokens at most; Z {z}")


@app.command("mix")
def mix(pipeline: Folder = STUDY) -> None:
    """The first stage of a study that makes its own pool: rows of several corpora, as its section `mix` says.

    Example: entropylaw study mix --pipeline studies/paper
    """
    from entropylaw.study.files import StudyFiles
    from entropylaw.study.mix import mix_pool, read_mix

    for name, corpora in mix_pool(read_mix(StudyFiles(pipeline).params)).items():
        say(f"{name}: {', '.join(f'{rows:,} rows of {source}' for source, rows in corpora.items())}")


@app.command("budget")
def budget(pipeline: Folder = STUDY) -> None:
    """One stage: the budget in tokens, where it is what study.budget_rows rows of study.budget_entry have.

    Example: entropylaw study budget --pipeline studies/paper
    """
    from corpus.artifacts import write_json
    from entropylaw.study.files import StudyFiles
    from entropylaw.study.params import read_study_params
    from entropylaw.study.run import find_entry_budget

    files = StudyFiles(pipeline)
    found = find_entry_budget(read_study_params(files.params))
    write_json(files.budget, found)
    say(f"{files.budget}: {found.tokens} tokens, {found.share:.1%} of the pool's")


@app.command("start")
def start(pipeline: Folder = STUDY) -> None:
    """One stage: the model that a study of preferences aligns, the base model after SFT on the conversations.

    Example: entropylaw study start --pipeline studies/preferences
    """
    from entropylaw.study.files import StudyFiles
    from entropylaw.study.params import read_study_params
    from entropylaw.study.training import train_start

    files = StudyFiles(pipeline)
    say(f"{files.start}: {train_start(files.start, read_study_params(files.params).start_rows)}")


@app.command("report")
def report(pipeline: Folder = STUDY) -> None:
    """The last stage: write the table and the figures from the runs.

    Example: entropylaw study report
    """
    from corpus.artifacts import write_json, write_text
    from entropylaw.study.files import StudyFiles
    from entropylaw.study.params import read_study_params
    from entropylaw.study.results import load_study
    from reports.study.figures import draw_study
    from reports.study.table import render_study, summarise_study, tabulate_study

    files = StudyFiles(pipeline)
    result = load_study(read_study_params(files.params), files)
    figures = draw_study(result)
    for figure in figures:
        write_text(files.results / PLOTS / f"{figure.chart.name}.svg", figure.chart.svg)
        write_text(files.results / PLOTS / f"{figure.chart.name}.csv", figure.csv)
    write_text(files.table("csv"), tabulate_study(result))
    page = render_study(result, [figure.chart for figure in figures], PLOTS, files.params.as_posix())
    write_text(files.table("md"), page)
    write_json(files.table("json"), summarise_study(result))
    say(f"{files.table('md')}: {len(result.methods)} methods, {len(figures)} figures")
