"""Preferences from end to end: real replies, measured with a real base model, judged against their parent."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from corpus.errors import NotAssessedError
from corpus.records import Conversation, HashedRecord, Message, Preference, content_hash
from entropylaw.repository import layout
from entropylaw.repository.results import load_agreement
from monitor.accept import accept_version
from monitor.assess import assess_version
from monitor.calibration.benign_updates import BenignUpdate
from monitor.calibration.calibrate import Calibration
from monitor.calibration.params import CalibrationParams
from monitor.history import read_history, write_entry
from monitor.measures.compression import CompressionParams
from monitor.measures.consistency import ConsistencyParams
from monitor.measures.evidence import Configuration, Evidence
from monitor.measures.measurement import measure_dataset, probe_dataset
from monitor.rule_params import RuleParams
from monitor.verdict import Verdict
from training.probe_run import ProbeParams
from training.probed_model import load_probed_model

Rows = list[HashedRecord]

PROBE = ProbeParams(steps=40, batch_rows=4, max_length=64, skipped_steps=2)
CONFIGURATION = Configuration(CompressionParams(), ConsistencyParams(), PROBE, "base")
CALIBRATION = Calibration(
    400,
    (5.0, 5.01),
    (BenignUpdate(0.1, "random", 0.001, 0.001),) * 12,
    (),
    "base",
    CalibrationParams(),
)


@pytest.fixture(scope="module")
def replies(chats: Rows) -> list[Preference]:
    """The reply that was given, against one that was given to another prompt. Not by date: every answer stands in two
    pairs, and in pairs that follow each other fewer of these would be known than in all.
    """
    records = [record for record, _ in chats if isinstance(record, Conversation)]
    pairs = []
    for record, other in zip(records, records[7:] + records[:7], strict=True):
        if record.messages[0] != other.messages[0] and record.messages[1] != other.messages[1]:
            pairs.append(Preference(record.messages[:1], record.messages[1:2], other.messages[1:2], record.source))
    return [pairs[i] for i in np.random.default_rng(0).permutation(len(pairs))]


def flip(pair: Preference) -> Preference:
    return replace(pair, chosen=pair.rejected, rejected=pair.chosen)


Judge = Callable[[list[Preference]], Verdict]


@pytest.fixture(scope="module")
def judge(replies: list[Preference], base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """The verdict on a version whose parent are the first 600 pairs."""
    base = load_probed_model(base_folder)

    def measure(pairs: list[Preference]) -> Evidence:
        rows = [HashedRecord(replace(pair, row=i), content_hash(pair)) for i, pair in enumerate(pairs, start=1)]
        evidence = measure_dataset("preferences", rows, CompressionParams(), ConsistencyParams())
        return probe_dataset(evidence, base, PROBE)

    parent = measure(replies[:600])
    first = assess_version([parent], CALIBRATION, (), CONFIGURATION, RuleParams(), "0.1.0")
    folder = tmp_path_factory.mktemp("history")
    write_entry(folder, accept_version(first, [parent], "x1", {}, (), False, "0.1.0"))
    history = read_history(folder)
    return lambda pairs: assess_version([measure(pairs)], CALIBRATION, history, CONFIGURATION, RuleParams(), "0.1.0")


def statuses(verdict: Verdict) -> dict[str, str]:
    return {rule.id: rule.status for rule in verdict.rules}


def test_fresh_pairs_pass_every_rule(replies: list[Preference], judge: Judge) -> None:
    verdict = judge(replies[60:660])
    assert verdict.status == "pass"
    assert statuses(verdict).pop("forecast") == "skipped"
    passed = {rule for rule, status in statuses(verdict).items() if status == "pass"}
    assert passed >= {"redundancy", "loss", "agreement", "both_rise", "copies", "damage", "style", "flipped", "margin"}
    # L is the KTO loss of a run that hardly moves.
    assert verdict.measurements["preferences"].l == pytest.approx(0.5, abs=0.05)


def test_labels_flipped_in_place_are_risky_and_their_rows_named(replies: list[Preference], judge: Judge) -> None:
    verdict = judge([flip(pair) for pair in replies[:60]] + replies[60:600])
    assert statuses(verdict)["flipped"] == "risky"
    named = [row.row for row in verdict.rows if row.rule == "flipped"]
    assert len(named) == 50 and all(row <= 60 for row in named)


def test_fresh_pairs_with_exchanged_columns_are_risky_by_their_margin(replies: list[Preference], judge: Judge) -> None:
    verdict = judge(replies[60:600] + [flip(pair) for pair in replies[600:660]])
    assert statuses(verdict)["margin"] == "risky"
    assert statuses(verdict)["flipped"] == "pass"
    named = [row for row in verdict.rows if row.rule == "margin"]
    assert len(named) == 50 and all(row.row > 540 for row in named)
    assert [row.score for row in named] == sorted(row.score for row in named)


def test_garbled_chosen_answers_are_risky_by_the_loss_of_the_chosen(replies: list[Preference], judge: Judge) -> None:
    rng = np.random.default_rng(0)

    def garble(pair: Preference) -> Preference:
        letters = "".join(map(chr, rng.integers(0x4E00, 0x9FFF, 12)))
        return replace(pair, chosen=(Message("assistant", letters),))

    verdict = judge(replies[60:600] + [garble(pair) for pair in replies[600:660]])
    (rule,) = [rule for rule in verdict.rules if rule.id == "loss"]
    assert rule.status == "risky"
    assert "have a higher loss" in rule.reason and "nats" in rule.reason


def test_a_reordered_version_asks_nothing_of_its_pairs(replies: list[Preference], judge: Judge) -> None:
    verdict = judge(replies[599::-1])
    assert {name: status for name, status in statuses(verdict).items() if name in ("flipped", "margin")} == {
        "flipped": "skipped",
        "margin": "skipped",
    }
    assert verdict.status == "pass"


def test_agreement_of_one_answer_only_is_of_another_version_of_the_tool(in_tmp_path: Path) -> None:
    result = layout.result("preferences", "agreement.npy")
    result.parent.mkdir(parents=True)
    np.save(result, np.zeros(3, dtype=np.float32))
    with pytest.raises(NotAssessedError, match=r"agreement\.npy: of another version of the tool"):
        load_agreement("preferences", 3)
    np.save(result, np.zeros((3, 2), dtype=np.float32))
    assert load_agreement("preferences", 3).shape == (3, 2)
