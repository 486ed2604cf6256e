"""The files of the pipeline as `init` writes them: those that ship, with the datasets of one repository."""

from __future__ import annotations

import io
from typing import Any

from entropylaw.repository import layout
from entropylaw.repository.shipped_files import shipped_text

PIPELINE_FILES = ("dvc.yaml", "params.yaml", "waivers.yaml")
# Complete params.yaml files for models of several sizes.
RECIPES = ("tiny-cpu", "qwen-small", "mistral-7b", "llama-3-8b")


def render_pipeline(datasets: dict[str, str], recipe: str | None = None) -> dict[str, str]:
    """The pipeline's files for these datasets, by name: comments kept, what a missing dataset would need left out.

    ``recipe``: one of RECIPES, in place of the shipped params.yaml.
    """
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)

    def dump(document: Any) -> str:
        buffer = io.StringIO()
        yaml.dump(document, buffer)
        return buffer.getvalue()

    shipped = {name: shipped_text(name) for name in PIPELINE_FILES}
    if recipe:
        shipped["params.yaml"] = shipped_text(f"recipes/{recipe}.yaml")
    params = yaml.load(shipped["params.yaml"])
    pipeline = yaml.load(shipped["dvc.yaml"])
    if dict(params["datasets"]) == datasets:
        return shipped
    for name in list(params["datasets"]):
        if name in datasets:
            params["datasets"][name] = datasets[name]
        else:
            del params["datasets"][name]
    texts = {**shipped, "params.yaml": dump(params)}
    if layout.PREFERENCES not in datasets:
        _remove_preferences(pipeline)
        texts["params.yaml"] = _remove_section(texts["params.yaml"], "kto")
    return {**texts, "dvc.yaml": dump(pipeline)}


def _remove_section(text: str, name: str) -> str:
    """A params.yaml without one section and the comment above it. Sections are divided by blank lines.

    The YAML library takes a section's comment for the end of the section before, and would take the next one's out.
    """
    return "\n\n".join(part for part in text.split("\n\n") if f"\n{name}:\n" not in f"\n{part}")


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
