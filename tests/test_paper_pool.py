"""The paper's corpora in the layouts that they are published in, and the pool that `study mix` makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Rows
from test_study_preferences import call
from typer.testing import CliRunner

from corpus.errors import ParamsError
from corpus.files import write_rows
from corpus.formats import read_records
from corpus.prepared_rows import read_prepared
from corpus.records import Conversation, Preference, content_hash
from entropylaw.cli import app
from entropylaw.study.mix import Corpus, Mix, mix_pool, read_mix
from selection.methods import RowFacts, SelectionParams, select_rows

ASK, ANSWER, MORE = "Why is the sky blue?", "Because air scatters blue light most.", "And at sunset?"

# WizardLMTeam/WizardLM_evol_instruct_V2_196k.
WIZARDLM = {"idx": "t3Y3kpZ", "conversations": [{"from": "human", "value": ASK}, {"from": "gpt", "value": ANSWER}]}
# anon8231489123/ShareGPT_Vicuna_unfiltered.
SHAREGPT = {
    "id": "QWJhYvA_0",
    "conversations": [
        {"from": "human", "value": ASK},
        {"from": "gpt", "value": ANSWER},
        {"from": "human", "value": MORE},
        {"from": "gpt", "value": "Red is left."},
    ],
}
# HuggingFaceH4/ultrachat_200k: the prompt is the first message again.
ULTRACHAT = {
    "prompt": ASK,
    "prompt_id": "f0e37e9f7800261167ce91143f98f511f768847236f133f2d0aed60b444ebe57",
    "messages": [{"content": ASK, "role": "user"}, {"content": ANSWER, "role": "assistant"}],
}
# argilla/ultrafeedback-binarized-preferences-cleaned: both answers begin with the prompt.
ULTRAFEEDBACK = {
    "source": "evol_instruct",
    "prompt": ASK,
    "chosen": [{"content": ASK, "role": "user"}, {"content": ANSWER, "role": "assistant"}],
    "chosen-rating": 4.75,
    "chosen-model": "gpt-4",
    "rejected": [{"content": ASK, "role": "user"}, {"content": "It is not.", "role": "assistant"}],
    "rejected-rating": 1.5,
    "rejected-model": "llama-2-7b-chat",
}


def read(folder: Path, *rows: dict[str, Any], suffix: str = "jsonl") -> list[Any]:
    path = folder / f"rows.{suffix}"
    if suffix == "json":  # as ShareGPT is published: one array
        path.write_text(json.dumps(rows))
    else:
        write_rows(path, rows)
    return list(read_records(path))


@pytest.mark.parametrize("row", [WIZARDLM, ULTRACHAT], ids=["wizardlm", "ultrachat"])
def test_a_published_conversation_is_read_whole_and_its_prompt_once(tmp_path: Path, row: dict[str, Any]) -> None:
    [record] = read(tmp_path, row)
    assert isinstance(record, Conversation)
    assert [(m.role, m.content) for m in record.messages] == [("user", ASK), ("assistant", ANSWER)]


@pytest.mark.parametrize(
    ("human", "model"), [("human", "gpt"), ("user", "chatgpt"), ("user", "assistant"), ("human", "bard")]
)
def test_all_speakers_of_sharegpt_are_known(tmp_path: Path, human: str, model: str) -> None:
    turns = [{**turn, "from": human if turn["from"] == "human" else model} for turn in SHAREGPT["conversations"]]
    [record] = read(tmp_path, {**SHAREGPT, "conversations": turns}, suffix="json")
    assert [m.role for m in record.messages] == ["user", "assistant"] * 2
    assert content_hash(record) == content_hash(read(tmp_path, SHAREGPT, suffix="json")[0])


def test_a_pair_of_ultrafeedback_has_its_prompt_once_and_the_grade_of_its_chosen_answer(tmp_path: Path) -> None:
    [pair] = read(tmp_path, ULTRAFEEDBACK)
    assert isinstance(pair, Preference)
    assert [[m.content for m in part] for part in (pair.prompt, pair.chosen, pair.rejected)] == [
        [ASK], [ANSWER], ["It is not."],
    ]  # fmt: skip
    assert pair.chosen_score == 4.75 and pair.source == "evol_instruct"


def test_the_ratings_of_ultrafeedback_are_what_score_ranks_by(tmp_path: Path) -> None:
    pairs = read(tmp_path, *({**ULTRAFEEDBACK, "chosen-rating": rating} for rating in (3.0, 5.0, 4.0)))
    scores = np.array([pair.chosen_score for pair in pairs])
    chosen = select_rows([], 3, SelectionParams("score", rows=2), RowFacts(scores=scores))
    assert chosen.positions == (1, 2)


@pytest.fixture
def corpora(in_tmp_path: Path, chats: Rows) -> Path:
    """The four corpora in their layouts, of real conversations."""
    said = [[m.content for m in record.messages] for record, _ in chats[300:380]]  # type: ignore[union-attr]

    def to_messages(texts: list[str]) -> list[dict[str, str]]:
        return [{"content": text, "role": ("user", "assistant")[i % 2]} for i, text in enumerate(texts)]

    def to_turns(texts: list[str]) -> list[dict[str, str]]:
        return [{"from": ("human", "gpt")[i % 2], "value": text} for i, text in enumerate(texts)]

    write_rows("wizardlm.jsonl", [{**WIZARDLM, "conversations": to_turns(texts[:2])} for texts in said[:30]])
    Path("sharegpt.json").write_text(json.dumps([{**SHAREGPT, "conversations": to_turns(t)} for t in said[30:55]]))
    write_rows("ultrachat.jsonl", [{**ULTRACHAT, "prompt": t[0], "messages": to_messages(t)} for t in said[55:80]])
    pairs = [
        {**ULTRAFEEDBACK, "prompt": f"{i} {mine[0]}", "chosen-rating": 1 + i % 5,
         "chosen": to_messages([f"{i} {mine[0]}", mine[1]]), "rejected": to_messages([f"{i} {mine[0]}", other[1]])}
        for i, (mine, other) in enumerate(zip(said[:40], said[40:], strict=True))
    ]  # fmt: skip
    write_rows("ultrafeedback.jsonl", pairs)
    return in_tmp_path


SOURCES = {"wizardlm": Corpus("wizardlm.jsonl", 20), "sharegpt": Corpus("sharegpt.json"), "ultrachat": Corpus("ultrachat.jsonl", 99)}  # fmt: skip  # noqa: E501


def test_a_pool_has_of_every_corpus_its_rows_and_says_where_each_is_from(corpora: Path) -> None:
    mixed = mix_pool(Mix(None, {"sft": SOURCES}))
    assert mixed == {"sft": {"wizardlm": 20, "sharegpt": 25, "ultrachat": 25}}
    rows = list(read_prepared(Path("data/sft.jsonl")))
    assert [record.row for record, _ in rows] == list(range(1, 71))
    assert [record.source for record, _ in rows] == ["wizardlm"] * 20 + ["sharegpt"] * 25 + ["ultrachat"] * 25
    assert all(content_hash(record) == row_hash for record, row_hash in rows)
    before = Path("data/sft.jsonl").read_bytes()
    mix_pool(Mix(None, {"sft": SOURCES}))
    assert Path("data/sft.jsonl").read_bytes() == before


def test_a_sample_keeps_the_shares_and_is_part_of_the_pool(corpora: Path) -> None:
    mix_pool(Mix(None, {"sft": SOURCES}))
    whole = {row_hash for _, row_hash in read_prepared(Path("data/sft.jsonl"))}
    assert mix_pool(Mix(14, {"sft": SOURCES})) == {"sft": {"wizardlm": 4, "sharegpt": 5, "ultrachat": 5}}
    assert {row_hash for _, row_hash in read_prepared(Path("data/sft.jsonl"))} < whole


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("study: {}", "mix: expected a section"),
        ("mix: {sample: few}", "mix.sample: expected a number"),
        ("mix: {chat: {}}", "mix.chat: unknown key"),
        ("mix: {sample: 5}", "mix: names neither sft nor preferences"),
        ("mix: {sample: 5, sft: {}}", "mix.sft: names no corpus"),
        ("mix: {sft: [a]}", "mix.sft: expected a section"),
        ("mix: {sft: {a: a.jsonl}}", "mix.sft.a: expected a section"),
        ("mix: {sft: {a: {rows: 5}}}", "mix.sft.a.path: missing key"),
        ("mix: {sft: {a: {path: a.jsonl, rows: 0}}}", "mix.sft.a: rows must be positive"),
    ],
)
def test_wrong_mixes_are_named_by_file_and_key(tmp_path: Path, text: str, cause: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError) as caught:
        read_mix(tmp_path / "params.yaml")
    assert cause in str(caught.value) and str(tmp_path) in str(caught.value)


def test_the_shipped_pool_is_the_papers() -> None:
    mix = read_mix(Path(__file__).resolve().parent.parent / "studies" / "paper" / "params.yaml")
    rows = [corpus.rows or 0 for corpus in mix.datasets["sft"].values()]
    assert len(rows) == 3 and abs(sum(rows) - 300_000) < 0.03 * 300_000
    assert list(mix.datasets["preferences"]) == ["ultrafeedback"] and mix.sample is None


def test_mt_bench_without_questions_is_an_error_before_anything_is_trained(in_tmp_path: Path) -> None:
    from test_study import write_tiny_params

    write_tiny_params(in_tmp_path)
    done = CliRunner().invoke(app, ["study", "budget", "--pipeline", "studies/none"])
    assert done.exit_code == 2 and "no such file" in done.stderr
    Path("study.yaml").write_text(
        "study: {share: 0.5, seeds: [0], evaluation: mt_bench, methods: {random: {method: random}}}"
    )
    Path("studies/selection").mkdir(parents=True)
    Path("study.yaml").rename("studies/selection/params.yaml")
    done = CliRunner().invoke(app, ["study", "run", "random"])
    assert done.exit_code == 2 and "evaluation.mt_bench.questions: not set" in done.stderr


TABLE_1 = """
mix:
  sample: null
  sft:
    wizardlm: {path: wizardlm.jsonl, rows: 30}
    sharegpt: {path: sharegpt.json}
    ultrachat: {path: ultrachat.jsonl}
  preferences:
    ultrafeedback: {path: ultrafeedback.jsonl}
study:
  {dataset: sft, evaluation: heldout, share: null, budget_rows: 40, budget_entry: zip, seeds: [0],
   methods: {random: {method: random}, zip: {method: zip, k1: 40, k2: 9, k3: 5}}}
"""
TABLE_2 = """
study:
  {dataset: preferences, evaluation: heldout, heldout_share: 0.2, start_rows: 40, share: null, seeds: [0],
   budget_rows: 26, budget_entry: zip,
   methods: {random: {method: random}, score: {method: score}, zip: {method: zip, k1: 40, k2: 9, k3: 5}}}
"""


@pytest.mark.long
def test_both_tables_are_made_of_files_in_the_published_layouts(corpora: Path) -> None:
    Path("1.yaml").write_text(TABLE_1)
    Path("2.yaml").write_text(TABLE_2)
    words = ["--recipe", "tiny-cpu", "--workspace", "paper", "--sample", "70"]
    first = call(*words, "--pipeline", "studies/paper", "--settings", "1.yaml", "--json")
    assert first.exit_code == 0, first.stderr
    second = call(*words, "--pipeline", "studies/paper/preferences", "--settings", "2.yaml", "--json")
    assert second.exit_code == 0, second.stderr
    tables = [json.loads(done.stdout) for done in (first, second)]
    assert [set(table["methods"]) for table in tables] == [{"random", "zip"}, {"random", "score", "zip"}]
    for table, folder in zip(tables, ("studies/paper", "studies/paper/preferences"), strict=True):
        budget = json.loads((Path("paper") / folder / "budget.json").read_text())
        assert table["budget_tokens"] == budget["tokens"]
    # At the budget that its rows set, ZIP selects about these rows again.
    assert tables[0]["methods"]["zip"]["rows"] == pytest.approx(40, abs=3)
