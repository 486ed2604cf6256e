"""`entropylaw select` from the outside: what every method writes, and what happens when it cannot."""

from __future__ import annotations

import functools
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, get_args

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from click.testing import Result
from ruamel.yaml import YAML
from tokenizers import Tokenizer
from typer.testing import CliRunner

from corpus.errors import EntropylawError
from corpus.files import SUFFIXES, read_rows, write_rows
from corpus.prepare import PrepareParams, to_row
from corpus.records import Conversation, HashedRecord, Message, Record, canonical_text
from entropylaw.cli import app
from entropylaw.select.pool import read_pool
from entropylaw.select.watched import find_unwatched
from entropylaw.terminal import show_stages
from selection.baselines import score_deita
from selection.budget import Budget
from selection.methods import Method, SelectionParams
from selection.zip_greedy import ZipParams, select_zip
from training.deita_scores import score_turns
from training.row_scores import RowScoreParams, score_answers, score_losses

Run = Callable[..., Result]
Row = dict[str, Any]

METHODS = get_args(Method)
SMALL_K = ("--k1", "8", "--k2", "5", "--k3", "2")
PROGRAM = str(Path(sys.executable).parent / "entropylaw")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["select", *map(str, arguments)])

    return call


def sentence(seed: int, words: int = 12) -> str:
    random = Random(seed)
    return " ".join("".join(random.choices("aeioulnrst", k=random.randrange(2, 9))) for _ in range(words))


def conversation(seed: int) -> Row:
    turns = [{"from": "human", "value": sentence(seed)}, {"from": "gpt", "value": sentence(-seed, 2 + seed % 30)}]
    return {"id": f"chat {seed}", "conversations": turns, "lang": None, "score": seed / 7}


def pair(seed: int, score: float | None = None) -> Row:
    graded = {} if score is None else {"chosen_score": score}
    return {
        "prompt": sentence(seed),
        "chosen": sentence(seed + 1, 20),
        "rejected": sentence(seed + 2, 5),
        "annotator": {"id": seed, "team": "b"},
        **graded,
    }


def canonical(row: Row) -> bytes:
    roles = {"human": "user", "gpt": "assistant"}
    messages = tuple(Message(roles[turn["from"]], turn["value"]) for turn in row["conversations"])
    return canonical_text(Conversation(messages)).encode()


def rows_of(path: Path) -> list[Row]:
    return [row for _, row in read_rows(path)]


def is_one_line_error(result: Result, *parts: str) -> bool:
    line = result.stderr
    return (
        result.exit_code == 2
        and line.startswith("entropylaw: ")
        and line.count("\n") == 1
        and all(part in line for part in parts)
    )


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.jsonl"
    write_rows(path, [conversation(seed) for seed in range(30)])
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    write_rows(path, [pair(seed) for seed in range(0, 90, 3)])
    return path


@pytest.fixture
def chat_pool(chats: list[HashedRecord], tmp_path: Path) -> tuple[Path, list[Record]]:
    """Twenty real conversations."""
    path = tmp_path / "chats.jsonl"
    write_rows(path, [to_row(record, row_hash) for record, row_hash in chats[300:320]])
    return path, [record for record, _ in chats[300:320]]


# --- what is written


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_zip_writes_the_pools_rows_whole_and_in_the_order_of_selection(run: Run, tmp_path: Path, suffix: str) -> None:
    rows = [conversation(seed) for seed in range(30)]
    write_rows(tmp_path / f"pool{suffix}", rows)
    assert run("zip", f"pool{suffix}", "--out", f"out{suffix}", "--rows", 12, *SMALL_K).exit_code == 0
    params = ZipParams(8, 5, 2, window="global")
    expected = select_zip([canonical(row) for row in rows], Budget(rows=12), params).indices
    assert list(expected) != sorted(expected)
    assert rows_of(tmp_path / f"out{suffix}") == [rows[index] for index in expected]


@pytest.mark.slow
def test_naming_zlib_means_its_own_window(run: Run, tmp_path: Path) -> None:
    rows = [conversation(seed) for seed in range(30)]
    write_rows(tmp_path / "pool.jsonl", rows)
    expected = select_zip([canonical(row) for row in rows], Budget(rows=12), ZipParams(8, 5, 2)).indices
    for named in (("--codec", "zlib"), ("--window", "codec")):
        assert run("zip", "pool.jsonl", "--out", "out.jsonl", "--rows", 12, *SMALL_K, *named).exit_code == 0
        assert rows_of(tmp_path / "out.jsonl") == [rows[index] for index in expected]


def test_a_parquet_selection_keeps_the_pools_columns_and_types(run: Run, tmp_path: Path) -> None:
    schema = pyarrow.schema(
        {
            "conversations": pyarrow.list_(pyarrow.struct({"from": pyarrow.string(), "value": pyarrow.large_string()})),
            "grade": pyarrow.int8(),
        },
        metadata={"owner": "data team"},
    )
    rows = [{"conversations": conversation(seed)["conversations"], "grade": seed} for seed in range(9)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), tmp_path / "pool.parquet")
    assert run("random", "pool.parquet", "--out", "out.parquet", "--rows", 4).exit_code == 0
    pool = pyarrow.parquet.read_table(tmp_path / "pool.parquet")
    selected = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert selected.schema.equals(pool.schema, check_metadata=True) and selected.schema.field("grade").type == "int8"
    order = np.random.default_rng(0).permutation(9)[:4].tolist()
    assert selected.column("grade").to_pylist() == order


def test_random_follows_its_seed(run: Run, pool: Path, tmp_path: Path) -> None:
    assert run("random", pool, "--out", "out.jsonl", "--rows", 7, "--seed", 3).exit_code == 0
    expected = np.random.default_rng(3).permutation(30)[:7]
    assert [row["id"] for row in rows_of(tmp_path / "out.jsonl")] == [f"chat {seed}" for seed in expected]


def test_a_prepared_file_is_selected_by_its_own_row_numbers(run: Run, tmp_path: Path) -> None:
    # A prepared row remembers its number in the file that it was made from, which need not be its line here.
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    rows = [{"messages": messages, "source": "", "row": 100 - line, "hash": f"{line:032x}"} for line in range(9)]
    write_rows(tmp_path / "pool.jsonl", rows)
    assert run("random", "pool.jsonl", "--out", "out.jsonl", "--rows", 5).exit_code == 0
    expected = np.random.default_rng(0).permutation(9)[:5]
    assert rows_of(tmp_path / "out.jsonl") == [rows[line] for line in expected]


def test_blank_lines_of_the_pool_are_no_rows(run: Run, tmp_path: Path) -> None:
    lines = [json.dumps(conversation(seed)) for seed in range(6)]
    (tmp_path / "pool.jsonl").write_text("\n\n" + "\n\n".join(lines) + "\n", encoding="utf-8")
    assert run("zip", "pool.jsonl", "--out", "out.jsonl", "--rows", 6, *SMALL_K).exit_code == 0
    ids = [row["id"] for row in rows_of(tmp_path / "out.jsonl")]
    assert sorted(ids) == [f"chat {seed}" for seed in range(6)]


def test_the_report_counts_tokens_and_the_command_says_how_long_each_stage_took(
    run: Run, pool: Path, tmp_path: Path, base_folder: Path
) -> None:
    result = run("zip", pool, "--out", "out.jsonl", "--rows", 10, *SMALL_K, "--report", "r.json", "--json",
                 "--tokenizer", base_folder)  # fmt: skip
    assert result.exit_code == 0, result.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert json.loads(result.stdout) == report
    assert "seconds" not in report
    tokenizer = Tokenizer.from_file(str(base_folder / "tokenizer.json"))
    counts = [len(tokenizer.encode(canonical(conversation(seed)).decode()).ids) for seed in range(30)]
    assert report["pool_tokens"] == sum(counts)
    assert report["selected_tokens"] == sum(counts[int(row["id"][5:])] for row in rows_of(tmp_path / "out.jsonl"))
    assert report["pool_median_tokens"] == np.median(counts)
    assert (report["pool_rows"], report["selected_rows"], report["budget_rows"]) == (30, 10, 10)
    assert report["pool_sources"] == {"": 30} and report["sources"] == {"": 10}


def test_a_base_model_that_points_to_another_counts_with_its_tokenizer(
    run: Run, pool: Path, tmp_path: Path, base_folder: Path
) -> None:
    card = json.loads((base_folder / "entropylaw.json").read_text())
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "entropylaw.json").write_text(json.dumps({**card, "pretrained": str(base_folder)}))
    results = [
        run("random", pool, "--out", "out.jsonl", "--tokens", 200, "--tokenizer", folder, "--json").stdout
        for folder in ("base", base_folder)
    ]
    pointed, direct = (json.loads(text) for text in results)
    assert pointed["pool_tokens"] == direct["pool_tokens"] > 200 >= pointed["selected_tokens"] > 0


def test_a_person_reads_counts_tokens_and_r(run: Run, pool: Path, base_folder: Path) -> None:
    result = run("random", pool, "--out", "out.jsonl", "--rows", 50, "--tokenizer", base_folder)
    first, diversity, second, last = result.stdout.splitlines()
    assert first.startswith("out.jsonl: 30 of 30 rows, ") and " tokens; R " in first
    assert re.fullmatch(r"NovelSum (\d\.\d{3}) to \1 \(of 30 rows each; higher is more diverse\)", diversity)
    assert second == "fewer than the 50 rows asked for: the pool holds no more"
    assert re.fullmatch(r"seconds: read \d+\.\d, tokens \d+\.\d, select \d+\.\d", last)


# --- methods that rank by something else than the texts


def helpful(ratios: np.ndarray) -> np.ndarray:
    """Rows whose prompt does not help at all are not to be selected."""
    return np.where(ratios < 1, ratios, -np.inf)


@pytest.mark.parametrize(
    ("method", "rank"),
    [
        ("perplexity", score_losses),
        ("superfiltering", lambda *given: helpful(score_answers(*given).perplexity_ratio)),
        ("superfiltering-loss", lambda *given: helpful(score_answers(*given).loss_ratio)),
    ],
)
def test_a_model_method_takes_the_rows_that_its_model_ranks_highest(
    run: Run,
    tmp_path: Path,
    chat_pool: tuple[Path, list[Record]],
    base_folder: Path,
    method: str,
    rank: Callable[..., np.ndarray],
) -> None:
    path, records = chat_pool
    result = run(method, path, "--out", "out.jsonl", "--rows", 6, "--model", base_folder, "--report", "r.json")
    assert result.exit_code == 0, result.stderr
    expected = np.argsort(-rank(str(base_folder), records, RowScoreParams()), kind="stable")[:6]
    rows = rows_of(path)
    assert rows_of(tmp_path / "out.jsonl") == [rows[index] for index in expected]
    stages = re.findall(r"([a-z]+) \d", result.stdout.splitlines()[-1])
    assert stages == ["read", "score", "select"]


def test_deita_takes_the_highest_grades_and_leaves_out_what_is_alike(
    run: Run, tmp_path: Path, chat_pool: tuple[Path, list[Record]], base_folder: Path
) -> None:
    path, records = chat_pool
    # Every row a second time: none of the copies may be taken.
    write_rows(tmp_path / "twice.jsonl", rows_of(path) * 2)
    result = run("deita", "twice.jsonl", "--out", "out.jsonl", "--rows", 40, "--complexity-scorer", base_folder,
                 "--quality-scorer", base_folder)  # fmt: skip
    assert result.exit_code == 0, result.stderr
    scorers = RowScoreParams(complexity_scorer=str(base_folder), quality_scorer=str(base_folder))
    grades = score_deita(*score_turns(records, scorers))
    hashes = [row["hash"] for row in rows_of(path)]
    selected = [row["hash"] for row in rows_of(tmp_path / "out.jsonl")]
    assert selected[0] == hashes[int(np.argmax(grades))]
    assert len(selected) == len(set(selected)) and 1 < len(selected) <= 20
    indices = [hashes.index(row_hash) for row_hash in selected]
    assert (np.diff(grades[indices]) <= 0).all()
    assert "deita finds no more" in result.stdout


@pytest.mark.slow
def test_cluster_takes_rows_of_every_topic(run: Run, tmp_path: Path) -> None:
    topics = ["My dog barks at the cat, and the puppy plays", "The bank raised the interest on our mortgage loan",
              "Boil the pasta, then fry onions in olive oil"]  # fmt: skip
    rows = [
        {"prompt": f"{topic} ({number}).", "completion": f"{topic}.", "topic": index}
        for number in range(8)
        for index, topic in enumerate(topics)
    ]
    write_rows(tmp_path / "pool.jsonl", rows)
    assert run("cluster", "pool.jsonl", "--out", "out.jsonl", "--rows", 3).exit_code == 0
    assert {row["topic"] for row in rows_of(tmp_path / "out.jsonl")} == {0, 1, 2}


def test_score_takes_the_pairs_with_the_best_graded_answers(run: Run, tmp_path: Path) -> None:
    rows = [pair(seed, score) for seed, score in enumerate([3.0, None, 5.0, 4.0, None, 4.5])]
    write_rows(tmp_path / "pairs.jsonl", rows)
    result = run("score", "pairs.jsonl", "--out", "out.jsonl", "--rows", 5)
    assert result.exit_code == 0, result.stderr
    assert rows_of(tmp_path / "out.jsonl") == [rows[2], rows[5], rows[3], rows[0]]
    assert "score finds no more" in result.stdout


def test_a_selection_of_no_row_is_an_error_and_leaves_no_file(run: Run, tmp_path: Path) -> None:
    write_rows(tmp_path / "pool.jsonl", [chat("Hi", "Hello."), chat("Code?", "f() { return 1; }")])
    result = run("c4", "pool.jsonl", "--out", "out.jsonl", "--rows", 2)
    assert is_one_line_error(result, "pool.jsonl: c4 takes none of the 2 rows")
    assert not (tmp_path / "out.jsonl").exists()


def test_score_names_what_is_missing(run: Run, pool: Path, pairs: Path, tmp_path: Path) -> None:
    assert is_one_line_error(run("score", pool, "--out", "out.jsonl", "--rows", 2), "pool.jsonl", "conversations")
    assert is_one_line_error(run("score", pairs, "--out", "out.jsonl", "--rows", 2), "pairs.jsonl", "chosen_score")
    assert not (tmp_path / "out.jsonl").exists()


def test_a_model_that_is_not_there_is_one_line(run: Run, pool: Path) -> None:
    result = run("perplexity", pool, "--out", "out.jsonl", "--rows", 2, "--model", "models/none")
    assert is_one_line_error(result, "models/none", "no such folder")


# --- methods that read texts


def chat(prompt: str, answer: str) -> Row:
    return {"conversations": [{"from": "human", "value": prompt}, {"from": "gpt", "value": answer}]}


def test_length_takes_the_longest_answers_whatever_the_prompts(run: Run, tmp_path: Path) -> None:
    rows = [
        chat("a long prompt " * 20, "no"),
        chat("Hi", "a longer answer"),
        chat("Hi", "an answer"),
        chat("Hi", "x" * 99),
    ]
    write_rows(tmp_path / "pool.jsonl", rows)
    assert run("length", "pool.jsonl", "--out", "out.jsonl", "--rows", 3).exit_code == 0
    assert rows_of(tmp_path / "out.jsonl") == [rows[3], rows[1], rows[2]]


def test_length_counts_tokens_where_there_is_a_tokenizer(run: Run, tmp_path: Path, base_folder: Path) -> None:
    """Signs that no word has: more tokens than characters of a longer text of words."""
    rows = [chat("Hi", "what do you think about that"), chat("Hi", "☃☂☁☀☄★☆☉☊☋")]
    write_rows(tmp_path / "pool.jsonl", rows)
    for options, expected in (((), rows[0]), (("--tokenizer", base_folder), rows[1])):
        assert run("length", "pool.jsonl", "--out", "out.jsonl", "--rows", 1, *options).exit_code == 0
        assert rows_of(tmp_path / "out.jsonl") == [expected]


def test_length_of_a_preference_is_that_of_its_chosen_answer(run: Run, tmp_path: Path) -> None:
    rows = [{"prompt": "p", "chosen": "x" * n, "rejected": "y" * (99 - n)} for n in (3, 9, 6)]
    write_rows(tmp_path / "pairs.jsonl", rows)
    assert run("length", "pairs.jsonl", "--out", "out.jsonl", "--rows", 2).exit_code == 0
    assert rows_of(tmp_path / "out.jsonl") == [rows[1], rows[2]]


def test_dsir_draws_rows_like_the_target(run: Run, tmp_path: Path) -> None:
    maths = [chat(f"What is {n} plus {n}?", f"The sum is {2 * n}.") for n in range(40)]
    cooking = [chat(f"How do I cook dish {n}?", f"Boil the pasta for {n} minutes.") for n in range(40)]
    write_rows(tmp_path / "pool.jsonl", cooking + maths)
    write_rows(
        tmp_path / "wanted.jsonl", [chat(f"What is {n} plus one?", f"The sum is {n + 1}.") for n in range(50, 60)]
    )
    result = run("dsir", "pool.jsonl", "--target", "wanted.jsonl", "--out", "out.jsonl", "--rows", 20)
    assert result.exit_code == 0, result.stderr
    assert all(row in maths for row in rows_of(tmp_path / "out.jsonl"))


def test_dsir_without_a_target_or_with_none_that_can_be_read_is_one_line(run: Run, pool: Path, tmp_path: Path) -> None:
    assert is_one_line_error(run("dsir", pool, "--out", "out.jsonl", "--rows", 2), "--target FILE", "selection.target")
    missing = run("dsir", pool, "--out", "out.jsonl", "--rows", 2, "--target", "none.jsonl")
    assert is_one_line_error(missing, "none.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_a_long_selection_says_before_it_begins_how_long_it_takes(
    run: Run, pool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "select c4: takes about 1 min of one core for 30 rows"
    assert said not in run("c4", pool, "--out", "out.jsonl", "--rows", 2).stderr
    monkeypatch.setattr("entropylaw.select.selecting.TOLD_SECONDS", 1e-6)
    assert said in run("c4", pool, "--out", "out.jsonl", "--rows", 2).stderr


def test_rules_say_how_many_rows_each_removed(run: Run, tmp_path: Path) -> None:
    good = chat(
        "Tell me of the harbour.", "It was quiet that morning. Two boats had come back. Nobody spoke of the storm."
    )
    code = chat(
        "Write code for me, please.", "Here it is as you wanted. f() { return 1; } That is all of it. Enjoy it."
    )
    write_rows(tmp_path / "pool.jsonl", [good, code, chat("Hi", "Hello.")])
    result = run("c4", "pool.jsonl", "--out", "out.jsonl", "--rows", 3, "--report", "r.json")
    assert result.exit_code == 0, result.stderr
    assert rows_of(tmp_path / "out.jsonl") == [good]
    removed = json.loads((tmp_path / "r.json").read_text())["removed_rows"]
    assert removed == {"C4: lorem ipsum": 0, "C4: curly bracket": 1, "C4: fewer than 3 sentences": 1}
    assert "2 rows removed: C4: curly bracket 1, C4: fewer than 3 sentences 1" in result.stdout
    assert "c4 finds no more" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("method", ["k-centre", "novelsum"])
def test_vectors_pass_over_copies_while_another_row_is_left(run: Run, tmp_path: Path, method: str) -> None:
    rows = [conversation(seed) for seed in range(12)]
    write_rows(tmp_path / "pool.jsonl", [row for row in rows for _ in range(3)])
    assert run(method, "pool.jsonl", "--out", "out.jsonl", "--rows", 12).exit_code == 0
    taken = {row["id"] for row in rows_of(tmp_path / "out.jsonl")}
    assert len(taken) == 12 if method == "k-centre" else len(taken) >= 10


# --- preferences select as pairs (section 5.2)


def test_zip_keeps_whole_pairs(run: Run, pairs: Path, tmp_path: Path) -> None:
    assert run("zip", pairs, "--out", "out.jsonl", "--rows", 7, *SMALL_K).exit_code == 0
    selected = rows_of(tmp_path / "out.jsonl")
    assert len(selected) == 7 and all(row in rows_of(pairs) for row in selected)
    assert len({row["prompt"] for row in selected}) == 7


def test_a_token_budget_counts_both_answers_of_a_pair(run: Run, pairs: Path, tmp_path: Path, base_folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(base_folder / "tokenizer.json"))

    def tokens(row: Row) -> int:
        text = f"user: {row['prompt']}\nchosen assistant: {row['chosen']}\nrejected assistant: {row['rejected']}\n\n"
        return len(tokenizer.encode(text).ids)

    result = run("zip", pairs, "--out", "out.jsonl", "--tokens", 1500, "--tokenizer", base_folder, *SMALL_K)
    assert result.exit_code == 0, result.stderr
    selected = rows_of(tmp_path / "out.jsonl")
    assert all(row in rows_of(pairs) for row in selected)
    # Within the budget, and the shortest row of the pool might be all that is left of it.
    spent = sum(tokens(row) for row in selected)
    assert 1500 - max(map(tokens, rows_of(pairs))) < spent <= 1500
    assert f"{spent:,} tokens" in result.stdout


# --- edges


@pytest.mark.slow
@pytest.mark.parametrize("method", ["zip", "random", "cluster"])
@pytest.mark.parametrize(("asked", "expected"), [(0, 0), (1, 1), (30, 30), (31, 30)])
def test_any_number_of_rows_may_be_asked_for(
    run: Run, pool: Path, tmp_path: Path, method: str, asked: int, expected: int
) -> None:
    # The paper's K1, K2 and K3 are all larger than this pool.
    assert run(method, pool, "--out", "out.jsonl", "--rows", asked, "--report", "r.json").exit_code == 0
    written = (tmp_path / "out.jsonl").read_text().splitlines()
    assert len(written) == len(set(written)) == expected
    assert json.loads((tmp_path / "r.json").read_text())["selected_rows"] == expected


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_row_is_a_file_without_rows(run: Run, tmp_path: Path, suffix: str) -> None:
    write_rows(tmp_path / f"pool{suffix}", [conversation(seed) for seed in range(3)])
    assert run("random", f"pool{suffix}", "--out", f"out{suffix}", "--rows", 0).exit_code == 0
    assert (tmp_path / f"out{suffix}").exists()
    if suffix == ".parquet":
        assert pyarrow.parquet.read_table(tmp_path / "out.parquet").num_rows == 0
    if suffix == ".json":
        assert json.loads((tmp_path / "out.json").read_text()) == []


@pytest.mark.parametrize(
    ("answer", "reason"), [({"from": "gpt", "value": " "}, "1 empty answer"), ({"from": "human"}, "1 blank message")]
)
def test_a_row_that_cannot_be_trained_on_is_never_selected(
    run: Run, tmp_path: Path, answer: dict[str, str], reason: str
) -> None:
    bad = {"id": "bad", "conversations": [{"from": "human", "value": "hello?"}, answer]}
    rows = [conversation(seed) for seed in range(30)]
    write_rows(tmp_path / "pool.jsonl", [*rows[:10], bad, *rows[10:]])
    result = run("zip", "pool.jsonl", "--out", "out.jsonl", "--rows", 31)
    assert result.exit_code == 0 and f"pool.jsonl: rows left out: {reason}" in result.stderr
    assert {row["id"] for row in rows_of(tmp_path / "out.jsonl")} == {row["id"] for row in rows}


def test_a_pool_of_many_unusable_rows_is_one_line(run: Run, tmp_path: Path) -> None:
    blank = {"conversations": [{"from": "human", "value": ""}, {"from": "gpt", "value": " "}]}
    write_rows(tmp_path / "pool.jsonl", [conversation(1), blank])
    result = run("zip", "pool.jsonl", "--out", "out.jsonl", "--rows", 1)
    assert is_one_line_error(result, "pool.jsonl: 1 of 2 rows are unusable", "blank row (row 2; all texts are empty)")


def test_zip_over_all_selected_takes_no_copy_while_another_row_is_left(run: Run, tmp_path: Path) -> None:
    rows = [conversation(seed) for seed in range(12)]
    write_rows(tmp_path / "pool.jsonl", [row for row in rows for _ in range(3)])
    assert run("zip", "pool.jsonl", "--out", "o.jsonl", "--rows", 15, "--window", "global", *SMALL_K).exit_code == 0
    ids = [row["id"] for row in rows_of(tmp_path / "o.jsonl")]
    assert len(set(ids[:12])) == 12 and len(ids) == 15


def test_the_seed_of_zip_and_its_workers_change_nothing(run: Run, pool: Path, tmp_path: Path) -> None:
    variants = [("--seed", 1, "--workers", 1), ("--seed", 2, "--workers", 2)]
    for number, options in enumerate(variants):
        assert run("zip", pool, "--out", f"{number}.jsonl", "--rows", 9, *SMALL_K, *options).exit_code == 0
    assert (tmp_path / "0.jsonl").read_bytes() == (tmp_path / "1.jsonl").read_bytes()


@pytest.mark.slow
def test_compat_reference_compresses_the_rows_as_they_stand_in_the_file(run: Run, pool: Path, tmp_path: Path) -> None:
    assert run("zip", pool, "--out", "out.jsonl", "--rows", 6, "--compat", "reference", *SMALL_K).exit_code == 0
    texts = [repr(conversation(seed)).encode() for seed in range(30)]
    expected = select_zip(texts, Budget(rows=6), ZipParams(8, 5, 2, compat="reference")).indices
    assert [row["id"] for row in rows_of(tmp_path / "out.jsonl")] == [f"chat {seed}" for seed in expected]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--rows", "1", "--tokens", "5"), ("not both",)),
        (("--rows", "-1"), ("-1 rows",)),
        (("--tokens", "5"), ("tokenizer.json", "--tokenizer")),
        (("--tokens", "5", "--tokenizer", "empty"), ("empty/tokenizer.json", "--tokenizer")),
        (("--rows", "1", "--tokenizer", "broken"), ("broken", "cannot be read")),
        (("--rows", "1", "--workers", "0"), ("--workers 0",)),
        (("--rows", "1", "--workers", "many"), ("--workers many",)),
        (("--rows", "1", "--k1", "10", "--k2", "20"), ("k2=20",)),
        (("--rows", "1", "--window", "global", "--codec", "zlib"), ("needs codec zstd",)),
        (("--rows", "1", "--compat", "reference", "--level", "3"), ("reference",)),
    ],
)  # fmt: skip
def test_a_wrong_option_is_one_line_and_writes_nothing(
    run: Run, pool: Path, tmp_path: Path, options: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "tokenizer.json").write_text("{}")
    result = run("zip", pool, "--out", "out.jsonl", *options)
    assert is_one_line_error(result, *parts), result.stderr
    assert not list(tmp_path.glob("*out.jsonl*"))


def test_a_target_that_cannot_be_written_is_known_before_the_work(run: Run, pool: Path, tmp_path: Path) -> None:
    before = pool.read_bytes()
    (tmp_path / "folder.jsonl").mkdir()
    # The pool is not even opened: it need not exist.
    assert is_one_line_error(run("zip", "none.jsonl", "--out", "out.txt", "--rows", 1), "out.txt", ".parquet")
    assert is_one_line_error(run("zip", "none.jsonl", "--out", "folder.jsonl", "--rows", 1), "directory")
    assert is_one_line_error(run("zip", pool, "--out", "./pool.jsonl", "--rows", 1), "would replace the pool")
    assert pool.read_bytes() == before


def test_ray_that_is_not_installed_is_one_line(run: Run, pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = run("zip", pool, "--out", "out.jsonl", "--rows", 1, "--engine", "ray")
    assert is_one_line_error(result, "pip install 'entropylaw[ray]'")


def test_a_pool_that_changes_during_a_selection_is_noticed(pool: Path) -> None:
    read = read_pool(pool, PrepareParams())
    write_rows(pool, [conversation(seed) for seed in range(31)])
    with pytest.raises(EntropylawError, match=r"pool\.jsonl: changed while"):
        next(read.stream_records())


def test_a_pool_is_read_again_as_it_was(pool: Path) -> None:
    read = read_pool(pool, PrepareParams())
    assert len(read) == 30 and read.numbers == list(range(1, 31)) and read.token_counts is None
    texts = [canonical(conversation(seed)) for seed in range(30)]
    assert list(read.texts) == texts == [canonical_text(record).encode() for record in read.records]


SHIPPED = Path(__file__).parents[1]


def choose_method(method: str) -> None:
    """The params.yaml that comes with the tool, with another method and a budget of six rows."""
    yaml = YAML()
    params = yaml.load((SHIPPED / "params.yaml").read_text())
    params["selection"] |= {"method": method, "share": 0.2, "seed": 3, "k1": 8, "k2": 5, "k3": 2}
    with Path("params.yaml").open("w") as handle:
        yaml.dump(params, handle)


@pytest.mark.parametrize("method", ["random", "zip", "cluster"])
def test_the_stage_selects_by_the_method_of_params_yaml(run: Run, pool: Path, method: str) -> None:
    choose_method(method)
    assert run("configured", pool, "--out", "a.jsonl").exit_code == 0
    assert run(method, pool, "--out", "b.jsonl").exit_code == 0
    assert Path("a.jsonl").read_bytes() == Path("b.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("selection", "scoring", "judge", "unseen"),
    [
        ({"method": "zip"}, {"labels": "tags.jsonl"}, "http://x", []),
        ({"method": "dsir", "target": "like.jsonl"}, {}, None, ["like.jsonl"]),
        ({"method": "dsir", "target": "data/prepared/${key}.jsonl"}, {}, None, []),
        ({"method": "instag"}, {"labels": "tags.jsonl"}, None, ["tags.jsonl"]),
        ({"method": "cherry"}, {}, None, ["sft"]),
        ({"method": "alpagasus"}, {}, None, []),
        ({"method": "alpagasus"}, {}, "http://x", ["judge.model", "judge.temperature", "judge.max_tokens"]),
    ],
)
def test_what_a_method_reads_and_the_stage_does_not_watch_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    selection: dict[str, Any],
    scoring: dict[str, Any],
    judge: str | None,
    unseen: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    yaml = YAML()
    params = yaml.load((SHIPPED / "params.yaml").read_text())
    params["judge"]["endpoint"] = judge
    yaml.dump(params, tmp_path / "params.yaml")
    told = functools.partial(find_unwatched, SelectionParams(**selection), RowScoreParams(**scoring))
    assert told() == []  # without a pipeline nothing is to watch
    pipeline = yaml.load((SHIPPED / "dvc.yaml").read_text())
    yaml.dump(pipeline, tmp_path / "dvc.yaml")
    assert [re.findall("add `- (.*)` to its", line) for line in told()] == [[name] for name in unseen]
    stage = pipeline["stages"]["select"]["do"]
    for kind in ("deps", "params"):
        stage[kind] += re.findall(f"add `- (.*)` to its {kind}", "\n".join(told()))
    yaml.dump(pipeline, tmp_path / "dvc.yaml")
    assert told() == []


def test_a_method_that_is_none_is_one_line_and_no_command_of_a_shell(run: Run, pool: Path) -> None:
    choose_method("zip; touch pwned;")
    assert is_one_line_error(run("configured", pool, "--out", "a.jsonl"), "selection.method", "expected")
    # Nothing of params.yaml but names of datasets and of studies, which are checked, stands in a command.
    for file in ("dvc.yaml", "studies/selection/dvc.yaml"):
        commands = re.findall(r"cmd:(.*?)(?:deps|params):", (SHIPPED / file).read_text(), re.S)
        assert commands and set(re.findall(r"\$\{([^}]*)\}", "".join(commands))) == {"key"}


# --- help, progress and Ctrl-C


@pytest.mark.parametrize("method", METHODS)
def test_every_method_explains_itself_with_an_example(run: Run, method: str) -> None:
    result = run(method, "--help")
    assert result.exit_code == 0
    assert f"entropylaw select {method} p" in result.stdout.partition("Example: ")[2]
    for option in ("--out", "--report", "--rows", "--tokens", "--tokenizer", "--seed", "--json"):
        assert option in result.stdout


def test_help_loads_no_library_that_computes() -> None:
    program = (
        "import sys; from entropylaw.cli import app; app(['select', 'deita', '--help'], standalone_mode=False); "
        "print('loaded', {'numpy', 'torch', 'pyarrow', 'tokenizers', 'wordllama', 'zstandard'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "loaded set()"


def test_a_terminal_sees_stage_count_and_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with show_stages({"read": "reading rows", "select": "select zip: rows"}) as progress:
        progress("read", 1000, None)
        for done in (10, 20, 30):
            time.sleep(0.01)
            progress("select", done, 300)
    last = terminal.getvalue().rpartition("select zip: rows")[2]
    assert "30/300" in last and "/s" in last and "0:00:0" in last
    assert "reading rows" not in last


def test_ctrl_c_is_one_line_in_every_command(run: Run, pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("monitor.measures.compression.profile_texts", interrupt)
    result = CliRunner().invoke(app, ["compress", str(pool)])
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "entropylaw: stopped\n")


def child_processes(parent: int) -> set[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    return {int(pid) for pid, of, state in rows if int(of) == parent and not state.startswith("Z")}


def count_threads(process: int) -> int:
    listed = subprocess.run(["ps", "-o", "nlwp=", "-p", str(process)], capture_output=True, text=True).stdout
    return int(listed.strip() or 0)


def is_running(process: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


@pytest.fixture(scope="module")
def large_pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 rows whose selection at the options of the test takes minutes."""
    path = tmp_path_factory.mktemp("pool") / "pool.jsonl"
    words = sentence(0, 800).split()
    random = Random(1)
    texts = (" ".join(random.choices(words, k=600)) for _ in range(2000))
    write_rows(path, ({"prompt": "?", "completion": text} for text in texts))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "older"), [("threads", None), ("threads", b"an older selection\n"), ("processes", None)]
)
def test_ctrl_c_during_a_selection_writes_nothing_and_leaves_no_worker(
    large_pool: Path, tmp_path: Path, engine: str, older: bytes | None
) -> None:
    # Two workers: beside the first thread, or as processes, for which multiprocessing keeps another one.
    expected = 0 if engine == "threads" else 3
    out = tmp_path / "out.jsonl"
    if older is not None:
        out.write_bytes(older)
    command = [PROGRAM, "select", "zip", str(large_pool), "--out", str(out), "--report", str(tmp_path / "r.json"),
               "--rows", "1500", "--k1", "2000", "--k2", "20", "--k3", "2", "--workers", "2",
               "--engine", engine]  # fmt: skip
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=tmp_path,
        # Tests that run in the background are started with the signal ignored, which a program inherits.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        workers: set[int] = set()
        for _ in wait(30):
            workers = child_processes(process.pid)
            if len(workers) == expected and (workers or count_threads(process.pid) >= 3):
                break
        time.sleep(1.5)
        # As a terminal does: to the whole group.
        os.killpg(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, stdout, stderr) == (130, "", "entropylaw: stopped; nothing was written\n")
    assert len(workers) == expected
    assert any(not any(map(is_running, workers)) for _ in wait(5))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == ({} if older is None else {out.name: older})


def wait(seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.05)
