"""From measurements to a verdict: on made-up evidence, and on real conversations measured for real."""

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from corpus.artifacts import to_json
from corpus.errors import NotAssessedError
from corpus.formats import READER
from corpus.records import Conversation, HashedRecord, Message, content_hash, data_hash
from corpus.row_facts import hashes_of
from monitor.accept import accept_version
from monitor.assess import assess_version
from monitor.calibration.benign_updates import BenignUpdate
from monitor.calibration.calibrate import Calibration, calibrate
from monitor.calibration.params import CalibrationParams
from monitor.history import DatasetReference, HistoryEntry
from monitor.law.curves import fit_law_curves
from monitor.law.results import LawPoint
from monitor.measures.compression import CompressionParams, CompressionProfile, profile_compression
from monitor.measures.consistency import ConsistencyParams, ConsistencyProfile, profile_consistency
from monitor.measures.evidence import Configuration, Evidence, version_hash
from monitor.measures.measurement import with_probe
from monitor.measures.probe_files import ProbedRows
from monitor.measures.row_split import RowSplit
from monitor.rule_params import RuleParams
from monitor.rules.parent_comparison import ComparedRows, ParentComparison, compare_with_parent
from monitor.verdict import Verdict
from training.base_model import load_base_model
from training.probe import probe_loss
from training.probe_run import ProbeParams

Rows = list[HashedRecord]

PROBE = ProbeParams(steps=60, batch_rows=4, max_length=96, skipped_steps=2)
CONFIGURATION = Configuration(CompressionParams(), ConsistencyParams(), PROBE, "base")

UPDATES = tuple(
    BenignUpdate(share, "random", 0.004 * math.sqrt(share) * sign, 0.008 * math.sqrt(share) * sign)
    for share in (0.05, 0.1, 0.2)
    for sign in (1, -1, 0.5, -0.5)
)
LAW_POINTS = tuple(
    LawPoint(str(i), 2.9, math.exp(a), b, -4 - 0.3 * a - 0.4 * b + 0.005 * (-1) ** i)
    for i, (a, b) in enumerate([(1.0, 5.0), (1.2, 5.2), (1.5, 5.1), (2.0, 5.0), (1.1, 5.4), (1.4, 5.3)] * 2)
)
# Half as many honest batches as usual, which take most of the time of a verdict on so few rows.
CALIBRATION = Calibration(400, (5.0, 5.01), UPDATES, LAW_POINTS, "base", CalibrationParams(updates=2))


WORDS = np.array(["".join(p) for p in itertools.product(("ba", "ke", "li", "mo", "nu", "ra", "se", "ti"), repeat=3)])


def make_rows(start: int, stop: int) -> Rows:
    """Distinct rows of the same kind, numbered from 1 as in a file: random words, the same ones for each number."""
    return renumber([make_row(i) for i in range(start, stop)])


@functools.cache
def make_row(number: int) -> HashedRecord:
    prompt, answer = (" ".join(words) for words in np.random.default_rng(number).choice(WORDS, (2, 9)))
    record = Conversation((Message("user", f"{prompt}?"), Message("assistant", f"{answer}.")), "made up")
    return HashedRecord(record, content_hash(record))


def renumber(rows: Rows) -> Rows:
    return [HashedRecord(replace(record, row=i), row_hash) for i, (record, row_hash) in enumerate(rows, start=1)]


def make_update(step: int = 1) -> Rows:
    """The 400 rows of the parent, of which every tenth gave way to a fresh one at the end, ``step`` times over."""
    left = [row for i, row in enumerate(make_rows(0, 400)) if i % 10 >= step]
    return renumber([*left, *make_rows(400, 400 + 40 * step)])


def make_evidence(
    rows: Rows,
    loss: Callable[[int], float] = lambda i: 5.0,
    agreement: Callable[[int], float] = lambda i: 0.4,
    dataset: str = "sft",
    r_long: float = 3.64,
) -> Evidence:
    """Evidence on made-up measurements: mean loss and agreement by a row's position; every second row is probed."""
    noise = np.random.default_rng(len(rows))
    agreements = np.array([agreement(i) for i in range(len(rows))]) + noise.normal(0, 0.2, len(rows))
    probed = list(range(0, len(rows), 2))
    losses = np.array([loss(i) for i in probed]) + noise.normal(0, 0.8, len(probed))
    known = agreements[~np.isnan(agreements)]
    return Evidence(
        dataset,
        data_hash(row_hash for _, row_hash in rows),
        rows,
        CompressionProfile(len(rows), 100 * len(rows), 2.87, r_long, {}),
        ConsistencyProfile(len(rows), len(known), float(known.mean()), float(known.std(ddof=1)), 0, 0, 0, None),
        agreements,
        float(losses.mean()),
        [rows[i][0].row for i in probed],
        [rows[i][1] for i in probed],
        losses,
    )


def judge(
    evidence: list[Evidence], history: list[HistoryEntry], configuration: Configuration = CONFIGURATION
) -> Verdict:
    return assess_version(evidence, CALIBRATION, history, configuration, RuleParams(), "0.1.0")


def accept(
    evidence: list[Evidence],
    history: list[HistoryEntry],
    name: str,
    verdict: Verdict | None = None,
    **scores: float,
) -> HistoryEntry:
    """The entry of a version. ``verdict``: its verdict, where that was made before."""
    entry = accept_version(verdict or judge(evidence, history), evidence, name, scores, (), False, "0.1.0")
    return replace(entry, number=len(history) + 1)


# Rules that look at the texts themselves, and compare them with rows of the parent that are still there; and rules
# that do with the numbers of the parent.
ROW_RULES = ("loss", "agreement", "copies", "damage", "style", "phrases", "novelty")
NUMBER_RULES = ("redundancy", "level", "forecast")

PARENT = make_evidence(make_rows(0, 400))
HISTORY = [accept([PARENT], [], "x1", heldout=-4.9)]


@functools.cache
def judge_benign_update() -> tuple[Evidence, Verdict]:
    evidence = make_evidence(make_update())
    return evidence, judge([evidence], HISTORY)


def status_of(verdict: Verdict, rule: str) -> str:
    return next(result.status for result in verdict.rules if result.id == rule)


def test_the_verdict_shows_the_curves_that_the_calibration_fitted() -> None:
    curves = fit_law_curves(LAW_POINTS, np.random.default_rng(7))
    verdict = assess_version([PARENT], replace(CALIBRATION, curves=curves), [], CONFIGURATION, RuleParams(), "0.1.0")
    assert verdict.law.curves == curves and (verdict.law.rank_correlation or 0) > 0.9


def test_the_first_version_is_the_baseline_and_stays_it_when_assessed_again() -> None:
    first = judge([PARENT], [])
    assert (first.status, first.parent, first.rules) == ("baseline", None, ())
    assert judge([PARENT], HISTORY).status == "baseline"
    assert first.measurements["sft"].added is None


def test_the_version_under_test_is_compared_with_the_one_before_it_and_not_with_itself() -> None:
    second, verdict = judge_benign_update()
    history = [*HISTORY, accept([second], HISTORY, "x2", verdict)]
    again = judge([second], history)
    assert again.parent is not None and again.parent.name == "x1"
    assert to_json(again) == to_json(verdict)


def test_a_benign_update_passes_and_counts_its_rows() -> None:
    verdict = judge_benign_update()[1]
    assert verdict.status == "pass"
    measured = verdict.measurements["sft"]
    assert (measured.added, measured.removed, measured.kept) == (40, 40, 360)
    assert verdict.rows == ()
    assert verdict.summary == "No rule found more than benign updates do, against x1."


def test_a_change_of_configuration_never_opens_the_gate() -> None:
    other = replace(CONFIGURATION, probe=replace(PROBE, steps=61))
    verdict = judge([make_evidence(make_update())], HISTORY, other)
    assert verdict.status == "not_assessed"
    assert "The other version in the history was not measured with this configuration" in verdict.summary
    for changed in (
        replace(CONFIGURATION, compression=CompressionParams(level=6)),
        replace(CONFIGURATION, consistency=ConsistencyParams(0.7)),
        replace(CONFIGURATION, base_identity="another"),
    ):
        assert judge([make_evidence(make_update())], HISTORY, changed).status == "not_assessed"


def test_versions_released_under_a_waiver_are_no_reference_and_the_verdict_says_so() -> None:
    waived = [replace(HISTORY[0], waived=True)]
    verdict = judge([make_evidence(make_update())], waived)
    assert verdict.status == "not_assessed"
    assert "released under a waiver" in verdict.summary


def test_a_new_baseline_under_a_waiver_keeps_the_waiver_and_is_a_reference() -> None:
    evidence = [make_evidence(renumber([*make_rows(0, 400), *make_rows(0, 40)]))]
    verdict = judge(evidence, HISTORY)
    assert verdict.status == "risky"
    waiver = {"rule": "redundancy", "reason": "wanted", "owner": "ana", "expires": "2099-12-31"}
    released = accept_version(verdict, evidence, "x2", {}, (waiver,), False, "0.1.0")
    assert (released.status, released.waived) == ("risky", True)
    restarted = accept_version(verdict, evidence, "x2", {}, (waiver,), True, "0.1.0")
    assert (restarted.status, restarted.waived, restarted.waivers) == ("baseline", False, (waiver,))
    after = judge([make_evidence(make_update(2))], [*HISTORY, replace(restarted, number=2)])
    assert after.parent is not None and after.parent.name == "x2"


def test_a_version_is_of_another_configuration_where_its_rows_were_read_otherwise_before() -> None:
    old = [replace(entry, reader=1) for entry in HISTORY]
    assert all(entry.reader == READER for entry in HISTORY)
    plain = make_evidence(make_update())
    assert judge([plain], old).parent == judge([plain], HISTORY).parent
    anew = replace(plain, rows_read_anew=3)
    verdict = judge([anew], old)
    assert verdict.status == "not_assessed" and verdict.parent is None
    assert "passed over a part of 3 of these rows" in verdict.summary and "accept --baseline" in verdict.summary
    # Once a version is accepted that was read so, there is a reference again.
    assert judge([anew], HISTORY).parent is not None
    assert judge([anew], [*old, *HISTORY]).parent is not None


def test_a_dataset_that_the_parent_does_not_have_is_not_assessed() -> None:
    pairs = make_evidence(make_rows(1000, 1100), dataset="preferences")
    verdict = judge([make_evidence(make_update()), pairs], HISTORY)
    assert verdict.status == "not_assessed"
    assert "redundancy in preferences" in verdict.summary
    assert "x1 has no dataset 'preferences'" in next(r.reason for r in verdict.rules if r.dataset == "preferences")
    assert verdict.measurements["preferences"].added is None
    assert status_of(verdict, "loss") == "pass"


@functools.cache
def judge_garbled_rows() -> Verdict:
    return judge([make_evidence(make_update(), loss=lambda i: 9.0 if i >= 360 else 5.0)], HISTORY)


def test_garbled_rows_are_risky_and_named_worst_first() -> None:
    verdict = judge_garbled_rows()
    assert verdict.status == "risky"
    named = [row for row in verdict.rows if row.rule == "loss"]
    assert {row.row for row in named} == set(range(361, 401, 2))
    assert [row.score for row in named] == sorted((row.score for row in named), reverse=True)
    assert verdict.summary.startswith(
        "The added rows are harder to learn than rows like them. Stopped, against x1: loss"
    )


def test_rows_cut_short_are_named_and_those_of_the_gravest_rule_come_first() -> None:
    rows = make_update()
    for i in range(360, 400):
        record = rows[i][0]
        assert isinstance(record, Conversation)
        cut = replace(record, messages=(record.messages[0], Message("assistant", record.messages[1].content[:5])))
        rows[i] = HashedRecord(cut, content_hash(cut))
    verdict = judge([make_evidence(rows, loss=lambda i: 6.5 if i >= 360 else 5.0)], HISTORY)
    assert status_of(verdict, "damage") == status_of(verdict, "loss") == "risky"
    assert {row.row for row in verdict.rows if row.rule == "damage"} == set(range(361, 401))
    alarms = {rule.id: rule for rule in verdict.rules if rule.status in ("warn", "risky")}
    named = list(dict.fromkeys(row.rule for row in verdict.rows))
    gravity = [(alarms[rule].status == "warn", alarms[rule].p_value) for rule in named]
    assert set(named) == set(alarms) - {"forecast"} and gravity == sorted(gravity)


def test_without_rows_of_the_parent_the_rules_on_single_rows_fail_closed() -> None:
    verdict = judge([make_evidence(make_rows(1000, 1400))], HISTORY)
    rules = [rule for rule in verdict.rules if rule.id in ROW_RULES]
    assert [(rule.status, rule.p_value) for rule in rules] == [("not_assessed", None)] * len(ROW_RULES)
    assert all("Fewer than 10 different rows of the parent" in rule.reason for rule in rules)
    assert {rule.status for rule in verdict.rules if rule.id in NUMBER_RULES} == {"pass"}
    assert verdict.status == "not_assessed"
    assert verdict.summary.startswith("Could not be assessed, against x1: loss, agreement, copies,")


def test_a_version_in_which_every_row_was_edited_is_compared_with_its_own_past() -> None:
    rows: Rows = []
    for record, _ in make_rows(0, 400):
        assert isinstance(record, Conversation)
        # The rows of this file have no capitals to lose: each answer is cut in the middle of a word.
        cut = replace(record, messages=(record.messages[0], Message("assistant", record.messages[1].content[:20])))
        rows.append(HashedRecord(cut, content_hash(cut)))
    verdict = judge([make_evidence(rows)], HISTORY)
    assert verdict.measurements["sft"].kept == 0
    assert (status_of(verdict, "edits"), verdict.status) == ("risky", "risky")
    assert len([row for row in verdict.rows if row.rule == "edits"]) == 50
    reason = next(rule.reason for rule in verdict.rules if rule.id == "edits")
    assert reason.startswith("400 rows were edited: answers cut off before their ends (100% of them)")


def compare(
    evidence: Evidence, reference: DatasetReference, is_kept: NDArray[np.bool_], is_added: NDArray[np.bool_]
) -> ParentComparison:
    split = RowSplit(is_kept, is_added, hashes_of(evidence.records).flag_first())
    measurements = HISTORY[0].measurements["sft"]
    rows = ComparedRows(evidence, split, CompressionParams())
    return compare_with_parent(rows, measurements, measurements, reference, CalibrationParams(), RuleParams())


def test_rows_whose_presence_in_the_parent_is_unknown_are_left_out_of_the_comparison() -> None:
    evidence = make_evidence(make_rows(0, 400))
    place = np.arange(400)
    like = compare(evidence, HISTORY[0].datasets["sft"], place < 200, (place >= 200) & (place < 230)).like
    assert like is not None and like.kept == 200
    assert sorted(like.rows.tolist()) == list(range(230))
    # Every second row was probed.
    assert np.count_nonzero(~np.isnan(like.features["loss"])) == 115
    assert compare(evidence, HISTORY[0].datasets["sft"], place < 200, place < 0).like is None


def test_copies_of_a_row_are_no_more_evidence_than_the_row_itself() -> None:
    rows = make_rows(0, 400)
    copied = renumber([*rows, *make_rows(1000, 1001) * 40])
    evidence = make_evidence(copied, loss=lambda i: 9.0 if i >= 400 else 5.0)
    is_added = np.arange(440) >= 400
    comparison = compare(evidence, HISTORY[0].datasets["sft"], ~is_added, is_added)
    assert comparison.like is not None
    assert (comparison.like.kept, len(comparison.like.rows)) == (400, 401)


def test_a_probe_of_other_data_is_not_assessed() -> None:
    rows = make_update()
    stale = replace(make_evidence(rows), probe_hashes=[row_hash for _, row_hash in make_rows(0, 400)][::2])
    with pytest.raises(NotAssessedError, match="sft: the probe is of other data; run `dvc repro probe` again"):
        judge([stale], HISTORY)


def test_equal_inputs_give_equal_bytes() -> None:
    assert to_json(judge_garbled_rows()) == to_json(judge_garbled_rows.__wrapped__())


def test_the_forecast_starts_from_the_parents_score() -> None:
    verdict = judge([make_evidence(make_update(), r_long=3.64 * 1.1)], HISTORY)
    assert verdict.forecast is not None
    change_l = verdict.measurements["sft"].l - PARENT.l
    assert verdict.forecast.value == pytest.approx(-4.9 - 0.3 * math.log(1.1) - 0.4 * change_l, abs=0.01)
    assert verdict.forecast.low < verdict.forecast.value < verdict.forecast.high
    unscored = judge([make_evidence(make_update())], [replace(HISTORY[0], scores={})])
    assert unscored.forecast is None


def test_the_hash_of_a_version_of_one_dataset_is_that_datasets_own() -> None:
    assert version_hash({"sft": "ab" * 16}) == "ab" * 16
    both = version_hash({"sft": "ab" * 16, "preferences": "cd" * 16})
    assert both == version_hash({"preferences": "cd" * 16, "sft": "ab" * 16})
    assert len({both, version_hash({"sft": "cd" * 16, "preferences": "ab" * 16}), "ab" * 16}) == 3


# From here on everything is measured, on real conversations and with a real base model.


@pytest.fixture(scope="module")
def measure(base_folder: Path) -> Callable[[Rows], Evidence]:
    def measure_version(rows: Rows) -> Evidence:
        # Of one source, although every month of the corpus has its own: rows of a new one are not compared.
        rows = [HashedRecord(replace(record, source="chats"), row_hash) for record, row_hash in renumber(rows)]
        model, tokenizer, card = load_base_model(base_folder)
        probe = probe_loss(model, tokenizer, rows, PROBE, card.trained_from)
        consistency, agreement = profile_consistency(rows, ConsistencyParams())
        measured = Evidence(
            "sft",
            data_hash(row_hash for _, row_hash in rows),
            rows,
            profile_compression([record for record, _ in rows], CompressionParams()),
            consistency,
            agreement,
            *(math.nan, (), (), np.zeros(0)),
        )
        return with_probe(measured, probe.l, probe.tokens_read_share, ProbedRows.of(probe.rows))

    return measure_version


@pytest.fixture(scope="module")
def judge_change(chats: Rows, base_folder: Path, measure: Callable[[Rows], Evidence]) -> Callable[[Rows], Verdict]:
    """Assess rows that take the place of every tenth of 600 conversations."""
    parent = chats[:600]
    left = [row for i, row in enumerate(parent) if i % 10]
    params = CalibrationParams(seeds=2, update_shares=(0.1,), updates=4, topics=8, law_runs=False)
    calibration = calibrate(parent, str(base_folder), PROBE, CompressionParams(), params)

    def assess(rows: Rows, history: list[HistoryEntry]) -> tuple[Verdict, Evidence]:
        evidence = measure(rows)
        return assess_version([evidence], calibration, history, CONFIGURATION, RuleParams(), "0.1.0"), evidence

    verdict, evidence = assess(parent, [])
    history = [accept_version(verdict, [evidence], "x1", {}, (), False, "0.1.0")]
    return lambda added: assess(left + added, history)[0]


def misread(rows: Rows, roles: set[str]) -> Rows:
    """Rows whose texts of some roles are UTF-8 that was decoded as UTF-16."""
    damaged: Rows = []
    for record, _ in rows:
        assert isinstance(record, Conversation)
        messages = []
        for message in record.messages:
            raw = message.content.encode()
            text = (raw + b" " * (len(raw) % 2)).decode("utf-16-le", "replace")
            messages.append(Message(message.role, text) if message.role in roles else message)
        changed = replace(record, messages=tuple(messages))
        damaged.append(HashedRecord(changed, content_hash(changed)))
    return damaged


def test_fresh_conversations_pass(chats: Rows, judge_change: Callable[[Rows], Verdict]) -> None:
    assert judge_change(chats[600:660]).status == "pass"


def test_answers_read_through_a_broken_decoder_are_risky(chats: Rows, judge_change: Callable[[Rows], Verdict]) -> None:
    verdict = judge_change(misread(chats[600:660], {"assistant"}))
    assert verdict.status == "risky"
    loss = next(rule for rule in verdict.rules if rule.id == "loss")
    # In nats of L: a tenth of the rows is harder by more than half a nat.
    assert loss.p_value < 0.05 and loss.statistic > 0.05
    assert all(row.row > 540 for row in verdict.rows)


def test_answers_that_begin_far_behind_a_damaged_prompt_are_read_too(
    chats: Rows, judge_change: Callable[[Rows], Verdict]
) -> None:
    # In the bytes that damaged prompts turn into, few answers begin within the probe's 96 tokens.
    verdict = judge_change(misread(chats[600:660], {"user", "assistant"}))
    assert verdict.status == "risky" and verdict.measurements["sft"].read_share < 1
    # Such prompts are like no kept row's, so the rule `loss` compares nothing; but L is measured.
    assert verdict.measurements["sft"].l - verdict.parent_measurements["sft"].l > 0.05


def test_conversations_merged_twice_are_risky(chats: Rows, judge_change: Callable[[Rows], Verdict]) -> None:
    verdict = judge_change(chats[60:120])
    assert status_of(verdict, "redundancy") == "risky"
    assert all(row.row > 540 for row in verdict.rows)


def test_answers_of_other_rows_are_at_least_a_warning(chats: Rows, judge_change: Callable[[Rows], Verdict]) -> None:
    fresh = [record for record, _ in chats[600:660]]
    swapped: Rows = []
    for record, donor in zip(fresh, fresh[1:] + fresh[:1], strict=True):
        assert isinstance(record, Conversation) and isinstance(donor, Conversation)
        asked = [message for message in record.messages if message.role == "user"]
        answers = [message for message in donor.messages if message.role == "assistant"]
        mixed = replace(record, messages=(*asked, *answers))
        swapped.append(HashedRecord(mixed, content_hash(mixed)))
    assert status_of(judge_change(swapped), "agreement") in ("warn", "risky")
