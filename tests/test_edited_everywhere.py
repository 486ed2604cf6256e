"""A version in which every row was edited still has its new rows compared with something."""

from dataclasses import replace

import pytest
from test_assess import Rows, accept, judge, make_evidence, make_rows, renumber

from corpus.records import Conversation, HashedRecord, Message, content_hash
from monitor.verdict import Verdict

pytestmark = pytest.mark.slow

OLD, NEW = 540, 60


def with_system(rows: Rows) -> Rows:
    return [rehash(replace(row, messages=(Message("system", "You are kind."), *row.messages))) for row in plain(rows)]


def with_tokens(rows: Rows) -> Rows:
    """The rows with a token of a chat template left in their answers."""
    left = "Sure.<|im_end|>"
    return [rehash(replace(row, messages=(row.messages[0], Message("assistant", left)))) for row in plain(rows)]


def plain(rows: Rows) -> list[Conversation]:
    return [row for row, _ in rows if isinstance(row, Conversation)]


def rehash(row: Conversation) -> HashedRecord:
    return HashedRecord(row, content_hash(row))


def judge_after(parent: Rows, rows: Rows) -> Verdict:
    return judge([make_evidence(renumber(rows))], [accept([make_evidence(renumber(parent))], [], "x1")])


def test_new_rows_beside_a_system_prompt_on_every_row_are_compared_with_the_edited_ones() -> None:
    parent, fresh = make_rows(0, OLD), make_rows(OLD, OLD + NEW)
    sound = judge_after(parent, with_system([*parent, *fresh]))
    assert sound.status == "warn"
    assert [rule.id for rule in sound.rules if rule.status == "not_assessed"] == []
    damaged = judge_after(parent, with_system([*parent, *with_tokens(fresh)]))
    assert "damage" in {rule.id for rule in damaged.risky_rules()}
