"""How a probe is kept on disk: a summary, the curve, and one line a row without its text or source."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from corpus.artifacts import atomic_writer
from corpus.errors import EntropylawError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.probe import ProbedRow, ProbeResult

ROW_FIELDS = ("row", "hash", "step", "tokens", "loss_nats")


@dataclass(frozen=True)
class ProbeSummary:
    """``l`` in nats per response token; ``base_identity`` names the base model it was measured from."""

    l: float  # noqa: E741 - the paper's letter
    rows: int
    steps: int
    tokens: int
    base_identity: str


def summarise_probe(result: ProbeResult, base_identity: str) -> ProbeSummary:
    return ProbeSummary(result.l, len(result.rows), result.steps, result.tokens, base_identity)


def write_probe_rows(path: str | Path, rows: Iterable[ProbedRow]) -> None:
    with atomic_writer(path) as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(ROW_FIELDS)
        for row in rows:
            writer.writerow((row.row, row.hash, row.step, row.tokens, f"{row.loss_nats:.6g}"))


def read_probe_rows(path: str | Path) -> tuple[list[int], list[str], NDArray[numpy.float64]]:
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
            numpy.array([float(line["loss_nats"]) for line in lines]),
        )
    except FileNotFoundError:
        raise EntropylawError(f"{path}: no such file; run `dvc repro probe` first") from None
    except OSError as error:
        raise EntropylawError(f"{path}: cannot be read: {error.strerror}") from None
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise EntropylawError(f"{path}: damaged ({error}); run `dvc repro --force probe` again") from None


def write_step_curve(path: str | Path, name: str, curve: Iterable[tuple[int, float]]) -> None:
    """A loss curve as CSV with the columns ``step`` and ``name``, for `dvc plots`."""
    with atomic_writer(path) as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(("step", name))
        for step, loss in curve:
            writer.writerow((step, f"{loss:.6g}"))
