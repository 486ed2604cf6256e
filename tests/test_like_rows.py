"""Added rows beside kept rows like them: phrases, traces, the order of sides, and which rows are read."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_rows import TOPICS, Rows, change, compare, draw_chats, hash_rows
from numpy.typing import NDArray

from corpus.records import Conversation, HashedRecord, Message, Record, canonical_text, content_hash
from monitor.calibration.params import CalibrationParams
from monitor.like_rows import phrases, row_reading
from monitor.like_rows.answer_fit import MIN_ROWS, embed_sides
from monitor.like_rows.like_comparison import LikeComparison, compare_like_with_like
from monitor.like_rows.neighbours import Neighbours, find_neighbours
from monitor.like_rows.numbered_words import number_words
from monitor.like_rows.phrases import WORDS_OF_A_SIDE, find_phrases, list_phrase_runs
from monitor.like_rows.rank_comparison import MIN_KEPT_ROWS
from monitor.like_rows.row_reading import RowReading, read_rows
from monitor.like_rows.side_order import measure_side_order
from monitor.like_rows.traces import MAX_CHARACTERS, TRACES, count_traces
from monitor.measures.row_split import RowSplit


@pytest.fixture(scope="module")
def kept() -> Rows:
    return draw_chats(np.random.default_rng(0), 300)


@pytest.fixture(scope="module")
def fresh() -> Rows:
    return draw_chats(np.random.default_rng(1), 60)


@pytest.fixture(scope="module")
def honest(kept: Rows, fresh: Rows) -> LikeComparison:
    found = compare(kept, fresh)
    assert found is not None
    return found


# --- phrases -------------------------------------------------------------------------------------------------------

CLOSING = " Please do not hesitate to ask."


def burst(rng: np.random.Generator, kept: Sequence[str], added: Sequence[str]) -> list[tuple[str, int, float]]:
    """The phrases that burst in among rows whose topics are their like rows: words, rows that have it, p-value."""
    vectors = np.zeros((len(kept) + len(added), len(TOPICS)))
    for i, text in enumerate([*kept, *added]):
        for k, words in enumerate(TOPICS):
            vectors[i, k] = sum(word in text for word in words)
    vectors += rng.normal(0, 0.05, vectors.shape)
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    everyone = np.arange(len(vectors))
    runs = list_phrase_runs(number_words([*kept, *added]))
    found = find_phrases(runs, everyone, len(kept), find_neighbours(unit, len(kept)), everyone >= 0)
    return [(" ".join(phrase.words), phrase.found, phrase.p_value) for phrase in found]


def answers(rows: Rows) -> list[str]:
    return [row.messages[1].content for row in rows]


@pytest.mark.parametrize(("step", "at_most"), [(10, 0.05), (5, 1e-6)])
def test_a_phrase_in_a_part_of_the_added_rows_is_found_and_counted(kept: Rows, step: int, at_most: float) -> None:
    rng = np.random.default_rng(2)
    added = answers(draw_chats(rng, 200))
    found = burst(rng, answers(kept), [text + CLOSING if i % step == 3 else text for i, text in enumerate(added)])
    sure = [(words, rows) for words, rows, p in found if p < at_most]
    assert {rows for _, rows in sure} == {200 // step}
    assert {words for words, _ in sure} == {
        "Please do not", ". Please do", "do not hesitate", "not hesitate to", "hesitate to ask", "to ask .", "ask . $"
    }  # fmt: skip
    # The same phrases in as many kept rows as added ones are no news.
    both = [text + CLOSING if i % 10 == 3 else text for i, text in enumerate(answers(kept))]
    assert not [p for words, _, p in burst(rng, both, added) if p < 0.05]


def test_honest_batches_burst_no_phrase_and_one_of_a_single_known_source_neither(kept: Rows) -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        topics = TOPICS[:6] if seed % 2 else TOPICS[seed // 2 : seed // 2 + 1]
        assert not [p for _, _, p in burst(rng, answers(kept), answers(draw_chats(rng, 100, topics))) if p < 0.05]


@pytest.mark.slow
def test_a_phrase_bursts_into_honest_batches_no_more_often_than_the_rate() -> None:
    """Prompts are made of few templates and words: hundreds of phrases stand in some rows only."""
    found = 0
    for seed in range(100):
        rng = np.random.default_rng(1000 + seed)
        kept, added = ([row.messages[0].content for row in draw_chats(rng, rows)] for rows in (300, 60))
        found += min((p for _, _, p in burst(rng, kept, added)), default=1.0) < 0.05
    assert found <= 100 * (0.05 + 2 * math.sqrt(0.05 * 0.95 / 100))


def test_a_burst_phrase_says_which_rows_have_it_and_how_many_would(kept: Rows, fresh: Rows) -> None:
    marked = [change(row, lambda text: text + CLOSING) if i % 3 == 0 else row for i, row in enumerate(fresh)]
    like = compare(kept, marked)
    assert like is not None
    phrase = like.phrases["answers"][0]
    compared = like.rows[like.kept :][~like.is_new[like.kept :]]
    assert {int(row) for row in compared[phrase.rows]} == {int(row) for row in compared if (row - 300) % 3 == 0}
    assert phrase.found == np.count_nonzero(phrase.rows) and phrase.expected < 1
    # As the rule does, for the choice between two sides.
    assert not [p for p in like.phrases["prompts"] if 2 * p.p_value < 0.05]


@given(st.lists(st.text("ab .^$\n", max_size=12), min_size=1, max_size=5))
def test_phrases_are_runs_of_three_words_and_signs_each_once(texts: list[str]) -> None:
    found = list_phrase_runs(number_words(texts))
    expected = set()
    for i, text in enumerate(texts):
        words = ["^", *re.findall("[ab]+|[.^$]", text), "$"]
        expected |= {(i, *run) for run in zip(words, words[1:], words[2:], strict=False)}
    runs = [tuple(found.words[number] for number in found.number[place : place + 3]) for place in found.place.tolist()]
    assert len(set(runs)) == len(runs)
    pairs = [(i, *runs[run]) for i, run in zip(found.text.tolist(), found.run.tolist(), strict=True)]
    assert len(pairs) == len(set(pairs)) and set(pairs) == expected


def test_of_an_endless_text_the_start_and_the_end_are_read() -> None:
    texts = ["short.", "first words " + "la " * 10 * WORDS_OF_A_SIDE + "last words", "short, too."]
    runs = list_phrase_runs(number_words(texts))
    words = [runs.words[number] for number in runs.number]
    assert runs.count.tolist() == [4, 2 * WORDS_OF_A_SIDE + 2, 6]
    assert words[:4] == ["^", "short", ".", "$"] and words[-6:] == ["^", "short", ",", "too", ".", "$"]
    long = words[4:-6]
    assert long[:3] == ["^", "first", "words"] and long[-3:] == ["last", "words", "$"]


def test_where_many_phrases_may_burst_the_most_frequent_ones_do_and_of_equals_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(phrases, "MAX_PHRASES", 4)
    # As the rows are compared, the one that was read last comes first.
    texts = ["one two three four", *["five six seven"] * 6, *["three four one two three"] * 6, "two three four five"]
    places = np.array([13, 0, *range(1, 13)])
    like = Neighbours(np.zeros((14, 1), dtype=np.int64), np.ones(14))
    found = find_phrases(list_phrase_runs(number_words(texts)), places, 2, like, np.ones(14, dtype=bool))
    order = ["^", "two", "three", "four", "five", "$", "one", "six", "seven"]
    candidates = ["^ five six", "five six seven", "six seven $", "^ three four", "three four one", "four one two"]
    candidates += ["one two three", "two three $"]
    first = sorted(candidates, key=lambda words: [order.index(word) for word in words.split()])[:4]
    assert sorted(" ".join(phrase.words) for phrase in found) == sorted(first)


# --- traces --------------------------------------------------------------------------------------------------------

TRACED = {
    "control tokens": (
        "Hello<|im_end|>", "<|im_start|>assistant", "[INST] Tea? [/INST]", "<<SYS>>", "so.</s>", "<s>So", "<eos>",
        "<|eot_id|>", "<start_of_turn>model", "<｜end▁of▁sentence｜>", "[PAD]", "<pad>", "<|endoftext|>",
    ),
    "names of speakers": ("### Response:\nTea.", "Human: Tea?", "so.\nAssistant: Yes.", "USER: hi", "## Instruction"),
    "reasoning tags": ("<think>Tea</think>", "<reasoning>", "</scratchpad>"),
    "HTML entities": ("Tea &amp; milk", "&#39;", "&quot;", "&#x27;s", "&nbsp;"),
    "HTML tags": ("<p>Tea</p>", "milk<br>", '<div class="x">', "<b>so</b>", "<br/>"),
    "escape sequences": (r"one\ntwo", r"a\tb", r"don\'t", r"caf\u00e9", r"\xe9"),
    "wrongly decoded characters": ("donâ€™t", "cafÃ©", "a\ufffdb", "a\x00b", "naÃ¯ve"),
    "terminal codes": ("\x1b[31mred\x1b[0m", "[0m", "[1;31m"),
    "words for nothing": ("", " ", "nan", "None", "N/A", "null", "[object Object]", "TODO", "-", "..."),
}  # fmt: skip
CLEAN = (
    "I think the bread is better than the soup, but it depends.",
    "Is 3 < 5? Yes, and 5 > 3; a & b, R&D, AT&T.",
    "def f(x):\n    return [i for i in range(x) if i % 2]\n",
    "$$\\frac{a}{b} \\leq \\sum_i x_i$$ and x^2 - 4 = 0",
    "for (int i = 0; i < n; i++) { total += a[i]; }",
    "#include <stdio.h>\nstd::vector<int> numbers;",
    "## Heading\n\n- one\n- two\n\n| a | b |\n|---|---|",
    "Das Mädchen hört, daß der Ofen heiß ist – “schön”, sagt’s.",
    "Où est l’hôtel ? Il était déjà là, près de la forêt.",
    "Все счастливые семьи похожи друг на друга.",
    "これはペンです。お茶をください。",
    "你好，世界。今天天气很好！",
    "مرحبا بالعالم، كيف حالك؟",
    "नमस्ते दुनिया, आप कैसे हैं?",
    "안녕하세요, 반갑습니다.",
    "Nice! 😀👩‍👧🎉",
    "The answer: 42. See [1] and [12].",
    "No, nothing at all. None of them came.",
)


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in TRACED.items() for text in texts])
def test_a_trace_is_counted_as_what_it_is(kind: str, text: str) -> None:
    counts = {name: int(count[0]) for name, count in count_traces([text]).items() if count[0]}
    assert counts.pop(kind) >= 1
    # A mask token of a tokenizer may look like a tag, and a terminal code holds a control character.
    assert not counts or text in ("\x1b[31mred\x1b[0m",)


@pytest.mark.parametrize("text", CLEAN)
def test_prose_code_maths_and_other_scripts_have_no_traces(text: str) -> None:
    assert not {name: counts[0] for name, counts in count_traces([text]).items() if counts[0]}


def test_real_conversations_have_next_to_no_unmistakable_traces(chats: list[HashedRecord]) -> None:
    texts = [canonical_text(record) for record, _ in chats[:200]]
    counts = count_traces(texts)
    for trace in TRACES:
        if trace.unmistakable:
            assert np.count_nonzero(counts[trace.name]) <= 2, trace.name


def test_traces_are_counted_one_by_one_and_a_long_text_is_read_at_its_start() -> None:
    counts = count_traces(["a &amp; b &lt; c", "x" * MAX_CHARACTERS + "&amp;"])
    assert counts["HTML entities"].tolist() == [2, 0]
    assert set(TRACED) == {trace.name for trace in TRACES}


# --- the order of the sides ----------------------------------------------------------------------------------------


def exchange(row: Conversation) -> Conversation:
    prompt, answer = row.messages
    return replace(row, messages=(Message("user", answer.content), Message("assistant", prompt.content)))


def order_of(rows: Sequence[Record], kept: int) -> NDArray[np.float64]:
    return measure_side_order(embed_sides(rows), np.arange(len(rows)) % 4, np.arange(len(rows)) < kept)


def test_rows_whose_sides_are_exchanged_are_told_from_honest_ones(kept: Rows, fresh: Rows) -> None:
    order = order_of([*kept, *fresh, *map(exchange, fresh)], 300)
    assert order[300:360].max() < 0 < order[360:].min()
    # An honest row reads the other way round by as much.
    assert order[360:] == pytest.approx(-order[300:360], rel=0.2, abs=1.0)


def test_kept_rows_are_read_by_what_other_kept_rows_teach(kept: Rows) -> None:
    rows = [*map(exchange, kept[:10]), *kept[10:]]
    assert order_of(rows, 300)[:10].min() > 0


def test_the_order_of_a_blank_side_and_of_too_few_rows_is_not_known(kept: Rows) -> None:
    blank = [change(kept[0], lambda text: ""), change(kept[1], lambda text: "", "user")]
    assert np.isnan(order_of([*kept[2:], *blank], 298)).tolist() == [False] * 298 + [True] * 2
    assert np.isnan(order_of(kept[: MIN_ROWS - 1], MIN_ROWS - 1)).all()


# --- the whole comparison ------------------------------------------------------------------------------------------


def by_hash(rows: Sequence[Record], like: LikeComparison) -> dict[str, int]:
    return {content_hash(rows[i]): at for at, i in enumerate(like.rows)}


def test_the_order_of_the_file_does_not_matter(kept: Rows, fresh: Rows, honest: LikeComparison) -> None:
    again = compare(kept[::-1], fresh[::-1])
    assert again is not None and again.kept == honest.kept
    first = [content_hash([*kept, *fresh][i]) for i in honest.rows]
    assert first == [content_hash([*kept[::-1], *fresh[::-1]][i]) for i in again.rows]
    for name, values in honest.features.items():
        assert again.features[name] == pytest.approx(values, nan_ok=True), name
    assert (again.by_prompt.index == honest.by_prompt.index).all() and (again.is_new == honest.is_new).all()
    assert (again.tie == honest.tie).all()
    assert [(p.words, p.p_value) for p in again.phrases["answers"]] == [
        (p.words, p.p_value) for p in honest.phrases["answers"]
    ]


def test_adding_rows_does_not_change_the_features_of_kept_rows(kept: Rows, fresh: Rows, honest: LikeComparison) -> None:
    other = compare(kept, [*(change(row, str.upper) for row in fresh[:20]), *draw_chats(np.random.default_rng(5), 9)])
    assert other is not None and (other.rows[:300] == honest.rows[:300]).all()
    assert (other.by_prompt.index[:300] == honest.by_prompt.index[:300]).all()
    counted_everywhere = {"answer elsewhere"}
    for name in honest.features.keys() - counted_everywhere:
        assert other.features[name][:300] == pytest.approx(
            honest.features[name][:300], rel=1e-4, abs=1e-4, nan_ok=True
        ), name


def test_kept_rows_come_first_and_ranks_are_of_the_rows_that_were_read(honest: LikeComparison) -> None:
    assert honest.kept == 300 and sorted(honest.rows.tolist()) == list(range(360))
    assert honest.rows[:300].max() == 299
    ranks = honest.rank(honest.features["answer length"], "prompt")
    assert np.nanmean(ranks[:300]) == pytest.approx(0.5, abs=0.05)
    assert np.nanmean(ranks[300:]) == pytest.approx(0.5, abs=0.15)
    assert honest.edge("prompt") == honest.like_rows("prompt") / (honest.like_rows("prompt") + 1)


def test_the_middle_of_like_rows_is_their_mean(honest: LikeComparison) -> None:
    values = np.where(np.arange(360) % 3, np.arange(360.0), np.nan)
    middle = honest.middle_of_like_rows(values, "answer")
    for i in (0, 17, 359):
        others = [values[j] for j in honest.by_answer.index[i] if not math.isnan(values[j])]
        assert middle[i] == pytest.approx(sum(others) / len(others))
    assert np.isnan(honest.middle_of_like_rows(np.full(360, np.nan), "answer")).all()


def test_a_new_name_alone_makes_no_row_new_and_no_kept_row_is_of_a_new_source(
    kept: Rows, fresh: Rows, honest: LikeComparison
) -> None:
    """Some data names its sources by month."""
    flags = np.zeros(360, dtype=bool)
    flags[:5] = flags[300:310] = True
    renamed = [replace(row, source="of this month") if i < 10 else row for i, row in enumerate(fresh)]
    like = compare(kept, renamed, is_new_source=flags)
    assert like is not None
    assert sorted(like.rows[like.is_new_source].tolist()) == list(range(300, 310))
    assert (like.is_new == honest.is_new).all() and not like.is_new[:300].any()


@pytest.mark.parametrize(("of_new_kind", "all_new"), [(40, True), (25, True), (6, False)])
def test_a_source_with_many_rows_of_a_new_kind_is_new_as_a_whole(
    kept: Rows, fresh: Rows, of_new_kind: int, all_new: bool
) -> None:
    new = draw_chats(np.random.default_rng(3), of_new_kind, TOPICS[6:], "new")
    added = [*new, *(replace(row, source="new") for row in fresh[:50])]
    like = compare(kept, added, is_new_source=np.arange(300 + len(added)) >= 300)
    assert like is not None and not like.is_new[:300].any()
    assert like.is_new[300:].all() == all_new
    # Under a name that the parent had, rows that ask for nothing new are not new, a tenth at most.
    known = compare(kept, added)
    assert known is not None and np.count_nonzero(known.is_new) <= of_new_kind + 5


def test_no_comparison_without_added_rows_or_with_too_few_kept_ones(kept: Rows, fresh: Rows) -> None:
    assert compare(kept, []) is None
    assert compare(kept[: MIN_KEPT_ROWS - 1], fresh) is None
    # Copies of one row are one row.
    assert compare(kept[:1] * 50, fresh) is None
    assert compare(kept[:40], kept[:20]) is None
    assert compare(kept[:MIN_KEPT_ROWS], fresh) is not None


def test_a_row_of_unknown_standing_teaches_nothing(kept: Rows, fresh: Rows) -> None:
    rows = hash_rows([*kept[:100], *fresh, *(change(row, str.upper) for row in kept[100:200])])
    is_kept = np.arange(260) < 100
    is_added = (np.arange(260) >= 100) & (np.arange(260) < 160)

    def look(rows: list[HashedRecord]) -> LikeComparison:
        size = len(rows)
        found = compare_like_with_like(
            rows,
            RowSplit(is_kept[:size], is_added[:size], np.ones(size, dtype=bool)),
            np.zeros(size, dtype=bool),
            np.full(size, np.nan),
            CalibrationParams(),
            16.0,
        )
        assert found is not None
        return found

    with_them, without = look(rows), look(rows[:160])
    assert (with_them.rows == without.rows).all()
    for name, values in without.features.items():
        assert (with_them.features[name] == values)[~np.isnan(values)].all(), name


# --- which rows are read -------------------------------------------------------------------------------------------


def lengths(rows: Sequence[Record]) -> list[int]:
    return [len(canonical_text(row)) for row in rows]


def read_all(rows: Sequence[HashedRecord]) -> RowReading:
    everything = np.ones(len(rows), dtype=bool)
    return read_rows(rows, everything, ~everything)


@settings(max_examples=60)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_the_rows_read_are_those_of_the_lowest_hashes_whatever_their_order(sizes: list[int], random: object) -> None:
    rows = [Conversation((Message("assistant", chr(97 + i % 26) * size),), row=i) for i, size in enumerate(sizes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_reading, "MAX_CHARACTERS", 200)
        patch.setattr(row_reading, "MAX_ROW_CHARACTERS", 50)
        patch.setattr(row_reading, "MAX_ROWS", 6)

        def take(records: Sequence[Conversation]) -> list[str]:
            reading = read_all(hash_rows(records))
            assert [records[i] for i in reading.rows] == list(reading.records)
            return [content_hash(record) for record in reading.records]

        found = take(rows)
        shuffled = rows.copy()
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        assert take(shuffled) == found
    short = {content_hash(row): lengths([row])[0] for row in rows if lengths([row])[0] <= 50}
    expected: list[str] = []
    for row_hash in sorted(short):
        if sum(short[h] for h in [*expected, row_hash]) > 200 or len(expected) == 6:
            break
        expected.append(row_hash)
    assert found == expected


def test_one_endless_row_does_not_crowd_out_the_others(kept: Rows, fresh: Rows) -> None:
    endless = Conversation((Message("user", "?"), Message("assistant", "la " * 1_400_000)))
    rows = hash_rows([*kept[:60], endless, *fresh])
    # The endless one comes first in the order of hashes.
    rows[60] = HashedRecord(endless, "00" * 16)
    assert sorted(read_all(rows).rows.tolist()) == [i for i in range(len(rows)) if i != 60]


def test_a_reading_of_some_rows_in_another_order_says_the_same_of_each(fresh: Rows) -> None:
    reading = read_all(hash_rows(fresh))
    places = np.array([7, 0, 31])
    taken = reading.take(places)
    assert taken.records == tuple(reading.records[i] for i in places) and (taken.rows == reading.rows[places]).all()
    alone = read_all(hash_rows([reading.records[7]]))
    assert (taken.sides.prompts[0], taken.sides.responses[0]) == (alone.sides.prompts[0], alone.sides.responses[0])
    assert taken.sides.prompt_vectors[0] == pytest.approx(alone.sides.prompt_vectors[0], abs=1e-5)
    for name, values in alone.features.items():
        assert taken.features[name][0] == pytest.approx(values[0], nan_ok=True), name


def test_of_much_data_a_sample_of_all_rows_is_read(
    kept: Rows, fresh: Rows, honest: LikeComparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_reading, "MAX_CHARACTERS", sum(lengths([*kept, *fresh])) // 2)
    sample = compare(kept, fresh)
    assert sample is not None
    read = set(sample.rows.tolist())
    # All changes, and of the kept rows those with the lowest hashes.
    assert 90 < sample.kept < 140 and read >= set(range(len(kept), len(kept) + len(fresh)))
    hashes = [content_hash(row) for row in kept]
    assert sorted(hashes)[: sample.kept] == sorted(hashes[i] for i in read if i < len(kept))
    assert len(sample.groups[0]) == sample.kept == len(sample.groups[1])


def test_of_many_added_and_many_kept_rows_as_many_are_read(
    kept: Rows, fresh: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = hash_rows([*kept, *fresh])
    monkeypatch.setattr(row_reading, "MAX_ROWS", 60)
    for added in (30, len(fresh), len(rows) - 30):
        is_added = np.arange(len(rows)) >= len(rows) - added
        taken = is_added[read_rows(rows, ~is_added, is_added).rows]
        assert len(taken) == 60 and np.count_nonzero(taken) == 30
    # A row of which it is not known whether the parent had it is not read.
    nothing = np.zeros(len(rows), dtype=bool)
    assert len(read_rows(rows, nothing, nothing).rows) == 0
