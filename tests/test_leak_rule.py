"""Rule `leak`: added rows that hold what models are evaluated on, against the kept rows."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from corpus.errors import NotAssessedError
from corpus.leaked_rows import LeakedRow, LeakReport, SetLeaks
from corpus.params import parse_section
from corpus.records import Conversation, HashedRecord
from monitor.calibration.calibrate import Calibration
from monitor.calibration.params import CalibrationParams
from monitor.law.entropy_law import fit_entropy_law
from monitor.measures.leak_counts import LeakCounts, count_leaks
from monitor.measures.row_sketch import RowSketch
from monitor.measures.row_split import split_rows
from monitor.rule_params import RuleParams
from monitor.rules import leak
from monitor.rules.parent_comparison import ParentComparison
from monitor.rules.rule import RuleInput
from monitor.verdict import Measurements, RuleResult

CALIBRATION = Calibration(400, (), (), (), "", CalibrationParams())
HASHES = [hashlib.blake2b(str(i).encode(), digest_size=16).hexdigest() for i in range(1, 12001)]
ALL_ROWS = [HashedRecord(Conversation((), row=i), row_hash) for i, row_hash in enumerate(HASHES, start=1)]
ROWS = ALL_ROWS[:2000]
SPLIT = split_rows(HASHES[:2000], RowSketch.of(HASHES[:1800]))


def report(*rows: int, of: int = 100) -> LeakReport:
    """The rows with these numbers leak, each from another row of the set."""
    listed = tuple(LeakedRow(row, HASHES[row - 1], "test", place, 0.9) for place, row in enumerate(rows, start=1))
    return LeakReport(2000, len(rows), 0, {"test": SetLeaks(of, 0, len(rows))}, listed)


def judge(found: LeakReport | None) -> RuleResult:
    counts = None if found is None else count_leaks(ROWS, SPLIT, found)
    now = Measurements(2000, 2.0, 2.0, 1.0, 0.3, added=200, removed=0, kept=1800)
    comparison = ParentComparison("sft", now, replace(now, rows=1800), leaks=counts)
    draft = leak.RULE.ask(RuleInput(comparison, CALIBRATION, fit_entropy_law([]), RuleParams()))
    if draft.result.p_value is None:
        return draft.result
    return draft.decide(min(1.0, 20 * draft.result.p_value), 20, RuleParams())


def test_a_hundredth_of_the_rows_that_leaks_is_risky_and_its_rows_are_blamed() -> None:
    found = judge(report(*range(1801, 1821)))
    assert (
        found.status == "risky"
        and "20 of 200 added rows (10.0%)" in found.reason
        and "100 rows of test" in found.reason
    )
    counts = count_leaks(ROWS, SPLIT, report(*range(1801, 1821)))
    assert np.flatnonzero(~np.isnan(counts.shares)).tolist() == list(range(1800, 1820))


def test_a_leak_that_was_accepted_is_no_alarm_again_and_is_still_said() -> None:
    found = judge(report(*range(1, 41)))
    assert found.status == "pass" and "40 of the kept rows" in found.reason


def test_rows_that_leak_as_often_as_kept_rows_do_are_what_the_data_is_like() -> None:
    assert judge(report(*range(1, 73), *range(1801, 1809))).status == "pass"


def test_one_row_is_no_alarm() -> None:
    assert judge(report(1801)).status == "pass"


def test_nothing_to_compare_with_is_skipped() -> None:
    assert judge(None).status == "skipped"


def test_few_rows_that_hold_most_of_a_small_set_matter() -> None:
    split = split_rows(HASHES, RowSketch.of(HASHES[:11800]))
    listed = tuple(LeakedRow(row, HASHES[row - 1], "test", row - 11800, 1.0) for row in range(11801, 11813))
    counts = count_leaks(ALL_ROWS, split, LeakReport(12000, 12, 0, {"test": SetLeaks(15, 0, 12)}, listed))
    p_value, effect = leak.judge_counts(counts, 200 / 12000)
    assert p_value < 1e-6 and effect == pytest.approx(12 / 15)


@pytest.mark.slow
def test_the_p_value_is_that_of_draws_without_replacement_the_larger_of_two() -> None:
    rng = np.random.default_rng(4)

    def draw(leaks: int, rows: int, found: int) -> float:
        return float(np.mean(rng.hypergeometric(leaks, rows - leaks, 200, size=400_000) >= found))

    def p_value(added: int, kept: int) -> float:
        return leak.judge_counts(LeakCounts(200, 1800, added, kept, np.zeros(0), {"test": (added, 100)}, 8), 0.1)[0]

    assert p_value(6, 2) == pytest.approx(max(draw(8, 2000, 6), draw(9, 3000, 6)), abs=5e-5)
    assert p_value(2, 0) == pytest.approx(max(draw(2, 2000, 2), draw(3, 3000, 2)), abs=5e-4)
    # Data that is like itself: more kept rows of another kind would make its own rate seem too high.
    assert p_value(12, 41) == pytest.approx(draw(53, 2000, 12), abs=5e-4)
    assert p_value(12, 41) > 10 * draw(54, 3000, 12)


def test_a_listed_row_that_is_not_there_is_not_assessed() -> None:
    other = replace(report(1801), listed=(LeakedRow(1801, "f" * 32, "test", 1, 1.0),))
    with pytest.raises(NotAssessedError, match="force prepare"):
        count_leaks(ROWS, SPLIT, other)


def test_a_file_of_an_earlier_release_has_the_default_thresholds() -> None:
    from dataclasses import asdict

    section = {key: value for key, value in asdict(RuleParams()).items() if key != "leak_share"}
    assert parse_section(RuleParams, section, "params.yaml: rules") == RuleParams()
