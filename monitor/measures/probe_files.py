"""The files of a probe: a summary, its loss curve, and one line for each row, without text or source."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from corpus.artifacts import atomic_writer, parse_result, read_json
from corpus.errors import DamagedResultError, NotAssessedError
from monitor.measures.row_table import content_keys
from monitor.measures.second_losses import SecondLosses
from training.preference_probe import PreferenceProbeResult, ProbedPreference
from training.unread_rows import UnreadRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.probe_run import ProbedRow, ProbeResult

ROW_FIELDS = ("row", "hash", "step", "tokens", "response_tokens", "loss_nats")
# Further columns, of preferences only.
PREFERENCE_FIELDS = ("kto_loss", "margin_nats")
# A further column where there is a second model: empty for a row that it did not read.
SECOND_FIELD = "second_loss_nats"
MADE_BY = "dvc repro probe"


@dataclass(frozen=True)
class SecondSummary:
    """``identity``: of the second model and of how it reads. ``rows``: that it read, and their mean ``loss_nats`` per
    response token, None where it read none.
    """

    identity: str
    rows: int
    loss_nats: float | None


@dataclass(frozen=True)
class ProbeSummary:
    """A probe in numbers.

    ``l``: in nats per response token, over ``tokens`` of them. ``rows``: so many were read by the base model, and
    ``tokens_read_share`` of their response tokens. ``base_identity``: the hash of the base model. ``unread``: of how
    many rows something was not read; None where it was not counted. ``second``: what the second model has read; None
    where there is none.
    """

    ADDED: ClassVar[tuple[str, ...]] = ("second",)

    l: float  # noqa: E741 - the paper's letter
    rows: int
    steps: int
    tokens: int
    tokens_read_share: float
    base_identity: str
    unread: UnreadRows | None = field(default=None, kw_only=True)
    second: SecondSummary | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class PreferenceProbeSummary(ProbeSummary):
    """A probe of preferences in numbers. ``l``: a KTO loss.

    ``chosen_loss_nats``, ``margin_nats`` (None without pairs): in nats per token, by the base model before training.
    """

    chosen_loss_nats: float
    margin_nats: float | None


def summarise_probe(result: ProbeResult, base_identity: str, second: SecondLosses | None = None) -> ProbeSummary:
    """A probe in numbers. ``second``: the losses of the second model, where there is one."""
    read = None if second is None else SecondSummary(second.identity, second.losses.size, second.mean)
    numbers = (result.l, len(result.rows), result.steps, result.tokens, result.tokens_read_share, base_identity)
    if isinstance(result, PreferenceProbeResult):
        pairs = (result.chosen_loss_nats, result.margin_nats)
        return PreferenceProbeSummary(*numbers, *pairs, unread=result.unread, second=read)
    return ProbeSummary(*numbers, unread=result.unread, second=read)


def read_summary(path: str | Path) -> ProbeSummary:
    """The summary of a probe, as the stage `probe` wrote it. Raises NotAssessedError when it is missing or damaged."""
    document = read_json(path, MADE_BY)
    of_preferences = isinstance(document, dict) and "margin_nats" in document
    return parse_result(document, PreferenceProbeSummary if of_preferences else ProbeSummary, path, MADE_BY)


@dataclass(frozen=True)
class ProbedRows:
    """The probed rows, those that were trained on first; all of one length.

    ``numbers``, ``hashes``: row numbers and content hashes. ``losses``: in nats per token, by the base model before
    training. ``tokens``: response tokens that a loss is a mean over. ``trained``: whether the run trained on the row.
    ``second_losses``: by the second model, nan of rows that it did not read; None where there is none.
    """

    numbers: tuple[int, ...]
    hashes: tuple[str, ...]
    losses: NDArray[np.float64]
    tokens: NDArray[np.int64]
    trained: NDArray[np.bool_]
    second_losses: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, rows: Sequence[ProbedRow]) -> ProbedRows:
        return cls(
            tuple(row.row for row in rows),
            tuple(row.hash for row in rows),
            np.array([row.loss_nats for row in rows], dtype=np.float64),
            np.array([row.tokens for row in rows], dtype=np.int64),
            np.array([row.step is not None for row in rows], dtype=bool),
        )


def write_probe_rows(path: str | Path, rows: Sequence[ProbedRow], second: SecondLosses | None = None) -> None:
    """Write one line for each row; ``step`` is empty where the run did not train on it.

    Preferences also have a KTO loss, which is empty where ``step`` is, and a margin that is empty where there is none.
    ``second``: what the second model has read of them; its column is empty for other rows.
    """
    preferences = any(isinstance(row, ProbedPreference) for row in rows)
    names = [*ROW_FIELDS, *(PREFERENCE_FIELDS if preferences else ()), *((SECOND_FIELD,) if second else ())]
    by_second = second.find(content_keys([row.hash for row in rows])).tolist() if second else []
    with atomic_writer(path) as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(names)
        for i, row in enumerate(rows):
            step = "" if row.step is None else row.step
            line = [row.row, row.hash, step, row.tokens, row.response_tokens, f"{row.loss_nats:.6g}"]
            if isinstance(row, ProbedPreference):
                line += [_write_known(value) for value in (row.kto_loss, row.margin_nats)]
            if second:
                line.append(_write_known(by_second[i]))
            writer.writerow(line)


def _write_known(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def read_probe_rows(path: str | Path) -> ProbedRows:
    """The rows that ``write_probe_rows`` wrote. Raises NotAssessedError when the file is missing, old or damaged."""
    again = "run `dvc repro --force probe`"
    try:
        text = Path(path).read_text(encoding="utf-8")
        lines = list(csv.DictReader(text.splitlines()))
        # Older files have the losses of the training run, which are no row's own.
        if lines and "step" in lines[0] and "response_tokens" not in lines[0]:
            raise DamagedResultError(f"{path}: of an older version of the tool; {again}")
        if not lines or not text.endswith("\n"):
            raise ValueError("cut short" if lines else "no rows")
        rows = ProbedRows(
            tuple(int(line["row"]) for line in lines),
            tuple(line["hash"] for line in lines),
            np.array([float(line["loss_nats"]) for line in lines]),
            np.array([int(line["tokens"]) for line in lines], dtype=np.int64),
            np.array([line["step"] != "" for line in lines], dtype=bool),
            np.array([float(line[SECOND_FIELD] or "nan") for line in lines]) if SECOND_FIELD in lines[0] else None,
        )
        if not np.isfinite(rows.losses).all() or not (rows.tokens > 0).all():
            raise ValueError("a row without tokens or without a finite loss")
        if rows.second_losses is not None and np.isinf(rows.second_losses).any():
            raise ValueError("an infinite loss by the second model")
        return rows
    except FileNotFoundError:
        raise NotAssessedError(f"{path}: no such file; run `{MADE_BY}` first") from None
    except OSError as error:
        raise DamagedResultError(f"{path}: cannot be read: {error.strerror}; {again}") from None
    except (KeyError, TypeError, ValueError, OverflowError, csv.Error) as error:
        raise DamagedResultError(f"{path}: damaged ({error}); {again}") from None


def write_step_curve(path: str | Path, name: str, curve: Iterable[tuple[int, float]]) -> None:
    """A loss curve as CSV with the columns ``step`` and ``name``, for `dvc plots`."""
    _write_curve(path, (name,), ((step, (loss,)) for step, loss in curve))


def write_probe_curve(path: str | Path, result: ProbeResult) -> None:
    """Write the mean loss of each step, from 1, in nats per token.

    Of preferences it is the base model's loss of the rows of each step, with the KTO loss in a second column.
    """
    if not isinstance(result, PreferenceProbeResult):
        write_step_curve(path, "loss_nats", enumerate(result.curve, start=1))
        return
    nats, tokens = np.zeros(result.steps), np.zeros(result.steps)
    for row in result.rows:
        if row.step is not None:
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
