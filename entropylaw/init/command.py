"""The command `init`: adds the pipeline to an existing Git + DVC repository and never overwrites a file in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from corpus.errors import EntropylawError
from corpus.files import is_hub_name, is_pattern
from corpus.params import parse_yaml
from entropylaw.init.advice import describe_gate, describe_next
from entropylaw.init.changes import write_changes
from entropylaw.init.ci_files import CiSystem, choose_ci
from entropylaw.init.data_files import make_data
from entropylaw.init.dataset_paths import list_untracked, name_from, parse_datasets
from entropylaw.init.dvc_outputs import read_dvc
from entropylaw.init.gate_dependency import show
from entropylaw.init.home import OWN_FOLDER, Home, choose_home, find_obstacle, find_own
from entropylaw.init.pipeline import render_pipeline
from entropylaw.init.plan import make_pipeline, plan_ci, plan_gate, plan_ignored, plan_pipeline
from entropylaw.init.recipes import RECIPES
from entropylaw.repository.git import require_repository


def init(
    folder: Annotated[Path, typer.Argument(help="A folder of a Git + DVC repository, usually its root.")] = Path(),
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            help="sft=PATH, and preferences=PATH if there are any: a file, a folder, a pattern or hf://OWNER/NAME@REVISION."
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            help="Our name of a column and the file's, as in sft.prompt=question; any number of times.",
            show_default="told from the keys",
        ),
    ] = None,
    heldout: Annotated[
        Path | None, typer.Option(help="Conversations that are never trained on.", show_default="5% of the rows")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help=f"Values of params.yaml for a model: {', '.join(RECIPES)}.", show_default=RECIPES[0]),
    ] = None,
    ci: Annotated[
        CiSystem | None,
        typer.Option(help="Which CI checks every pull request.", show_default="by the host of Git's remote"),
    ] = None,
    pipeline: Annotated[
        Path | None,
        typer.Option(
            help="The folder of the pipeline.",
            show_default=f"the repository's own; {OWN_FOLDER} where something of yours stands in the way",
        ),
    ] = None,
    gate: Annotated[
        str | None,
        typer.Option(
            help="A stage of yours that is to wait for the gate, as STAGE or FILE:STAGE.",
            show_default="your stages stay as they are",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")] = False,
) -> None:
    """Add the pipeline to a data repository; the data that is there now becomes the baseline.

    Without --dataset, a pipeline that is there gets what it misses: lines of .gitignore, the CI file, the --gate.

    Example: entropylaw init --dataset sft=data/chats.jsonl --dataset preferences=data/pairs.jsonl
    """
    if recipe is not None and recipe not in RECIPES:
        raise EntropylawError(f"--recipe {recipe}: unknown; known are {', '.join(RECIPES)}")
    require_repository(folder)
    dvc, here = read_dvc(folder), folder.resolve()
    wanted = None if pipeline is None else (folder / pipeline).resolve()
    own = find_own(here, wanted, dvc)
    if own and not dataset:
        home, changes, track = Home(own, is_ours=True), [], []
        texts = {name: (own / name).read_text(encoding="utf-8") for name in ("dvc.yaml", "params.yaml")}
    else:
        datasets = parse_datasets(dataset or [], folder, dvc)
        mapped = parse_columns(columns or [], datasets)
        _tell_shards(dataset or [], datasets)
        shown = {name: place if is_hub_name(place) else Path(show(place)) for name, place in datasets.items()}
        data = make_data(shown, heldout, mapped)

        def render(home: Path) -> dict[str, str]:
            return render_pipeline({name: name_from(place, home) for name, place in datasets.items()}, recipe, mapped)

        def find(home: Path) -> str | None:
            return find_obstacle(home, make_pipeline(render(home), data), dvc, datasets.values())

        home = Home(own, is_ours=True) if own else choose_home(here, wanted, dvc, find)
        texts = render(home.folder)
        changes = plan_pipeline(home, make_pipeline(texts, data), dvc)
        track = list_untracked(datasets, dvc)
        track += [path for name in data if not dvc.find_owner(path := home.folder / name)]
    if home.reason:
        typer.echo(f"{home.reason}: the pipeline gets a folder of its own, {show(home.folder)}/")
    names = parse_yaml(texts["params.yaml"], "params.yaml").get("datasets", ())
    changes += plan_ignored(home.folder, parse_yaml(texts["dvc.yaml"], "dvc.yaml"), names, track)
    ci_changes, other_ci = plan_ci(home.folder, choose_ci(folder, ci))
    changes += ci_changes
    if gate:
        changes += plan_gate(gate, here, home.folder, dvc)
    if dry_run:
        for change in changes:
            typer.echo("\n".join(change.describe()))
        for path in track:
            typer.echo(f"would write {show(path)}.dvc: DVC tracks {show(path)}")
        typer.echo("nothing is written")
        return
    write_changes(changes, track, here)
    for change in changes:
        typer.echo(f"{'wrote' if change.before is None else 'changed'} {show(change.path)}")
    if other_ci:
        typer.echo(f"{show(other_ci)} is there already and stays as it is")
    if not gate:
        typer.echo(describe_gate(home.folder, dvc), nl=False)
    typer.echo(describe_next(home.folder))


def parse_columns(options: list[str], datasets: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """Our names of columns and the files', by dataset, from DATASET.OURS=THEIRS options.

    >>> parse_columns(["sft.prompt=question"], {"sft": Path("data/qa.jsonl")})
    {'sft': {'prompt': 'question'}}
    """
    from corpus.formats import Reading

    columns: dict[str, dict[str, str]] = {}
    for option in options:
        ours, separator, theirs = option.partition("=")
        name, dot, ours = ours.partition(".")
        if not separator or not dot or name not in datasets or not theirs:
            known = " or ".join(datasets)
            raise EntropylawError(f"--columns {option}: expected DATASET.OURS=THEIRS, DATASET being {known}")
        columns.setdefault(name, {})[ours] = theirs
        try:
            Reading(columns=columns[name])
        except ValueError as error:
            raise EntropylawError(f"--columns {option}: {error}") from None
    return columns


def _tell_shards(options: list[str], datasets: Mapping[str, Path]) -> None:
    """Say where one shard was given and all of them are meant."""
    for option in options:
        name, _, given = option.partition("=")
        if is_pattern(datasets[name]) and not is_pattern(given):
            typer.echo(f"{given} is one shard of several; the dataset is all of them: {show(datasets[name])}")
