"""Many versions: small steps add up against the anchor, honest ones do not, and a person can confirm."""

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_verdicts import history as sample_history
from sample_verdicts import sample_verdict
from scipy import stats
from test_assess import CALIBRATION, CONFIGURATION, Rows, accept, judge, make_evidence, make_rows, renumber
from test_history import make_entry
from typer.testing import CliRunner

from corpus.artifacts import write_json
from corpus.errors import EntropylawError
from corpus.records import Conversation, HashedRecord, Message, content_hash
from entropylaw.cli import app
from monitor.accept import accept_version, confirm
from monitor.assess import assess_version
from monitor.history import HistoryEntry, accepted_since, anchor_of, parent_of, read_history, replace_entry, write_entry
from monitor.measures.evidence import Evidence
from monitor.rule_params import RuleParams, Thresholds
from monitor.rules.drafts import NO_THRESHOLDS, Draft
from monitor.rules.drift import RULE
from monitor.rules.registry import list_rules
from monitor.rules.rule import NO_ANCHOR, Rule, RuleInput
from monitor.rules.significance import correct_for_looks
from monitor.verdict import RuleResult, Verdict

FINGERPRINT = "f" * 16


def cut(rows: Rows, count: int) -> Rows:
    """The rows, of which the last ``count`` have answers of one word."""
    done = list(rows[: len(rows) - count])
    for record, _ in rows[len(rows) - count :]:
        assert isinstance(record, Conversation)
        prompt, answer = record.messages
        short = replace(record, messages=(prompt, Message("assistant", answer.content.split()[0])))
        done.append(HashedRecord(short, content_hash(short)))
    return done


def leave_token(rows: Rows, count: int) -> Rows:
    """The rows, of which the last ``count`` have answers with a token of a chat template at the end."""
    done = list(rows[: len(rows) - count])
    for record, _ in rows[len(rows) - count :]:
        assert isinstance(record, Conversation)
        prompt, answer = record.messages
        marked = replace(record, messages=(prompt, Message("assistant", f"{answer.content}<|im_end|>")))
        done.append(HashedRecord(marked, content_hash(marked)))
    return done


def make_version(
    step: int,
    bad: int = 0,
    rows: int = 600,
    new: int = 60,
    removed: int = 0,
    damage: Callable[[Rows, int], Rows] = leave_token,
) -> Rows:
    """A version to which each step added ``new`` rows, of which ``bad`` are damaged."""
    batches = [damage(make_rows(rows + i * new, rows + (i + 1) * new), bad) for i in range(step)]
    return renumber([*make_rows(0, rows), *itertools.chain(*batches)][step * removed :])


def drift_of(verdict: Verdict) -> RuleResult:
    return next(rule for rule in verdict.rules if rule.id == "drift")


def run_versions(versions: list[Evidence], history: list[HistoryEntry]) -> list[Verdict]:
    """Judge versions one after the other. What is not risky joins the history; the first that is risky ends it."""
    verdicts = []
    for evidence in versions:
        verdicts.append(judge([evidence], history))
        if verdicts[-1].status == "risky":
            break
        history.append(accept([evidence], history, f"x{len(history) + 1}", verdicts[-1]))
    return verdicts


# The rate over all versions.


@given(st.integers(1, 300))
def test_the_shares_of_the_rate_that_all_looks_spend_add_up_to_less_than_one(looks: int) -> None:
    spent = sum(1 / correct_for_looks(1e-9, look) * 1e-9 for look in range(1, looks + 1))
    assert spent == pytest.approx(1 - 1 / (looks + 1))


@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
def test_honest_versions_alarm_no_more_often_than_one_rule_may_however_much_their_rows_overlap(shared: float) -> None:
    """z-scores of twenty comparisons, from independent ones (0) to sums over all rows since the anchor (1)."""
    rng = np.random.default_rng(5)
    fresh = rng.normal(size=(20_000, 20))
    sums = np.cumsum(fresh, axis=1) / np.sqrt(np.arange(1, 21))
    p = stats.norm.sf(shared * sums + np.sqrt(1 - shared**2) * rng.normal(size=fresh.shape))
    factor = np.array([correct_for_looks(1e-9, look) * 1e9 for look in range(1, 21)])
    alarms = (p * factor <= 0.05).any(axis=1).mean()
    assert 0.01 < alarms <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(p))
    # The correction is what keeps it there.
    assert (p <= 0.05).any(axis=1).mean() > 0.15


def test_five_small_steps_are_found_more_often_against_the_anchor_than_by_a_sum_of_evidence_from_parents() -> None:
    """The rival is an e-process over the p-values against the parents: it must reach 20 for a rate of 5%."""
    rng = np.random.default_rng(6)
    z = rng.normal(1.0, 1.0, size=(20_000, 5))
    direct = stats.norm.sf(np.cumsum(z, axis=1) / np.sqrt(np.arange(1, 6)))[:, 1:]
    factor = np.array([correct_for_looks(1e-9, look) * 1e9 for look in range(1, 5)])
    powers = np.linspace(0.05, 0.95, 19)[:, None, None]
    bets = np.log(powers) + (powers - 1) * np.log(stats.norm.sf(z))
    e_process = np.exp(np.cumsum(bets, axis=2)).mean(axis=0)
    found_direct, found_by_bets = (direct * factor <= 0.05).any(axis=1).mean(), (e_process >= 20).any(axis=1).mean()
    assert found_direct > 1.5 * found_by_bets


# Whole verdicts.

# Eight rows in a thousand more each version end with a token of a chat template.
DAMAGED = [make_version(step, bad=5) for step in range(11)]


@pytest.fixture(scope="module")
def accepted_before() -> list[HistoryEntry]:
    """The versions that were accepted before one was stopped."""
    return []


@pytest.fixture(scope="module")
def stopped(accepted_before: list[HistoryEntry]) -> list[Verdict]:
    return run_versions([make_evidence(rows) for rows in DAMAGED], accepted_before)


@pytest.mark.slow
def test_ten_honest_versions_never_alarm_and_the_rule_is_asked_from_the_third_on() -> None:
    versions = [make_evidence(make_version(step, rows=400, new=40, removed=20)) for step in range(11)]
    verdicts = run_versions(versions, [])
    assert len(verdicts) == 11
    told = [drift_of(verdict) for verdict in verdicts[1:]]
    assert [rule.status for rule in told] == ["skipped", *["pass"] * 9]
    assert told[0].reason == "The parent x1 is the anchor itself: no version was accepted in between."
    assert told[1].reason.startswith("Of all rows added since the anchor x1 (1 version was accepted in between, 8")


@pytest.mark.slow
def test_damage_in_small_steps_is_stopped_before_it_is_one_row_in_twenty(stopped: list[Verdict]) -> None:
    last = stopped[-1]
    assert last.status == "risky" and 5 * (len(stopped) - 1) < 0.05 * last.version.rows
    assert [rule.id for rule in last.risky_rules()] == ["drift"]
    # No version was stopped by what it added alone.
    assert all(rule.status != "risky" for verdict in stopped[:-1] for rule in verdict.rules)
    found = drift_of(last)
    assert f"since the anchor x1 ({len(stopped) - 2} versions were accepted in between" in found.reason
    assert "confirm the version with `entropylaw accept --anchor`" in found.reason


@pytest.mark.slow
def test_answers_cut_to_one_word_in_small_steps_are_seen_before_they_are_one_in_twenty() -> None:
    """Thirty-six of 780 rows are cut, twelve more in each version. The rules on single versions let them all pass."""
    versions = [make_evidence(make_version(step, bad=12, damage=cut)) for step in range(4)]
    history: list[HistoryEntry] = []
    for number, evidence in enumerate(versions[:-1], start=1):
        history.append(accept([evidence], history, f"x{number}"))
    assert drift_of(judge([versions[-1]], history)).status in ("warn", "risky")


@pytest.mark.slow
def test_the_rows_named_are_those_of_all_versions_since_the_anchor(stopped: list[Verdict]) -> None:
    rows = DAMAGED[len(stopped) - 1]
    named = {row.row for row in stopped[-1].rows if row.rule == "drift"}
    marked = {record.row for record, _ in rows if "<|" in record.messages[-1].content}  # type: ignore[union-attr]
    # Of kept rows, a few lie beyond their like rows as well.
    assert len(named & marked) >= 0.7 * len(named) and len(named & marked) > 5
    assert min(named) <= 660 < max(named)


@pytest.mark.slow
def test_evidence_against_the_parent_fades_once_damage_was_accepted_and_against_the_anchor_it_stays(
    stopped: list[Verdict],
) -> None:
    """Damaged rows of earlier versions count as kept rows later, and teach the rules that such rows are usual."""
    rule = drift_of(stopped[-1]).reason.split("rule `")[1].split("`")[0]
    by_parent = [next(r.p_value for r in verdict.rules if r.id == rule) for verdict in stopped[1:]]
    first, last, drift = by_parent[0], by_parent[-1], drift_of(stopped[-1]).p_value
    assert first is not None and last is not None and drift is not None
    # Even after its correction for rules and looks.
    assert last > first and drift < last


@pytest.mark.slow
def test_an_anchor_in_the_middle_starts_the_sum_anew(
    stopped: list[Verdict], accepted_before: list[HistoryEntry]
) -> None:
    last = len(stopped)
    *earlier, parent = accepted_before
    versions = [make_evidence(rows) for rows in DAMAGED[last - 1 : last + 1]]
    first, second = run_versions(versions, [*earlier, confirm(parent)])
    assert first.status != "risky" and drift_of(first).status == "skipped"
    assert drift_of(second).reason.startswith(f"Of all rows added since the anchor x{last - 1} (1 version")


@pytest.mark.slow
def test_what_a_rule_says_of_the_version_alone_is_not_said_again() -> None:
    first, second = (make_evidence(make_version(step)) for step in (0, 1))
    history = [accept([first], [], "x1")]
    history.append(accept([second], history, "x2"))
    verdict = judge([make_evidence(renumber(cut(make_version(2), 60)))], history)
    assert verdict.status == "risky" and drift_of(verdict).status == "pass"
    said = drift_of(verdict).reason.split("`")[1]
    assert drift_of(verdict).reason.startswith(f"Rule `{said}` says it of this version alone")
    assert said in [rule.id for rule in verdict.risky_rules()]
    assert "drift" not in {row.rule for row in verdict.rows}


def test_an_anchor_that_cannot_be_compared_is_told_and_stops_nobody() -> None:
    first, second, third = (make_evidence(make_version(step, rows=200, new=40)) for step in range(3))
    history = [replace(accept([first], [], "x1"), datasets={}, measurements={})]
    history.append(replace(accept([second], [], "x2"), number=2, status="pass"))
    verdict = judge([third], history)
    assert drift_of(verdict).status == "skipped" and drift_of(verdict).reason == "The anchor x1 has no dataset 'sft'."
    orphaned = judge([third], history[1:])
    assert "No comparable version is a baseline" in drift_of(orphaned).reason


def test_accepting_the_version_under_test_as_an_anchor_leaves_its_verdict_as_it_was() -> None:
    versions = [make_evidence(make_version(step, rows=400, new=40, removed=20)) for step in range(3)]
    history: list[HistoryEntry] = []
    *_, verdict = run_versions(versions, history)
    *before, entry = history
    assert judge([versions[2]], [*before, confirm(entry)]) == verdict


# The draft.


WARNS_ONLY = Thresholds(0.0, float("inf"))


def toy(name: str, p_value: float | None, thresholds: Thresholds = NO_THRESHOLDS, over: bool = True) -> Rule:
    result = RuleResult(name, "sft", "pass" if p_value is not None else "not_assessed", "No row.", p_value=p_value)
    made = Draft(result, 1.0, thresholds, f"{name} rose.", f"{name} rose a little.", f"{name} stayed.")
    return Rule(name, 1, name, name, name, (), lambda case: made, over_versions=over)


def draft_with(monkeypatch: pytest.MonkeyPatch, rules: list[Rule], accepted: int) -> Draft:
    """The draft of the rule where only these others exist, so many versions after the anchor."""
    versions = [make_evidence(make_version(step, rows=60, new=9)) for step in range(accepted + 2)]
    history = [accept([versions[0]], [], "x1")]
    for number, evidence in enumerate(versions[1:-1], start=2):
        history.append(replace(accept([evidence], [], f"x{number}"), number=number, status="pass"))
    seen: list[Draft] = []

    def spy(case: RuleInput) -> Draft:
        seen.append(RULE.draft(case))
        return seen[-1]

    monkeypatch.setattr("monitor.rules.drift.list_rules", lambda: tuple(rules))
    monkeypatch.setattr("monitor.rules.apply.list_rules", lambda: (replace(RULE, draft=spy),))
    assess_version([versions[-1]], CALIBRATION, history, CONFIGURATION, RuleParams(), "0.1.0")
    return seen[0]


@pytest.mark.parametrize(("accepted", "factor"), [(1, 2), (2, 6), (3, 12)])
def test_the_p_value_is_corrected_for_the_rules_that_have_one_and_for_all_versions_so_far(
    monkeypatch: pytest.MonkeyPatch, accepted: int, factor: int
) -> None:
    rules = [toy("one", 1e-4), toy("two", 1e-3), toy("silent", None), toy("other", 1e-9, over=False)]
    draft = draft_with(monkeypatch, rules, accepted)
    assert draft.result.p_value == pytest.approx(1e-4 * 2 * factor)
    assert (draft.result.id, draft.asks_again) == ("drift", "one")
    assert "silent" in draft.passing and "silent" not in draft.alarm


def test_a_rule_that_can_only_warn_does_not_stop_a_version_over_many_either(monkeypatch: pytest.MonkeyPatch) -> None:
    shy = draft_with(monkeypatch, [toy("shy", 0.0, WARNS_ONLY)], 1)
    assert shy.decide(0.0, 1, RuleParams()).status == "warn"
    # The gravest is the one that can do most, not the one with the smallest p-value.
    both = draft_with(monkeypatch, [toy("shy", 0.0, WARNS_ONLY), toy("grave", 1e-6)], 1)
    assert both.asks_again == "grave" and both.decide(1e-5, 1, RuleParams()).status == "risky"


def test_without_a_p_value_of_any_rule_it_is_skipped_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    draft = draft_with(monkeypatch, [toy("silent", None)], 1)
    assert draft.result.status == "skipped" and draft.result.reason == "Nothing to hold against the anchor x1: No row."


def test_where_no_anchor_is_known_it_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    case = RuleInput(None, None, None, RuleParams())  # type: ignore[arg-type]
    assert case.anchor == NO_ANCHOR


def test_rules_asked_over_versions_combine_only_rules_that_are_asked_too() -> None:
    over = [rule for rule in list_rules() if rule.over_versions]
    assert {"redundancy", "loss", "agreement", "copies"} <= {rule.id for rule in over}
    assert all(set(rule.combines) <= {other.id for other in over} for rule in over)
    assert not RULE.over_versions


# The commands.


@pytest.fixture
def judged(in_tmp_path: Path) -> Verdict:
    """A folder with the sample history of four versions, and a verdict on the fourth."""
    verdict = sample_verdict("pass")
    history = sample_history()
    for entry in history:
        write_entry("history", entry)
    verdict = replace(verdict, version=replace(verdict.version, data_hash=history[-1].data_hash))
    write_json("results/verdict.json", verdict)
    return verdict


def run_command(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


def list_anchors() -> list[str]:
    return [entry["name"] for entry in json.loads(run_command("history", "--json")) if entry["anchor"]]


@pytest.mark.usefixtures("judged")
def test_an_accepted_version_is_confirmed_by_the_command_and_the_history_shows_the_anchor() -> None:
    assert list_anchors() == ["x1"]
    assert re.fullmatch(r"history/x4-\w+-\w+\.json: x4 is the anchor\n", run_command("accept", "--anchor"))
    assert list_anchors() == ["x4"]
    lines = run_command("history").splitlines()
    assert [line.split()[1] for line in lines if ", anchor" in line] == ["x4", "x4"]  # one line for each dataset


@pytest.mark.usefixtures("judged")
def test_the_history_shows_one_anchor_for_each_configuration() -> None:
    write_entry("history", make_entry("other", "e" * 32, status="baseline"))
    assert list_anchors() == ["x1", "other"]


# The anchor in the history.


def entries(*kinds: str) -> list[HistoryEntry]:
    """A history of x1, x2, … of these kinds: baseline, pass, anchor, waived."""
    changes = {
        "baseline": {"status": "baseline"},
        "pass": {},
        "anchor": {"anchor": True},
        "waived": {"status": "risky", "waived": True, "waivers": ({"rule": "drift"},)},
        "waived anchor": {"status": "risky", "waived": True, "anchor": True},
    }
    return [
        make_entry(f"x{i}", f"{i:032d}", number=i, **changes[kind])  # type: ignore[arg-type]
        for i, kind in enumerate(kinds, start=1)
    ]


@pytest.mark.parametrize(
    ("kinds", "anchor", "parent", "since"),
    [
        (["baseline"], "x1", "x1", []),
        (["baseline", "pass", "pass"], "x1", "x3", ["x2", "x3"]),
        (["baseline", "pass", "anchor", "pass"], "x3", "x4", ["x4"]),
        (["baseline", "anchor", "baseline", "pass"], "x3", "x4", ["x4"]),
        (["baseline", "pass", "waived"], "x1", "x2", ["x2"]),
        (["baseline", "waived anchor", "pass"], "x1", "x3", ["x3"]),
    ],
)
def test_the_anchor_is_the_latest_start_or_confirmed_version_and_never_a_waived_one(
    kinds: list[str], anchor: str, parent: str, since: list[str]
) -> None:
    history = entries(*kinds)
    found = anchor_of(history, FINGERPRINT, "")
    assert found is not None and found.name == anchor
    assert parent_of(history, FINGERPRINT, "").name == parent  # type: ignore[union-attr]
    assert [entry.name for entry in accepted_since(found, history, "")] == since
    assert anchor_of(history, "another", "") is None


def test_the_version_under_test_is_not_its_own_anchor() -> None:
    history = entries("baseline", "pass", "anchor")
    found = anchor_of(history, FINGERPRINT, history[2].data_hash)
    assert found is not None and found.name == "x1"
    assert [entry.name for entry in accepted_since(found, history, history[2].data_hash)] == ["x2"]


def test_after_a_merge_the_anchor_of_either_branch_counts_and_all_later_versions_do(tmp_path: Path) -> None:
    """Two branches each accepted a third version; one of them confirmed its own."""
    for entry in entries("baseline", "pass"):
        write_entry(tmp_path / "a", replace(entry, number=0))
        write_entry(tmp_path / "b", replace(entry, number=0))
    write_entry(tmp_path / "a", make_entry("ours", "a" * 32, anchor=True))
    write_entry(tmp_path / "b", make_entry("theirs", "b" * 32))
    merged = tmp_path / "merged"
    merged.mkdir()
    for path in (*(tmp_path / "a").iterdir(), *(tmp_path / "b").iterdir()):
        (merged / path.name).write_bytes(path.read_bytes())
    history = read_history(merged)
    assert [(entry.number, entry.name) for entry in history[2:]] == [(3, "ours"), (3, "theirs")]
    found = anchor_of(history, FINGERPRINT, "")
    assert found is not None and found.name == "ours"
    assert [entry.name for entry in accepted_since(found, history, "")] == ["theirs"]


def test_only_a_confirmed_version_has_the_word_in_its_file_and_it_is_read_back(tmp_path: Path) -> None:
    plain, confirmed = (
        write_entry(tmp_path, make_entry("x1")),
        write_entry(tmp_path, confirm(make_entry("x2", "b" * 32))),
    )
    assert "anchor" not in json.loads(plain.read_text()) and json.loads(confirmed.read_text())["anchor"] is True
    assert [entry.anchor for entry in read_history(tmp_path)] == [False, True]


def test_an_accepted_version_can_be_confirmed_later_in_its_own_file(tmp_path: Path) -> None:
    paths = [write_entry(tmp_path, entry) for entry in entries("baseline", "pass")]
    assert replace_entry(tmp_path, confirm(read_history(tmp_path)[1])) == paths[1]
    history = read_history(tmp_path)
    assert [entry.anchor for entry in history] == [False, True] and len(list(tmp_path.iterdir())) == 2
    with pytest.raises(EntropylawError, match="x9 is not in the history"):
        replace_entry(tmp_path, make_entry("x9", "c" * 32, number=9))


def test_a_waiver_of_drift_is_answered_by_confirming_and_any_other_is_not(tmp_path: Path) -> None:
    evidence = [make_evidence(make_version(1))]
    verdict = replace(judge(evidence, []), status="risky")
    waivers = ({"rule": "drift", "owner": "kim"}, {"rule": "style", "owner": "kim"})
    confirmed = accept_version(verdict, evidence, "x5", {}, waivers[:1], False, "0.1.0", True)
    assert (confirmed.anchor, confirmed.waived, confirmed.waivers) == (True, False, waivers[:1])
    assert write_entry(tmp_path, confirmed).exists()
    with pytest.raises(EntropylawError, match=r"under a waiver of style.*accept --baseline"):
        accept_version(verdict, evidence, "x5", {}, waivers, False, "0.1.0", True)
