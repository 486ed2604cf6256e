"""The command `study`: compares selection methods at an equal token budget, as a DVC pipeline of its own."""

from __future__ import annotations

import os
import subprocess  # nosec B404 # `dvc repro` runs in a process of its own
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corpus.errors import DamagedResultError, EntropylawError, NotAssessedError
from corpus.interrupts import was_signalled
from corpus.params import PARAMS_FILE
from entropylaw.options import AsJson
from entropylaw.printing import note, say
from entropylaw.repository.layout import SFT, STUDY_PARAMS, STUDY_PIPELINE, STUDY_RESULTS, STUDY_RUNS

if TYPE_CHECKING:
    from entropylaw.study.params import StudyParams
    from reports.study.runs import Lengths, MethodResult
    from reports.study.study import Study

app = typer.Typer(rich_markup_mode=None)

TABLE_JSON, TABLE_CSV, TABLE_MD = (STUDY_RESULTS / f"table.{suffix}" for suffix in ("json", "csv", "md"))
PLOTS = "plots"
LENGTHS_HEADER = ("tokens", "rows")
STDERR = 2


@app.callback(invoke_without_command=True)
def study(context: typer.Context, json: AsJson = False) -> None:
    """Compare selection methods on your data: train on what each selects, at equal tokens, and measure Z.

    Writes studies/selection/ where it is missing (edit its params.yaml to choose the methods), runs its stages with
    `dvc repro`, and prints the table. What is up to date is not run again.

    Example: entropylaw study
    """
    if context.invoked_subcommand is not None:
        return
    from corpus.artifacts import read_json
    from entropylaw.repository.git import require_repository
    from entropylaw.study.params import read_study_params
    from entropylaw.terminal import print_result
    from reports.study.table import render_study_text

    require_repository(Path())
    require_conversations()
    for path in write_pipeline():
        note(f"wrote {path}")
    params = read_study_params()
    reproduce(STUDY_PIPELINE)
    if json:
        print_result(read_json(TABLE_JSON), True, [])
        return
    say(*render_study_text(load_study(params)).splitlines())
    say(f"Tables and figures: {TABLE_MD}")


def require_conversations() -> None:
    """Raise where a study cannot be made here: it trains on selected conversations as the pipeline does."""
    from entropylaw.repository.datasets import read_datasets
    from entropylaw.study.run import read_sections

    if SFT not in read_datasets():
        raise EntropylawError(f"{PARAMS_FILE}: a study selects conversations, and there is no dataset {SFT}")
    read_sections()


def write_pipeline() -> list[Path]:
    """Write the study's pipeline and parameters where they are missing; the paths of what was written."""
    from corpus.artifacts import write_text
    from entropylaw.repository.shipped_files import shipped_text

    missing = [path for path in (STUDY_PIPELINE, STUDY_PARAMS) if not path.exists()]
    for path in missing:
        write_text(path, shipped_text(path.as_posix()))
    return missing


def reproduce(pipeline: Path) -> None:
    """Run `dvc repro` with its output on stderr, so that stdout holds the result alone.

    Raises EntropylawError when a stage fails.
    """
    # The stages call `entropylaw`, which need not be on the path of whoever called it by its full name.
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"}
    with subprocess.Popen(  # nosec B603 # our own words, and no shell
        [sys.executable, "-m", "dvc", "repro", str(pipeline)], env=environment, stdout=STDERR
    ) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            # Ctrl-C reached it too, and it has its locks to release; a signal to this process alone did not.
            if was_signalled():
                process.terminate()
            process.wait()
            raise
    if code:
        raise EntropylawError(f"`dvc repro {pipeline}` ended with exit code {code}; its last lines say why")


@app.command("run")
def run(name: Annotated[str, typer.Argument(help="An entry of study.methods.", show_default=False)]) -> None:
    """One stage: select by one method, measure the selection, train on it with each seed, and evaluate.

    Example: entropylaw study run zip
    """
    from corpus.artifacts import write_json, write_text
    from entropylaw.study.params import read_study_params
    from entropylaw.study.run import run_method
    from reports.study.table import render_csv

    params = read_study_params()
    if name not in params.methods:
        raise EntropylawError(
            f"{STUDY_PARAMS}: no entry {name} in study.methods; there are {', '.join(params.methods)}"
        )
    result, lengths = run_method(name, params)
    write_json(result_file(name), result)
    write_text(lengths_file(name), render_csv(LENGTHS_HEADER, sorted(lengths.items())))
    z = ", ".join(f"{run.z:.4f}" for run in result.runs)
    say(f"{name}: {result.runs[0].selected.rows} rows of {result.budget_tokens} tokens at most; Z {z}")


@app.command("report")
def report() -> None:
    """The last stage: write the table and the figures from the runs.

    Example: entropylaw study report
    """
    from corpus.artifacts import write_json, write_text
    from entropylaw.study.params import read_study_params
    from reports.study.figures import draw_study
    from reports.study.table import render_study, summarise_study, tabulate_study

    result = load_study(read_study_params())
    figures = draw_study(result)
    for figure in figures:
        write_text(STUDY_RESULTS / PLOTS / f"{figure.chart.name}.svg", figure.chart.svg)
        write_text(STUDY_RESULTS / PLOTS / f"{figure.chart.name}.csv", figure.csv)
    write_text(TABLE_CSV, tabulate_study(result))
    write_text(TABLE_MD, render_study(result, [figure.chart for figure in figures], PLOTS))
    write_json(TABLE_JSON, summarise_study(result))
    say(f"{TABLE_MD}: {len(result.methods)} methods, {len(figures)} figures")


def load_study(params: StudyParams) -> Study:
    """The runs of every entry, gathered. Raises EntropylawError when one is missing, damaged or made otherwise."""
    from reports.study.study import build_study

    results = [load_result(name, params) for name in params.methods]
    if len({result.budget_tokens for result in results}) > 1:
        raise EntropylawError(f"{STUDY_RUNS}: the runs were made on different pools; run `entropylaw study`")
    return build_study(results, {name: load_lengths(name) for name in params.methods})


def load_result(name: str, params: StudyParams) -> MethodResult:
    from corpus.artifacts import read_result, to_json
    from reports.study.runs import MethodResult

    file = result_file(name)
    repair = f"run `dvc repro --force {STUDY_PIPELINE}`"
    result = read_result(file, MethodResult, "entropylaw study", repair, complete=True)
    wanted = (replace(params.methods[name], share=params.share), params.seeds)
    # As a file would hold them: numbers there have nine digits.
    if to_json((result.settings, [run.seed for run in result.runs])) != to_json(wanted):
        raise EntropylawError(f"{file}: made with other settings than {STUDY_PARAMS}; run `entropylaw study`")
    return result


def load_lengths(name: str) -> Lengths:
    import csv

    file = lengths_file(name)
    try:
        with file.open(encoding="utf-8", newline="") as handle:
            lengths = {int(line["tokens"]): int(line["rows"]) for line in csv.DictReader(handle)}
        if not lengths:
            raise ValueError
        return lengths
    except FileNotFoundError:
        raise NotAssessedError(f"{file}: no such file; run `entropylaw study` first") from None
    except (OSError, KeyError, TypeError, ValueError, csv.Error):
        raise DamagedResultError(f"{file}: damaged; run `dvc repro --force {STUDY_PIPELINE}`") from None


def result_file(name: str) -> Path:
    return STUDY_RUNS / f"{name}.json"


def lengths_file(name: str) -> Path:
    """How many of the selected rows, over all seeds, have so many tokens."""
    return STUDY_RUNS / f"{name}_tokens.csv"
