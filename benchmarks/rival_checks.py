"""What people use today to tell a bad data version, in the same run on the same versions.

1. A table check: rows, mean length, exact duplicates and blank answers against the parent. Evidently's data-quality
   tests allow a tenth more or less of what the reference has; so does this one, and one duplicate in a hundred rows.
2. R alone: outside mean ± 2σ of the R of benign updates, on either side.
3. Text drift: can a classifier (TF-IDF, logistic regression) tell the rows that came from the rows before? ROC AUC,
   cross-validated, against the 95% quantile of benign updates. Evidently's domain classifier compares whole versions;
   here it is shown the changed rows alone, which it cannot know by itself, because between versions that share nine
   rows in ten there is little to tell.
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
# Fewer rows than this that came give no ROC curve to speak of.
MIN_NEW_ROWS = 10

ROW_CHECK, RATIO_BAND, TEXT_DRIFT = "row check", "R ± 2σ", "text drift"
RIVALS = (ROW_CHECK, RATIO_BAND, TEXT_DRIFT)


@dataclass(frozen=True)
class Profile:
    """What the table check looks at: ``mean_length`` in characters of a row."""

    rows: int
    mean_length: float
    duplicate_share: float
    blank_share: float


@dataclass(frozen=True)
class Reference:
    """What is usual. ``profile``: of the version before. ``r_mean``, ``r_sd``: of R after benign updates; ``drift``:
    the quantile of their AUC.
    """

    profile: Profile
    r_mean: float
    r_sd: float
    drift: float


def profile_rows(records: Sequence[Record]) -> Profile:
    texts = [canonical_text(record) for record in records]
    answers = [message.content for record in records for _, message in record.turns() if message.role == "assistant"]
    return Profile(
        rows=len(texts),
        mean_length=float(np.mean([len(text) for text in texts])),
        duplicate_share=1 - len(set(texts)) / len(texts),
        blank_share=sum(not answer.strip() for answer in answers) / len(texts),
    )


def fails_row_check(now: Profile, before: Profile) -> bool:
    """
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
    """ROC AUC of telling the rows that came from those of the version before; None where too few came."""
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
    """What the rivals know: the version before, and benign versions after it."""
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
