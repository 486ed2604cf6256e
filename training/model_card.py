"""The README.md of a trained model: what it was made from, in the format that the Hub reads."""

from __future__ import annotations

import dataclasses
import io
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from corpus.artifacts import write_text
from training.fine_tuning import TrainerParams, TrainingReport
from training.model_loading import looks_like_folder

CARD_NAME = "README.md"
LIBRARIES = ("trl", "transformers", "peft", "torch")
METHODS = {"sft": "supervised fine-tuning", "kto": "preference alignment"}
UNITS = {"sft": "conversations", "kto": "answers"}
NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class TrainedOn:
    """What a model was trained on, and from which model.

    ``data_hash`` and ``rows``: identity and number of the rows given. ``started_from``: folder or Hub id of the model
    before training; ``identity``: as its card has it.
    """

    data_hash: str
    rows: int
    started_from: str
    identity: str


@dataclass(frozen=True)
class Provenance:
    """Where the rows come from. A field is None unless hashes prove that it belongs to exactly these rows.

    ``method`` and ``pool_rows``: how they were selected, and from how many rows. ``version_hash``: the data version
    that they were selected from. ``verdict``: the status under which the gate approved that version. ``waivers``: the
    rules that were waived for it.
    """

    method: str | None = None
    pool_rows: int | None = None
    version_hash: str | None = None
    verdict: str | None = None
    waivers: tuple[str, ...] = ()


def write_model_card(
    folder: str | Path,
    report: TrainingReport,
    params: TrainerParams,
    trained_on: TrainedOn,
    provenance: Provenance | None = None,
) -> None:
    """Write the card into the model's folder. The same run writes the same bytes: no date, no time, no machine name."""
    write_text(Path(folder) / CARD_NAME, render_model_card(report, params, trained_on, provenance or Provenance()))


def render_model_card(
    report: TrainingReport, params: TrainerParams, trained_on: TrainedOn, provenance: Provenance
) -> str:
    """The card's text: metadata as YAML, then tables. The verdict is "not checked" where ``provenance`` has none."""
    facts = {
        "Started from": f"{_name_model(trained_on.started_from)} (`{trained_on.identity}`)",
        "Rows": f"{trained_on.rows:,} (hash `{trained_on.data_hash}`)",
        "Trained on": f"{report.rows:,} {UNITS[report.method]}; {report.rows_dropped:,} left out"
        + (f" ({report.unread.describe()})" if report.unread.describe() else ""),
        "Selection": _describe_selection(provenance, trained_on.rows),
        "Verdict on the data version": _describe_verdict(provenance),
    }
    own = {field.name for field in dataclasses.fields(TrainingReport)}
    losses = {"First step": report.first_loss, "Last step": report.last_loss}
    if report.heldout_loss is not None:
        losses["Held-out rows, nats per response token"] = report.heldout_loss
    measured = {
        field.name.replace("_", " ").capitalize(): getattr(report, field.name)
        for field in dataclasses.fields(report)
        if field.name not in own
    }
    settings = "".join(f"{name}: {_plain(value)}\n" for name, value in dataclasses.asdict(params).items())
    return (
        f"---\n{_render_metadata(report.method, trained_on.started_from)}---\n\n"
        f"# {report.method.upper()} model\n\n"
        f"Made by {METHODS[report.method]} ({report.method.upper()}) with TRL in {report.steps:,} steps.\n\n"
        f"{_render_table('Data', facts)}\n"
        f"{_render_table('Loss', {name: f'{value:.6g}' for name, value in losses.items()})}\n"
        + (
            f"{_render_table('Labels', {name: _plain(value) for name, value in measured.items()})}\n"
            if measured
            else ""
        )
        + f"## Settings\n\n```yaml\n{settings}```\n\n"
        f"{_render_table('Versions', {name: version(name) for name in LIBRARIES})}"
    )


def read_hub_base(folder: str | Path) -> str | None:
    """The Hub model that the card in ``folder`` names as its base; None without such a card."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        _, metadata, _ = (Path(folder) / CARD_NAME).read_text(encoding="utf-8").split("---\n", 2)
        found = YAML(typ="safe", pure=True).load(metadata)["base_model"]
    except (OSError, ValueError, KeyError, TypeError, YAMLError):
        return None
    return found if isinstance(found, str) else None


def _render_metadata(method: str, started_from: str) -> str:
    from ruamel.yaml import YAML

    # The Hub reads base_model as the id of one of its models, so a folder's name must not be written there.
    base = read_hub_base(started_from) if looks_like_folder(started_from) else started_from
    metadata: dict[str, Any] = {
        **({"base_model": base} if base else {}),
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["entropylaw", "trl", method],
    }
    buffer = io.StringIO()
    YAML().dump(metadata, buffer)
    return buffer.getvalue()


def _name_model(started_from: str) -> str:
    """A model's name for the card. Of a folder only the last part: the rest of the path concerns one machine alone.

    >>> _name_model("/home/me/models/base"), _name_model("Qwen/Qwen2.5-0.5B")
    ('`base`', '`Qwen/Qwen2.5-0.5B`')
    """
    return f"`{Path(started_from).name if looks_like_folder(started_from) else started_from}`"


def _describe_selection(provenance: Provenance, rows: int) -> str:
    if provenance.method is None:
        return NOT_CHECKED
    return f"{provenance.method}: {rows:,} of {provenance.pool_rows:,} rows"


def _describe_verdict(provenance: Provenance) -> str:
    if provenance.verdict is None:
        return NOT_CHECKED
    waived = f", approved under a waiver of {', '.join(provenance.waivers)}" if provenance.waivers else ""
    return f"{provenance.verdict}{waived} (version `{provenance.version_hash}`)"


def _render_table(title: str, rows: dict[str, str]) -> str:
    lines = "".join(f"| {name} | {value} |\n" for name, value in rows.items())
    return f"## {title}\n\n| | |\n|---|---|\n{lines}"


def _plain(value: Any) -> str:
    """A value as YAML writes it.

    >>> _plain(None), _plain(True), _plain(1e-06), _plain("full")
    ('null', 'true', '1e-06', 'full')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)
