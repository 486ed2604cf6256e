"""The files of the pipeline as `init` writes them: those that ship, with the datasets of one repository."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus.files import dataset_root, hub_name, is_hub_name, is_pattern
from entropylaw.init.recipes import apply_recipe, new_yaml, set_value
from entropylaw.repository import layout
from entropylaw.repository.shipped_files import shipped_text

PIPELINE_FILES = ("dvc.yaml", "params.yaml", "waivers.yaml")


def render_pipeline(
    datasets: dict[str, str], recipe: str | None = None, columns: Mapping[str, Mapping[str, str]] | None = None
) -> dict[str, str]:
    """The pipeline's files for these datasets, by name: comments kept, what a missing dataset would need left out.

    ``recipe``: one of RECIPES, whose values take the place of those in the shipped params.yaml. ``columns``: by
    dataset, our names of its columns and theirs.
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
    pipeline = yaml.load(shipped["dvc.yaml"])
    if not columns and {name: dataset["path"] for name, dataset in params["datasets"].items()} == datasets:
        return shipped
    for name, path in datasets.items():
        set_value(params["datasets"][name], "path", path)
        if columns and name in columns:
            params["datasets"][name]["columns"] = dict(columns[name])
    _name_dependencies(pipeline, datasets)
    text = dump(params)
    if layout.PREFERENCES not in datasets:
        _remove_preferences(pipeline)
        text = _remove_section(_remove_dataset(text, layout.PREFERENCES), "kto")
    return {**shipped, "params.yaml": text, "dvc.yaml": dump(pipeline)}


# The YAML library takes the comment above a section for the end of the section before, and would take it out together
# with the last key there. So both are removed from the text. Sections are divided by blank lines.


def _remove_section(text: str, name: str) -> str:
    """A params.yaml without one section and the comment above it."""
    return "\n\n".join(part for part in text.split("\n\n") if f"\n{name}:\n" not in f"\n{part}")


def _remove_dataset(text: str, name: str) -> str:
    """A params.yaml without the lines of one dataset."""
    before, heading, after = text.partition("\ndatasets:\n")
    section, blank, rest = after.partition("\n\n")
    kept, inside = [], False
    for line in section.splitlines():
        if line.startswith("  ") and not line.startswith("   "):
            inside = line.startswith(f"  {name}:")
        if not inside:
            kept.append(line)
    return before + heading + "\n".join(kept) + blank + rest


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


def name_source(path: Path) -> str:
    """What params.yaml says of a dataset's path."""
    return hub_name(path) if is_hub_name(path) else path.as_posix()


def _remove_preferences(pipeline: Any) -> None:
    def needs_preferences(path: object) -> bool:
        return f"/{layout.PREFERENCES}" in str(path) or str(path) == layout.trained_model(layout.PREFERENCES).as_posix()

    del pipeline["stages"]["kto"]
    for name in [name for name, artifact in pipeline["artifacts"].items() if needs_preferences(artifact["path"])]:
        del pipeline["artifacts"][name]
    for stage in pipeline["stages"].values():
        if "deps" in stage:
            for i in reversed([i for i, path in enumerate(stage["deps"]) if needs_preferences(path)]):
                del stage["deps"][i]
    for plot in pipeline["plots"]:
        for settings in plot.values():
            for path in [path for path in settings["y"] if needs_preferences(path)]:
                del settings["y"][path]
    pipeline["plots"] = [plot for plot in pipeline["plots"] if all(settings["y"] for settings in plot.values())]
