"""What the rules find in the rows themselves: added rows that lie where hardly any of the kept rows do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from corpus.records import HashedRecord, Record, canonical_text
from monitor.calibration.benign_updates import cluster_vectors
from monitor.calibration.calibrate import CalibrationParams
from monitor.outliers.answer_fit import embed_sides
from monitor.outliers.row_features import measure_marks
from monitor.rule_params import RuleParams
from monitor.rules.drafts import Draft, decide_status
from monitor.verdict import SEVERITY, RuleResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

RowRuleId = Literal["agreement", "copies", "wording", "form"]


@dataclass(frozen=True)
class Mark:
    """What is said of rows that have much of it, and the unit of its value."""

    says: str
    unit: str


EXCESS = "standard deviations above kept rows"
MARKS: dict[RowRuleId, dict[str, Mark]] = {
    # Beside the mean agreement, which `rules` tests.
    "agreement": {"misfit": Mark("have answers that fit other rows' prompts better", "log-odds")},
    "copies": {
        "row repeated": Mark("repeat, run of words by run of words, what kept rows say", EXCESS),
        "prompt repeated": Mark("have prompts that stand in kept rows", EXCESS),
        "answer repeated": Mark("have answers that stand in kept rows", EXCESS),
    },
    "wording": {
        "characters": Mark("are spelt as hardly any kept row is", "bits per character"),
        "answer characters": Mark("have answers spelt as hardly any kept row's are", "bits per character"),
        "rare characters": Mark("hold characters that kept rows hardly have", "share of characters"),
        "word pairs": Mark("put words together that do not stand together in kept rows", EXCESS),
    },
    "form": {
        "answer endings": Mark("end their answers where answers do not end", "bits per ending"),
        "an answer's ending": Mark("break off an answer where answers do not end", "bits"),
        "short answers": Mark("have shorter answers than hardly any kept row has", "-log characters"),
        "short prompts": Mark("have shorter prompts than hardly any kept row has", "-log characters"),
        "roles": Mark("have their roles in another order than the kept rows", "bits"),
        "echo": Mark("repeat themselves in their answers", "share of the words"),
    },
}
# Enough to tell, and no more time for more data: three seconds on one core.
MAX_CHARACTERS = 4_000_000
# With fewer kept rows there is nothing to hold the added ones against.
MIN_KEPT_ROWS = 10
# Longer rows leave no room for the fewest that are needed.
MAX_ROW_CHARACTERS = MAX_CHARACTERS // MIN_KEPT_ROWS
# Topics that are left out together where a kept row is read.
FOLDS = 4
# Below this a topic says nothing about its own share.
MIN_TOPIC_ROWS = 5


@dataclass(frozen=True)
class RowMarks:
    """``marks``: of every measured row, shape (rows,) each, nan where a row has none. ``topic``: of the kept rows that
    were measured, −1 of others. ``is_added``: rows that were measured and added, ``is_copy`` those of them that repeat
    an earlier row of the version, which only `copies` counts.
    """

    marks: dict[str, NDArray[np.float64]]
    topic: NDArray[np.int64]
    is_added: NDArray[np.bool_]
    is_copy: NDArray[np.bool_]


@dataclass(frozen=True)
class OddRows:
    """What one rule found: ``beyond`` of ``added`` rows lie beyond ``cut`` by ``mark``, of the kept ones the share
    ``usual``. ``p_value`` with Bonferroni's correction for having had the choice; ``limit`` is the share of the added
    rows that this correction allows; ``share`` estimates how many of them are odd beyond what is usual.
    """

    mark: str
    cut: float
    beyond: int
    added: int
    usual: float
    p_value: float
    limit: float
    share: float


def mark_rows(
    records: Sequence[HashedRecord],
    is_kept: NDArray[np.bool_],
    is_added: NDArray[np.bool_],
    is_first: NDArray[np.bool_],
    params: RuleParams,
) -> RowMarks | None:
    """Marks of a version's rows against those of its parent. ``records``: (record, content hash); flags: shape (rows,).

    Rows are taken in the order of their content hashes, of much data up to MAX_CHARACTERS of the kept and of the added
    ones each. None where none were added or fewer than MIN_KEPT_ROWS kept.
    """  # fmt: skip
    rows = [record for record, _ in records]
    hashes = [row_hash for _, row_hash in records]
    kept, added = (_take_rows(rows, hashes, flags) for flags in (is_kept & is_first, is_added))
    if len(kept) < MIN_KEPT_ROWS or not len(added):
        return None
    clustering = CalibrationParams()
    places = np.concatenate([kept, added])
    taken = [rows[i] for i in places]
    sides = embed_sides(taken)
    vectors = (sides.prompt_vectors + sides.response_vectors)[: len(kept)]
    topic = np.full(len(places), -1)
    labels = cluster_vectors(vectors, max(1, min(clustering.topics, len(kept) // 30)), clustering.seed)
    # Numbered without a gap, where a cluster has lost all its rows.
    topic[: len(kept)] = np.unique(labels, return_inverse=True)[1]
    order = np.arange(len(places))
    is_reference = order < len(kept)
    # Where all kept rows are of one topic, each is read without a part of it.
    fold = (topic if topic.max() > 0 else order) % FOLDS
    found = measure_marks(taken, sides, is_reference, np.where(is_reference, fold, -1), params.rare_character_bits)

    def spread(values: NDArray, nothing: float) -> NDArray:  # type: ignore[type-arg]
        whole = np.full(len(records), nothing, dtype=values.dtype)
        whole[places] = values
        return whole

    return RowMarks(
        {name: spread(values, np.nan) for name, values in found.items()},
        spread(topic, -1),
        spread(~is_reference, False),
        ~is_first,
    )


def _take_rows(rows: Sequence[Record], hashes: Sequence[str], flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Positions of the flagged rows in the order of their hashes, which does not change with the order of the file: of
    too many the first, and none that is longer than MAX_ROW_CHARACTERS, unless all are: then the very first.
    """
    order = sorted(np.flatnonzero(flags).tolist(), key=lambda i: hashes[i])
    size = np.array([len(canonical_text(rows[i])) for i in order], dtype=np.int64)
    fits = size <= MAX_ROW_CHARACTERS
    if not fits.any():
        return np.array(order[:1], dtype=np.int64)
    within = np.cumsum(np.where(fits, size, 0)) <= MAX_CHARACTERS
    return np.array(order, dtype=np.int64)[fits & within]


def judge_rows(marks: RowMarks, share_added: float, params: RuleParams) -> dict[RowRuleId, OddRows]:
    """What each rule finds, by the gravest of its marks and tails."""
    found = {}
    for rule, names in MARKS.items():
        is_added = marks.is_added if rule == "copies" else marks.is_added & ~marks.is_copy
        candidates = [
            odd
            for name in names
            for tail in params.odd_tails
            if (odd := find_odd_rows(name, marks.marks[name], marks.topic, is_added, tail, len(names), params))
        ]
        if candidates:
            found[rule] = min(
                candidates,
                key=lambda odd: (
                    SEVERITY.index(decide_status(odd.p_value, odd.share * share_added, params.odd_rows, params)),
                    odd.p_value,
                ),
            )
    return found


def find_odd_rows(
    mark: str,
    values: NDArray[np.float64],
    topic: NDArray[np.int64],
    is_added: NDArray[np.bool_],
    tail: float,
    choices: int,
    params: RuleParams,
) -> OddRows | None:
    """Count the added rows beyond the kept rows' tail, and ask how often an honest batch has as many.

    An honest batch may be of another topic, and topics differ in how many of their rows are odd. Its count is taken as
    beta-binomial: mean and variance between topics are estimated from the topics of the kept rows (method of moments;
    Williams, 1982), and the kept rows themselves are no more than a sample. ``choices``: how many marks a rule has.
    """
    from scipy import stats

    known = ~np.isnan(values)
    kept = known & (topic >= 0)
    n, rows = int(np.count_nonzero(kept)), int(np.count_nonzero(known & is_added))
    if n < MIN_KEPT_ROWS or not rows:
        return None
    cut = float(np.quantile(values[kept], 1 - tail))
    is_odd = values > cut
    usual = (np.count_nonzero(kept & is_odd) + 0.5) / (n + 1)
    odd, size = (np.bincount(topic[flags], minlength=int(topic.max()) + 1) for flags in (kept & is_odd, kept))
    if size.max() >= MIN_TOPIC_ROWS:
        odd, size = odd[size >= MIN_TOPIC_ROWS], size[size >= MIN_TOPIC_ROWS]
    else:
        # The mark is so rare that no topic has enough of it: they count as one.
        odd, size = odd.sum(keepdims=True), size.sum(keepdims=True)
    chi_squared = float(((odd - size * usual) ** 2 / (size * usual * (1 - usual))).sum())
    extra = (chi_squared - (len(size) - 1)) / max(size.sum() - len(size), 1)
    # A correlation of zero is the estimator's floor, not knowledge (as in `topic_spread`).
    correlation = min(max(extra, 1 / (4 * size.mean())), 0.99)
    weight = min(1 / correlation - 1, n)
    honest = stats.betabinom(rows, usual * weight, (1 - usual) * weight)
    beyond = int(np.count_nonzero(is_odd & is_added))
    tests = choices * len(params.odd_tails)
    return OddRows(
        mark=mark,
        cut=cut,
        beyond=beyond,
        added=rows,
        usual=usual,
        p_value=min(1.0, tests * float(honest.sf(beyond - 1))),
        limit=float(honest.isf(params.false_alarm_rate / tests)) / rows,
        # Rows that have no such mark are not odd by it.
        share=max(0.0, (beyond - rows * usual) / (1 - usual)) / int(np.count_nonzero(is_added)),
    )


def draft_row_rules(
    dataset: str, added: int | None, found: dict[RowRuleId, OddRows] | None, share_added: float, params: RuleParams
) -> dict[RowRuleId, Draft]:
    """What each rule says of it. ``found`` is None where there were too few kept rows to compare with."""
    drafts: dict[RowRuleId, Draft] = {}
    for rule, names in MARKS.items():
        result = RuleResult(rule, dataset, "skipped", "", unit="share of the added rows")
        if not added:
            drafts[rule] = Draft(replace(result, reason="No rows were added."))
            continue
        if found is None:
            reason = (
                f"Fewer than {MIN_KEPT_ROWS} different rows of the parent, of at most {MAX_ROW_CHARACTERS:,} "
                "characters each, are left to compare the added rows with."
            )
            drafts[rule] = Draft(replace(result, status="not_assessed", reason=reason))
            continue
        odd = found.get(rule)
        if odd is None:
            drafts[rule] = Draft(
                replace(result, reason="None of the added rows, copies aside, has anything to compare.")
            )
            continue
        effect = odd.share * share_added
        numbers = (
            f"{odd.beyond} of the {odd.added} added rows measured {names[odd.mark].says} "
            f"({odd.beyond / odd.added:.1%}, against {odd.usual:.1%} of the kept rows; limit {odd.limit:.1%})"
        )
        drafts[rule] = Draft(
            replace(result, status="pass", statistic=odd.beyond / odd.added, threshold=odd.limit, p_value=odd.p_value),
            effect=effect,
            band=params.odd_rows,
            finding=f"{numbers}: about {effect:.1%} of the version.",
            slight=f"{numbers}, too few to matter.",
            calm=f"{numbers}, no more than a batch of another topic may have.",
        )
    return drafts
