"""The first sentence of a verdict: what happened to which rows, by the rule that says it best."""

import re
from pathlib import Path

import pytest

import monitor.rules
from monitor.happened import KINDS, tell_what_happened
from monitor.rules.apply import AppliedRule
from monitor.rules.drafts import Draft
from monitor.rules.registry import rule_ids
from monitor.verdict import DatasetChanges, FlaggedRow, RowLengths, RuleResult, SourceRows


def alarm(rule: str, happened: str, p_value: float = 1e-6, status: str = "risky") -> AppliedRule:
    return AppliedRule(
        RuleResult(rule, "sft", status, "", p_value=p_value),
        Draft(RuleResult(rule, "sft", status, ""), happened=happened),
    )


def named(rule: str, *sources: str) -> list[FlaggedRow]:
    return [FlaggedRow(i, "0" * 32, source, "sft", rule, 1.0, "") for i, source in enumerate(sources, start=1)]


def several_sources(*names: str) -> dict[str, DatasetChanges]:
    rows = tuple(SourceRows(name, 10, 1, 9, 0) for name in names)
    return {"sft": DatasetChanges(rows, RowLengths((), {}, {}))}


def test_every_rule_in_the_list_is_one() -> None:
    listed = [rule for kind in KINDS for rule in kind]
    assert len(set(listed)) == len(listed) and set(listed) <= set(rule_ids())
    # And every rule that says what happened is in it: its file sets `happened`, or it asks as another rule does.
    folder = Path(monitor.rules.__path__[0])
    texts = {rule: (folder / f"{rule}.py").read_text() for rule in rule_ids()}
    telling = {rule for rule, text in texts.items() if re.search(r"happened ?=|draft_rank_shift\(", text)}
    assert telling <= set(listed)


def test_what_stands_in_rows_is_said_before_what_a_model_feels() -> None:
    alarms = [alarm("loss", "The rows are harder", 1e-30), alarm("copies", "80 rows are copies", 1e-9)]
    assert tell_what_happened(alarms, "risky", [], {}) == "80 rows are copies."


def test_of_one_kind_the_surest_is_said() -> None:
    alarms = [alarm("damage", "25 rows break off", 1e-4), alarm("copies", "80 rows are copies", 1e-9)]
    assert tell_what_happened(alarms, "risky", [], {}) == "80 rows are copies."


def test_only_rules_of_the_versions_status_are_asked() -> None:
    alarms = [alarm("damage", "25 rows break off", status="warn"), alarm("loss", "The rows are harder")]
    assert tell_what_happened(alarms, "risky", [], {}) == "The rows are harder."
    assert tell_what_happened(alarms, "pass", [], {}) == ""
    assert tell_what_happened([alarm("both_rise", "")], "risky", [], {}) == ""


@pytest.mark.parametrize(("of_vendor", "said"), [(9, ", nearly all of source 'vendor-b'"), (5, "")])
def test_a_source_is_named_where_nearly_all_rows_are_of_it(of_vendor: int, said: str) -> None:
    rows = named("damage", *["vendor-b"] * of_vendor, *["mail"] * (10 - of_vendor))
    found = tell_what_happened(
        [alarm("damage", "25 rows break off")], "risky", rows, several_sources("mail", "vendor-b")
    )
    assert found == f"25 rows break off{said}."
    alone = tell_what_happened([alarm("damage", "25 rows break off")], "risky", rows, several_sources("vendor-b"))
    assert alone == "25 rows break off."
