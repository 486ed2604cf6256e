"""Rule `redundancy` on real conversations: what it must not see (size, order, sources) and what it must."""

from dataclasses import replace

import numpy as np
import pytest

from corpus.records import Conversation, HashedRecord, Message, content_hash
from monitor.calibration.benign_updates import BenignUpdate
from monitor.calibration.calibrate import Calibration
from monitor.calibration.own_additions import Additions, flag_known, measure_additions, measure_usual
from monitor.calibration.params import CalibrationParams
from monitor.law.entropy_law import fit_entropy_law
from monitor.measures.compression import CompressionParams
from monitor.measures.expected_size import SampledTexts, compare_sizes, read_texts
from monitor.measures.row_sketch import RowSketch
from monitor.measures.row_sources import count_sources
from monitor.measures.row_split import split_rows
from monitor.rule_params import RuleParams
from monitor.rules import redundancy
from monitor.rules.parent_comparison import ParentComparison
from monitor.rules.rule import RuleInput
from monitor.verdict import Measurements, RuleResult

Rows = list[HashedRecord]
COMPRESSION = CompressionParams()
PARAMS = CalibrationParams()
CALIBRATION = Calibration(
    400,
    (),
    (BenignUpdate(0.1, "random", 1e-3, 1e-3),) * 12,
    (),
    "",
    PARAMS,
)


def make_row(prompt: str, answer: str, source: str = "", system: str = "") -> HashedRecord:
    before = (Message("system", system),) if system else ()
    record = Conversation((*before, Message("user", prompt), Message("assistant", answer)), source)
    return HashedRecord(record, content_hash(record))


def put_system(rows: Rows, text: str) -> Rows:
    return [rewrite(row, (Message("system", text), *messages_of(row))) for row in rows]


def messages_of(row: HashedRecord) -> tuple[Message, ...]:
    assert isinstance(row.record, Conversation)
    return row.record.messages


def rewrite(row: HashedRecord, messages: tuple[Message, ...]) -> HashedRecord:
    record = Conversation(messages, row.record.source)
    return HashedRecord(record, content_hash(record))


def name_source(rows: Rows, source: str) -> Rows:
    return [HashedRecord(replace(record, source=source), row_hash) for record, row_hash in rows]


def measure(parent: Rows, version: Rows) -> Additions | None:
    split = split_rows([row_hash for _, row_hash in version], RowSketch.of(row_hash for _, row_hash in parent))
    return measure_additions(
        version, split, flag_known(version, split, count_sources(r.source for r, _ in parent)), COMPRESSION, PARAMS
    )


def judge(parent: Rows, version: Rows) -> RuleResult:
    """The rule's result as the only test of its version."""
    sketch = RowSketch.of(row_hash for _, row_hash in parent)
    split = split_rows([row_hash for _, row_hash in version], sketch)
    difference = sketch.difference([row_hash for _, row_hash in version])
    known = flag_known(version, split, count_sources(record.source for record, _ in parent))
    now = Measurements(len(version), 2.9, 3.6, 5.0, 0.3, difference.added, difference.removed, difference.kept)
    comparison = ParentComparison(
        "sft",
        now,
        Measurements(len(parent), 2.9, 3.6, 5.0, 0.3),
        additions=measure(parent, version),
        added_known=int(np.count_nonzero(split.is_added & known)),
    )
    case = RuleInput(comparison, CALIBRATION, fit_entropy_law(()), RuleParams())
    found = redundancy.RULE.ask(case)
    return found.result if found.result.p_value is None else found.decide(found.result.p_value, 1, RuleParams())


@pytest.fixture(scope="module")
def shuffled(chats: Rows) -> Rows:
    """Conversations without a source, in an order that has nothing to do with their dates."""
    return name_source([chats[i] for i in np.random.default_rng(5).permutation(len(chats)).tolist()], "")


@pytest.mark.slow
@pytest.mark.parametrize("added", [100, 200, 400])
def test_growth_by_honest_rows_passes_at_any_size(shuffled: Rows, added: int) -> None:
    statuses = []
    for start in range(0, 1200 - 400 - added + 1, 400):
        rows = shuffled[start : start + 400 + added]
        statuses.append(judge(rows[:400], rows).status)
    assert set(statuses) == {"pass"}


@pytest.mark.slow
def test_the_order_of_the_rows_changes_no_number(shuffled: Rows) -> None:
    version = shuffled[40:440] + shuffled[:5]
    expected = measure(shuffled[:400], version)
    for order in (sorted(version, key=lambda row: str(row[0])), version[::-1]):
        assert measure(shuffled[:400], order) == expected


def test_the_same_rows_in_another_order_are_nothing_to_test(shuffled: Rows) -> None:
    result = judge(shuffled[:120], sorted(shuffled[:120], key=lambda row: str(row[0])))
    assert (result.status, result.p_value) == ("skipped", None)


@pytest.mark.slow
@pytest.mark.parametrize("copies", [20, 40])
def test_copies_are_risky_and_raise_r_by_their_share(shuffled: Rows, copies: int) -> None:
    result = judge(shuffled[:400], shuffled[:400] + shuffled[:copies])
    assert result.status == "risky"
    assert result.statistic == pytest.approx(copies / 400, rel=0.35)


@pytest.mark.slow
def test_one_answer_to_all_prompts_is_at_least_a_warning(shuffled: Rows) -> None:
    def refuse(row: HashedRecord) -> HashedRecord:
        refusal = "I'm sorry, but I can't help you with that request."
        return rewrite(
            row, tuple(replace(m, content=refusal) if m.role == "assistant" else m for m in messages_of(row))
        )

    version = shuffled[:340] + [refuse(row) for row in shuffled[340:400]]
    assert judge(shuffled[:400], version).status in ("warn", "risky")


@pytest.mark.slow
def test_a_system_message_put_before_rows_is_no_redundancy(shuffled: Rows) -> None:
    version = shuffled[:300] + put_system(shuffled[300:400], "You are a friendly assistant who answers briefly.")
    assert judge(shuffled[:400], version).status == "pass"


def test_rows_of_a_new_source_are_not_compared_whatever_they_repeat(shuffled: Rows) -> None:
    parent = name_source(shuffled[:120], "mail")
    new = [make_row(f"label {i}", "the same words again and again", "labels") for i in range(40)]
    alone = judge(parent, parent + new)
    assert alone.status == "skipped" and "sources that the parent did not have" in alone.reason
    beside = measure(parent, parent + new + name_source(shuffled[120:140], "mail"))
    only = measure(parent, parent + name_source(shuffled[120:140], "mail"))
    assert beside is not None and only is not None
    assert replace(beside.found, share=0) == replace(only.found, share=0)
    # A sketch may take one or two of them for kept rows.
    assert beside.left_out >= 36


def test_a_source_that_was_renamed_is_still_compared(shuffled: Rows) -> None:
    parent = name_source(shuffled[:120], "mail")
    version = name_source(shuffled[:130], "letters")
    found = measure(parent, version)
    assert found is not None and found.left_out == 0


@pytest.mark.slow
def test_a_source_of_other_text_that_grows_is_compared_with_itself(shuffled: Rows) -> None:
    # Labels of few words compress ten times as well as conversations.
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(40)]
    labels = [make_row(" ".join(rng.choice(words, 40)), " ".join(rng.choice(words, 3)), "labels") for _ in range(300)]
    parent = name_source(shuffled[:300], "chat") + labels[:150]
    assert judge(parent, parent + labels[150:]).status == "pass"
    # Without a label, so many rows of one kind do seem to repeat.
    unnamed = name_source(parent, "")
    found = measure(unnamed, unnamed + name_source(labels[150:], ""))
    assert found is not None and found.found.change_log_r > 0.02


def read_all(rows: Rows, most_bytes: int = 2**30) -> SampledTexts:
    return read_texts(rows, np.ones(len(rows), dtype=bool), most_bytes)


def test_a_part_of_the_rows_stands_for_all_of_them(shuffled: Rows) -> None:
    whole, part = read_all(shuffled[:600]), read_all(shuffled[:600], 30_000)
    assert whole.total_bytes == whole.bytes and part.rows == whole.rows[: len(part.rows)]
    assert 25_000 < part.bytes <= 30_000 < whole.bytes and part.count == whole.count == 600
    assert part.total_bytes == pytest.approx(whole.bytes, rel=0.02)
    assert len(read_all(shuffled[:5], 0).rows) == 1


def test_what_honest_rows_take_is_foretold_within_a_few_per_cent(shuffled: Rows) -> None:
    """Against brute force: the bytes that held-back rows do take."""
    texts = [read_all(shuffled[start:stop]) for start, stop in ((0, 500), (500, 700))]
    found = compare_sizes(texts[0], texts[1], COMPRESSION)
    codec = COMPRESSION.long_codec()
    rows = [list(part.rows) for part in texts]
    known, both = (codec.sizes(row.text for row in some)[1] for some in (rows[0], rows[0] + rows[1]))
    assert found.added_bytes == pytest.approx(both - known, rel=0.03)
    assert found.expected_bytes == pytest.approx(found.added_bytes, rel=0.05)


def test_too_few_kept_rows_are_no_reference(shuffled: Rows) -> None:
    assert measure(shuffled[:99], shuffled[:120]) is None
    result = judge(shuffled[:99], shuffled[:120])
    assert "whole versions are compared" in result.reason


def test_honest_batches_are_drawn_with_the_parameters_of_the_calibration(shuffled: Rows) -> None:
    params = replace(PARAMS, updates=2)
    everything = np.ones(150, dtype=bool)
    usual = measure_usual(shuffled[:150], everything, COMPRESSION, params)
    assert usual == measure_usual(shuffled[:150][::-1], everything, COMPRESSION, params) and len(usual) == 3 * 2
    changes: list[dict[str, object]] = [{"topics": 3}, {"seed": 1}, {"updates": 3}, {"update_shares": (0.3,)}]
    for change in changes:
        assert usual != measure_usual(shuffled[:150], everything, COMPRESSION, replace(params, **change))  # type: ignore[arg-type]
