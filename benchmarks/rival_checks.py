"""Checks that people use today to find a bad data version, run on the same versions as ours.

1. A table check: rows, mean length, exact duplicates and blank answers, compared with the parent. Like Evidently's
   data-quality tests it allows a tenth more or less than the reference has, and one duplicate in a hundred rows.
2. R alone: an alarm outside mean ± 2σ of the R of benign updates.
3. Text drift: whether a classifier (TF-IDF, logistic regression) can tell new rows from the rows before. Its
   cross-validated ROC AUC is compared with the 95% quantile of benign updates. Evidently's domain classifier compares
   whole versions. Here it is given only the new rows, which helps it: versions that share nine rows in ten differ
   little as a whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from corpus.codecs import ZLIB_LEVEL, Codec
from corpus.records import Record, canonical_text

TOLERANCE = 0.1
DUPLICATE_TOLERANCE = 0.01
DRIFT_QUANTILE = 0.95
# With fewer new rows than this, a ROC curve says nothing.
MIN_NEW_ROWS = 10

ROW_CHECK, RATIO_BAND, TEXT_DRIFT = "row check", "R ± 2σ", "text drift"
RIVALS = (ROW_CHECK, RATIO_BAND, TEXT_DRIFT)


@dataclass(frozen=True)
class Profile:
    """What the table check looks at. ``mean_length``: characters of a row."""

    rows: int
    mean_length: float
    duplicate_share: float
    blank_share: float


@dataclass(frozen=True)
class Reference:
    """What a version is compared with.

    ``profile``: of the version before. ``r_mean`` and ``r_sd``: of R after benign updates. ``drift``: the 95% quantile
    of the AUC of benign updates.
    """

    profile: Profile
    r_mean: float
    r_sd: float
    drift: float


def profile_rows(records: Sequence[Record]) -> Profile:
    """The profile of a version."""
    texts = [canonical_text(record) for record in records]
    answers = [message.content for record in records for _, message in record.turns() if message.role == "assistant"]
    return Profile(
        rows=len(texts),
        mean_length=float(np.mean([len(text) for text in texts])),
        duplicate_share=1 - len(set(texts)) / len(texts),
        blank_share=sum(not answer.strip() for answer in answers) / len(texts),
    )


def fails_row_check(now: Profile, before: Profile) -> bool:
    """Whether the table check raises an alarm.

    >>> before = Profile(1000, 500.0, 0.0, 0.0)
    >>> fails_row_check(Profile(1050, 520.0, 0.0, 0.0), before)
    False
    >>> fails_row_check(Profile(1050, 520.0, 0.02, 0.0), before)
    True
    """
    return (
        abs(now.rows - before.rows) > TOLERANCE * before.rows
        or abs(now.mean_length - before.mean_length) > TOLERANCE * before.mean_length
        or now.duplicate_share > before.duplicate_share + DUPLICATE_TOLERANCE
        or now.blank_share > before.blank_share * (1 + TOLERANCE)
    )


def measure_ratio(records: Sequence[Record]) -> float:
    """The paper's R: all rows in file order, zlib level 9."""
    return Codec("zlib", ZLIB_LEVEL).ratio([canonical_text(record).encode() for record in records])


def measure_drift(now: Sequence[Record], before: Sequence[Record]) -> float | None:
    """ROC AUC of telling new rows from the rows of the version before; None where there are too few new ones."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    old = [canonical_text(record) for record in before]
    new = list((Counter(map(canonical_text, now)) - Counter(old)).elements())
    if len(new) < MIN_NEW_ROWS:
        return None
    is_new = np.repeat([0, 1], [len(old), len(new)])
    words = TfidfVectorizer(sublinear_tf=True, max_df=0.5, max_features=20_000).fit_transform(old + new)
    halves = StratifiedKFold(2, shuffle=True, random_state=0)
    classifier = LogisticRegression(class_weight="balanced")
    scores = cross_val_predict(classifier, words, is_new, cv=halves, method="decision_function")
    return float(roc_auc_score(is_new, scores))


def measure_reference(before: Sequence[Record], benign: Sequence[Sequence[Record]]) -> Reference:
    """What the rivals are given to compare with: the version before, and benign versions after it."""
    ratios = [measure_ratio(version) for version in benign]
    drifts = [drift for version in benign if (drift := measure_drift(version, before)) is not None]
    return Reference(
        profile_rows(before),
        float(np.mean(ratios)),
        float(np.std(ratios, ddof=1)),
        float(np.quantile(drifts, DRIFT_QUANTILE)),
    )


def ask_rivals(now: Sequence[Record], before: Sequence[Record], reference: Reference) -> dict[str, bool]:
    """Which of the rivals raise an alarm."""
    drift = measure_drift(now, before)
    return {
        ROW_CHECK: fails_row_check(profile_rows(now), reference.profile),
        RATIO_BAND: abs(measure_ratio(now) - reference.r_mean) > 2 * reference.r_sd,
        TEXT_DRIFT: drift is not None and drift > reference.drift,
    }
