"""What `accept` asks for before it records a version that could not be assessed, and the name it gives."""

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
from sample_verdicts import answer, history, sample_verdict, waiver
from typer.testing import CliRunner

from corpus.artifacts import write_json
from corpus.errors import EntropylawError
from entropylaw.cli import app
from entropylaw.history import choose_name, describe_start, require_approval
from monitor.verdict import RuleResult, Verdict
from monitor.waivers import add_waiver

UNRUN = RuleResult("copies", "sft", "not_assessed", "All prompts are the same.")


def unassessed(dataset: str = "sft") -> Verdict:
    """A version that was compared with its parent, where one rule could not run."""
    verdict = sample_verdict("pass")
    return replace(answer(verdict, replace(UNRUN, dataset=dataset)), status="not_assessed")


@pytest.mark.parametrize(
    ("reason", "owner"), [(None, None), ("one prompt on every row is meant", None), (None, "ana"), (" ", "ana")]
)
def test_a_rule_that_could_not_run_is_answered_by_name_and_with_a_reason(reason, owner) -> None:
    with pytest.raises(EntropylawError, match=r"^copies could not be assessed; say why .*accept --baseline --reason"):
        describe_start(unassessed(), reason, owner)
    assert describe_start(unassessed(), "meant", "ana") == {"reason": "meant", "owner": "ana"}


def test_where_there_is_nothing_to_compare_with_no_reason_is_needed() -> None:
    nothing = replace(sample_verdict("not_assessed"), rules=(), parent=None, parent_measurements={})
    for verdict in (nothing, unassessed("a dataset that the parent does not have")):
        assert describe_start(verdict, None, None) is None
        assert describe_start(verdict, "new tokenizer", "ana") == {"reason": "new tokenizer", "owner": "ana"}
        with pytest.raises(EntropylawError, match="say why the version is a sound start and who answers for it"):
            describe_start(verdict, "new tokenizer", None)


def test_a_new_start_needs_the_waiver_of_what_is_risky_and_keeps_it(in_tmp_path: Path) -> None:
    verdict = sample_verdict("risky")
    verdict = answer(verdict, UNRUN)
    with pytest.raises(EntropylawError, match="not accepted: x5 is risky") as refused:
        require_approval(verdict, baseline=True)
    assert refused.value.exit_code == 1
    rules = [rule.id for rule in verdict.risky_rules()]
    for rule in rules:
        add_waiver("waivers.yaml", waiver(rule, expires="2999-12-31"), rules)
    with pytest.raises(EntropylawError, match=r"which cannot be waived.*accept --baseline --reason") as refused:
        require_approval(verdict, baseline=False)
    assert refused.value.exit_code == 3
    decision, waivers = require_approval(verdict, baseline=True)
    assert decision.exit_code == 3 and sorted(waiver.rule for waiver in waivers) == sorted(set(rules))


def test_a_reason_without_a_new_start_is_a_mistake_and_nothing_is_written(in_tmp_path: Path) -> None:
    write_json("results/verdict.json", sample_verdict("pass"))
    refused = CliRunner().invoke(app, ["accept", "--reason", "meant"])
    assert refused.exit_code == 2 and "--reason and --owner are for `accept --baseline`" in refused.stderr
    with contextlib.suppress(FileNotFoundError):
        assert not list(Path("history").iterdir())


@pytest.mark.parametrize("name", ["", " ", "\u200b", "x\u202e3", "x3\u3164", "x\n3"])
def test_a_name_that_cannot_be_seen_is_refused(name: str, in_tmp_path: Path) -> None:
    write_json("results/verdict.json", sample_verdict("pass"))
    refused = CliRunner().invoke(app, ["accept", "--name", name])
    assert refused.exit_code == 2 and "expected a name that everybody can see and type" in refused.stderr


@pytest.mark.parametrize("owner", ["\u200b\u200d", "\u3164", "\u2800 \u2800"])
def test_an_owner_that_cannot_be_seen_is_refused(owner: str) -> None:
    with pytest.raises(EntropylawError, match="--owner: made of invisible characters"):
        describe_start(sample_verdict("not_assessed"), "meant", owner)


def test_the_next_name_is_one_that_nobody_has() -> None:
    entries = history()
    assert choose_name([]) == "x1" and choose_name(entries) == "x5"
    assert choose_name([*entries, replace(entries[0], name="x6", number=5)]) == "x7"
    # Of two branches that were merged, each with an x5.
    assert choose_name([*entries, replace(entries[0], name="x5-1a2b3c4d", number=4)]) == "x6"
