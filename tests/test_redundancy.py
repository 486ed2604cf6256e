"""The incremental codec states against compressing everything anew."""

from __future__ import annotations

import zlib
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from selection.framing import PLAIN, PYTHON_LIST, Framing, reference_text
from selection.redundancy import DictionaryState, Digests, StateKind

WORDS = [b"entropy", b"law", b"data", b"user: ", b"assistant: ", b"the", b"of", b"\n", b" ", b"model"]
VOCABULARY = [bytes(Random(number).choices(range(97, 123), k=3 + number % 5)) for number in range(20_000)]


def text(seed: int, size: int) -> bytes:
    """Compressible words, with a run of noise that DEFLATE stores rather than codes."""
    random = Random(seed)
    words = b"".join(random.choices(WORDS, k=size // 4 + 1))[: size // 2]
    return words + random.randbytes(size // 4) + words[: size // 4]


def prose(seed: int, size: int) -> bytes:
    """Words of a vocabulary as large as a real text's, the frequent ones far more often than the rare ones."""
    random = Random(seed)
    return b" ".join(VOCABULARY[int(random.paretovariate(0.5)) % len(VOCABULARY)] for _ in range(size // 6))


rows = st.one_of(
    st.binary(max_size=400),
    st.builds(text, st.integers(0, 50), st.integers(0, 5_000)),
    st.builds(lambda unit, times: unit * times, st.binary(min_size=1, max_size=5), st.integers(1, 20_000)),
    # Longer than the 32 KiB window, and around the sizes at which zlib slides it.
    st.builds(text, st.integers(0, 50), st.sampled_from([32_505, 32_506, 32_767, 32_768, 32_769, 65_274, 99_999])),
)
framings = st.sampled_from([PLAIN, PYTHON_LIST])


def framed(members: list[bytes], framing: Framing) -> bytes:
    return framing.opening + framing.separator.join(members) + framing.closing


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(rows, max_size=6), st.lists(rows, min_size=1, max_size=3), framings, st.integers(1, 9))
@example([text(1, 70_000)], [b"", text(1, 70_000)], PLAIN, 9)
@example([b"", b""], [b""], PYTHON_LIST, 9)
def test_deflate_state_gives_the_size_of_compressing_the_whole_set_anew(
    members: list[bytes], candidates: list[bytes], framing: Framing, level: int
) -> None:
    state = StateKind("zlib", level, "codec", framing).start()
    for count in range(len(members) + 1):
        for candidate in candidates:
            whole = framed([*members[:count], candidate], framing)
            assert state.sizes_with([candidate, candidate]) == [len(zlib.compress(whole, level))] * 2
        if count < len(members):
            state.add(members[count])


near_copies = st.builds(
    lambda seed, cut, change: prose(seed, 6_000)[:cut] + change + prose(seed, 6_000)[cut:],
    st.integers(0, 3),
    st.integers(0, 6_000),
    st.binary(max_size=3),
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(rows, near_copies), min_size=1, max_size=20), framings, st.randoms(use_true_random=False))
# Long enough for matches to fall out of the window, one by one and all at once, and for zlib to lose its patience.
@example([prose(seed % 5, 3_000 + seed) for seed in range(40)], PLAIN, Random(1))
@example([text(seed, 9_000) for seed in range(12)], PYTHON_LIST, Random(2))
@example([b"ab" * (seed * 400) + b"c" for seed in range(20)], PLAIN, Random(3))
@example([b"", b"\0\0\0\0"], PLAIN, Random(0))
@example([b"", b"a", b"ab", b"abc", b"abcd", b"", prose(1, 40_000), b"abcde"], PLAIN, Random(4))
def test_a_round_gives_the_sizes_of_compressing_its_whole_set_anew(
    finalists: list[bytes], framing: Framing, random: Random
) -> None:
    started = StateKind("zlib", 9, "codec", framing).start_round(finalists)
    members: list[bytes] = []
    left = list(range(len(finalists)))
    while left:
        expected = [len(zlib.compress(framed([*members, finalists[index]], framing), 9)) for index in left]
        # Asked in two parts, as workers do.
        cut = random.randrange(len(left) + 1)
        assert started.sizes_with(left[:cut]) + started.sizes_with(left[cut:]) == expected
        for _ in range(random.randrange(1, 3)):
            if left:
                members.append(finalists[left.pop(random.randrange(len(left)))])
                started.add(members[-1])


@pytest.mark.slow
def test_a_round_is_exact_where_a_match_lies_as_far_back_as_zlib_looks() -> None:
    # zlib takes a match 32,506 bytes back only where no nearer string shares its first three bytes.
    needle = b"#needle-of-a-row#"
    for gap in range(32_480, 32_530):
        filler = random_letters(gap, gap - len(needle))
        finalists = [b"0" + needle, filler[:16_000], filler[16_000:], needle + b"?", needle + b"?" + needle]
        started = StateKind("zlib", 9).start_round(finalists)
        whole = b""
        for member in finalists[:3]:
            assert started.sizes_with([3, 4]) == [len(zlib.compress(whole + finalists[index], 9)) for index in (3, 4)]
            started.add(member)
            whole += member
        assert started.sizes_with([3, 4]) == [len(zlib.compress(whole + finalists[index], 9)) for index in (3, 4)]


def random_letters(seed: int, size: int) -> bytes:
    return bytes(Random(seed).choices(range(97, 123), k=size))


@pytest.mark.slow
def test_threads_that_hold_the_same_set_share_its_digest_and_get_the_sizes_of_one_alone() -> None:
    digests, members = Digests(), [prose(seed, 5_000) for seed in range(6)]
    states = [DictionaryState(7, None, digests) for _ in range(3)]
    alone = DictionaryState(7, None)
    for member in members:
        for state in (*states, alone):
            state.add(member)
        expected = alone.sizes_with(members)
        with ThreadPoolExecutor(3) as threads:
            assert list(threads.map(lambda state: state.sizes_with(members), states)) == [expected] * 3
    assert len({id(state._dictionary) for state in states}) == 1


@pytest.mark.slow
def test_deflate_state_is_exact_across_many_block_boundaries() -> None:
    # A block of DEFLATE closes after 16,383 symbols; rows of a few hundred bytes end anywhere in a block.
    random = Random(3)
    state = StateKind("zlib", 9).start()
    whole = b""
    for step in range(400):
        row = text(step, random.randrange(1, 1_500))
        if step % 7 == 0:
            assert state.sizes_with([row]) == [len(zlib.compress(whole + row, 9))]
        state.add(row)
        whole += row


@given(st.lists(st.binary(max_size=20), max_size=5), framings)
def test_framed_raw_bytes_are_the_length_of_the_framed_set(members: list[bytes], framing: Framing) -> None:
    if members:
        assert framing.raw_bytes(sum(map(len, members)), len(members)) == len(framed(members, framing))


def test_reference_framing_is_pythons_str_of_the_list_of_rows() -> None:
    pool = [{"id": "é", "conversations": [{"from": "human", "value": 'it\'s "so"\n'}]}, {"id": "b", "n": [None, 1.5]}]
    assert framed([reference_text(row) for row in pool], PYTHON_LIST) == str(pool).encode("utf-8")


@pytest.mark.parametrize("level", [1, 7, 19])
@pytest.mark.parametrize("window", ["codec", "global"])
def test_the_size_of_a_single_row_is_that_of_plain_zstd_without_its_header(window: str, level: int) -> None:
    candidate = prose(5, 30_000)
    state = StateKind("zstd", level, window).start()  # type: ignore[arg-type]
    assert state.size_with(candidate) == pytest.approx(len(zstandard.compress(candidate, level)), rel=0.03)


@pytest.mark.slow
def test_a_copy_of_any_row_of_a_large_set_shrinks_over_a_hundredfold_with_the_global_window() -> None:
    # 14 MB: beyond the 8 MiB that zstd indexes of a dictionary when its tables keep their usual size.
    random = Random(11)
    members = [prose(random.randrange(10**9), 20_000) for _ in range(700)]
    state = DictionaryState(7, reach_bytes=None)
    for member in members:
        state.add(member)
    empty = state.size_with(b"")
    for index in (0, 1, 350, 699):
        assert state.size_with(members[index]) - empty < len(members[index]) / 100


def test_with_its_own_window_zstd_forgets_what_lies_further_back_than_the_window() -> None:
    members = [text(seed, 20_000) for seed in range(150)]
    state = StateKind("zstd", 7, "codec").start()
    for member in members:
        state.add(member)
    empty = state.size_with(b"")
    assert state.size_with(members[-1]) - empty < len(members[-1]) / 100
    assert state.size_with(members[0]) - empty > len(members[0]) / 10


def test_a_dictionary_states_set_grows_by_what_each_addition_compresses_to() -> None:
    first, second = text(1, 4_000), text(2, 4_000)
    state = DictionaryState(7, reach_bytes=None)
    alone = state.size_with(first)
    state.add(first)
    with_second = state.size_with(second)
    assert with_second > alone
    state.add(second)
    # An empty candidate adds an empty frame to the settled size of the set.
    assert 0 < state.size_with(b"") - with_second < 10


def test_asking_for_a_size_does_not_change_the_set() -> None:
    for kind in (StateKind("zlib", 9), StateKind("zstd", 7), StateKind("zstd", 7, "global")):
        state = kind.start()
        state.add(text(1, 2_000))
        before = state.size_with(text(2, 2_000))
        state.size_with(text(3, 50_000))
        assert state.size_with(text(2, 2_000)) == before
