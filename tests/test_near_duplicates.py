"""Near-duplicates: rows with about the words of an earlier row."""

import numpy as np
import pytest

from corpus.records import Conversation, Message, Record
from monitor.measures.near_duplicates import CHUNK_CHARACTERS, flag_near_duplicates, hash_shingles


def ask(prompt: str, response: str) -> Conversation:
    return Conversation((Message("user", prompt), Message("assistant", response)))


def answer(text: str) -> Conversation:
    return Conversation((Message("assistant", text),))


def shingles_of(text: str) -> list[int]:
    return [int(value) for value in hash_shingles([text])[0]]


def jaccard(a: str, b: str) -> float:
    shingles = []
    for text in (a, b):
        words = text.split()
        shingles.append({tuple(words[i : i + 3]) for i in range(len(words) - 2)})
    return len(shingles[0] & shingles[1]) / len(shingles[0] | shingles[1])


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_near_duplicates_are_the_pairs_whose_jaccard_similarity_is_above_the_threshold(threshold: float) -> None:
    rng = np.random.default_rng(1)
    found: dict[bool, list[bool]] = {True: [], False: []}
    for _ in range(300):
        words = [f"w{i}" for i in rng.integers(0, 10_000, 100)]
        changed = list(words)
        cut = int(rng.integers(5, 100))
        changed[cut:] = [f"v{i}" for i in rng.integers(0, 10_000, 100 - cut)]
        similarity = jaccard(" ".join(words), " ".join(changed))
        # MinHash over 128 permutations estimates it with a standard error of at most 0.044.
        if abs(similarity - threshold) > 0.1:
            pair = [Conversation((Message("assistant", " ".join(text)),)) for text in (words, changed)]
            found[similarity > threshold].append(flag_near_duplicates(pair, threshold)[1])
    assert len(found[True]) > 5
    assert sum(found[True]) / len(found[True]) > 0.95
    assert not any(found[False])


def test_rows_of_symbols_only_are_duplicates_of_nothing_but_themselves() -> None:
    rows: list[Record] = [ask("?!", "…"), ask("😀", "😀😀"), ask("?!", "…")]
    assert flag_near_duplicates(rows, 0.8) == [False, False, True]


def test_runs_of_words_are_the_same_wherever_they_stand() -> None:
    alone = shingles_of("one two three")
    flat, offsets = hash_shingles(["zero one two three", "", "one, two: three", "?!", "one two"])
    assert offsets.tolist() == [0, 2, 3, 4, 5, 6]
    assert [flat[1], flat[3]] == alone * 2
    assert len(set(flat.tolist())) == 5


def test_words_are_those_of_the_regular_expression_and_their_order_counts() -> None:
    assert shingles_of("l\u2019été n_1 – ok") == shingles_of("l été  n_1 ok")
    assert shingles_of("a b c") != shingles_of("c b a") != shingles_of("b a c")
    assert shingles_of("ab c d") != shingles_of("a bc d")


def test_copies_with_a_few_other_characters_are_found_where_words_have_no_spaces() -> None:
    rng = np.random.default_rng(0)
    characters = [chr(code) for code in range(0x4E00, 0x5200)]
    rows: list[Record] = [answer("".join(rng.choice(characters, 200))) for _ in range(20)]
    copies = []
    for row in rows:
        text = list(row.messages[0].text)  # type: ignore[union-attr]
        for place in rng.choice(200, 4, replace=False):
            text[place] = str(rng.choice(characters))
        copies.append(answer("".join(text)))
    flags = flag_near_duplicates([*rows, *copies], 0.8)
    assert not any(flags[:20])
    assert sum(flags[20:]) >= 18


def test_rows_are_found_again_across_portions_and_long_rows_are_no_special_case() -> None:
    words = " ".join(f"w{i}" for i in range(CHUNK_CHARACTERS // 4))
    filler: list[Record] = [answer(" ".join(f"v{i}-{k}" for i in range(3000))) for k in range(40)]
    rows: list[Record] = [answer(words), *filler, answer(words + " more"), answer("something else altogether here")]
    assert flag_near_duplicates(rows, 0.8) == [False] * 41 + [True, False]
