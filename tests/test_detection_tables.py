"""Rates of the benchmark of the verdict are counted right, and their intervals are as wide as the data demands."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.detection_tables import (
    Rate,
    bootstrap_interval,
    count_rate,
    is_noticed,
    is_risky,
    tabulate_goals,
    tabulate_kinds,
    tabulate_runs,
    wilson_interval,
)
from benchmarks.evidently_check import EVIDENTLY, ask_evidently, read_table
from benchmarks.many_versions import DRIFT, DRIFT_SHARE, HONEST
from benchmarks.rival_checks import RIVALS
from benchmarks.trials import Outcome, Setup, Trial, keep_answers, write_version
from corpus.artifacts import write_json
from corpus.errors import EntropylawError
from corpus.records import Conversation, Message, Preference
from monitor.power.pool import Pool


def outcome(trial: Trial, status: str, team: int = 0, steps: tuple[tuple[str, float], ...] = ()) -> Outcome:
    rules = ({"id": "agreement", "status": status}, {"id": "redundancy", "status": "pass"})
    named = 50 * (status != "pass")
    made = tuple(
        {"status": step, "damaged_share": share, "rules": ["loss"], "accident": "HTML entities" * (share > 0)}
        for step, share in steps
    )
    rivals = {} if steps else dict.fromkeys(RIVALS, False)
    return Outcome(trial, team, status, rules, named, min(named, 40), rivals, 1.0, 2.0, made)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def reached(table: list[str], label: str) -> str:
    (line,) = [line for line in table if cells(line)[0].startswith(label)]
    return cells(line)[1]


def test_wilson_intervals_are_those_worked_by_hand() -> None:
    # 8 of 10: centre (0.8 + 3.8415/20) / 1.38415 = 0.71673, half width 1.95996/1.38415 * sqrt(0.016 + 0.0096037).
    assert wilson_interval(8, 10) == pytest.approx((0.49016, 0.94331), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 3.8415 / 13.8415), abs=1e-4)
    low, high = wilson_interval(3, 50)
    assert (1 - high, 1 - low) == pytest.approx(wilson_interval(47, 50))


@pytest.mark.parametrize("hits", [40, 60, 75])
def test_with_one_trial_a_team_the_bootstrap_agrees_with_wilson(hits: int) -> None:
    clusters = [(int(team < hits), 1) for team in range(100)]
    assert bootstrap_interval(clusters) == pytest.approx(wilson_interval(hits, 100), abs=0.03)


def test_trials_that_succeed_together_count_as_one() -> None:
    together = [(10 * (team < 12), 10) for team in range(20)]
    assert bootstrap_interval(together) == pytest.approx(wilson_interval(12, 20), abs=0.04)
    low, high = Rate(tuple(together)).interval()
    wilson = wilson_interval(120, 200)
    assert high - low > 2 * (wilson[1] - wilson[0])


def test_bootstrap_intervals_hold_the_true_rate_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        rates = rng.beta(4, 4, size=30)
        low, high = bootstrap_interval([(int(rng.binomial(5, rate)), 5) for rate in rates])
        held += low <= 0.5 <= high
    assert 0.89 <= held / 200 <= 0.99


def test_a_rate_is_never_more_certain_than_its_number_of_trials() -> None:
    unanimous = Rate(((10, 10), (10, 10)))
    assert unanimous.interval() == wilson_interval(20, 20)
    assert str(Rate(())) == "-"


def test_rates_are_counted_team_by_team() -> None:
    trial = Trial("HTML left in", "sft", 0.1, 0)
    found = [outcome(trial, "risky"), outcome(trial, "warn"), outcome(trial, "risky", team=3)]
    assert count_rate(found, is_risky) == Rate(((1, 2), (1, 1)))
    assert count_rate(found, is_noticed) == Rate(((2, 2), (1, 1)))


def test_the_table_of_goals_puts_each_trial_into_its_group() -> None:
    outcomes = [
        outcome(Trial("random update", "sft", 0.0, 0, "pass"), "risky"),
        outcome(Trial("shuffled", "sft", 0.0, 0, "pass"), "pass"),
        outcome(Trial("system prompt on all", "sft", 0.0, 0, "warn"), "warn"),
        *(outcome(Trial("HTML left in", "sft", 0.1, seed), "risky") for seed in range(3)),
        outcome(Trial("HTML left in", "sft", 0.1, 3), "pass"),
        outcome(Trial("HTML left in", "sft", 0.02, 0), "not_assessed"),
        outcome(Trial("personal data", "sft", 0.1, 0, "warn"), "warn"),
        outcome(Trial("every row: HTML entities", "sft", 1.0, 0), "risky"),
        outcome(Trial("source lost", "sft", 0.0, 0), "pass"),
        outcome(Trial(DRIFT, "sft", DRIFT_SHARE, 0), "risky", steps=(("warn", 0.01), ("risky", 0.02))),
        outcome(Trial(DRIFT, "sft", DRIFT_SHARE, 1), "risky", steps=(("pass", 0.01), ("risky", 0.06))),
        outcome(Trial(HONEST, "sft", 0.0, 0, "pass"), "pass", steps=(("pass", 0.0),) * 10),
    ]
    table = tabulate_goals(outcomes)
    assert reached(table, "honest updates, where `pass` is right, `risky`: 2 trials") == str(Rate(((1, 2),)))
    assert reached(table, "new sources and deliberate edits, `risky`: 1 trials") == str(Rate(((0, 1),)))
    assert reached(table, "accidents that should be `risky`, at 10%, `risky`: 4") == str(Rate(((3, 4),)))
    assert reached(table, "accidents that should be `risky`, at 2%, at least `warn`: 1") == str(Rate(((1, 1),)))
    assert reached(table, "accidents that should be `warn`, at 10%, at least `warn`: 1") == str(Rate(((1, 1),)))
    assert reached(table, "every row damaged") == str(Rate(((1, 1),)))
    assert reached(table, "rows lost") == str(Rate(((0, 1),)))
    assert reached(table, "named rows that are damaged") == "80%"
    assert reached(table, "drift") == str(Rate(((1, 2),)))
    assert reached(table, "ten honest versions") == str(Rate(((0, 1),)))
    assert reached(table, "a version's file to its verdict") == "2.0 s, longest 2.0 s"
    kinds = [cells(line)[0] for line in tabulate_kinds(outcomes)[2:]]
    assert kinds.count("HTML left in") == 2 and not {DRIFT, HONEST} & set(kinds)
    assert len(kinds) == 8


def test_a_line_of_kinds_counts_what_was_stopped_and_what_was_noticed() -> None:
    statuses = ["risky", "risky", "warn", "pass"]
    found = [outcome(Trial("HTML left in", "sft", 0.1, seed), status) for seed, status in enumerate(statuses)]
    line = cells(tabulate_kinds(found)[2])
    assert line[:3] == ["HTML left in", "10%", "risky"]
    assert line[3:7] == [str(Rate(((2, 4),))), str(Rate(((3, 4),))), "agreement 3", "80%"]
    assert line[7:] == ["0%"] * len(RIVALS) + ["-"] * len(EVIDENTLY)


def test_a_run_says_where_it_was_stopped_and_how_much_was_damaged_by_then() -> None:
    run = outcome(Trial(DRIFT, "sft", DRIFT_SHARE, 4), "risky", team=2, steps=(("warn", 0.01), ("risky", 0.0196)))
    assert cells(tabulate_runs([run])[2]) == [f"{DRIFT}: HTML entities", "2, 4", "2: risky", "2.0%", "1", "loss"]
    honest = outcome(Trial(HONEST, "sft", 0.0, 4, "pass"), "pass", steps=(("pass", 0.0),) * 10)
    assert cells(tabulate_runs([honest])[2])[:5] == [HONEST, "0, 4", "-", "0.0%", "-"]
    assert tabulate_runs([]) == []


def test_an_outcome_is_read_as_it_was_written(tmp_path: Path) -> None:
    setup = Setup(tmp_path, {}, {}, 0, {}, "code")
    run = outcome(Trial("answers cut at 60%", "sft", 0.1, 4), "risky", steps=(("risky", 0.02),))
    assert setup.kept(run.trial) is None
    write_json(setup.outcome_file(run.trial), run)
    assert setup.kept(run.trial) == run
    keep_answers(setup, run.trial, {EVIDENTLY[0]: True})
    assert setup.kept(run.trial) == replace(run, rivals={EVIDENTLY[0]: True})
    other = Trial("answers cut at 60%", "preferences", 0.1, 4)
    assert setup.outcome_file(other) != setup.outcome_file(run.trial)


def test_evidently_is_shown_a_column_of_prompts_and_one_of_answers(tmp_path: Path) -> None:
    chat = Conversation((Message("system", "Be kind."), Message("user", "Hi"), Message("assistant", "Hello!")))
    pair = Preference((Message("user", "Hi"),), (Message("assistant", "Hello!"),), (Message("assistant", "No."),))
    write_version(tmp_path / "chat.jsonl", [chat])
    write_version(tmp_path / "pair.jsonl", [pair])
    assert read_table(str(tmp_path / "chat.jsonl")) == [{"prompt": "Be kind.\nHi", "answer": "Hello!"}]
    assert read_table(str(tmp_path / "pair.jsonl")) == [{"prompt": "Hi", "answer": "Hello!"}]


def test_an_environment_without_evidently_is_said(tmp_path: Path) -> None:
    chat = [Conversation((Message("user", f"Hi {i}"), Message("assistant", f"Hello {i}!"))) for i in range(40)]
    pool = Pool(tuple(chat[:20]), tuple(chat[20:]), {}, ())
    setup = Setup(tmp_path, {"sft": pool}, {}, 0, {}, "code")
    with pytest.raises(EntropylawError, match=r"^Evidently: ModuleNotFoundError"):
        list(ask_evidently(Path(sys.executable), setup, [Trial("shuffled", "sft", 0.0, 0, "pass")]))
