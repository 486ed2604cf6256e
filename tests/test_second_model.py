"""A second model that only reads: what it reads, where its losses go, and what the rules make of them."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_assess import CALIBRATION, CONFIGURATION, accept, judge, make_evidence, make_rows, make_update
from test_edits import apply, make_row, sides
from test_edits import make_rows as make_texts
from typer.testing import CliRunner

from corpus.artifacts import to_json
from corpus.errors import DamagedResultError, EntropylawError, NotAssessedError
from corpus.params import parse_section
from corpus.records import Conversation, HashedRecord, Message, Preference, content_hash
from entropylaw.cli import app
from entropylaw.repository.results import _load_second
from monitor.assess import assess_version
from monitor.history_file import read_file, write_file
from monitor.measures.evidence import Evidence
from monitor.measures.measurement import measure_dataset, probe_dataset
from monitor.measures.probe_files import ProbedRows, ProbeSummary, SecondSummary
from monitor.measures.row_edits import RowEdits, add_second_losses, find_edits
from monitor.measures.row_sketch import RowSketch
from monitor.measures.row_split import split_rows
from monitor.measures.row_table import RowTable
from monitor.measures.second_losses import SecondLosses
from monitor.repair import suspects
from monitor.repair.suspects import _suspect_edits
from monitor.rule_params import RuleParams
from monitor.rules.drafts import Draft
from monitor.rules.edit_findings import find_harder
from monitor.rules.edits import RULE as edits_rule
from monitor.rules.parent_comparison import ParentComparison
from monitor.rules.registry import list_rules
from monitor.rules.rule import RuleInput
from monitor.verdict import Measurements, RuleResult, Verdict
from monitor.verdict_consistency import find_contradiction
from tests.conftest import Rows as Chats
from training import second_model
from training.base_model import load_base_model
from training.probe_run import ProbeParams
from training.probed_model import load_probed_model
from training.row_window import read_conversation
from training.second_model import SecondModel, SecondModelParams

# What it reads.


@pytest.fixture(scope="module")
def reader(base_folder: Path) -> SecondModel:
    """A real model, whose card says nothing of it being small: it is read as any folder is."""
    return SecondModel(SecondModelParams(str(base_folder), tokens=10**6, max_length=64), device="cpu")


def test_a_loss_is_the_mean_over_the_response_tokens_of_the_window(
    reader: SecondModel, base_folder: Path, chats: Chats
) -> None:
    import torch

    model, tokenizer, _ = load_base_model(base_folder, "cpu")
    record, row_hash = chats[0]
    read = read_conversation(tokenizer, record, 64)
    assert read is not None
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([read.encoded.ids])).logits[0]
    bits = torch.log_softmax(logits, dim=-1)
    nats = [-float(bits[i - 1, token]) for i, token in enumerate(read.encoded.ids) if i and read.encoded.response[i]]
    (found,) = reader.read([HashedRecord(record, row_hash)])
    assert found == pytest.approx(sum(nats) / len(nats), rel=1e-5)


def test_a_loss_is_the_same_to_the_last_bit_whatever_else_is_read(base_folder: Path, chats: Chats) -> None:
    params = SecondModelParams(str(base_folder), tokens=10**6, max_length=64)
    rows = list(chats[:12])
    together = SecondModel(params, "cpu").read(rows)
    assert together == [SecondModel(params, "cpu").read([row])[0] for row in rows]
    assert together[::-1] == SecondModel(params, "cpu").read(rows[::-1])


@pytest.mark.parametrize("tokens", [1, 200, 500, 10**6])
def test_the_budget_reads_the_longest_beginning_and_at_least_one_row(
    base_folder: Path, chats: Chats, tokens: int
) -> None:
    _, tokenizer, _ = load_base_model(base_folder, "cpu")
    rows = list(chats[:20])
    windows = [read_conversation(tokenizer, record, 64) for record, _ in rows]
    sizes = np.cumsum([len(window.encoded.ids) for window in windows if window])
    told: list[tuple[int, int | None]] = []
    model = SecondModel(SecondModelParams(str(base_folder), tokens=tokens, max_length=64), "cpu")
    first = model.read(rows, lambda done, total: told.append((done, total)))
    read = int(np.count_nonzero(~np.isnan(first)))
    assert read == max(1, int(np.count_nonzero(sizes <= tokens)))
    assert not np.isnan(first[:read]).any()
    assert told[-1] == (tokens, tokens) and told == sorted(told)
    # What it remembers spends as much of the budget as it did.
    assert np.array_equal(model.read(rows), first, equal_nan=True)


def test_rows_without_an_answer_and_preferences_are_read_too(reader: SecondModel) -> None:
    asked = (Message("user", "What is tea?"),)
    answers = [(Message("assistant", text),) for text in ("A drink.", "A stone.")]
    open_question = Conversation(asked)
    pair, alone = Preference(asked, *answers), Conversation((*asked, *answers[0]))
    rows = [HashedRecord(record, content_hash(record)) for record in (open_question, pair, alone)]
    nothing, of_pair, of_answer = reader.read(rows)
    assert math.isnan(nothing) and of_pair == of_answer


@pytest.mark.parametrize(
    ("pretrained", "message"),
    [("models/none", "no such folder"), ("models/none.gguf", "no such file"), ("package:none", "is not installed")],
)
def test_a_model_that_is_not_here_is_one_line_before_anything_is_read(
    base_folder: Path, pretrained: str, message: str
) -> None:
    with pytest.raises(EntropylawError, match=message) as refused:
        load_probed_model(base_folder, "cpu", SecondModelParams(pretrained))
    assert "\n" not in str(refused.value)
    assert load_probed_model(base_folder, "cpu", SecondModelParams()).second is None


def test_a_model_with_fewer_places_reads_shorter_windows(base_folder: Path, chats: Chats) -> None:
    model = SecondModel(SecondModelParams(str(base_folder), max_length=10**6), "cpu")
    longest = Conversation((Message("user", "Go on."), Message("assistant", "and so on " * 20_000)))
    (loss,) = model.read([HashedRecord(longest, content_hash(longest))])
    assert math.isfinite(loss)


def test_another_model_and_another_window_have_another_identity(reader: SecondModel, base_folder: Path) -> None:
    same = SecondModel(replace(reader.params, tokens=5), "cpu")
    assert same.identity == reader.identity
    assert SecondModel(replace(reader.params, max_length=32), "cpu").identity != reader.identity


def test_a_section_of_nonsense_is_refused() -> None:
    with pytest.raises(EntropylawError, match="tokens must be positive, and max_length at least 2"):
        parse_section(SecondModelParams, {"pretrained": None, "revision": None, "tokens": 0, "max_length": 1}, "x")


# Where its losses go.


def write_chats(chats: Chats, folder: Path) -> None:
    lines = [
        json.dumps({"messages": [{"role": m.role, "content": m.content} for m in record.messages]})
        for record, _ in chats
    ]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")


PARAMS = """
base_model: {pretrained: null, revision: null, chat_template: null, weights: float32, lora_rank: null, vocabulary: 2048,
  hidden_size: 96, layers: 3, heads: 4, max_length: 256, steps: 240, batch_rows: 8, learning_rate: 0.003, seed: 0}
probe: {steps: 4, batch_rows: 4, rows: 40, max_length: 64, learning_rate: 0.0001, skipped_steps: 1, seed: 0}
prepare: {format: auto, ignore_keys: [], max_characters: 1000000, max_dropped_share: 0.5, max_row_bytes: 33554432}
"""


def test_the_command_writes_a_column_and_a_summary_and_without_a_second_model_not_another_byte(
    base_folder: Path, chats: Chats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_chats(chats, tmp_path)
    arguments = ["probe", "rows.jsonl", "--base", str(base_folder), "--out", "probe.json", "--rows", "probe_rows.csv"]
    sections = {"none": "", "null": "second_model: {pretrained: null, revision: null, tokens: 900, max_length: 64}\n"}
    sections["second"] = sections["null"].replace("null, revision", f"{base_folder}, revision")
    written = {}
    for name, section in sections.items():
        Path("params.yaml").write_text(PARAMS + section)
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        written[name] = Path("probe.json").read_text(), Path("probe_rows.csv").read_text()
    assert written["none"] == written["null"] and "second" not in written["none"][0] + written["none"][1]
    plain, with_second = ([*csv.DictReader(written[name][1].splitlines())] for name in ("none", "second"))
    losses = [row.pop("second_loss_nats") for row in with_second]
    assert with_second == plain
    read = [float(loss) for loss in losses if loss]
    assert 0 < len(read) < len(losses) and losses[: len(read)] == [loss for loss in losses if loss]
    summary = json.loads(written["second"][0])["second"]
    assert summary["rows"] == len(read) and summary["loss_nats"] == pytest.approx(np.mean(read), rel=1e-5)
    assert f"second model: {len(read)} of the {len(losses)} probed rows read" in result.output


def test_measuring_in_memory_gives_the_same_losses(base_folder: Path, reader: SecondModel, chats: Chats) -> None:
    measured = measure_dataset("sft", list(chats), CONFIGURATION.compression, CONFIGURATION.consistency)
    models = load_probed_model(base_folder, "cpu", reader.params)
    probe = ProbeParams(steps=4, batch_rows=4, rows=40, max_length=64, skipped_steps=1)
    found = probe_dataset(measured, models, probe)
    assert found.second is not None and found.second.losses.size == len(found.probe_rows)
    rows = {row.hash: row for row in chats}
    expected = reader.read([rows[row_hash] for row_hash in found.probe_hashes])
    assert found.second.losses.tolist() == np.array(expected, dtype=np.float32).tolist()
    assert probe_dataset(measured, models._replace(second=None), probe).second is None


hashes = st.lists(st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}"), unique=True, max_size=20)


@given(hashes, hashes)
def test_losses_are_found_by_content_whatever_the_order(read: list[str], asked: list[str]) -> None:
    losses = {row_hash: float(i) if i % 3 else math.nan for i, row_hash in enumerate(read)}
    found = SecondLosses.of("a", read, list(losses.values()))
    contents = np.array([int(row_hash[:16], 16) for row_hash in asked], dtype=np.uint64)
    unique = len({row_hash[:16] for row_hash in [*read, *asked]}) == len({*read, *asked})
    if unique:
        expected = [losses.get(row_hash, math.nan) for row_hash in asked]
        assert np.array_equal(found.find(contents), expected, equal_nan=True)
    assert found.losses.size == sum(not math.isnan(loss) for loss in losses.values())


# What the rules make of them.

FRESH = slice(360, 400)


def read_all(evidence: Evidence, loss: Callable[[int], float], identity: str = "a model", share: int = 1) -> Evidence:
    """The evidence, of whose rows every ``share``-th was read by a second model. ``loss``: by the row's position."""
    noise = np.random.default_rng(3).normal(0, 0.5, len(evidence.records))
    losses = [loss(i) + noise[i] if i % share == 0 else math.nan for i in range(len(evidence.records))]
    read = SecondLosses.of(identity, [row.hash for row in evidence.records], losses)
    rows = list(range(len(evidence.records)))
    # All rows were probed, so that the second model could read them.
    return replace(
        evidence,
        second=read,
        probe_rows=[evidence.records[i].record.row for i in rows],
        probe_hashes=[evidence.records[i].hash for i in rows],
        probe_losses=np.full(len(rows), 5.0) + noise,
    )


def decide(version: Evidence, parent: Evidence) -> Verdict:
    history = [accept([parent], [], "x1")]
    return assess_version([version], CALIBRATION, history, CONFIGURATION, RuleParams(), "1")


def of_rule(verdict: Verdict, rule: str = "second_loss") -> RuleResult:
    (found,) = [result for result in verdict.rules if result.id == rule]
    return found


PARENT, UPDATE = make_evidence(make_rows(0, 400)), make_evidence(make_update())


def test_a_rise_that_only_the_second_model_sees_is_risky_and_names_its_rows() -> None:
    version = read_all(UPDATE, lambda i: 4.0 if i in range(360, 400) else 2.0)
    verdict = decide(version, read_all(PARENT, lambda i: 2.0))
    found = of_rule(verdict)
    assert found.status == "risky" == verdict.status, found.reason
    assert found.statistic == pytest.approx(0.1 * 2.0, abs=0.05)
    assert "have a higher loss under the second model than" in found.reason
    assert of_rule(verdict, "loss").status == "pass"
    named = [row.row for row in verdict.rows if row.rule == "second_loss"]
    assert named and set(named) <= set(range(361, 401))
    assert find_contradiction(verdict, list_rules()) is None


def test_honest_rows_pass_and_so_does_a_fall() -> None:
    for level in (2.0, 1.0):
        version = read_all(UPDATE, lambda i, level=level: level if i in range(360, 400) else 2.0)  # type: ignore[misc]
        assert of_rule(decide(version, read_all(PARENT, lambda i: 2.0))).status == "pass"


def test_few_rows_that_were_read_say_nothing() -> None:
    version = read_all(UPDATE, lambda i: 4.0 if i in range(360, 400) else 2.0, share=20)
    found = of_rule(decide(version, PARENT))
    assert found.status == "skipped" and "Only 2 of the added rows have a loss" in found.reason


def test_without_a_second_model_the_verdict_and_the_history_are_the_same_bytes(tmp_path: Path) -> None:
    verdict = decide(UPDATE, PARENT)
    assert "second" not in to_json(verdict)
    entry = accept([PARENT], [], "x1")
    write_file(tmp_path / "entry.json", entry)
    assert "second" not in (tmp_path / "entry.json").read_text()
    # A model that reads both versions changes no answer of another rule, but that `drift` asks one rule more.
    read = [replace(item, second=read_all(item, lambda i: 2.0, share=2).second) for item in (UPDATE, PARENT)]
    both = decide(*read)
    others = [rule for rule in both.rules if rule.id not in ("second_loss", "drift")]
    assert others == [rule for rule in verdict.rules if rule.id != "drift"]


def test_a_verdict_that_was_not_asked_of_the_second_model_is_refused() -> None:
    verdict = decide(read_all(UPDATE, lambda i: 2.0), PARENT)
    unasked = replace(verdict, rules=tuple(rule for rule in verdict.rules if rule.id != "second_loss"))
    assert "no answer of second_loss" in str(find_contradiction(unasked, list_rules()))


def test_losses_of_rows_that_were_not_probed_are_refused() -> None:
    stranger = SecondLosses.of("a model", ["f" * 32], [2.0])
    with pytest.raises(NotAssessedError, match="the second model read other rows"):
        judge([replace(UPDATE, second=stranger)], [accept([PARENT], [], "x1")])


def test_a_second_model_that_read_nothing_is_no_pass() -> None:
    nothing = SecondLosses.of("a model", [], [])
    with pytest.raises(NotAssessedError, match="the second model read no row"):
        judge([replace(UPDATE, second=nothing)], [accept([PARENT], [], "x1")])


@pytest.mark.parametrize(
    ("said", "losses", "fits"),
    [(1, [2.0, math.nan], True), (2, [2.0, math.nan], False), (1, None, False), (None, [2.0, 3.0], False)],
)
def test_the_two_files_of_a_probe_must_be_of_one_run(said: int | None, losses: list[float] | None, fits: bool) -> None:
    summary = ProbeSummary(5.0, 2, 1, 9, 1.0, "base", second=said and SecondSummary("a model", said, 2.0))
    numbers = np.ones(2)
    rows = ProbedRows(
        (1, 2), ("0" * 32, "1" * 32), numbers, numbers.astype(int), numbers > 0, losses and np.array(losses)
    )
    if fits:
        read = _load_second("sft", summary, rows)
        assert read is not None and read.losses.tolist() == [2.0]
    else:
        with pytest.raises(NotAssessedError, match=r"not those of probe\.json; run `dvc repro --force probe`"):
            _load_second("sft", summary, rows)


def test_a_loss_that_is_no_number_is_an_error(base_folder: Path, chats: Chats, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(second_model, "row_token_losses", lambda *_: (torch.tensor([math.nan]), torch.tensor([3])))
    with pytest.raises(EntropylawError, match="a row's loss is nan; name another model"):
        SecondModel(SecondModelParams(str(base_folder)), "cpu").read(list(chats[:1]))


def test_repair_looks_at_rows_of_a_version_that_this_rule_stopped() -> None:
    assert "second_loss" in suspects.ABOUT_UNLIKE_ROWS and "second_loss" in suspects.GRADED


def test_the_history_keeps_the_losses_and_refuses_damaged_ones(tmp_path: Path) -> None:
    parent = read_all(PARENT, lambda i: 2.0, share=3)
    file = tmp_path / "entry.json"
    write_file(file, accept([parent], [], "x1"))
    read = read_file(file).datasets["sft"].second
    assert read is not None and parent.second is not None
    assert read.identity == "a model"
    assert read.losses.tolist() == parent.second.losses.tolist()
    assert read.contents.tolist() == parent.second.contents.tolist()
    stored = json.loads(file.read_text())
    stored["datasets"]["sft"]["second"]["losses"] = "AAAA"
    file.write_text(json.dumps(stored))
    with pytest.raises(DamagedResultError, match=r"datasets\.sft"):
        _ = read_file(file).datasets["sft"]


# Edited rows.


def edit_texts(rise: float, before: str = "a model", now: str = "a model", every: int = 1, base: float = 0) -> RowEdits:
    """Edited rows whose losses have risen: by ``rise`` for a second model, which read every so many rows, and by
    ``base`` for the base model.
    """
    parent = make_texts()
    rows = apply(parent, lambda prompt, answer, i: (prompt, answer.replace("4", "9") + " 7"), 0.1)
    split = split_rows([row_hash for _, row_hash in rows], RowSketch.of([row_hash for _, row_hash in parent]))
    flat = np.full(len(rows), 5.0)
    table = RowTable.of(parent, flat)
    edits = find_edits(rows, split, flat + base, np.zeros(len(rows), dtype=bool), table)
    noise = np.random.default_rng(0).normal(0, 1, len(rows))
    past = [2 + noise[i] if i % every == 0 else math.nan for i in range(len(rows))]
    losses = [SecondLosses.of(before, [h for _, h in parent], past)]
    losses.append(SecondLosses.of(now, [h for _, h in rows], [loss + rise for loss in past]))
    return add_second_losses(edits, rows, table, losses[1], losses[0])


def find_risen(rise: float, now: str = "a model") -> list[str]:
    """What is said of edited rows that are harder."""
    found = find_harder(edit_texts(rise, now=now))
    return [finding.words for finding in found if finding.worse and finding.p_value < 0.001]


def test_edited_rows_that_are_harder_for_the_second_model_alone_are_found() -> None:
    assert find_risen(0.5) == ["harder for the second model than before in 100% of 40 measured (+0.50 nats per token)"]
    assert find_risen(0.0) == find_risen(-0.5) == []


def test_losses_by_another_model_are_not_compared() -> None:
    assert find_risen(0.5, now="another") == []


def ask_edits(edits: RowEdits) -> Draft:
    measured = Measurements(rows=400, r=2.0, r_long=3.0, l=5.0, c=0.4)
    comparison = ParentComparison("sft", measured, measured, edits=edits)
    return edits_rule.ask(RuleInput(comparison, None, None, RuleParams()))  # type: ignore[arg-type]


def test_two_models_share_the_risk_and_what_few_rows_say_does_not_hide_what_is_sure() -> None:
    """All eight rows that the second model read have risen, and so have most of the 40 that the base model read."""
    edits = edit_texts(0.5, every=50, base=0.2)
    edits.loss[::10] = edits.past_loss[::10] - 0.1
    of_base, of_second = find_harder(edits)
    assert of_second.share == 1 > of_base.share and of_second.p_value > 1000 * of_base.p_value
    found = ask_edits(edits)
    assert f"40 rows were edited: {of_base.words}" in found.alarm
    assert found.result.p_value == pytest.approx(3 * 2 * of_base.p_value)


def test_a_sure_finding_that_is_too_small_does_not_hide_a_large_one() -> None:
    edits = edit_texts(0.5, base=0.2)
    edits.loss[: len(edits.loss) // 2] = edits.past_loss[: len(edits.loss) // 2] - 0.1
    edits = replace(edits, total=10.0)
    of_base, of_second = find_harder(edits)
    assert not of_base.worse or of_base.share < of_second.share
    assert "harder for the second model" in ask_edits(edits).alarm


def test_a_model_that_read_too_few_edited_rows_costs_nothing() -> None:
    alone, beside = edit_texts(0.5, base=0.2), edit_texts(0.5, every=70, base=0.2)
    assert len(find_harder(beside)) == 1
    without = replace(alone, second_loss=None, past_second_loss=None)
    assert ask_edits(beside).result == ask_edits(without).result


def test_what_a_second_model_found_is_suspected_by_repair() -> None:
    parent = make_texts()
    for edits, words in (
        (edit_texts(0.0, base=0.2), "harder to learn than before"),
        (edit_texts(0.5), "harder for the second model than before"),
        (replace(edit_texts(0.0, base=0.2), second_loss=None, past_second_loss=None), "harder to learn than before"),
    ):
        found = _suspect_edits(edits, SimpleNamespace(rows=len(parent), params=RuleParams()))  # type: ignore[arg-type]
        assert found is not None
        assert {int(i) for i in np.flatnonzero(found.probability > 0)} == set(edits.rows.tolist())
        assert any(words in said for _, said in found.reasons)


def test_what_few_rows_say_does_not_hide_what_is_sure() -> None:
    """All ten rows that were read have risen, which is not sure enough once it is corrected for all rules; that
    answers were cut off is, though not in all of the rows.
    """
    parent = make_texts()
    cut = 36
    edited = [i for i in range(len(parent)) if i % 10 == 0]
    rows = list(parent)
    for k, i in enumerate(edited):
        prompt, answer = sides(parent[i])
        rows[i] = make_row(prompt, answer[: len(answer) // 2].rstrip(".!?") if k < cut else answer + " 7")
    split = split_rows([row_hash for _, row_hash in rows], RowSketch.of([row_hash for _, row_hash in parent]))
    flat = np.full(len(rows), 5.0)
    table = RowTable.of(parent, flat)
    edits = find_edits(rows, split, flat, np.zeros(len(rows), dtype=bool), table)
    read = [2.0 if i in edited[::4] else math.nan for i in range(len(rows))]
    before, now = (
        SecondLosses.of("a model", [h for _, h in version], [loss + rise for loss in read])
        for version, rise in ((parent, 0.0), (rows, 0.5))
    )
    edits = add_second_losses(edits, rows, table, now, before)
    assert [finding.share for finding in find_harder(edits) if finding.worse] == [1.0]
    found = ask_edits(edits)
    assert "answers cut off before their ends" in found.happened
    assert (found.result.p_value or 1) < 1e-6
