"""The files of the pipeline as `init` writes them: those that ship, with the datasets of one repository."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping
from pathlib import PurePosixPath
from typing import Any

from corpus.files import dataset_root, is_hub_name, is_pattern
from entropylaw.init.recipes import apply_recipe, new_yaml, set_value
from entropylaw.init.stages import (
    Stages,
    choose_stages,
    cut_pipeline,
    list_made,
    list_sections,
    remove_entry,
    remove_section,
)
from entropylaw.init.trainer import Trainer, add_trainer
from entropylaw.repository import layout
from entropylaw.repository.shipped_files import shipped_text

PIPELINE_FILES = ("dvc.yaml", "params.yaml", "waivers.yaml")
ALL_DATASETS = (layout.SFT, layout.PREFERENCES)


def render_pipeline(
    datasets: dict[str, str],
    recipe: str | None = None,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    stages: Stages = Stages.all,
    trainer: Trainer | None = None,
) -> dict[str, str]:
    """The pipeline's files for these datasets, by name: comments kept, what this team does not need left out.

    ``recipe``: one of RECIPES, whose values take the place of those in the shipped params.yaml. ``columns``: by
    dataset, our names of its columns and theirs. ``stages``: how much of the pipeline. ``trainer``: what trains in
    place of our stages.
    """
    yaml = new_yaml()

    def dump(document: Any) -> str:
        buffer = io.StringIO()
        yaml.dump(document, buffer)
        return buffer.getvalue()

    shipped = {name: shipped_text(name) for name in PIPELINE_FILES}
    if recipe:
        name = f"recipes/{recipe}.yaml"
        shipped["params.yaml"] = apply_recipe(shipped["params.yaml"], shipped_text(name), name)
    params = yaml.load(shipped["params.yaml"])
    whole = yaml.load(shipped["dvc.yaml"])
    is_shipped = {name: dataset["path"] for name, dataset in params["datasets"].items()} == datasets
    if is_shipped and not columns and stages is Stages.all:
        return shipped
    absent = [name for name in params["datasets"] if name not in datasets]
    for name, path in datasets.items():
        set_value(params["datasets"][name], "path", path)
        if columns and name in columns:
            params["datasets"][name]["columns"] = dict(columns[name])
    if layout.SFT in absent:
        set_value(params["calibration"], "law_runs", False, "ours: the law speaks of models trained on conversations")
    names = choose_stages(whole, stages, datasets)
    sections = list_sections(whole, names)
    text = dump(params)
    for name in absent:
        text = remove_entry(text, "datasets", name)
    for name in params:
        if name not in {"datasets", *sections}:
            text = remove_section(text, name)
    pipeline = _cut_pipeline(yaml, shipped["dvc.yaml"], names, datasets)
    _name_dependencies(pipeline, datasets)
    lines = dump(pipeline)
    if trainer:
        lines = add_trainer(lines, yaml, trainer, stages, datasets)
    return {**shipped, "params.yaml": text, "dvc.yaml": lines}


def is_as_written(
    name: str, text: str, datasets: dict[str, str], recipe: str | None, columns: Mapping[str, Mapping[str, str]]
) -> bool:
    """Whether a pipeline file is what `init` wrote for these datasets with more or fewer stages, so that it may be
    replaced by what it writes now.
    """
    return any(text == render_pipeline(datasets, recipe, columns, stages)[name] for stages in Stages)


def _cut_pipeline(yaml: Any, shipped: str, names: list[str], datasets: Collection[str]) -> Any:
    """The shipped dvc.yaml with these stages only, and without all that would need another stage or dataset."""
    whole = yaml.load(shipped)
    made = list_made(whole, names, datasets)
    elsewhere = list_made(whole, whole["stages"], ALL_DATASETS) - made
    pipeline = yaml.load(cut_pipeline(shipped, whole, names, made))
    if layout.SFT not in datasets and "kto" in pipeline["stages"]:
        _start_kto_from_base(pipeline)

    def is_missing(path: object) -> bool:
        return any(PurePosixPath(str(path)).is_relative_to(out) for out in elsewhere)

    for stage in pipeline["stages"].values():
        _delete_items(stage.get("do", stage).get("deps", []), is_missing)
    for plot in pipeline["plots"]:
        for settings in plot.values():
            for path in [path for path in settings["y"] if is_missing(path)]:
                del settings["y"][path]
    pipeline["plots"] = [plot for plot in pipeline["plots"] if all(settings["y"] for settings in plot.values())]
    return pipeline


def _delete_items(items: Any, is_missing: Callable[[object], bool]) -> None:
    for i in reversed([i for i, item in enumerate(items) if is_missing(item)]):
        del items[i]


def _start_kto_from_base(pipeline: Any) -> None:
    """Without conversations nothing makes an SFT model: KTO starts from the base model, which has read the chosen
    answers, or is the pretrained one of params.yaml.
    """
    kto, artifact = pipeline["stages"]["kto"], pipeline["artifacts"]["kto"]
    artifact["desc"] = artifact["desc"].replace("SFT model", "base model")
    sft, base = layout.trained_model(layout.SFT).as_posix(), layout.BASE_MODEL.as_posix()
    kto["cmd"] = kto["cmd"].replace(f"--from {sft} ", f"--from {base} ")
    kto["deps"][kto["deps"].index(sft)] = base


def _name_dependencies(pipeline: Any, datasets: dict[str, str]) -> None:
    """Have `prepare` depend on what DVC can watch: of a pattern the folder it lies in, of a dataset on the Hub nothing.

    Another revision of a dataset on the Hub is another value in params.yaml, on which `prepare` depends too.
    """
    if not any(is_pattern(path) or is_hub_name(path) for path in datasets.values()):
        return
    stage = pipeline["stages"]["prepare"]["do"]
    roots = [dataset_root(path).as_posix() for path in datasets.values() if not is_hub_name(path)]
    stage["deps"] = [*dict.fromkeys(roots), *[path for path in stage["deps"] if not path.startswith("${item")]]
    if "datasets.${key}" not in stage["params"]:
        stage["params"].insert(0, "datasets.${key}")
