"""The command `init`: adds the pipeline to an existing Git + DVC repository and never overwrites a file in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from corpus.errors import EntropylawError
from corpus.files import is_hub_name, is_pattern
from corpus.params import parse_yaml
from entropylaw.init.advice import describe_gate, describe_next
from entropylaw.init.attributes import plan_attributes
from entropylaw.init.changes import FileChange, require_unchanged, write_changes
from entropylaw.init.ci_files import choose_ci
from entropylaw.init.data_files import make_data
from entropylaw.init.dataset_paths import list_untracked, name_from, parse_datasets
from entropylaw.init.dvc_outputs import DvcRepository, read_dvc
from entropylaw.init.gate_dependency import show
from entropylaw.init.home import Home, choose_home, find_ignored, find_obstacle, find_own, is_new_folder
from entropylaw.init.options import DataOptions, RepositoryOptions, StageOptions
from entropylaw.init.pipeline import is_as_written, render_pipeline
from entropylaw.init.plan import make_pipeline, plan_ci, plan_gate, plan_ignored, plan_pipeline
from entropylaw.init.recipes import RECIPES
from entropylaw.init.stages import Stages
from entropylaw.init.trainer import parse_trainer
from entropylaw.options import take_options
from entropylaw.printing import say
from entropylaw.repository.git import require_repository
from entropylaw.repository.locking import one_at_a_time


@dataclass(frozen=True)
class PlannedPipeline:
    """``texts``: of dvc.yaml and params.yaml as they are to be; ``track``: what DVC is to keep from now on; ``take``:
    whether Git would ignore what has to be in it.
    """

    home: Home
    texts: Mapping[str, str]
    changes: list[FileChange]
    track: list[Path]
    take: bool = False


@take_options
def init(
    data: DataOptions,
    stages: StageOptions,
    repository: RepositoryOptions,
    folder: Annotated[Path, typer.Argument(help="A folder of a Git + DVC repository, usually its root.")] = Path(),
) -> None:
    """Add the pipeline to a data repository; the data that is there now becomes the baseline.

    Without --dataset it adds what an existing pipeline lacks: lines of .gitignore and .gitattributes, the CI file, and
    the --gate. Files that are there are never overwritten.

    Example: entropylaw init --dataset sft=data/chats.jsonl --dataset preferences=data/pairs.jsonl
    """
    if data.recipe is not None and data.recipe not in RECIPES:
        raise EntropylawError(f"--recipe {data.recipe}: unknown; known are {', '.join(RECIPES)}")
    require_repository(folder)
    dvc, here = read_dvc(folder), folder.resolve()
    wanted = None if repository.pipeline is None else (folder / repository.pipeline).resolve()
    own = find_own(here, wanted, dvc)
    if own and not data.dataset:
        _require_dataset_for(data, stages)
        texts = {name: (own / name).read_text(encoding="utf-8") for name in ("dvc.yaml", "params.yaml")}
        planned = PlannedPipeline(Home(own, is_ours=True), texts, [], [])
    else:
        planned = plan_given(folder, data, stages, dvc, own, wanted)
    home, changes = planned.home.folder, planned.changes
    names = parse_yaml(planned.texts["params.yaml"], "params.yaml").get("datasets", ())
    changes += plan_ignored(home, parse_yaml(planned.texts["dvc.yaml"], "dvc.yaml"), names, planned.track, planned.take)
    changes += plan_attributes(home)
    ci_changes, other_ci = plan_ci(home, choose_ci(folder, repository.ci))
    changes += ci_changes
    if repository.gate:
        changes += plan_gate(repository.gate, here, home, dvc)
    if planned.home.reason:
        say(f"{planned.home.reason}: the pipeline gets a folder of its own, {show(home)}/")
    if repository.dry_run:
        _show_plan(changes, planned.track)
        return
    with one_at_a_time(dvc.root / ".dvc" / "tmp" / "entropylaw.lock"):
        require_unchanged(changes)
        write_changes(changes, planned.track, here)
    for change in changes:
        say(f"{'wrote' if change.before is None else 'changed'} {show(change.path)}")
    if other_ci:
        say(f"{show(other_ci)} is there already and stays as it is")
    if not repository.gate:
        say(*describe_gate(home, dvc))
    say(describe_next(home))


def plan_given(
    folder: Path,
    options: DataOptions,
    chosen: StageOptions,
    dvc: DvcRepository,
    own: Path | None,
    wanted: Path | None,
) -> PlannedPipeline:
    """The pipeline for the datasets that the options name. ``own``: the folder of the one that is there; ``wanted``:
    the folder that the user names.
    """
    given = options.dataset or []
    datasets = parse_datasets(given, folder, dvc)
    mapped = parse_columns(options.columns or [], datasets)
    for option in given:
        name, _, text = option.partition("=")
        if is_pattern(datasets[name]) and not is_pattern(text):
            say(f"{text} is one shard of several; the dataset is all of them: {show(datasets[name])}")
    shown = {name: place if is_hub_name(place) else Path(show(place)) for name, place in datasets.items()}
    data = make_data(shown, options.heldout, mapped)

    def sources(home: Path) -> dict[str, str]:
        return {name: name_from(place, home) for name, place in datasets.items()}

    def render(home: Path) -> dict[str, str]:
        trainer = parse_trainer(chosen.trainer, chosen.trainer_out or [], chosen.stages, home)
        return render_pipeline(sources(home), options.recipe, mapped, chosen.stages, trainer)

    def is_written(name: str, text: str) -> bool:
        return is_as_written(name, text, sources(home.folder), options.recipe, mapped)

    def find(home: Path) -> str | None:
        return find_obstacle(home, make_pipeline(render(home), data), dvc, datasets.values())

    home = Home(own, is_ours=True) if own else choose_home(folder.resolve(), wanted, dvc, find)
    texts = render(home.folder)
    track = [home.folder / name for name in data if not dvc.find_owner(home.folder / name)]
    new = make_pipeline(texts, data)
    changes = plan_pipeline(home, new, dvc, is_written)
    take = is_new_folder(home.folder) and find_ignored(home.folder, new) is not None
    return PlannedPipeline(home, texts, changes, [*list_untracked(datasets, dvc), *track], take)


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


def _require_dataset_for(data: DataOptions, stages: StageOptions) -> None:
    """Raise EntropylawError for an option that would do nothing in a pipeline that stays as it is."""
    given = {
        "--columns": data.columns,
        "--held-out": data.heldout,
        "--recipe": data.recipe,
        "--stages": stages.stages if stages.stages is not Stages.all else None,
        "--trainer": stages.trainer,
        "--trainer-out": stages.trainer_out,
    }
    for option, value in given.items():
        if value:
            raise EntropylawError(
                f"{option}: give --dataset too; without it, dvc.yaml and params.yaml stay as they are"
            )


def _show_plan(changes: list[FileChange], track: list[Path]) -> None:
    for change in changes:
        say(*change.describe())
    for path in track:
        say(f"would write {show(path)}.dvc: DVC tracks {show(path)}")
    say("nothing is written")
