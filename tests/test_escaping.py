from __future__ import annotations

from hostile import hostile_text
from hypothesis import given
from hypothesis import strategies as st

from corpus.errors import EntropylawError
from corpus.visible_text import is_seen
from reports.escaping import MAX_CHARACTERS, escape_invisible, escape_log


@given(hostile_text | st.text())
def test_what_is_shown_is_one_printable_line_of_bounded_length(text: str) -> None:
    shown = escape_invisible(text)
    assert shown.isprintable() and len(shown) <= MAX_CHARACTERS
    shown.encode("utf-8")


# Some letters and symbols are drawn without ink: those of UNSEEN.
VISIBLE = st.characters(codec="utf-8", categories=("L", "N", "P", "S")).filter(is_seen)


@given(st.text(VISIBLE, max_size=MAX_CHARACTERS))
def test_visible_text_is_shown_as_it_is(text: str) -> None:
    assert escape_invisible(text) == text


@given(hostile_text | st.text())
def test_a_log_line_holds_no_doubled_colon_or_number_sign_and_only_gains_spaces(text: str) -> None:
    line = escape_log(text)
    assert "::" not in line and "##" not in line
    assert line.replace(" ", "") == escape_invisible(text).replace(" ", "")


def test_a_message_that_quotes_long_data_keeps_its_beginning_and_its_end() -> None:
    told = str(EntropylawError(f"results/verdict.json: {'9' * 5000} is no such key; run `dvc repro`"))
    assert told.startswith("results/verdict.json: 999") and told.endswith("is no such key; run `dvc repro`")
    assert len(told) < 1500
    assert str(EntropylawError("short\nand sweet")) == "short and sweet"
