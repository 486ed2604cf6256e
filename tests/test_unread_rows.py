"""Rows that a model does not see whole: counted where they are read, shown beside L, and in training.json."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from corpus.artifacts import to_json
from corpus.records import Conversation, HashedRecord, Message, Preference, content_hash
from corpus.shapes import parse_shape
from entropylaw.cli import app
from monitor.measures.probe_files import ProbeSummary, summarise_probe
from monitor.verdict import Measurements, Verdict
from reports.dataset_view import view_dataset
from tests.sample_verdicts import sample_verdict
from training.base_model import build_base_model, is_trained_row, load_base_model
from training.base_model_params import BaseModelParams
from training.chat import CHAT_TEMPLATE, EncodedRow, encode_answer
from training.kto import KtoParams, train_kto, unpair_preferences
from training.probe import probe_loss
from training.probe_run import ProbeParams
from training.sft import SftParams, train_sft
from training.unread_rows import RowFit, UnreadRows, count_unread, fit_answers, fit_row

ANSWER = Message("assistant", "Yes.")
WORDS = (
    "kites", "drums", "tea", "coins", "glass", "rain", "maps", "clocks", "wool", "ferns", "foxes", "lamps",
    "salt", "moss", "bread",
)  # fmt: skip
PROBE = ProbeParams(steps=2, batch_rows=4, rows=16, max_length=64, skipped_steps=1)
SMALL = BaseModelParams(vocabulary=400, hidden_size=16, layers=1, heads=2, max_length=64, steps=10)


def hashed(rows: Sequence[Any]) -> list[HashedRecord]:
    return [HashedRecord(row, content_hash(row)) for row in rows]


def long_prompts(count: int, words: int = 200) -> list[Conversation]:
    """Rows as retrieval makes them: a prompt of many words, and an answer of a few."""
    rng = np.random.default_rng(0)
    return [
        Conversation(
            (Message("user", " ".join(rng.choice(WORDS, words))), Message("assistant", f"See {rng.choice(WORDS)}.")),
            row=i + 1,
        )
        for i in range(count)
    ]


def short_rows(count: int) -> list[Conversation]:
    return [Conversation((Message("user", f"Is it {i}?"), ANSWER), row=1000 + i) for i in range(count)]


# --- What is not read of a row


@pytest.mark.parametrize(
    ("response", "max_length", "fit"),
    [
        ("..aa", 4, RowFit(False, False, False, False)),
        ("..aa", 3, RowFit(True, False, False, False)),
        ("..aa", 2, RowFit(True, True, False, False)),
        ("a.aa", 2, RowFit(True, True, False, False)),  # a first token is never predicted
        ("a...", 9, RowFit(False, False, True, False)),
        ("", 9, RowFit(False, False, True, False)),
    ],
)
def test_what_does_not_fit_of_a_row(response: str, max_length: int, fit: RowFit) -> None:
    row = EncodedRow(tuple(range(len(response))), tuple(mark == "a" for mark in response))
    assert fit_row(row, max_length) == fit
    assert fit_row(replace(row, text_lost=True), max_length) == fit._replace(text_lost=True)
    # A row is dropped exactly where nothing of its answer fits.
    assert (row.cut(max_length) is None) == (fit.prompt_too_long or fit.without_answer)


def test_a_pair_loses_what_one_of_its_answers_loses() -> None:
    short = EncodedRow((1, 2), (False, True))
    long = EncodedRow((1, 2, 3), (False, True, True), text_lost=True)
    assert fit_answers([short, long], 2) == RowFit(True, False, False, True)


def test_the_counts_are_told_in_one_clause_and_only_those_that_are_not_zero() -> None:
    fits = [RowFit(True, False, False, False), RowFit(True, True, False, True), RowFit(False, False, True, False)]
    counts = count_unread(fits)
    assert counts == UnreadRows(3, 2, 1, 1, 1)
    assert counts.describe() == (
        "of 3 rows 2 cut at max_length, 1 with no room for an answer, 1 with no answer to train on, "
        "1 that lose text in the chat template"
    )
    assert UnreadRows(3).describe() == ""


# --- In the probe


def test_the_probe_counts_what_it_does_not_read(base_folder: Path) -> None:
    model, tokenizer, _ = load_base_model(base_folder)
    rows = [*long_prompts(6), *short_rows(5), Conversation((Message("user", "Nobody answers"),), row=9)]
    result = probe_loss(model, tokenizer, hashed(rows), PROBE, 1.0)
    assert len(result.rows) == 11
    assert result.unread == UnreadRows(rows=12, truncated=6, prompts_too_long=6, without_answer=1)
    again = probe_loss(load_base_model(base_folder)[0], tokenizer, hashed(rows), replace(PROBE, max_length=1000), 1.0)
    assert again.unread == UnreadRows(rows=12, without_answer=1)


def test_the_probe_of_preferences_counts_rows_and_not_answers(base_folder: Path) -> None:
    model, tokenizer, _ = load_base_model(base_folder)
    cut = Message("assistant", "word " * 100)
    pairs = [Preference(row.messages[:1], (ANSWER,), (cut,), row=row.row) for row in short_rows(5)]
    pairs += [Preference(row.messages[:1], (ANSWER,), (ANSWER,), row=row.row) for row in long_prompts(3)]
    pairs += [Preference((Message("user", "Hi"),), (replace(ANSWER, trained=False),), row=77)]
    result = probe_loss(model, tokenizer, hashed(pairs), PROBE, 1.0)
    assert result.unread == UnreadRows(rows=9, truncated=8, prompts_too_long=3, without_answer=1)


def test_text_that_the_chat_template_leaves_out_is_counted(base_folder: Path) -> None:
    model, tokenizer, _ = load_base_model(base_folder)
    content = "message['content']"
    tokenizer.chat_template = CHAT_TEMPLATE.replace(content, f"{content}.split('</think>')[-1]")
    thinking = [replace(row, messages=(row.messages[0], Message("assistant", "Hm</think>"))) for row in short_rows(3)]
    result = probe_loss(model, tokenizer, hashed([*short_rows(6)[3:], *thinking]), replace(PROBE, batch_rows=2), 1.0)
    assert result.unread == UnreadRows(rows=6, text_lost=3)


def test_rows_whose_prompts_fill_max_length_make_a_base_model_and_have_a_loss(tmp_path: Path) -> None:
    rows = hashed(long_prompts(60))
    card = build_base_model(rows, "00", SMALL, tmp_path / "base")
    assert 20 < card.rows < 40 and card.tokens > 0
    model, tokenizer, card = load_base_model(tmp_path / "base")
    result = probe_loss(model, tokenizer, rows, PROBE, card.trained_from)
    assert np.isfinite(result.l) and result.unread.prompts_too_long == result.unread.rows > 8


def test_a_few_rows_without_room_change_neither_the_base_model_nor_its_identity(tmp_path: Path) -> None:
    few, most = short_rows(60) + long_prompts(10), short_rows(10) + long_prompts(60)
    cards = [build_base_model(hashed(rows), "00", SMALL, tmp_path / f"{i}") for i, rows in enumerate((few, most))]
    upper = [[row for row in rows if is_trained_row(row)] for rows in (few, most)]
    assert cards[0].rows == sum(len(row.messages[0].content) < 20 for row in upper[0]) < len(upper[0])
    assert cards[1].rows == len(upper[1])
    # That of the model that was made of these rows before any row was read in a window; the other is a new one.
    assert cards[0].identity == "12bca1a42f8cbaa1" != cards[1].identity


# --- In the files and reports


def test_the_counts_survive_the_files_of_probe_and_verdict(base_folder: Path) -> None:
    model, tokenizer, card = load_base_model(base_folder)
    summary = summarise_probe(probe_loss(model, tokenizer, hashed(short_rows(8)), PROBE, 1.0), card.identity)
    document = json.loads(to_json(summary))
    assert document["unread"] == {
        "rows": 8, "truncated": 0, "prompts_too_long": 0, "without_answer": 0, "text_lost": 0,
        "beyond_budget": 0,
    }  # fmt: skip
    assert parse_shape(document, ProbeSummary).unread == summary.unread
    del document["unread"]
    assert parse_shape(document, ProbeSummary).unread is None

    risky = sample_verdict("risky")
    read = parse_shape(json.loads(to_json(risky)), Verdict)
    assert read.measurements["sft"].unread == risky.measurements["sft"].unread == UnreadRows(600, 480, 12, 3, 0)
    old = json.loads(to_json(Measurements(10, 2.0, 3.0, 5.0, 0.4)))
    del old["unread"]
    assert parse_shape(old, Measurements).unread is None


def test_a_report_tells_the_counts_beside_l_and_nowhere_else() -> None:
    (loss,) = [change for change in view_dataset("sft", sample_verdict("risky")).changes if change.note]
    assert loss.measure.key == "l"
    assert loss.note.endswith(
        "; of 600 rows 480 cut at max_length, 12 with no room for an answer, 3 with no answer to train on"
    )


# --- In training


def test_sft_counts_cut_rows_and_rows_without_room(base_folder: Path, in_tmp_path: Path) -> None:
    cut = Conversation((Message("user", "Hi"), Message("assistant", "word " * 100)))
    params = SftParams(epochs=1.0, batch_rows=4, micro_batch_rows=4, max_length=64)
    report = train_sft([*short_rows(6), *long_prompts(3), cut], base_folder, params, "model")
    assert (report.rows, report.rows_dropped) == (7, 3)
    assert report.unread == UnreadRows(rows=10, truncated=4, prompts_too_long=3)
    assert "3 left out (of 10 rows 4 cut at max_length, 3 with no room" in Path("model/README.md").read_text()


def test_kto_counts_cut_answers_and_answers_without_room(base_folder: Path, in_tmp_path: Path) -> None:
    cut = Message("assistant", "word " * 100)
    pairs = [Preference(row.messages[:1], (ANSWER,), (cut,)) for row in short_rows(6)]
    endless = Preference(long_prompts(1)[0].messages[:1], (ANSWER,), (cut,))
    params = KtoParams(epochs=1.0, batch_rows=4, micro_batch_rows=4, max_length=64)
    report = train_kto([*pairs, endless], base_folder, params, "model")
    assert (report.rows, report.rows_dropped) == (12, 2)
    assert report.unread == UnreadRows(rows=14, truncated=8, prompts_too_long=2)


def test_the_commands_tell_the_counts_and_write_them(base_folder: Path, in_tmp_path: Path) -> None:
    """With the default settings, which read 256 tokens."""
    both = [*long_prompts(30), *short_rows(10)]
    rows = [{"messages": [{"role": m.role, "content": m.content} for m in row.messages]} for row in both]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    probed = CliRunner().invoke(app, ["probe", "rows.jsonl", "--base", str(base_folder), "--out", "probe.json"])
    unread = json.loads(Path("probe.json").read_text())["unread"]
    assert unread["rows"] > unread["prompts_too_long"] > 8
    assert f"(of {unread['rows']} rows {unread['truncated']} cut at max_length, " in probed.stdout

    words = ["train", "sft", "rows.jsonl", "--from", str(base_folder), "--out", "model", "--report", "training.json"]
    trained = CliRunner().invoke(app, words)
    assert trained.exit_code == 0 and "of 40 rows 30 cut at max_length, 30 with no room for an answer" in trained.stdout
    assert json.loads(Path("training.json").read_text())["unread"] == {
        "rows": 40, "truncated": 30, "prompts_too_long": 30, "without_answer": 0, "text_lost": 0,
        "beyond_budget": 0,
    }  # fmt: skip


# --- Tools in KTO, whose rows TRL tokenises by itself


STRUCTURED = (
    "{% for tool in tools or [] %}[tool {{ tool | tojson }}]{% endfor %}"
    "{% for message in messages %}<|{{ message.role }}|>{% generation %}{{ message.content }}"
    "{% for call in message.tool_calls or [] %}[call {{ call.function | tojson }}]{% endfor %}<|end|>"
    "{% endgeneration %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.mark.parametrize("template", [STRUCTURED, CHAT_TEMPLATE], ids=["structures", "text"])
def test_trl_trains_on_the_tokens_that_the_probe_reads(
    template: str, chats: list[HashedRecord], tmp_path: Path, in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls with different arguments: as columns of a table, each would get the arguments of all others."""
    build_base_model(chats[:60], "00", replace(SMALL, vocabulary=600), tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").write_text(template)
    tools = '[{"name":"weather","parameters":{"type":"object"}}]'
    calls = [f'[{{"arguments":{{"{key}":{i}}},"name":"weather"}}]' for i, key in enumerate(WORDS[:4])]
    asked, plain = Message("user", "Rain?"), Message("assistant", "No idea.")
    pairs = [
        Preference((asked,), (replace(plain, tool_calls=call),), (plain,), tools=tools if i % 2 else "")
        for i, call in enumerate(calls)
    ]
    seen: list[list[int]] = []
    import trl

    class Watched(trl.KTOTrainer):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            seen.extend(row["prompt_ids"] + row["completion_ids"] for row in self.train_dataset)
            return super().train(*args, **kwargs)

    monkeypatch.setattr(trl, "KTOTrainer", Watched)
    params = KtoParams(epochs=1.0, batch_rows=4, micro_batch_rows=4, max_length=512)
    report = train_kto(pairs, tmp_path / "base", params, "model")
    tokenizer = load_base_model(tmp_path / "base")[1]
    expected = []
    for row in unpair_preferences(pairs, np.random.default_rng(params.seed)):
        encoded = encode_answer(tokenizer, row.prompt, row.answer, 512, row.tools)
        assert encoded is not None
        expected.append([*encoded.prompt_ids, *encoded.answer_ids])
    assert seen == expected and report.tokens == sum(map(len, expected))
    texts = [tokenizer.decode(ids) for ids in seen]
    for key in WORDS[:4]:
        assert sum(f'"{key}"' in text for text in texts) == 1
    assert sum("parameters" in text for text in texts) == 4
    assert not any("null" in text for text in texts)
