"""The small training runs that the entropy law is fitted on: one on each of fourteen subsets of the baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from corpus.errors import NotAssessedError
from corpus.progress import Progress, ignore_progress, part_of
from corpus.records import Conversation, HashedRecord, Message, Record, canonical_text, content_hash, data_hash
from monitor.calibration.kept_runs import Run
from monitor.calibration.params import CalibrationParams
from monitor.law.results import CLEAN, REPEATED, LawPoint
from monitor.measures.compression import CompressionParams

if TYPE_CHECKING:
    from training.chat import EncodedRow
    from training.probe_run import ProbeParams
    from training.probed_model import ProbedModel


# A run draws this share of the rows at most: draws of nearly all rows would hardly differ.
MAX_DRAWN_SHARE = 0.75
# A training run of fewer steps says nothing about its data.
MIN_STEPS = 8

# The budget of tokens makes no run shorter than this. At 24 steps in place of 48, Z ranks the fourteen runs nearly as
# before: Spearman's correlation 0.93 on GSM8K and 0.92 on a mixture (docs/lab-notes.md). Shorter ones were not tried.
SHORTEST_STEPS = 24
# As many as `draw_law_subsets` draws.
SUBSETS = 14

# Kinds of damage among the subsets, beside rows that are repeated; the others are sound data.
SCRAMBLED, BOTH = "scrambled", "scrambled and repeated"


class LawSubset(NamedTuple):
    """A subset's name, the family of its data, and its rows."""

    name: str
    family: str
    rows: list[HashedRecord]


@dataclass(frozen=True)
class LawTraining:
    """How each of the law's runs is trained and measured.

    ``probe``: of the first part of a run, which gives L. ``learning_rate``: of the second part, which gives Z.
    """

    probe: ProbeParams
    learning_rate: float
    compression: CompressionParams


def scramble_words(record: Record, rng: np.random.Generator) -> Record:
    """The same record with the words of its answers in random order, as an example of damage."""

    def scrambled(messages: Sequence[Message]) -> tuple[Message, ...]:
        return tuple(
            replace(m, content=" ".join(rng.permutation(m.content.split()).tolist())) if m.role == "assistant" else m
            for m in messages
        )

    if isinstance(record, Conversation):
        return replace(record, messages=scrambled(record.messages))
    return replace(record, chosen=scrambled(record.chosen), rejected=scrambled(record.rejected))


def draw_law_subsets(
    records: Sequence[HashedRecord], rows: int, compression: CompressionParams, rng: np.random.Generator
) -> list[LawSubset]:
    """Fourteen subsets of ``rows`` rows each. They differ in redundancy and in damage, so the runs differ in R and L.

    Half of them are sound data that differ by themselves: without these, a law would only tell damage from its absence.
    """
    codec = compression.codec()
    pool = [records[i] for i in rng.permutation(len(records))]
    by_ratio = sorted(pool, key=lambda item: codec.ratio([canonical_text(item[0]).encode()]))

    def repeated(distinct: int) -> list[HashedRecord]:
        return [pool[i % distinct] for i in range(rows)]

    def damaged(share: float, start: int) -> list[HashedRecord]:
        chosen = [pool[(start + i) % len(pool)] for i in range(rows)]
        for i in range(round(share * rows)):
            record = scramble_words(chosen[i][0], rng)
            chosen[i] = HashedRecord(record, content_hash(record))
        return chosen

    by_length = sorted(pool, key=lambda item: len(canonical_text(item[0])))
    mixed = damaged(0.5, 0)[: rows // 2] + repeated(max(1, rows // 4))[: rows - rows // 2]
    return [
        *(LawSubset(f"random {k + 1}", CLEAN, damaged(0.0, k * rows)) for k in range(3)),
        LawSubset("least compressible", CLEAN, by_ratio[:rows]),
        LawSubset("most compressible", CLEAN, by_ratio[-rows:]),
        LawSubset("shortest", CLEAN, by_length[:rows]),
        LawSubset("longest", CLEAN, by_length[-rows:]),
        *(LawSubset(f"1/{k} distinct", REPEATED, repeated(max(1, rows // k))) for k in (2, 4, 8)),
        LawSubset("random, half as many", REPEATED, damaged(0.0, 3 * rows)[: rows // 2] * 2),
        *(LawSubset(f"{share:.0%} scrambled", SCRAMBLED, damaged(share, 0)) for share in (0.25, 0.5)),
        LawSubset("scrambled and repeated", BOTH, mixed),
    ]


def split_for_law(
    records: Sequence[HashedRecord],
    tokenizer: Any,
    trained_from: float,
    probe: ProbeParams,
    compression: CompressionParams,
    params: CalibrationParams,
    rng: np.random.Generator,
    rows_before: int = 0,
) -> tuple[Sequence[HashedRecord], list[LawSubset]]:
    """The rows to score on and the law's training subsets: (held-out rows, subsets).

    All are rows that the base model has not seen, drawn by the first seed after those of the A/A runs.
    ``params.heldout_rows`` rows are held out, but at most a third of these rows. A baseline too small for eight
    training steps gives no subsets; the law is then not fitted, and its sentence says so. ``rows_before``: rows that
    the A/A runs train on, which count in the budget of ``params.max_tokens`` too.
    """
    from training.probe_run import choose_probe_rows
    from training.row_window import read_conversation

    unseen, tokens = [], 0
    for row in choose_probe_rows(records, len(records), probe.seed + params.seeds, trained_from):
        read = read_conversation(tokenizer, row.record, probe.max_length)
        if read is not None:
            unseen.append(row)
            tokens += len(read.encoded.ids)
    heldout_rows = min(params.heldout_rows, len(unseen) // 3)
    held_out, pool = unseen[:heldout_rows], unseen[heldout_rows:]
    affordable = rows_for_tokens(params.max_tokens, tokens / max(len(unseen), 1), rows_before, heldout_rows)
    # Draws of the whole pool would all be the same rows: their runs would be equal, and the law would look exact.
    size = min(
        probe.trained_rows,
        int(len(pool) * MAX_DRAWN_SHARE),
        max(affordable, SHORTEST_STEPS * probe.batch_rows) // probe.batch_rows * probe.batch_rows,
    )
    if size < MIN_STEPS * probe.batch_rows:
        return (), []
    return held_out, draw_law_subsets(pool, size, compression, rng)


def rows_for_tokens(max_tokens: int, row_tokens: float, rows_before: int, heldout_rows: int) -> int:
    """How many rows each of the law's runs may have within the budget. It trains on each twice.

    ``row_tokens``: the mean length of a row as it is read. Scoring a row takes a third of the time of training on it.

    >>> rows_for_tokens(2_000_000, row_tokens=200, rows_before=2000, heldout_rows=128)
    264
    """
    rows = max_tokens / max(row_tokens, 1) - rows_before - SUBSETS * heldout_rows / 3
    return max(0, int(rows / (2 * SUBSETS)))


def plan_law_runs(
    subsets: Sequence[LawSubset], held_out: Sequence[HashedRecord], base: ProbedModel, training: LawTraining
) -> list[Run[LawPoint]]:
    """The law's training runs: one on each subset, scored on the held-out rows. ``base`` is left as it is."""
    probe = training.probe
    return [
        Run(
            depends_on={
                "run": name,
                "family": family,
                "rows": data_hash(row_hash for _, row_hash in subset),
                "held_out": data_hash(row_hash for _, row_hash in held_out),
                "base": base.card.identity,
                "device": str(base.model.device),
                "probe": probe,
                "learning_rate": training.learning_rate,
                "compression": training.compression,
            },
            # Scoring a batch takes a third of the time of training on it.
            steps=2 * (len(subset) // probe.batch_rows) + len(held_out) // (3 * probe.batch_rows),
            shape=LawPoint,
            measure=partial(run_law_point, LawSubset(name, family, subset), held_out, base, training),
        )
        for name, family, subset in subsets
    ]


def run_law_point(
    subset: LawSubset,
    held_out: Sequence[HashedRecord],
    base: ProbedModel,
    training: LawTraining,
    progress: Progress = ignore_progress,
) -> LawPoint:
    """Do one small training run and measure its R, L and Z. The base model is left as it is.

    Raises NotAssessedError when the training diverges.
    """
    from training.loss import mean_token_loss
    from training.probe import train_and_record
    from training.probe_run import choose_probe_rows
    from training.probed_model import copy_probed_model
    from training.row_window import read_conversation

    tokenizer, probe = base.tokenizer, training.probe
    padding_id = tokenizer.pad_token_id

    def encode(rows: Sequence[HashedRecord]) -> list[EncodedRow]:
        read = (read_conversation(tokenizer, record, probe.max_length) for record, _ in rows)
        return [row.encoded for row in read if row is not None]

    name, family, drawn = subset
    rows = encode(choose_probe_rows(drawn, len(drawn), probe.seed, 1.0))
    trained = copy_probed_model(base.model)
    measured = train_and_record(trained, padding_id, rows, probe, part_of(progress, 0, 2))
    # L comes from a probe as always. The run then goes on at a rate at which the data makes a difference.
    faster = replace(probe, learning_rate=training.learning_rate)
    train_and_record(trained, padding_id, rows, faster, part_of(progress, 1, 2))
    z = -mean_token_loss(trained, encode(held_out), padding_id, 2 * probe.batch_rows)
    if not math.isfinite(measured.l) or not math.isfinite(z):
        raise NotAssessedError(
            f"calibration: the training run {name!r} diverged; "
            f"lower calibration.law_learning_rate ({training.learning_rate:g})"
        )
    texts = [canonical_text(record).encode() for record, _ in drawn]
    r, r_long = (codec.ratio(texts) for codec in (training.compression.codec(), training.compression.long_codec()))
    return LawPoint(name, r, r_long, measured.l, z, family)
