"""Near-duplicates: rows with about the words of an earlier row."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import corpus.compiled_loops
from corpus.errors import EntropylawError
from corpus.records import Conversation, Message, Record
from monitor.measures import near_duplicates, sketch_store
from monitor.measures.near_duplicates import CHUNK_CHARACTERS, flag_alike, flag_near_duplicates, sketch_texts
from monitor.measures.shingles import hash_shingles
from monitor.measures.sketch_store import SketchStore


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
        # A sketch of 128 numbers estimates it with a standard error of at most 0.044.
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


# Words, symbols, scripts with and without spaces side by side, unpaired surrogates.
COMMON = ("word", "a", " ", "\n", "?!", "_", "\u4e2d", "\u4e2da", "\ud800")
any_text = st.lists(st.sampled_from(COMMON) | st.text(max_size=5))
any_texts = st.lists(any_text.map("".join), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(texts=any_texts)
def test_compiled_loops_change_no_bit(monkeypatch: pytest.MonkeyPatch, texts: list[str]) -> None:
    pytest.importorskip("numba")
    monkeypatch.setattr(corpus.compiled_loops, "COMPILED_FROM_CHARACTERS", 10**15)
    usual = sketch_texts(texts, 0.8)
    monkeypatch.setattr(corpus.compiled_loops, "COMPILED_FROM_CHARACTERS", 0)
    for one, other in zip(usual, sketch_texts(texts, 0.8), strict=True):
        assert one.tobytes() == other.tobytes()


def test_what_is_kept_of_a_row_does_not_depend_on_how_rows_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"row {i} of some " + "words " * (i % 7) for i in range(60)] + ["", "?!", "\u4e2d\u6587"]
    keys, sketches = sketch_texts(texts, 0.5)
    assert keys.shape == (63, 64)
    assert sketches.shape == (63, 128)
    monkeypatch.setattr(near_duplicates, "CHUNK_CHARACTERS", 50)
    monkeypatch.setattr(near_duplicates, "CHUNK_TEXTS", 3)
    for start in range(0, 63, 20):
        some = sketch_texts(texts[start : start + 20], 0.5)
        assert (some[0] == keys[start : start + 20]).all()
        assert (some[1] == sketches[start : start + 20]).all()


def test_rows_are_flagged_as_if_compared_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    keys = rng.integers(0, 12, (50, 4)).astype(np.uint64)
    sketches = np.where(rng.random((50, 128)) < 0.45, rng.integers(0, 256, (50, 128)), 7).astype(np.uint8)
    expected = []
    for row in range(50):
        earlier = [[i for i in range(row) if keys[i, band] == keys[row, band]] for band in range(4)]
        shares = [(sketches[i] == sketches[row]).mean() for rows in earlier if rows for i in (rows[0], rows[-1])]
        expected.append(any((share - 1 / 256) / (1 - 1 / 256) >= 0.3 for share in shares))
    assert 5 < sum(expected) < 45
    assert flag_alike(SketchStore.of(keys, sketches), 0.3).tolist() == expected
    monkeypatch.setattr(near_duplicates, "COMPARED_PAIRS", 3)
    assert flag_alike(SketchStore.of(keys, sketches), 0.3).tolist() == expected
    # The same from a file, however it was written and is read.
    monkeypatch.setattr(sketch_store, "MOST_IN_MEMORY", 10)
    monkeypatch.setattr(sketch_store, "_READ_BYTES", 100)
    in_file = SketchStore(50, 4)
    for start in range(0, 50, 7):
        in_file.add(keys[start : start + 7], sketches[start : start + 7])
    assert flag_alike(in_file, 0.3).tolist() == expected
    assert flag_alike(SketchStore.of(keys[:0], sketches[:0]), 0.3).tolist() == []


def test_a_full_disk_is_one_line_that_names_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sketch_store, "MOST_IN_MEMORY", 10)
    store = SketchStore(50, 4)
    monkeypatch.setattr(sketch_store, "_write", fill)
    with pytest.raises(EntropylawError, match=r"temporary sketches of rows.*No space left on device"):
        store.add(np.zeros((7, 4), dtype=np.uint64), np.zeros((7, 128), dtype=np.uint8))
    monkeypatch.setattr(sketch_store.tempfile, "TemporaryFile", fill)
    with pytest.raises(EntropylawError, match=r"temporary sketches of rows.*No space left on device"):
        SketchStore(50, 4)
