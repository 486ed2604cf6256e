"""The command `init`: adds the pipeline to an existing Git + DVC repository and never overwrites a file in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from corpus.errors import EntropylawError
from corpus.files import is_pattern
from entropylaw.init.attributes import keep_whole
from entropylaw.init.ci_files import CI_FILES, CiSystem, choose_ci, render_ci_file
from entropylaw.init.data_files import write_data
from entropylaw.init.dataset_paths import list_outs, parse_datasets, require_room, track
from entropylaw.init.pipeline import PIPELINE_FILES, is_as_written, name_source, render_pipeline
from entropylaw.init.recipes import RECIPES
from entropylaw.init.stages import Stages
from entropylaw.init.trainer import parse_trainer
from entropylaw.repository import layout
from entropylaw.repository.git import require_repository
from entropylaw.repository.shipped_files import shipped_text

IGNORED = ".entropylaw/"
HISTORY_README = """\
One small file for each accepted data version, written by `entropylaw accept` and committed with it: its numbers, the
hashes of its rows, and numbers and losses of some of them, never their text. New versions are compared with these.
"""


def init(
    folder: Annotated[Path, typer.Argument(help="The root of a Git + DVC repository.")] = Path(),
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            help="sft=PATH, preferences=PATH, or both: a file, a folder, a pattern or hf://OWNER/NAME@REVISION."
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
        Path | None,
        typer.Option("--held-out", help="Conversations that are never trained on.", show_default="5% of the rows"),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help=f"Values of params.yaml for a model: {', '.join(RECIPES)}.", show_default=RECIPES[0]),
    ] = None,
    stages: Annotated[
        Stages, typer.Option(help="monitor: measure, judge, gate; select: rows to train on too; all: models too.")
    ] = Stages.all,
    trainer: Annotated[
        tuple[str, str] | None,
        typer.Option(
            help="Your own trainer behind the gate: the word `command`, then a shell command in quotes.",
            metavar='command "…"',
            show_default=False,
        ),
    ] = None,
    trainer_out: Annotated[
        list[str] | None,
        typer.Option(help="What that command writes, as models/mine; any number of times.", show_default=False),
    ] = None,
    ci: Annotated[
        CiSystem | None,
        typer.Option(help="Which CI checks every pull request.", show_default="by the host of Git's remote"),
    ] = None,
) -> None:
    """Add the pipeline to a data repository; the data that is there now becomes the baseline.

    Example: entropylaw init --dataset sft=data/chats.jsonl --dataset preferences=data/pairs.jsonl
    """
    if recipe is not None and recipe not in RECIPES:
        raise EntropylawError(f"--recipe {recipe}: unknown; known are {', '.join(RECIPES)}")
    datasets = parse_datasets(dataset or [], folder)
    mapped = parse_columns(columns or [], datasets)
    require_repository(folder)
    for option in dataset or []:
        name, _, given = option.partition("=")
        if is_pattern(datasets[name]) and not is_pattern(given):
            typer.echo(f"{given} is one shard of several; the dataset is all of them: {datasets[name].as_posix()}")
    ci = choose_ci(folder, ci)
    sources = {name: name_source(path) for name, path in datasets.items()}
    own_trainer = parse_trainer(trainer, trainer_out or [], stages, folder)
    texts = render_pipeline(sources, recipe, mapped, stages, own_trainer)
    require_ours(folder, texts, lambda name, text: is_as_written(name, text, sources, recipe, mapped))
    outs = list_outs(folder)
    require_room(outs)
    written = write_data(folder, datasets, heldout, mapped)
    for name, text in texts.items():
        written += _write_new(folder / name, text, replace=True)
    written += _write_new(folder / layout.HISTORY / "README.md", HISTORY_README)
    written += ignore_checkpoints(folder)
    written += keep_whole(folder)
    if ci in CI_FILES:
        written += _write_new(folder / CI_FILES[ci], render_ci_file(ci))
    for path in (*datasets.values(), layout.BASELINE, layout.HELDOUT):
        track(folder, path, outs)
    for path in written:
        typer.echo(f"wrote {path}")
    typer.echo("Next: dvc repro && entropylaw accept, then commit; repeat this after every change of the data.")


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


def require_ours(folder: Path, texts: Mapping[str, str], is_ours: Callable[[str, str], bool]) -> None:
    """Raise EntropylawError where a pipeline file is there that `init` did not write.

    ``texts``: what it would write, by file name. ``is_ours``: whether it writes a file of this name and text otherwise.
    """
    for name in PIPELINE_FILES:
        target = folder / name
        found = target.read_text(encoding="utf-8") if target.exists() else texts[name]
        if found not in (shipped_text(name), texts[name]) and not is_ours(name, found):
            raise EntropylawError(
                f"{target}: exists and is not ours, so it stays as it is; merge it by hand with the pipeline that "
                "`entropylaw init` writes into an empty repository"
            )


def ignore_checkpoints(folder: Path) -> list[Path]:
    """Have Git ignore the folder of checkpoints and judgments; the .gitignore if it was changed."""
    target = folder / ".gitignore"
    lines = target.read_text(encoding="utf-8").splitlines() if target.exists() else []
    if IGNORED in lines:
        return []
    target.write_text("\n".join([*lines, IGNORED]) + "\n", encoding="utf-8")
    return [target]


def _write_new(path: Path, text: str, replace: bool = False) -> list[Path]:
    """The file if it was written: where it is missing, or with ``replace`` where it has another text."""
    from corpus.artifacts import write_text

    if path.exists() and (not replace or path.read_text(encoding="utf-8") == text):
        return []
    write_text(path, text)
    return [path]
