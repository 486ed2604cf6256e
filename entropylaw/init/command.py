"""The command `init`: adds the pipeline to an existing Git + DVC repository and never overwrites a file in it."""

from __future__ import annotations

import io
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer

from corpus.errors import EntropylawError
from corpus.records import HashedRecord
from entropylaw.init.ci_files import CI_FILES, CiSystem, choose_ci, render_ci_file
from entropylaw.repository import layout
from entropylaw.repository.git import is_tracked, require_repository

# Without a held-out file of the user's, this share of the rows is kept out of training.
HELDOUT_SHARE = 0.05
PIPELINE_FILES = ("dvc.yaml", "params.yaml", "waivers.yaml")
# Complete params.yaml files for models of several sizes.
RECIPES = ("tiny-cpu", "qwen-small", "mistral-7b", "llama-3-8b")
IGNORED = ".entropylaw/"
HISTORY_README = """\
One small file for each accepted data version, written by `entropylaw accept` and committed with it: its numbers, its
probe's losses and a sketch of its row hashes, never its text. New versions are compared with these.
"""


def init(
    folder: Annotated[Path, typer.Argument(help="The root of a Git + DVC repository.")] = Path(),
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="sft=PATH, and preferences=PATH if there are any; paths inside the repository."),
    ] = None,
    heldout: Annotated[
        Path | None, typer.Option(help="Conversations that are never trained on.", show_default="5% of the rows")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help=f"The params.yaml for a model: {', '.join(RECIPES)}.", show_default=RECIPES[0])
    ] = None,
    ci: Annotated[
        CiSystem | None,
        typer.Option(help="Check every pull request with this.", show_default="by the host of Git's remote"),
    ] = None,
) -> None:
    """Add the pipeline to a data repository; the data that is there now becomes the baseline.

    Example: entropylaw init --dataset sft=data/chats.jsonl --dataset preferences=data/pairs.jsonl
    """
    if recipe is not None and recipe not in RECIPES:
        raise EntropylawError(f"--recipe {recipe}: unknown; known are {', '.join(RECIPES)}")
    datasets = parse_datasets(dataset or [], folder)
    require_repository(folder)
    ci = choose_ci(folder, ci)
    texts = render_pipeline({name: path.as_posix() for name, path in datasets.items()}, recipe)
    for name in PIPELINE_FILES:
        target = folder / name
        if target.exists() and target.read_text(encoding="utf-8") not in (shipped_text(name), texts[name]):
            raise EntropylawError(
                f"{target}: exists and is not ours, so it stays as it is; merge it by hand with the pipeline that "
                "`entropylaw init` writes into an empty repository"
            )
    written = write_data(folder, datasets, heldout)
    for name, text in texts.items():
        written += _write_new(folder / name, text, replace=True)
    written += _write_new(folder / layout.HISTORY / "README.md", HISTORY_README)
    written += ignore_checkpoints(folder)
    if ci in CI_FILES:
        written += _write_new(folder / CI_FILES[ci], render_ci_file(ci))
    for path in (*datasets.values(), layout.BASELINE, layout.HELDOUT):
        track(folder, path)
    for path in written:
        typer.echo(f"wrote {path}")
    typer.echo("Next: dvc repro && entropylaw accept, then commit; after that, once for every change of the data.")


def parse_datasets(options: list[str], folder: Path) -> dict[str, Path]:
    """Dataset names and their files relative to ``folder``, from NAME=PATH options."""
    datasets: dict[str, Path] = {}
    for option in options:
        name, separator, text = option.partition("=")
        if not separator or name not in (layout.SFT, layout.PREFERENCES) or not text:
            raise EntropylawError(f"--dataset {option}: expected {layout.SFT}=PATH or {layout.PREFERENCES}=PATH")
        if name in datasets:
            raise EntropylawError(f"--dataset {option}: {name} is given twice")
        path = Path(text)
        # As a person types it: relative to where they stand, or to the repository.
        found = path if path.exists() else folder / path
        if not found.is_file():
            raise EntropylawError(f"--dataset {option}: no such file: {path}")
        try:
            datasets[name] = found.resolve().relative_to(folder.resolve())
        except ValueError:
            raise EntropylawError(f"--dataset {option}: the file must lie inside the repository {folder}") from None
    if layout.SFT not in datasets:
        raise EntropylawError(f"give the conversations to train on: --dataset {layout.SFT}=PATH")
    return datasets


def shipped_text(name: str) -> str:
    """A pipeline file as it ships: inside the installed package, or at the root of a checkout."""
    packaged = resources.files("entropylaw") / "pipeline" / name
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / name).read_text(encoding="utf-8")


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


def write_data(folder: Path, datasets: dict[str, Path], heldout: Path | None) -> list[Path]:
    """Write the baseline and the held-out rows in canonical form. Every dataset is read once first, so that a file
    that cannot be read stops `init` before anything is written.
    """
    from corpus.files import write_rows
    from corpus.formats import read_records
    from corpus.prepare import PrepareParams, prepare_records, to_row

    def load(path: Path) -> list[HashedRecord]:
        decisions = prepare_records(read_records(path), PrepareParams())
        return [HashedRecord(decision.record, decision.hash) for decision in decisions if decision.reason is None]

    rows = {name: load(folder / path) for name, path in datasets.items()}
    held_out = load(heldout) if heldout else [item for item in rows[layout.SFT] if is_held_out(item[1])]
    hashes = {row_hash for _, row_hash in held_out}
    baseline = [item for item in rows[layout.SFT] if item[1] not in hashes]
    if not held_out or not baseline:
        raise EntropylawError(
            f"{datasets[layout.SFT]}: {len(rows[layout.SFT])} usable rows are too few to hold some out of training; "
            "add rows or name a held-out file with --heldout"
        )
    written = []
    for path, items in ((layout.BASELINE, baseline), (layout.HELDOUT, held_out)):
        if (folder / path).exists():
            continue
        write_rows(folder / path, (to_row(record, row_hash) for record, row_hash in items))
        written.append(folder / path)
    return written


def is_held_out(row_hash: str) -> bool:
    """Whether a row belongs to the held-out share, by content, and independently of what the base model trains on."""
    # The last digits: the first ones decide which rows the base model is trained on.
    return int(row_hash[-13:], 16) / 16**13 < HELDOUT_SHARE


def ignore_checkpoints(folder: Path) -> list[Path]:
    target = folder / ".gitignore"
    lines = target.read_text(encoding="utf-8").splitlines() if target.exists() else []
    if IGNORED in lines:
        return []
    target.write_text("\n".join([*lines, IGNORED]) + "\n", encoding="utf-8")
    return [target]


def track(folder: Path, path: Path) -> None:
    """Have DVC track a data file, unless DVC or Git does already."""
    if (folder / f"{path}.dvc").exists() or is_tracked(path, folder):
        return
    added = subprocess.run(
        [sys.executable, "-m", "dvc", "--cd", str(folder), "add", "--quiet", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if added.returncode:
        last = (added.stderr.strip().splitlines() or ["no message"])[-1]
        raise EntropylawError(f"`dvc add {path}` failed: {last}")


def _write_new(path: Path, text: str, replace: bool = False) -> list[Path]:
    from corpus.artifacts import write_text

    if path.exists() and (not replace or path.read_text(encoding="utf-8") == text):
        return []
    write_text(path, text)
    return [path]
