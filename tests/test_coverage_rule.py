"""Rule `coverage`: a source or an end of the file that is gone, against rows that are gone at random."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from corpus.records import Conversation, HashedRecord, Message, content_hash
from corpus.row_sides import side_key, split_sides
from monitor.calibration.benign_updates import BenignUpdate
from monitor.calibration.calibrate import Calibration
from monitor.calibration.params import CalibrationParams
from monitor.law.entropy_law import fit_entropy_law
from monitor.measures.coverage import Coverage, measure_coverage
from monitor.measures.row_sketch import RowSketch
from monitor.measures.row_sources import count_sources
from monitor.measures.row_split import split_rows
from monitor.rule_params import RuleParams
from monitor.rules import coverage
from monitor.rules.parent_comparison import ParentComparison
from monitor.rules.rule import RuleInput
from monitor.verdict import Measurements, RuleResult

Rows = list[HashedRecord]
CALIBRATION = Calibration(400, (), (BenignUpdate(0.1, "random", 1e-3, 1e-3),) * 12, (), "", CalibrationParams())


@dataclass(frozen=True)
class Sample:
    """What a history keeps of single rows."""

    content: NDArray[np.uint64]
    prompt: NDArray[np.uint64]
    answer: NDArray[np.uint64]
    position: NDArray[np.uint32]
    crowded: tuple[int, ...] = ()

    @classmethod
    def of(cls, rows: Rows, every: int = 1) -> "Sample":
        taken = list(enumerate(rows))[::every]
        sides = [split_sides(record) for _, (record, _) in taken]
        return cls(
            np.array([int(row_hash[:16], 16) for _, (_, row_hash) in taken], dtype=np.uint64),
            np.array([side_key(side.prompt) for side in sides], dtype=np.uint64),
            np.array([side_key(side.answer) for side in sides], dtype=np.uint64),
            np.array([position for position, _ in taken], dtype=np.uint32),
        )


def make_row(prompt: str, answer: str, source: str = "") -> HashedRecord:
    record = Conversation((Message("user", prompt), Message("assistant", answer)), source)
    return HashedRecord(record, content_hash(record))


def make_rows(start: int, stop: int, source: str = "") -> Rows:
    return [make_row(f"question {i}", f"answer {i}", source) for i in range(start, stop)]


def measure(parent: Rows, version: Rows, sample: Sample | None) -> Coverage:
    sketch = RowSketch.of(row_hash for _, row_hash in parent)
    hashes = [row_hash for _, row_hash in version]
    sources = count_sources(record.source for record, _ in parent)
    removed = sketch.difference(hashes).removed
    return measure_coverage(version, split_rows(hashes, sketch), len(parent), removed, sources, sample)


def ask(found: Coverage | None, rows: int | None = None) -> RuleResult:
    """The rule's result as the only test of its version, which has as many ``rows`` as its parent or as is said."""
    before = Measurements(found.rows if found else 1, 2.9, 3.6, 5.0, 0.3)
    comparison = ParentComparison("sft", replace(before, rows=rows or before.rows), before, coverage=found)
    draft = coverage.RULE.ask(RuleInput(comparison, CALIBRATION, fit_entropy_law(()), RuleParams()))
    return draft.result if draft.result.p_value is None else draft.decide(draft.result.p_value, 1, RuleParams())


def judge(parent: Rows, version: Rows, every: int = 1) -> RuleResult:
    return ask(measure(parent, version, Sample.of(parent, every)), len(version))


def thin(rows: Rows, share: float, seed: int = 0) -> Rows:
    """The rows without a share of them, drawn at random."""
    gone = set(np.random.default_rng(seed).permutation(len(rows))[: round(share * len(rows))].tolist())
    return [row for i, row in enumerate(rows) if i not in gone]


PARENT = make_rows(0, 1600)


def test_a_version_that_keeps_every_row_in_any_order_passes() -> None:
    assert judge(PARENT, PARENT[::-1] + make_rows(5000, 5800)).status == "pass"


@pytest.mark.parametrize("every", [1, 8])
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_the_last_part_of_the_file_cut_off_is_risky_and_said(share: float, every: int) -> None:
    kept = round(1600 * (1 - share))
    result = judge(PARENT, PARENT[:kept] + make_rows(5000, 5200), every)
    assert result.status == "risky" and result.statistic == pytest.approx(share, abs=0.01)
    assert f"to 1,600 of the parent, the last {share:.0%} of the file, are gone" in result.reason


def test_the_first_part_of_the_file_cut_off_is_risky_even_after_an_update_and_a_shuffle() -> None:
    version = thin(PARENT[160:], 0.1) + make_rows(5000, 5160)
    order = np.random.default_rng(1).permutation(len(version)).tolist()
    result = judge(PARENT, [version[i] for i in order])
    assert result.status == "risky" and "Rows 1 to 1" in result.reason and "the first 10% of the file" in result.reason


def test_a_window_that_moves_on_is_no_loss_and_one_whose_end_is_missing_is() -> None:
    assert judge(PARENT, PARENT[160:] + make_rows(5000, 5160)).status == "pass"
    assert judge(PARENT, PARENT[:-160] + make_rows(5000, 5160)).status == "risky"


def test_only_the_first_tenth_kept_is_risky() -> None:
    result = judge(PARENT, PARENT[:160])
    assert result.status == "risky" and "the last 90% of the file" in result.reason


@pytest.mark.parametrize(
    ("share", "status"), [(0.02, "pass"), (0.1, "pass"), (0.2, "pass"), (0.3, "warn"), (0.6, "warn")]
)
def test_rows_gone_all_over_the_file_pass_or_warn_by_their_number(share: float, status: str) -> None:
    assert [judge(PARENT, thin(PARENT, share, seed)).status for seed in range(5)] == [status] * 5


def test_rows_removed_at_random_are_no_run_more_often_than_promised() -> None:
    """The corrected p of a removal at random lies below 0.05 in at most 5% of draws, up to chance."""
    p_values = [judge(PARENT[:300], thin(PARENT[:300], 0.15, seed)).p_value for seed in range(200)]
    assert sum(p is not None and p <= 0.05 for p in p_values) <= 18


def test_the_p_of_a_run_is_that_of_counting_all_removals() -> None:
    gone = np.array([True] * 6 + [False] * 14)
    length, _, p_value = coverage._find_run(gone)
    # All six removed rows are the first six: one of C(20, 6) removals; the correction tries 2 times 20 runs.
    assert length == 6
    assert p_value == pytest.approx(40 / math.comb(20, 6))


def test_a_few_rows_at_an_end_are_too_few_to_matter() -> None:
    assert judge(PARENT, PARENT[:1590]).status == "pass"


def test_edited_rows_are_not_gone() -> None:
    edited = [make_row(f"question {i}", f"Answer number {i}, at greater length") for i in range(1400, 1600)]
    renamed = [make_row(f"another question, number {i}", f"answer {i}") for i in range(200)]
    version = renamed + PARENT[200:1400] + edited
    # The sketch takes one new row in a hundred for a kept one.
    assert measure(PARENT, version, Sample.of(PARENT)).lost <= 12
    assert judge(PARENT, version).status == "pass"


def test_a_row_that_happens_to_share_an_answer_does_not_hide_a_lost_end() -> None:
    parent = [make_row(f"question {i}", "Yes." if i % 9 == 0 else f"answer {i}") for i in range(1600)]
    version = [*parent[:1440], make_row("a new question", "Yes.")]
    assert judge(parent, version).status == "risky"
    crowded = replace(Sample.of(parent), crowded=(side_key("Yes."),))
    assert np.count_nonzero(~measure(parent, version, crowded).is_present) == 160


MIXTURE = [
    row
    for i in range(400)
    for row in (
        make_row(f"mail {i}", f"reply {i}", "mail"),
        make_row(f"forum {i}", f"post {i}", "forum"),
        *([make_row(f"code {i}", f"def f{i}()", "code")] if i % 4 == 0 else []),
    )
]


@pytest.mark.parametrize("source", ["mail", "forum", "code"])
@pytest.mark.parametrize("has_table", [True, False])
def test_a_whole_source_gone_is_risky_and_named(source: str, has_table: bool) -> None:
    version = [row for row in MIXTURE if row[0].source != source] + make_rows(
        5000, 5080, "forum" if source != "forum" else "mail"
    )
    result = ask(measure(MIXTURE, version, Sample.of(MIXTURE) if has_table else None))
    assert result.status == "risky" and f"Source '{source}': all" in result.reason


def test_a_source_under_another_name_is_not_gone() -> None:
    version = [
        HashedRecord(replace(record, source="letters") if record.source == "mail" else record, row_hash)
        for record, row_hash in MIXTURE
    ]
    for sample in (Sample.of(MIXTURE), None):
        assert ask(measure(MIXTURE, version, sample)).status == "pass"


def test_all_sources_cut_alike_are_no_lost_source() -> None:
    result = judge(MIXTURE, thin(MIXTURE, 0.7))
    assert result.status == "warn" and "all over the file" in result.reason


def test_an_old_parent_without_single_rows_says_what_is_not_known() -> None:
    result = ask(measure(PARENT, PARENT[:1440], None))
    assert result.status == "pass" and "Where in the file they stood is not known" in result.reason
    assert ask(measure(PARENT, PARENT[:800], None)).status == "warn"
    assert ask(None).status == "skipped"
