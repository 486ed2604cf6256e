"""Rule `mixture`: shares of sources beside those of the parent, of the history and of what is intended."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from test_assess import accept, make_evidence, make_rows
from test_assess import judge as judge_version

from benchmarks.corpora import Part, read_part
from benchmarks.pools import Pool, split_chat_logs, split_mixture
from corpus.errors import ParamsError
from corpus.params import parse_section
from corpus.records import HashedRecord, Record, canonical_text, content_hash
from entropylaw.demo.chitchat import load_chat_logs
from monitor.calibration.calibrate import Calibration
from monitor.calibration.params import CalibrationParams
from monitor.history import HistoryEntry
from monitor.law.entropy_law import fit_entropy_law
from monitor.measures.compression import OTHER_SOURCES
from monitor.measures.evidence import Evidence
from monitor.measures.mixture import compare_mixtures, list_shifts
from monitor.measures.row_sources import count_sources
from monitor.power.updates import honest_updates
from monitor.rule_params import RuleParams, WarningThreshold
from monitor.rules import mixture
from monitor.rules.parent_comparison import ParentComparison
from monitor.rules.rule import RuleInput
from monitor.verdict import Measurements, RuleResult

CALIBRATION = Calibration(400, (), (), (), "", CalibrationParams())
# As many tests as Holm's correction counts in a version of one dataset, at most.
TESTS = 20
BEFORE = {"chat": 800, "maths": 600, "code": 600}


def judge(
    now: Mapping[str, int],
    before: Mapping[str, int] | None = None,
    past: tuple[float, ...] = (),
    **params: object,
) -> RuleResult:
    before = BEFORE if before is None else before
    rows = Measurements(sum(now.values()), 2.0, 2.0, 1.0, 0.3, added=1, removed=0, kept=1)
    comparison = ParentComparison(
        "sft", rows, replace(rows, rows=sum(before.values())),
        sources_before=before, sources_now=now, past_shifts=past,
    )  # fmt: skip
    rules = replace(RuleParams(), **params)  # type: ignore[arg-type]
    draft = mixture.RULE.ask(RuleInput(comparison, CALIBRATION, fit_entropy_law([]), rules))
    if draft.result.p_value is None:
        return draft.result
    assert draft.happened and draft.blame is None
    return draft.decide(min(1.0, TESTS * draft.result.p_value), TESTS, rules)


def count(records: list[Record]) -> dict[str, int]:
    return count_sources(record.source for record in records)


def test_a_shift_warns_and_names_the_sources_that_moved() -> None:
    found = judge({"chat": 1100, "maths": 300, "code": 600})
    # Half of 300 rows of maths are gone, which is for `coverage` to say: without maths chat went from 4/7 to 11/17.
    assert found.status == "pass"
    found = judge({"chat": 1080, "maths": 320, "code": 600})
    assert found.status == "warn" and found.statistic == pytest.approx(0.14)
    assert found.reason.startswith("Source 'chat' went from 40% to 54% of the rows, source 'maths' from 30% to 16%. ")


def test_however_far_shares_move_it_is_no_stop() -> None:
    assert judge({"chat": 80_000, "maths": 600, "code": 600}).status == "warn"


def test_the_effect_is_the_smallest_share_of_rows_to_give_another_source() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        before, now = (dict(zip("abcde", rng.integers(200, 400, 5).tolist(), strict=True)) for _ in range(2))
        found = compare_mixtures(before, now)
        assert found is not None
        surplus = [now[s] / sum(now.values()) - before[s] / sum(before.values()) for s in before]
        assert found.moved == pytest.approx(sum(step for step in surplus if step > 0))


@pytest.mark.parametrize("times", [2, 3, 10])
def test_all_sources_alike_may_grow_and_shrink(times: int) -> None:
    more = {source: times * rows for source, rows in BEFORE.items()}
    for before, now in ((BEFORE, more), (more, more), ({s: 10 * n for s, n in BEFORE.items()}, more)):
        found = judge(now, before)
        assert found.status in ("pass", "skipped") and not found.statistic


def test_sources_that_are_new_or_lost_change_nothing() -> None:
    alone = judge({"chat": 1080, "maths": 320, "code": 600})
    both = judge(
        {"chat": 1080, "maths": 320, "code": 600, "web": 2000, "mail": 3},
        BEFORE | {"forum": 900, "mail": 1000},
    )
    assert judge(BEFORE | {"web": 5000}).statistic == 0 and judge(BEFORE, BEFORE | {"forum": 5000}).statistic == 0
    assert alone.statistic is not None and both.statistic == pytest.approx(alone.statistic * 2000 / 4003)
    assert (
        "of the rows of sources that both versions have"
        in judge({"chat": 1080, "maths": 320, "code": 600, "web": 100}).reason
    )


def test_the_order_of_sources_and_their_names_change_no_number() -> None:
    now = {"chat": 1080, "maths": 320, "code": 600}
    turned = judge(dict(reversed(now.items())), dict(reversed(BEFORE.items())))
    renamed = judge({f"x{s}": n for s, n in now.items()}, {f"x{s}": n for s, n in BEFORE.items()})
    assert turned == judge(now)
    assert (renamed.statistic, renamed.p_value) == (turned.statistic, turned.p_value)


@pytest.mark.parametrize("before", [{"": 900}, {"chat": 900}, {"chat": 900, OTHER_SOURCES: 400}])
def test_without_two_sources_there_is_nothing_to_compare(before: dict[str, int]) -> None:
    found = judge({source: 2 * rows for source, rows in before.items()} | {"new": 400}, before)
    assert (found.status, found.p_value) == ("skipped", None)


def test_many_small_sources_count_as_one() -> None:
    rng = np.random.default_rng(1)
    users = [f"user{i}" for i in range(40)]
    before, now = ({user: int(rows) for user, rows in zip(users, rng.integers(30, 59, 40), strict=True)} for _ in "ab")
    assert judge(now, before).status == "skipped"
    # Beside a large source their moves are one move.
    found = judge(now | {"chat": 5000}, before | {"chat": 2000})
    assert found.status == "warn" and "The smaller sources together went from" in found.reason


def test_a_window_of_months_that_moves_on_is_no_alarm() -> None:
    rng = np.random.default_rng(2)
    sizes = rng.integers(150, 250, 40)
    versions = []
    for last in range(12, 40):
        window = {f"month {k}": int(sizes[k]) for k in range(last - 11, last)}
        versions.append(window | {f"month {last}": int(sizes[last]) // 3})
    for before, now in itertools.pairwise(versions):
        assert judge(now, before).status in ("pass", "skipped")
    assert max(list_shifts(versions)) < 0.1


def test_few_rows_may_move_by_chance() -> None:
    assert judge({"chat": 11, "maths": 9}, {"chat": 9, "maths": 11}).status == "pass"
    assert judge({"chat": 1100, "maths": 900}, {"chat": 900, "maths": 1100}).status == "warn"


def test_what_moved_twice_before_is_a_habit_and_once_is_none() -> None:
    now = {"chat": 1080, "maths": 320, "code": 600}
    assert judge(now, past=(0.3,)).status == "warn" == judge(now, past=(0.3, 0.02, 0.01)).status
    found = judge(now, past=(0.3, 0.02, 0.16))
    assert found.status == "pass" and "moved by 16% more than once" in found.reason


def test_shifts_of_the_history_are_those_of_its_steps() -> None:
    versions = [BEFORE, None, BEFORE, {"chat": 1080, "maths": 320, "code": 600}, {"other": 5}]
    assert list_shifts(versions) == (0.14,)


def test_intended_weights_take_the_place_of_the_history() -> None:
    now = {"chat": 1080, "maths": 320, "code": 600}
    wanted = {"chat": 0.54, "maths": 0.16}
    assert judge(now, mixture_weights=wanted).status == "pass"
    back = judge(BEFORE, now, past=(0.3, 0.3), mixture_weights=wanted)
    assert back.status == "warn" and back.statistic == pytest.approx(0.14)
    assert back.reason.startswith("Source 'chat': 40% of the rows, and 54% intended; source 'maths': 30%, and 16%")


def test_a_new_source_is_not_held_against_the_weights_before_it_is_accepted() -> None:
    wanted = {"chat": 0.4, "maths": 0.3, "code": 0.3}
    with_web = BEFORE | {"web": 1000}
    assert judge(with_web, mixture_weights=wanted).statistic == 0
    later = judge(with_web, with_web, mixture_weights=wanted)
    assert later.status == "warn" and later.statistic == pytest.approx(1 / 3) and later.p_value == 0


@pytest.mark.slow
def test_chance_is_as_rare_as_the_p_value_says() -> None:
    rng = np.random.default_rng(8)
    shares = np.array([0.5, 0.3, 0.2])
    names = ("a", "b", "c")
    p_values = []
    for _ in range(1000):
        before, now = (dict(zip(names, rng.multinomial(500, shares).tolist(), strict=True)) for _ in "xy")
        found = compare_mixtures(before, now)
        assert found is not None
        p_values.append(mixture.find_chance(found))
    assert 0.03 <= np.mean(np.array(p_values) <= 0.05) <= 0.07


@pytest.mark.slow
def test_the_history_of_accepted_versions_is_what_habits_are_read_from() -> None:
    def version(number: int, chat: int) -> list[Evidence]:
        rows = make_rows(2000 * number, 2000 * number + 400)
        named = [
            HashedRecord(replace(record, source="chat" if i < chat else "maths"), row_hash)
            for i, (record, row_hash) in enumerate(rows)
        ]
        return [make_evidence(named)]

    def ask(evidence: list[Evidence], history: list[HistoryEntry]) -> dict[str, RuleResult]:
        return {rule.id: rule for rule in judge_version(evidence, history).rules}

    history: list[HistoryEntry] = []
    for number, chat in enumerate((200, 260, 200)):
        evidence = version(number, chat)
        if number == 1:
            first = ask(evidence, history)["mixture"]
            assert first.status == "warn" and first.statistic == pytest.approx(0.15)
        history.append(accept(evidence, history, f"x{number}"))
    back = ask(version(3, 260), history)
    assert back["mixture"].status == "pass" and "moved by 15% more than once" in back["mixture"].reason
    assert ask(version(3, 200), history)["mixture"].statistic == 0


@cache
def load_rows() -> list[Record]:
    found = {content_hash(row): row for row in read_part(Part(None))}
    return [found[key] for key in sorted(found)]


def mix_by_length(team: int) -> Pool:
    """Three sources whose rows differ in length, so that a clean-up of short rows takes from one of them."""
    rows = sorted(load_rows(), key=lambda row: len(canonical_text(row)))
    cuts = (len(rows) // 3, 2 * len(rows) // 3)
    parts = [rows[: cuts[0]], rows[cuts[0] : cuts[1]], rows[cuts[1] :]]
    named = [[replace(row, source=name) for row in part] for name, part in zip("abc", parts, strict=True)]
    return split_mixture(named, (700, 400, 300), team)


@pytest.mark.slow
@pytest.mark.parametrize("corpus", ["mixture", "months"])
def test_honest_updates_are_no_alarm(corpus: str) -> None:
    pool = mix_by_length(1) if corpus == "mixture" else split_chat_logs(load_chat_logs(), 2000, 1)
    before = count(list(pool.baseline))
    assert len(before) > 1
    for update in honest_updates("conversations", pool):
        # Sorting changes no count, and takes a clustering.
        if update.expected == "pass" and update.name != "sorted by topic":
            now = count(update.make(pool, np.random.default_rng([1, 1])))
            assert judge(now, before).status == "pass", (update.name, now)


def test_a_file_of_an_earlier_release_has_the_defaults_and_odd_weights_are_refused() -> None:
    from dataclasses import asdict

    section = asdict(RuleParams())
    assert parse_section(RuleParams, section, "params.yaml: rules") == RuleParams()
    old = {key: value for key, value in section.items() if not key.startswith("mixture")}
    assert parse_section(RuleParams, old, "params.yaml: rules").mixture_shift == WarningThreshold(0.1)
    for weights in ({"a": 0.7, "b": 0.4}, {"a": -0.1}, {"a": True}, {"a": "half"}):
        with pytest.raises(ParamsError, match="mixture_weights"):
            parse_section(RuleParams, section | {"mixture_weights": weights}, "params.yaml: rules")
    thirds = {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}
    assert parse_section(RuleParams, section | {"mixture_weights": thirds}, "rules").mixture_weights == thirds
