"""The rules of C4, Gopher and FineWeb on texts made for each; the docstrings hold their limits from both sides."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.budget import Budget
from selection.web_rules.filtering import RULE_SETS, RuleSet, find_rule, select_by_rules
from selection.web_rules.gopher_repetition import repeated_ngram_characters, top_ngram_characters

PROSE = (
    "The old harbour was quiet that morning, and only two boats had come back from the night. Men stood on the quay "
    "with their hands in their pockets. Nobody spoke of the storm that everyone had heard, or of the light that some "
    "of them claimed to have seen beyond the rocks.\n"
    "Later a girl ran down the hill to tell us what her grandmother thought of it all: that we should be grateful."
)
SPOILED = {
    "C4: lorem ipsum": PROSE + " Lorem ipsum dolor.",
    "C4: curly bracket": PROSE + " f() { return }",
    "C4: fewer than 3 sentences": PROSE.replace(". ", ", ").replace("\n", " "),
    "Gopher: not 50 to 100,000 words": " ".join(PROSE.split()[:49]),
    "Gopher: mean word not of 3 to 10 characters": " ".join("extraordinarily" for _ in PROSE.split()) + " the of",
    "Gopher: many # or ellipses": PROSE.replace(" the ", " the # # "),
    "Gopher: many bullet lines": "- " + PROSE.replace(" ", "\n- "),
    "Gopher: many lines end in an ellipsis": PROSE.replace("it all: ", "it all...\n"),
    "Gopher: few words with letters": PROSE + " 17" * 25,
    "Gopher: few English stop words": "Der Hafen lag still, und nur zwei Boote waren zurück. " * 1
    + " ".join(f"Wort{chr(97 + number % 26)}{chr(97 + number // 26)}" for number in range(60)),
    "Gopher: duplicate lines": PROSE + "\n" + PROSE,
    "Gopher: duplicate paragraphs": PROSE + "\n\n" + PROSE.split("\n")[0] + "\n\n" + PROSE.split("\n")[0],
    "Gopher: most frequent 2-gram": PROSE + " wonderful harbour" * 20,
    "FineWeb: few lines end with punctuation": PROSE + "\nand a line of more than thirty characters %d" * 1,
}  # fmt: skip


@pytest.mark.parametrize("rule_set", RULE_SETS)
def test_prose_passes(rule_set: RuleSet) -> None:
    assert find_rule(PROSE, RULE_SETS[rule_set]) is None


@pytest.mark.parametrize("name", [name for name in SPOILED if not name.startswith("FineWeb")])
def test_a_text_spoiled_in_one_way_is_removed_by_that_rule(name: str) -> None:
    rules = {rule.name: rule for rules in RULE_SETS.values() for rule in rules}
    assert find_rule(SPOILED[name], [rules[name]]) is rules[name]
    assert find_rule(PROSE, [rules[name]]) is None


def test_fineweb_is_gophers_and_c4s_rules_and_three_of_its_own() -> None:
    names = [rule.name for rule in RULE_SETS["fineweb"]]
    others = {rule.name for key in ("c4", "gopher") for rule in RULE_SETS[key]}  # type: ignore[index]
    assert len(names) == len(set(names)) and set(names) >= others
    assert len(set(names) - others) == 3
    # It does not ask lines to end with punctuation, where C4 does.
    open_lines = (
        PROSE.replace(".\n", "\n").replace("grateful.", "grateful") + "\n" + "And so on and on and on it went.\n"
    )
    assert find_rule(open_lines.replace("went.", "went"), RULE_SETS["c4"]) is not None
    assert "C4" not in getattr(find_rule(open_lines, RULE_SETS["fineweb"]), "name", "")


def test_each_removed_row_counts_for_the_first_rule_that_removes_it() -> None:
    texts = [PROSE, "{}", PROSE + " {", "lorem ipsum {", "Too short."]
    rows, removed = select_by_rules(texts, RULE_SETS["c4"], Budget(rows=9), np.random.default_rng(0))
    assert rows == (0,)
    assert removed == {"C4: lorem ipsum": 1, "C4: curly bracket": 2, "C4: fewer than 3 sentences": 1}


def test_rows_that_pass_are_drawn_at_random() -> None:
    texts = [PROSE] * 6 + ["{}"] * 4
    first = Counter(
        select_by_rules(texts, RULE_SETS["c4"], Budget(rows=1), np.random.default_rng(seed))[0][0]
        for seed in range(300)
    )
    assert set(first) == set(range(6)) and min(first.values()) > 25


@given(st.lists(st.sampled_from(["a", "bb", "ccc"]), max_size=14), st.integers(2, 5))
def test_repeated_ngrams_cover_characters_once(words: list[str], n: int) -> None:
    """Word by word: covered where any n-gram that holds it stands elsewhere too."""
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    covered = sum(
        len(word)
        for place, word in enumerate(words)
        if any(grams.count(gram) > 1 for start, gram in enumerate(grams) if start <= place < start + n)
    )
    expected = covered / sum(map(len, words)) if words else 0.0
    assert repeated_ngram_characters(words, n) == pytest.approx(expected)
    assert 0 <= top_ngram_characters(words, n) <= expected + 1e-12


@pytest.mark.parametrize("text", ["", "\n\n", "   ", "…", "中文没有空格。" * 30, "{", "a" * 5000])
@pytest.mark.parametrize("rule_set", RULE_SETS)
def test_any_text_gets_an_answer(text: str, rule_set: RuleSet) -> None:
    assert find_rule(text, RULE_SETS[rule_set]) is not None
