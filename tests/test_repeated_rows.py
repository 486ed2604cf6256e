"""Exact copies and equal answers, counted over all rows, against counting by hand."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from corpus.records import Conversation, HashedRecord, Message, content_hash
from monitor.calibration.benign_updates import BenignUpdate
from monitor.calibration.calibrate import Calibration
from monitor.calibration.params import CalibrationParams
from monitor.law.entropy_law import fit_entropy_law
from monitor.measures.repeated_rows import Repeats, count_repeated_answers, count_repeated_rows
from monitor.measures.row_sketch import RowSketch
from monitor.measures.row_split import RowSplit
from monitor.rule_params import RuleParams
from monitor.rules import copies
from monitor.rules.drafts import decide_status
from monitor.rules.parent_comparison import ParentComparison
from monitor.rules.rule import RuleInput
from monitor.verdict import Measurements

Rows = list[HashedRecord]
CALIBRATION = Calibration(400, (), (BenignUpdate(0.1, "random", 1e-3, 1e-3),) * 12, (), "", CalibrationParams())
REFUSAL = "I'm sorry, but I can't help with that."


def make_rows(start: int, stop: int, answer: str = "a different answer to question {}") -> Rows:
    rows = []
    for i in range(start, stop):
        record = Conversation((Message("user", f"question {i}"), Message("assistant", answer.format(i))))
        rows.append(HashedRecord(record, content_hash(record)))
    return rows


def split(parent: Rows, version: Rows) -> RowSplit:
    """Kept, added and first rows by counting, so that no sketch is in doubt."""
    left = Counter(row_hash for _, row_hash in parent)
    seen: set[str] = set()
    kept, first = [], []
    for _, row_hash in version:
        kept.append(left[row_hash] > 0)
        left[row_hash] -= 1
        first.append(row_hash not in seen)
        seen.add(row_hash)
    return RowSplit(np.array(kept), ~np.array(kept), np.array(first))


def status(parent: Rows, version: Rows) -> str:
    parts = split(parent, version)
    added = int(parts.is_added.sum())
    everything = np.ones(len(version), dtype=bool)
    before = Measurements(len(parent), 2.9, 3.6, 5.0, 0.3)
    comparison = ParentComparison(
        "sft",
        replace(before, rows=len(version), added=added, removed=0, kept=len(version) - added),
        before,
        repeated_rows=count_repeated_rows(version, parts),
        repeated_answers=count_repeated_answers(version, parts, everything),
    )
    params = RuleParams()
    draft = copies.RULE.ask(RuleInput(comparison, CALIBRATION, fit_entropy_law(()), params))
    # As if the rule were one of ten, the least significant p of all others.
    assert draft.result.p_value is not None or draft.result.status == "not_assessed"
    return (
        decide_status(10 * (draft.result.p_value or 0.0), draft.effect, draft.thresholds, params)
        if draft.effect
        else "pass"
    )


@pytest.mark.parametrize(("size", "share"), [(200, 0.1), (1600, 0.1), (1600, 0.05), (16_640, 0.1)])
def test_exact_copies_are_risky_at_every_size(size: int, share: float) -> None:
    parent = make_rows(0, size)
    assert status(parent, parent + make_rows(size, size + size // 20) + parent[: round(size * share)]) == "risky"


def test_a_fiftieth_of_copies_is_a_warning() -> None:
    parent = make_rows(0, 1600)
    assert status(parent, parent + make_rows(1600, 1760) + parent[:32]) == "warn"


def test_the_place_of_a_copy_does_not_matter() -> None:
    parent = make_rows(0, 300)
    version = parent + parent[:30]
    order = np.random.default_rng(0).permutation(len(version)).tolist()
    shuffled = [version[i] for i in order]
    first, second = (count_repeated_rows(rows, split(parent, rows)) for rows in (version, shuffled))
    assert (first.surplus, first.repeated_added, first.repeated_kept) == (30, 30, 30)
    assert (second.surplus, second.repeated_added, second.repeated_kept) == (30, 30, 30)


def test_copies_that_the_parent_had_are_kept_rows() -> None:
    parent = make_rows(0, 300) + make_rows(0, 30)
    found = count_repeated_rows(parent, split(parent, parent))
    assert found.surplus == 0
    assert found.usual == pytest.approx(30 / 330)
    # A third copy of a row that the parent had twice is an added one.
    more = [*parent, parent[0]]
    assert count_repeated_rows(more, split(parent, more)).is_repeat.tolist() == [False] * 330 + [True]


def test_data_that_repeats_itself_may_go_on_as_before() -> None:
    parent = make_rows(0, 400) + make_rows(0, 80)
    assert status(parent, parent + make_rows(400, 450) + make_rows(400, 410)) == "pass"


@pytest.mark.parametrize("share", [0.05, 0.1])
def test_one_refusal_for_many_prompts_is_risky(share: float) -> None:
    parent = make_rows(0, 800)
    count = round(800 * share)
    version = parent[count:] + make_rows(2000, 2000 + count, REFUSAL)
    assert status(parent, version + make_rows(900, 980)) == "risky"


def test_short_answers_may_be_equal() -> None:
    parent = make_rows(0, 800)
    assert status(parent, parent + make_rows(2000, 2080, "Yes.")) == "pass"


def test_equal_answers_are_counted_as_by_hand() -> None:
    parent = make_rows(0, 3) + make_rows(3, 5, REFUSAL)
    version = parent + make_rows(5, 7, REFUSAL) + make_rows(7, 9)
    found = count_repeated_answers(version, split(parent, version), np.ones(9, dtype=bool))
    expected = Repeats(4, 5, 1.0, 2, 2, 1 / 5, np.array([False] * 5 + [True, True, False, False]))
    assert found.is_repeat.tolist() == expected.is_repeat.tolist()
    for name in ("added", "kept", "looked_at", "repeated_added", "repeated_kept"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.usual == pytest.approx(expected.usual)


def test_rows_without_a_reference_have_no_part_in_equal_answers() -> None:
    parent = make_rows(0, 50)
    version = parent + make_rows(50, 70, REFUSAL)
    known = np.arange(70) < 50
    assert count_repeated_answers(version, split(parent, version), known).added == 0


def test_the_p_of_copies_is_fishers() -> None:
    from scipy.stats import fisher_exact

    parent = make_rows(0, 60)
    version = parent + make_rows(60, 75) + parent[:4]
    found = count_repeated_rows(version, split(parent, version))
    table = [
        [found.repeated_added, found.added - found.repeated_added],
        [found.repeated_kept, found.kept - found.repeated_kept],
    ]
    now = Measurements(79, 2.9, 3.6, 5.0, 0.3, 19, 0, 60)
    comparison = ParentComparison("sft", now, now)
    params = RuleParams()
    case = RuleInput(comparison, CALIBRATION, fit_entropy_law(()), params, (params.outlier_share,))
    p_value = copies.draft_repeats(case, found, copies.ROWS).result.p_value
    assert p_value == pytest.approx(fisher_exact(table, alternative="greater").pvalue)


def test_a_copy_of_a_row_is_known_by_the_sketch_as_added() -> None:
    parent = make_rows(0, 30)
    hashes = [row_hash for _, row_hash in parent]
    assert RowSketch.of(hashes).contains([*hashes, hashes[3]])[-1] is False
