"""Calibration: what is normal, measured on data whose truth is known."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from corpus.artifacts import to_json
from corpus.errors import EntropylawError, NotAssessedError
from corpus.records import Conversation, Message, Preference, Record, canonical_text, content_hash
from monitor.calibration import (
    Calibration,
    CalibrationParams,
    calibrate,
    calibration_from_json,
    cluster_topics,
    measure_updates,
    topic_spread,
)
from monitor.compression import CompressionParams
from monitor.entropy_law import fit_entropy_law
from monitor.law_runs import law_subsets, scramble_words, split_for_law
from training.base_model import load_base_model
from training.probe import ProbeParams

Rows = list[tuple[Record, str]]
COMPRESSION = CompressionParams()
PROBE = ProbeParams(steps=16, batch_rows=4, max_length=64, skipped_steps=1)
PARAMS = CalibrationParams(seeds=2, update_shares=(0.1, 0.2), updates=2, topics=6, heldout_rows=16)


@pytest.fixture(scope="module")
def rows(chats: Rows) -> Rows:
    return chats[:480]


@pytest.fixture(scope="module")
def calibration(rows: Rows, base_folder: Path) -> Calibration:
    return calibrate(rows, str(base_folder), PROBE, COMPRESSION, PARAMS)


@pytest.mark.parametrize("sd", [0.1, 0.3, 1.0])
def test_the_spread_between_topics_is_recovered_from_rows_with_noise(sd: float) -> None:
    rng = numpy.random.default_rng(0)
    found = []
    for _ in range(40):
        topics = numpy.repeat(numpy.arange(30), 40)
        values = rng.normal(0, sd, 30)[topics] + rng.normal(0, 0.5, topics.size)
        found.append(topic_spread(values, topics).sd)
    assert numpy.sqrt(numpy.mean(numpy.square(found))) == pytest.approx(sd, rel=0.1)


def test_small_topics_and_rows_without_a_value_do_not_count() -> None:
    rng = numpy.random.default_rng(1)
    topics = numpy.repeat(numpy.arange(4), 20)
    values = rng.normal(topics * 1.0, 0.1)
    spread = topic_spread(values, topics)
    assert spread.degrees_of_freedom == 3
    noisy = numpy.concatenate([values, [1e6] * 4, [math.nan] * 20])
    assert topic_spread(noisy, numpy.concatenate([topics, [7] * 4, numpy.arange(20) % 4])) == spread


def test_equal_topics_keep_the_noise_that_the_estimate_could_not_see_below() -> None:
    values = numpy.tile([0.0, 1.0], 50)
    sampling = float(numpy.var(values[:20], ddof=1)) / 20
    assert topic_spread(values, numpy.repeat(numpy.arange(5), 20)).sd == pytest.approx(math.sqrt(sampling / 4))
    assert topic_spread(numpy.full(100, 0.5), numpy.repeat(numpy.arange(5), 20)).sd == 0.0


def test_a_baseline_too_small_to_tell_topics_apart_is_not_assessed() -> None:
    with pytest.raises(NotAssessedError, match="too small to tell topics apart"):
        topic_spread(numpy.arange(14.0), numpy.repeat([0, 1, 2], [5, 5, 4]))


def test_conversations_of_one_subject_share_a_topic() -> None:
    subjects = (["bread", "dough", "oven", "yeast"], ["guitar", "chord", "song", "melody"], ["car", "engine", "brakes"])
    rng = numpy.random.default_rng(0)
    records = [
        Conversation((Message("user", " ".join(rng.choice(words, 12))), Message("assistant", " ".join(words))))
        for words in subjects
        for _ in range(20)
    ]
    labels = cluster_topics(records, 3, seed=0)
    assert [len(set(labels[i : i + 20])) for i in (0, 20, 40)] == [1, 1, 1]
    assert len(set(labels)) == 3
    assert (cluster_topics(records, 3, seed=0) == labels).all()


def test_a_baseline_with_fewer_different_rows_than_topics_is_clustered_without_a_warning() -> None:
    records = [Conversation((Message("user", f"question {i % 2}"), Message("assistant", "yes"))) for i in range(30)]
    labels = cluster_topics(records, 12, seed=0)
    assert set(labels) == {0, 1}


def test_harmless_updates_are_of_the_sizes_asked_for_and_half_of_one_topic(chats: Rows) -> None:
    params = CalibrationParams(update_shares=(0.05, 0.2), updates=4)
    updates = measure_updates(chats[:200], numpy.arange(200) % 5, COMPRESSION, params)
    assert [update.kind for update in updates] == ["random", "topic"] * 4
    assert [update.share for update in updates] == pytest.approx([0.05] * 4 + [0.2] * 4, rel=0.1)
    changes = numpy.array([[update.change_log_r, update.change_log_r_long] for update in updates])
    assert changes.any(axis=0).all()
    assert numpy.abs(changes).max() < 0.05


def test_updates_of_rows_that_are_all_the_same_change_nothing(chats: Rows) -> None:
    updates = measure_updates(chats[:1] * 60, numpy.zeros(60, dtype=int), COMPRESSION, PARAMS)
    assert all(update.change_log_r == update.change_log_r_long == 0.0 for update in updates)


def test_scrambling_keeps_the_words_of_an_answer_and_everything_else() -> None:
    rng = numpy.random.default_rng(0)
    answer = "one two three four five six seven eight"
    talk = Conversation((Message("user", "Count to eight now"), Message("assistant", answer)), "numbers", 7)
    scrambled = scramble_words(talk, rng)
    assert isinstance(scrambled, Conversation)
    assert (scrambled.source, scrambled.row, scrambled.messages[0]) == ("numbers", 7, talk.messages[0])
    assert scrambled.messages[1].content != answer
    assert sorted(scrambled.messages[1].content.split()) == sorted(answer.split())
    pair = Preference(talk.messages[:1], talk.messages[1:], talk.messages[1:], row=3)
    both = scramble_words(pair, rng)
    assert isinstance(both, Preference)
    assert (both.prompt, both.row) == (pair.prompt, 3)
    assert answer not in (both.chosen[0].content, both.rejected[0].content)


def test_the_twelve_subsets_have_one_size_and_differ_as_their_names_say(chats: Rows) -> None:
    subsets = dict(law_subsets(chats[:120], 80, numpy.random.default_rng(0)))
    assert len(subsets) == 12
    assert {len(rows) for rows in subsets.values()} == {80}
    assert all(content_hash(record) == row_hash for rows in subsets.values() for record, row_hash in rows)
    distinct = {name: len({row_hash for _, row_hash in rows}) for name, rows in subsets.items()}
    assert [distinct[f"1/{k} distinct"] for k in (2, 4, 8)] == [40, 20, 10]
    known = {row_hash for _, row_hash in chats[:120]}
    foreign = {name: sum(row_hash not in known for _, row_hash in rows) for name, rows in subsets.items()}
    # An answer of one word cannot be scrambled.
    assert foreign["random 1"] == 0 < 12 <= foreign["25% scrambled"] <= 20 < 32 <= foreign["50% scrambled"] <= 40
    draws = [frozenset(row_hash for _, row_hash in subsets[f"random {k}"]) for k in (1, 2, 3)]
    assert len(set(draws)) == 3
    codec = COMPRESSION.codec()

    def mean_ratio(name: str) -> float:
        return float(numpy.mean([codec.ratio([canonical_text(record).encode()]) for record, _ in subsets[name]]))

    assert mean_ratio("least compressible") < mean_ratio("random 1") < mean_ratio("most compressible")


def test_calibration_measures_noise_topics_updates_and_twelve_runs(calibration: Calibration) -> None:
    assert calibration.rows == 480
    assert len(set(calibration.noise_l)) == 2
    assert numpy.ptp(calibration.noise_l) < 0.5
    assert calibration.loss_sd > 0 and calibration.topic_loss.sd > 0 and calibration.topic_agreement.sd > 0
    assert len(calibration.updates) == 2 * 2
    points = {point.name: point for point in calibration.points}
    assert len(points) == 12
    assert points["1/8 distinct"].r_long > 3 * points["random 1"].r_long
    assert points["50% scrambled"].l > points["random 1"].l
    assert all(-8 < point.z < 0 for point in calibration.points)


def test_a_baseline_that_repeats_itself_is_calibrated_on_its_distinct_rows(
    calibration: Calibration, rows: Rows, base_folder: Path
) -> None:
    seen: list[tuple[int, int]] = []
    again = calibrate(
        rows + rows[:100],
        str(base_folder),
        PROBE,
        COMPRESSION,
        replace(PARAMS, law_runs=False),
        lambda done, total: seen.append((done, total)),
    )
    assert to_json(again) == to_json(replace(calibration, points=()))
    assert seen == [(1, 2), (2, 2)]


def test_a_calibration_survives_being_written_and_read(calibration: Calibration) -> None:
    read = calibration_from_json(json.loads(to_json(calibration)))
    assert to_json(read) == to_json(calibration)
    assert isinstance(read.points[0], type(calibration.points[0]))


@pytest.mark.parametrize("damage", [{"points": [{"name": "x"}]}, {"surprise": 1}, {"topic_loss": None}])
def test_a_calibration_of_another_shape_is_an_error_that_says_what_to_run(
    calibration: Calibration, damage: dict[str, object]
) -> None:
    with pytest.raises(EntropylawError, match="run `dvc repro calibration`"):
        calibration_from_json({**json.loads(to_json(calibration)), **damage})


def test_a_baseline_too_small_for_the_law_gives_no_runs_and_the_law_says_so(rows: Rows, base_folder: Path) -> None:
    _, tokenizer, card = load_base_model(base_folder)
    drawn = split_for_law(rows[:60], tokenizer, card.trained_from, PROBE, 2, 20, numpy.random.default_rng(0))
    assert drawn == ((), [])
    assert fit_entropy_law([]).sentence.startswith("Too few points")


@pytest.mark.parametrize(
    "change", [{"seeds": 1}, {"updates": 1}, {"topics": 2}, {"update_shares": ()}, {"update_shares": (0.6,)},
               {"heldout_rows": 0}, {"max_rows": 0}, {"law_learning_rate": 0.0}],
)  # fmt: skip
def test_parameters_that_make_no_sense_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        CalibrationParams(**change)  # type: ignore[arg-type]
