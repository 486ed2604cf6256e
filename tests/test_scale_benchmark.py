"""The benchmark of scale: its rows are real text in other combinations, of any number, and its fits add up."""

import json
import random
import tracemalloc
import zlib
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from benchmarks.corpora import Part
from benchmarks.measured_versions import Measured, Size, measure_or_read
from benchmarks.recut_rows import NEAR_COPIES, SHAPES, RealText, RecutRows, Version, list_parts, load_real_texts
from benchmarks.scale_tables import (
    describe,
    draw_stages,
    fit_line,
    fit_power,
    list_versions,
    tabulate_against_first,
    tabulate_once,
    tabulate_plan,
    tabulate_stages,
)
from benchmarks.timed_commands import Timing
from corpus.errors import EntropylawError
from corpus.files import write_rows
from corpus.formats import parse_row
from corpus.records import Conversation, canonical_text
from entropylaw.demo.chitchat import ChatLog, to_conversation


@pytest.fixture(scope="module")
def texts() -> tuple[RealText, ...]:
    return load_real_texts(list_parts(None))


def read_words(rows: RecutRows, count: int) -> list[list[str]]:
    return [" ".join(m["content"] for m in rows.make_row(i)["messages"]).split() for i in range(count)]


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(texts: tuple[RealText, ...], tmp_path: Path) -> None:
    written = []
    for seed in (0, 0, 1):
        RecutRows(texts, 1_000, seed).write(Version(50), tmp_path / "rows.jsonl")
        written.append((tmp_path / "rows.jsonl").read_bytes())
    assert written[0] == written[1]
    assert not set(written[0].splitlines()) & set(written[2].splitlines())


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_are_usable_conversations_of_the_size_that_was_asked_for(
    texts: tuple[RealText, ...], tmp_path: Path, shape: str
) -> None:
    size = RecutRows(texts, SHAPES[shape]).write(Version(500), tmp_path / "rows.jsonl")
    assert size == (tmp_path / "rows.jsonl").stat().st_size
    assert size / 500 == pytest.approx(SHAPES[shape], rel=0.1)
    for number, line in enumerate((tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines(), start=1):
        record = parse_row(json.loads(line), "messages", number, "rows.jsonl")
        assert isinstance(record, Conversation)
        assert record.messages[-1].role == "assistant" and all(m.content.strip() for m in record.messages)


@pytest.mark.slow
def test_the_text_is_real_but_for_where_passages_meet(texts: tuple[RealText, ...]) -> None:
    real = [text.text.split() for text in texts]
    known = {pair for words in real for pair in pairwise(words)}
    made = [pair for words in read_words(RecutRows(texts, 1_000), 200) for pair in pairwise(words)]
    assert {word for pair in made for word in pair} <= {word for words in real for word in words}
    # Of the pairs within passages all; these are five of six.
    assert sum(pair in known for pair in made) / len(made) > 5 / 6


@pytest.mark.slow
def test_few_rows_are_near_copies_of_others(texts: tuple[RealText, ...]) -> None:
    count = 500
    shingles = [set(zip(w, w[1:], w[2:], strict=False)) for w in read_words(RecutRows(texts, 1_000), count)]
    near = {j for (_, a), (j, b) in combinations(enumerate(shingles), 2) if len(a & b) > 0.8 * len(a | b)}
    assert 1 <= len(near) <= 3 * NEAR_COPIES * count


@pytest.mark.slow
def test_the_text_is_as_redundant_as_the_real_one(texts: tuple[RealText, ...], chat_logs: list[ChatLog]) -> None:
    chats = random.Random(0).sample(chat_logs, 600)
    records = [parse_row(to_conversation(log), "sharegpt", i, "chats") for i, log in enumerate(chats, start=1)]
    real = "".join(map(canonical_text, records)).encode()
    rows = RecutRows(texts, 6_000)
    made = "".join(
        canonical_text(parse_row(rows.make_row(i), "messages", i + 1, "rows")) for i in range(len(real) // 6_000)
    ).encode()
    ratios = [len(text) / len(zlib.compress(text, 9)) for text in (real, made)]
    assert ratios[1] == pytest.approx(ratios[0], rel=0.1)


@pytest.mark.parametrize(("rows", "share", "changed"), [(1000, 0.1, 100), (1000, 0.01, 10), (730, 0.3, 219), (5, 0, 0)])
def test_a_version_changes_as_many_rows_as_it_says(
    texts: tuple[RealText, ...], tmp_path: Path, rows: int, share: float, changed: int
) -> None:
    recut = RecutRows(texts, 300)
    lines = []
    for version in (Version(rows), Version(rows, share)):
        recut.write(version, tmp_path / "rows.jsonl")
        lines.append((tmp_path / "rows.jsonl").read_bytes().splitlines())
    assert sum(a != b for a, b in zip(*lines, strict=True)) == changed


def test_writing_takes_no_more_memory_for_more_rows(texts: tuple[RealText, ...], tmp_path: Path) -> None:
    recut, peaks = RecutRows(texts, 1_000), []
    recut.make_row(0)
    for rows in (100, 1_000):
        tracemalloc.start()
        recut.write(Version(rows), tmp_path / "rows.jsonl")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 100_000  # of 900,000 bytes more


def test_every_file_of_a_folder_is_a_source_by_its_share_of_the_text(tmp_path: Path) -> None:
    for name, count in (("small", 1_500), ("large", 4_500)):
        words = " ".join(f"{name}{i}" for i in range(8))
        write_rows(
            tmp_path / f"{name}.jsonl", [{"prompt": f"{i} {words}?", "completion": "Yes."} for i in range(count)]
        )
    (tmp_path / "README.md").write_text("no data")
    parts = list_parts(tmp_path)
    assert [part.name for part in parts] == ["large", "small"]
    rows = RecutRows(load_real_texts(parts), 300)
    made = [rows.make_row(i) for i in range(400)]
    assert sum(row["source"] == "large" for row in made) == pytest.approx(300, abs=30)


def test_too_little_text_is_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "few.jsonl", [{"prompt": "One?", "completion": "1"}])
    with pytest.raises(EntropylawError, match=r"few: fewer than 10,000 words"):
        load_real_texts([Part(tmp_path / "few.jsonl")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(EntropylawError, match=r"no \.json or \.jsonl file"):
        list_parts(tmp_path / "empty")


def measured(rows: int, changed: float, prepare: float, compression: float, gate: float) -> Measured:
    seconds = {"prepare": prepare, "compression": compression, "gate": gate}
    timings = tuple(Timing(name, s, 2 * s, 50.0 + s) for name, s in seconds.items())
    accept = None if changed else Timing("accept", 3.0, 4.0, 100.0)
    return Measured(rows, changed, rows * 1_000, "pass", 2.5, 3.0, 7, timings, accept)


@pytest.fixture
def sizes() -> list[Size]:
    """A tenth of a version is measured in half of the time, R apart; `gate` takes a second whatever the size."""
    found = []
    for rows in (10_000, 100_000, 1_000_000):
        k = rows / 10_000
        first = measured(rows, 0, 4 * k, 10 * k, 1)
        found.append(Size((Timing("init", k, k, 90.0),), first, (measured(rows, 0.1, 2 * k, 10 * k, 1),)))
    return found


def test_the_power_is_that_of_the_rows() -> None:
    assert fit_power([10, 100, 1000], [3 * n**1.25 for n in (10, 100, 1000)]) == pytest.approx(1.25)


@pytest.mark.parametrize(("points", "line"), [([5, 23, 203], (3, 2)), ([2, 20, 200], (0, 2)), ([4, 4, 4], (4, 0))])
def test_a_line_has_a_constant_and_a_slope(points: list[float], line: tuple[float, float]) -> None:
    assert fit_line([1, 10, 100], points) == pytest.approx(line, abs=1e-9)


def test_neither_part_of_a_line_is_below_zero() -> None:
    constant, slope = fit_line([1, 10, 100], [1, 11, 120])
    assert constant == 0 and 1 < slope < 1.2
    constant, slope = fit_line([1, 10, 100], [5, 4.9, 4])
    assert slope == 0 and 4 < constant < 5


def test_the_tables_say_what_each_stage_takes_and_how_it_grows(sizes: list[Size]) -> None:
    lines = tabulate_stages(list_versions(sizes)["10% of the rows changed"]).splitlines()
    assert (
        lines[2]
        == "| `prepare` | 4.0 s, 2.0 s, 52 MB | 40.0 s, 20.0 s, 70 MB | 400.0 s, 200.0 s, 250 MB | 1.00, 1.00 |"
    )
    assert lines[4] == "| `gate` | 2.0 s, 1.0 s, 51 MB | 2.0 s, 1.0 s, 51 MB | 2.0 s, 1.0 s, 51 MB | 0.00, 0.00 |"
    assert lines[5].startswith("| **together** | 26.0 s, 13.0 s, 60 MB |")
    assert len({line.count("|") for line in lines}) == 1
    single = tabulate_stages([sizes[0].first]).splitlines()
    assert single[0] == "|  | 10,000 rows, 10 MB: wall, CPU, memory |"


def test_a_version_is_held_against_the_first_without_r(sizes: list[Size]) -> None:
    lines = tabulate_against_first(sizes).splitlines()
    assert lines[2] == "| 10,000 | 10% | 0.60 | 0.60 | 52 MB |"  # (2 + 1) / (4 + 1)
    assert lines[4] == "| 1,000,000 | 10% | 0.50 | 0.50 | 250 MB |"


def test_what_is_made_once_stands_apart(sizes: list[Size]) -> None:
    assert tabulate_once(sizes).splitlines()[2:] == [
        "| `init` | 1.0 s, 90 MB | 10.0 s, 90 MB | 100.0 s, 90 MB |",
        "| `accept` | 3.0 s, 100 MB | 3.0 s, 100 MB | 3.0 s, 100 MB |",
    ]


def test_the_plan_is_constants_and_seconds_for_each_gigabyte(sizes: list[Size]) -> None:
    lines = tabulate_plan([size.first for size in sizes]).splitlines()
    assert "100,000,000 rows, 100 GB" in lines[0]
    # 4 s for each 10 MB are 400 s for each GB.
    assert lines[2] == "| `prepare` | 0.0 s | 400.0 s | 11.1 h |"
    assert lines[4] == "| `gate` | 1.0 s | 0.0 s | 0.0 h |"
    assert lines[5] == "| **together** | 1.0 s | 1400.0 s | 38.9 h |"


def test_everything_is_written_and_drawn(sizes: list[Size], tmp_path: Path) -> None:
    draw_stages([size.first for size in sizes], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    document = json.loads(json.dumps(describe(sizes)))
    assert document["powers"]["the first version"]["prepare"]["wall"] == pytest.approx(1)
    assert document["sizes"][2]["versions"][0]["timings"][1]["cpu_seconds"] == 1000
    assert describe(sizes[:1])["powers"] == {}


def test_what_was_measured_is_not_measured_again_unless_asked_for(tmp_path: Path) -> None:
    file, calls = tmp_path / "first.json", []

    def measure() -> Measured:
        calls.append(1)
        return measured(10, 0, 1, 2, 3)

    assert measure_or_read(file, measure, again=False) == measure_or_read(file, measure, again=False) == measure()
    assert len(calls) == 2
    measure_or_read(file, measure, again=True)
    assert len(calls) == 3
