"""The files of a probe: a summary, its loss curve, and one line for each row, without text or source."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.artifacts import atomic_writer
from corpus.errors import EntropylawError
from training.preference_probe import PreferenceProbeResult, ProbedPreference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.probe_run import ProbedRow, ProbeResult

ROW_FIELDS = ("row", "hash", "step", "tokens", "loss_nats")
# Further columns, of preferences only.
PREFERENCE_FIELDS = ("kto_loss", "margin_nats")


@dataclass(frozen=True)
class ProbeSummary:
    """A probe in numbers. ``l``: in nats per response token. ``base_identity``: the hash of the base model."""

    l: float  # noqa: E741 - the paper's letter
    rows: int
    steps: int
    tokens: int
    base_identity: str


@dataclass(frozen=True)
class PreferenceProbeSummary(ProbeSummary):
    """A probe of preferences in numbers. ``l``: a KTO loss.

    ``chosen_loss_nats``, ``margin_nats`` (None without pairs): in nats per token, by the base model before training.
    """

    chosen_loss_nats: float
    margin_nats: float | None


def summarise_probe(result: ProbeResult, base_identity: str) -> ProbeSummary:
    numbers = (result.l, len(result.rows), result.steps, result.tokens, base_identity)
    if isinstance(result, PreferenceProbeResult):
        return PreferenceProbeSummary(*numbers, result.chosen_loss_nats, result.margin_nats)
    return ProbeSummary(*numbers)


def summary_from_json(document: dict[str, Any]) -> ProbeSummary:
    """Read a summary back from JSON. Raises TypeError on a document of another shape."""
    return PreferenceProbeSummary(**document) if "margin_nats" in document else ProbeSummary(**document)


def write_probe_rows(path: str | Path, rows: Sequence[ProbedRow]) -> None:
    """Write one line for each row. Preferences also have a KTO loss, and a margin that is empty where there is none."""
    preferences = any(isinstance(row, ProbedPreference) for row in rows)
    with atomic_writer(path) as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(ROW_FIELDS + PREFERENCE_FIELDS if preferences else ROW_FIELDS)
        for row in rows:
            line = [row.row, row.hash, row.step, row.tokens, f"{row.loss_nats:.6g}"]
            if isinstance(row, ProbedPreference):
                line += [f"{row.kto_loss:.6g}", "" if math.isnan(row.margin_nats) else f"{row.margin_nats:.6g}"]
            writer.writerow(line)


def read_probe_rows(path: str | Path) -> tuple[list[int], list[str], NDArray[np.float64]]:
    """Row numbers, content hashes and losses in nats of the probed rows, in the order they were trained on.

    Raises EntropylawError when the file is missing or damaged.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as handle:
            lines = list(csv.DictReader(handle))
        if not lines:
            raise ValueError("no rows")
        return (
            [int(line["row"]) for line in lines],
            [line["hash"] for line in lines],
            np.array([float(line["loss_nats"]) for line in lines]),
        )
    except FileNotFoundError:
        raise EntropylawError(f"{path}: no such file; run `dvc repro probe` first") from None
    except OSError as error:
        raise EntropylawError(f"{path}: cannot be read: {error.strerror}") from None
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise EntropylawError(f"{path}: damaged ({error}); run `dvc repro --force probe` again") from None


def write_step_curve(path: str | Path, name: str, curve: Iterable[tuple[int, float]]) -> None:
    """A loss curve as CSV with the columns ``step`` and ``name``, for `dvc plots`."""
    _write_curve(path, (name,), ((step, (loss,)) for step, loss in curve))


def write_probe_curve(path: str | Path, result: ProbeResult) -> None:
    """Write the mean loss of each step, from 1, in nats per token.

    Of preferences it is the loss of the answers in ``write_probe_rows``, with the KTO loss in a second column.
    """
    if not isinstance(result, PreferenceProbeResult):
        write_step_curve(path, "loss_nats", enumerate(result.curve, start=1))
        return
    nats, tokens = np.zeros(result.steps), np.zeros(result.steps)
    for row in result.rows:
        nats[row.step] += row.loss_nats * row.tokens
        tokens[row.step] += row.tokens
    steps = enumerate(zip((nats / tokens).tolist(), result.curve, strict=True), start=1)
    _write_curve(path, ("loss_nats", "kto_loss"), steps)


def _write_curve(path: str | Path, names: tuple[str, ...], steps: Iterable[tuple[int, tuple[float, ...]]]) -> None:
    with atomic_writer(path) as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(("step", *names))
        for step, losses in steps:
            writer.writerow((step, *(f"{loss:.6g}" for loss in losses)))
