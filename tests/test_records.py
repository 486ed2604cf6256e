"""Records: their canonical text, their identity, and the identity of a data version."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.records import (
    ROLES,
    Conversation,
    Message,
    Preference,
    Record,
    canonical_text,
    content_hash,
    data_hash,
    hash_fraction,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
# Few and ambiguous texts, so that different records often look alike.
LOOKALIKE = st.sampled_from(["", "a", "b", "a\nuser: b", "user: a", '"', "\\", '","user"]'])
MESSAGES = st.lists(st.builds(Message, st.sampled_from(ROLES), LOOKALIKE | TEXT), max_size=3).map(tuple)
RECORDS = st.builds(Conversation, MESSAGES.filter(bool)) | st.builds(
    Preference, MESSAGES, MESSAGES.filter(bool), MESSAGES
)
HASHES = st.binary(min_size=16, max_size=16).map(bytes.hex)


@given(first=RECORDS, second=RECORDS)
def test_hashes_are_equal_only_for_equal_content(first: Record, second: Record) -> None:
    assert (content_hash(first) == content_hash(second)) == (first.turns() == second.turns())


def test_a_text_that_looks_like_two_messages_is_not_two_messages() -> None:
    two = Conversation((Message("user", "a"), Message("user", "b")))
    one = Conversation((Message("user", "a\nuser: b"),))
    assert canonical_text(two) == canonical_text(one)
    assert content_hash(two) != content_hash(one)


@given(record=RECORDS, row=st.integers(), source=TEXT)
def test_row_and_source_do_not_enter_hash_or_text(record: Record, row: int, source: str) -> None:
    moved = replace(record, row=row, source=source)
    assert content_hash(moved) == content_hash(record)
    assert canonical_text(moved) == canonical_text(record)


def test_the_score_does_not_enter_the_hash() -> None:
    record = Preference((Message("user", "Q"),), (Message("assistant", "A"),))
    assert content_hash(replace(record, chosen_score=1.0)) == content_hash(record)


def test_chosen_and_rejected_are_told_apart() -> None:
    prompt, good, bad = (Message("user", "Q"),), (Message("assistant", "A"),), (Message("assistant", "B"),)
    variants = [
        Preference(prompt, good, bad),
        Preference(prompt, bad, good),
        Preference(prompt, good, ()),
        Preference(prompt, (), good),
        Conversation(prompt + good),
    ]
    assert len({content_hash(record) for record in variants}) == len(variants)
    assert canonical_text(variants[0]) == "user: Q\nchosen assistant: A\nrejected assistant: B\n\n"


@given(records=st.lists(RECORDS, max_size=4))
def test_canonical_text_holds_every_content_in_order(records: list[Record]) -> None:
    text = "".join(map(canonical_text, records))
    position = 0
    for record in records:
        for _, message in record.turns():
            position = text.index(message.content, position) + len(message.content)


# Taken with coreutils' b2sum. History, probe order and splits go by it: a change makes every stored history useless.
def test_the_hash_of_a_known_record_never_changes() -> None:
    record = Conversation(
        (Message("system", "Be kind."), Message("user", "Grüß Gott 😀"), Message("assistant", "Hallo"))
    )
    assert content_hash(record) == "980fd0d0ae17709d49f797485bfc009c"
    assert data_hash([content_hash(record)] * 2) == "84b9a9a607b2bb4d142be38082879330"


@given(hashes=st.lists(HASHES, min_size=2, max_size=5, unique=True))
def test_a_version_is_its_rows_in_order(hashes: list[str]) -> None:
    assert data_hash(hashes) == data_hash(iter(hashes))
    assert (
        len({data_hash(hashes), data_hash(hashes[::-1]), data_hash(hashes[:-1]), data_hash([*hashes, hashes[0]])}) == 4
    )


@given(digest=HASHES)
def test_a_hash_fraction_is_in_the_unit_interval_and_keeps_order(digest: str) -> None:
    assert 0 <= hash_fraction(digest) < 1
    assert hash_fraction(digest) == pytest.approx(int(digest, 16) / 2**128, abs=2**-52)
    assert hash_fraction("f" * 32) < 1


def test_a_share_of_rows_is_chosen_evenly() -> None:
    records = [Conversation((Message("user", str(n)), Message("assistant", "A"))) for n in range(4000)]
    chosen = sum(hash_fraction(content_hash(record)) < 0.05 for record in records)
    assert 150 < chosen < 250  # 200 ± 3.6 standard deviations
