"""The command `export`: approved rows and the recipe's numbers, in the files that another trainer reads."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corpus.errors import EntropylawError
from entropylaw.options import AsJson
from entropylaw.repository import layout

if TYPE_CHECKING:
    from corpus.files import Row
    from corpus.records import Record
    from entropylaw.export.approved_rows import ApprovedRows
    from entropylaw.export.losses import Losses
    from entropylaw.export.method import Method
    from entropylaw.export.recipe import Recipe


# How a configuration of ours begins; a file that begins otherwise is somebody's own.
WRITTEN_BY = "Written by `entropylaw export"


class TrainerName(StrEnum):
    axolotl = "axolotl"
    llamafactory = "llamafactory"


class PreferenceMethod(StrEnum):
    dpo = "dpo"
    kto = "kto"


@dataclass(frozen=True)
class Export:
    """What was written. ``rows``: in the file for the trainer. ``lost``: what is not as in the data, and of how many
    rows.
    """

    trainer: str
    method: str
    dataset: str
    version: str
    status: str
    read_from: str
    rows_hash: str
    rows_read: int
    rows: int
    files: tuple[str, ...]
    lost: tuple[str, ...]


def export(
    trainer: Annotated[TrainerName, typer.Argument(help="Whose files to write.", show_default=False)],
    dataset: Annotated[
        str | None, typer.Option(help="The dataset of params.yaml.", show_default=f"{layout.SFT}, or the only one")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write to.", show_default="data/export/TRAINER")
    ] = None,
    method: Annotated[
        PreferenceMethod | None,
        typer.Option(help="How preferences are trained on.", show_default="dpo where all are pairs, else kto"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Folder or Hub id of the model to train.", show_default="base_model of params.yaml"),
    ] = None,
    allow_loss: Annotated[
        bool,
        typer.Option("--allow-loss", help="Write what can be written where the trainer's format loses rows or parts."),
    ] = False,
    json: AsJson = False,
) -> None:
    """Write approved rows, and a configuration with the recipe's numbers, for axolotl or LLaMA-Factory.

    The rows are those that were selected, or all that were prepared where nothing is selected. A version that the gate
    stops is not exported: exit 1 when it is risky, 3 when it could not be assessed. The numbers are those of the
    sections sft and kto of params.yaml; where it has none, the paper's.

    Example: entropylaw export axolotl --dataset sft && axolotl train data/export/axolotl/sft.yaml
    """
    from entropylaw.export.approved_rows import find_approved_rows
    from entropylaw.export.recipe import read_recipe
    from entropylaw.repository.datasets import main_dataset
    from entropylaw.terminal import print_result

    name = dataset or main_dataset()
    approved = find_approved_rows(name)
    recipe = read_recipe(name, model)
    folder = out or layout.DATA / "export" / trainer.value
    result = write_export(trainer, name, approved, recipe, choose_method(name, approved, method), folder, allow_loss)
    print_result(result, json, describe_export(result, recipe))


def choose_method(dataset: str, approved: ApprovedRows, method: PreferenceMethod | None) -> Method:
    """How the rows of a dataset are trained on. Raises EntropylawError where ``method`` is for other rows."""
    from corpus.records import Preference
    from entropylaw.export.method import Method

    if dataset == layout.SFT:
        if method:
            raise EntropylawError(f"--method {method}: is for {layout.PREFERENCES}; conversations are for SFT")
        return Method.sft
    if method:
        return Method(method.value)
    records = approved.stream_records()
    paired = all(isinstance(record, Preference) and record.chosen and record.rejected for record in records)
    return Method.dpo if paired else Method.kto


def write_export(
    trainer: TrainerName,
    dataset: str,
    approved: ApprovedRows,
    recipe: Recipe,
    method: Method,
    folder: Path,
    allow_loss: bool = False,
) -> Export:
    """Write the rows, then the configuration. Raises EntropylawError, and leaves the files as they were, where a row
    would be trained on otherwise than it says, unless ``allow_loss``.
    """
    from corpus.artifacts import atomic_writer
    from corpus.files import write_rows
    from entropylaw.export import axolotl, llamafactory
    from entropylaw.export.losses import Losses
    from entropylaw.export.method import Method
    from entropylaw.terminal import count_rows, show_progress

    losses, counts = Losses(), {"read": 0, "written": 0, "masked": 0}
    rows, target = folder / f"{dataset}.jsonl", folder / f"{dataset}.yaml"
    require_own_files(rows, target)

    def list_rows(records: Iterable[Record]) -> Iterator[Row]:
        for record in records:
            counts["read"] += 1
            counts["masked"] += any(not message.trained for _, message in record.turns())
            for row in _write_record(trainer, record, recipe, method, losses):
                counts["written"] += 1
                yield row
        if not allow_loss:
            losses.require_none(trainer.value)
        if not counts["written"]:
            raise EntropylawError(f"nothing was written: no row is left ({'; '.join(losses.describe())})")

    if trainer is TrainerName.axolotl:
        axolotl.require_template(recipe, method)
    with show_progress("export") as progress:
        write_rows(rows, list_rows(count_rows(approved.stream_records(), progress)))
    files = [rows]
    if trainer is TrainerName.axolotl:
        template = None if method is Method.kto else _write_template(recipe, folder)
        config = axolotl.write_config(recipe, method, rows, template, counts["masked"] > 0)
        files += [template] if template else []
    else:
        files.append(_add_dataset_info(folder, dataset, llamafactory.describe_rows(method, rows)))
        config = llamafactory.write_config(recipe, method, dataset, folder)
    with atomic_writer(target) as handle:
        handle.write(render_config(trainer, config, approved, recipe))
    _ignore_rows(rows)
    return Export(
        trainer=trainer.value,
        method=method.value,
        dataset=dataset,
        version=approved.version,
        status=approved.status,
        read_from=approved.path.as_posix(),
        rows_hash=approved.rows_hash,
        rows_read=counts["read"],
        rows=counts["written"],
        files=tuple(file.as_posix() for file in (*files, target)),
        lost=tuple(losses.describe()),
    )


def _write_record(trainer: TrainerName, record: Record, recipe: Recipe, method: Method, losses: Losses) -> list[Row]:
    from corpus.records import Conversation
    from entropylaw.export import axolotl, llamafactory

    if trainer is TrainerName.axolotl:
        if isinstance(record, Conversation):
            return axolotl.write_conversation(record, recipe, losses)
        return axolotl.write_preference(record, method, recipe, losses)
    if isinstance(record, Conversation):
        return llamafactory.write_conversation(record, losses)
    return llamafactory.write_preference(record, method, losses)


def _write_template(recipe: Recipe, folder: Path) -> Path | None:
    """The chat template of params.yaml as a file for axolotl; None for the model's own."""
    from corpus.artifacts import write_text
    from training.chat_templates import read_chat_template

    if recipe.chat_template is None:
        return None
    path = folder / "chat_template.jinja"
    write_text(path, read_chat_template(recipe.chat_template))
    return path


def _add_dataset_info(folder: Path, dataset: str, entry: dict[str, Any]) -> Path:
    """LLaMA-Factory's list of the datasets in a folder, with this one added or changed."""
    from corpus.artifacts import read_result, write_json
    from entropylaw.export.llamafactory import DATASET_INFO

    path = folder / DATASET_INFO
    repair = "delete it, or name another folder with --out"
    listed = read_result(path, dict[str, Any], repair=repair) if path.exists() else {}
    write_json(path, {**listed, dataset: entry})
    return path


def require_own_files(rows: Path, config: Path) -> None:
    """Raise EntropylawError where a file that would be replaced was not written by an earlier export: `--out data` may
    name the folder of the very data.
    """
    if not rows.exists() and not config.exists():
        return
    if not config.is_file() or not config.read_text(encoding="utf-8", errors="replace").startswith(f"# {WRITTEN_BY}"):
        there = rows if rows.exists() else config
        raise EntropylawError(f"{there}: is there already and not from an export; name another folder with --out")


def _ignore_rows(rows: Path) -> None:
    """Keep training text out of Git."""
    from corpus.artifacts import atomic_writer
    from entropylaw.init.ignore_lines import add_lines, line_for
    from entropylaw.repository.git import is_ignored

    if is_ignored(rows):
        return
    ignored = rows.with_name(".gitignore")
    content = ignored.read_bytes() if ignored.exists() else b""
    with atomic_writer(ignored, "wb") as handle:
        handle.write(add_lines(content, [line_for(rows.name)]))


def render_config(trainer: TrainerName, config: dict[str, Any], approved: ApprovedRows, recipe: Recipe) -> str:
    """The configuration as YAML, with comments that say where the numbers come from."""
    from entropylaw.init.recipes import new_yaml

    yaml = new_yaml()
    yaml.Representer.add_representer(
        float, lambda writer, value: writer.represent_scalar("tag:yaml.org,2002:float", write_float(value))
    )
    rows = f"selected from version {approved.version}" if approved.is_selected else f"all of version {approved.version}"
    lines = [
        f"{WRITTEN_BY} {trainer}`; write your own values into a copy of it.",
        f"Rows: {rows}, which is {approved.status}; their hash is {approved.rows_hash}.",
        f"Numbers: {recipe.source}.",
        f"A step is {recipe.trainer.batch_rows} rows on one GPU: on several, divide gradient_accumulation_steps by "
        "their number.",
    ]
    if config.get("rl", config.get("stage")) == "dpo":
        lines.append("The paper trains preferences by KTO: learning rate and beta are those of KTO.")
    buffer = io.StringIO()
    yaml.dump(config, buffer)
    return "".join(f"# {line}\n" for line in lines) + buffer.getvalue()


def write_float(value: float) -> str:
    """A number as every YAML reader takes it for one: the trainers' own reads 1e-06 as a text.

    >>> write_float(1e-06), write_float(0.1)
    ('1.0e-06', '0.1')
    """
    text = repr(value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


def describe_export(result: Export, recipe: Recipe) -> list[str]:
    """What was written, from what, what is lost, and the command that trains."""
    from entropylaw.export import axolotl, llamafactory
    from entropylaw.export.llamafactory import TEMPLATES

    command = axolotl.COMMAND if result.trainer == TrainerName.axolotl else llamafactory.COMMAND
    lines = [
        f"{result.files[0]}: {result.rows:,} rows for {result.method} from {result.rows_read:,} of {result.read_from} "
        f"({result.version}, {result.status})",
        *result.lost,
        f"{result.files[-1]}: numbers from {recipe.source}",
    ]
    if recipe.model == layout.BASE_MODEL.as_posix():
        lines.append(f"it trains {recipe.model}, the small model that losses are measured with; --model names another")
    if result.trainer == TrainerName.llamafactory and recipe.chat_template not in (None, *TEMPLATES):
        lines.append(f"no template is named, because LLaMA-Factory reads no Jinja file such as {recipe.chat_template}")
    if result.method == "kto" and result.trainer == TrainerName.axolotl and recipe.chat_template is None:
        lines.append("axolotl writes KTO's rows in ChatML, whatever the model's own template is")
    return [*lines, f"Next: {command} {result.files[-1]}"]
