"""L: which rows are probed, and that the run is what it says it is."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from corpus.errors import EntropylawError, NotAssessedError
from corpus.records import Conversation, HashedRecord, Message, content_hash
from monitor.measures.probe_files import read_probe_rows, summarise_probe, write_probe_rows, write_step_curve
from training.base_model import is_trained_row, load_base_model
from training.chat import encode_conversation, training_messages
from training.loss import collate_rows
from training.probe import probe_loss
from training.probe_run import ProbeParams, ProbeResult, choose_probe_rows

Rows = list[HashedRecord]
PARAMS = ProbeParams(steps=12, batch_rows=4, max_length=64, skipped_steps=2, learning_rate=1e-3)


@pytest.fixture(scope="module")
def result(chats: Rows, base_folder: Path) -> ProbeResult:
    model, tokenizer, card = load_base_model(base_folder)
    return probe_loss(model, tokenizer, chats[:300], PARAMS, card.trained_from)


@pytest.mark.slow
def test_versions_that_share_90_percent_of_their_rows_share_about_90_percent_of_their_probe(chats: Rows) -> None:
    for trained_from in (0.5, 1.0):
        before = choose_probe_rows(chats[:1000], 200, 0, trained_from)
        after = choose_probe_rows(chats[100:1100], 200, 0, trained_from)
        shared = len({row_hash for _, row_hash in before} & {row_hash for _, row_hash in after})
        # Hypergeometric: 180 of 200 with a standard deviation of about 4.
        assert 168 <= shared <= 192


def test_the_probe_does_not_depend_on_the_order_of_the_rows(chats: Rows) -> None:
    assert choose_probe_rows(chats[:200], 50, 0, 1.0) == choose_probe_rows(chats[:200][::-1], 50, 0, 1.0)


def test_another_seed_draws_other_rows(chats: Rows) -> None:
    draws = [{row_hash for _, row_hash in choose_probe_rows(chats[:1000], 200, seed, 1.0)} for seed in (0, 1)]
    assert 20 <= len(draws[0] & draws[1]) <= 60


def test_a_row_that_trained_the_base_model_is_never_probed(chats: Rows, result: ProbeResult) -> None:
    assert not any(is_trained_row(row.hash) for row in result.rows)
    whole = choose_probe_rows(chats, len(chats), 0, 0.5)
    assert {row_hash for _, row_hash in chats} - {row_hash for _, row_hash in whole} == {
        row_hash for _, row_hash in chats if is_trained_row(row_hash)
    }


def test_l_is_the_token_mean_over_the_steps_after_the_skipped_ones(result: ProbeResult) -> None:
    assert (result.steps, len(result.curve), len(result.rows)) == (12, 12, 48)
    counted = [row for row in result.rows if row.step >= 2]
    assert result.tokens == sum(row.tokens for row in counted)
    assert result.l == pytest.approx(sum(row.loss_nats * row.tokens for row in counted) / result.tokens)
    for step, loss in enumerate(result.curve):
        rows = [row for row in result.rows if row.step == step]
        assert len(rows) == 4
        mean = sum(row.loss_nats * row.tokens for row in rows) / sum(row.tokens for row in rows)
        assert loss == pytest.approx(mean, rel=1e-5)


def test_each_loss_is_recorded_before_the_step_that_uses_it(
    chats: Rows, base_folder: Path, result: ProbeResult
) -> None:
    """The run again in plain torch, with transformers' own loss."""
    model, tokenizer, _ = load_base_model(base_folder)
    by_hash = {row_hash: record for record, row_hash in chats[:300]}
    optimizer = torch.optim.AdamW(model.parameters(), lr=PARAMS.learning_rate, weight_decay=0.0)
    curve = []
    for step in range(PARAMS.steps):
        records = [by_hash[row.hash] for row in result.rows if row.step == step]
        rows = [encode_conversation(tokenizer, training_messages(record), PARAMS.max_length) for record in records]
        loss = model(**collate_rows([row for row in rows if row], tokenizer.pad_token_id)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        curve.append(loss.item())
    assert result.curve == pytest.approx(curve, rel=1e-4)
    assert curve[-1] != pytest.approx(curve[0], rel=1e-2)


def test_the_probe_is_the_same_when_it_is_repeated(chats: Rows, base_folder: Path, result: ProbeResult) -> None:
    model, tokenizer, card = load_base_model(base_folder)
    seen: list[tuple[int, int]] = []
    again = probe_loss(
        model, tokenizer, chats[:300], PARAMS, card.trained_from, lambda done, total: seen.append((done, total))
    )
    assert again == result
    assert seen == [(i, 12) for i in range(1, 13)]


def test_rows_without_a_response_in_reach_are_replaced_so_that_the_probe_keeps_its_size(
    chats: Rows, base_folder: Path
) -> None:
    long_prompt = Conversation((Message("user", "word " * 200), Message("assistant", "yes")), row=999)
    endless: Rows = [
        (replace(long_prompt, row=1000 + i), content_hash(Conversation((Message("user", str(i)),)))) for i in range(20)
    ]
    model, tokenizer, card = load_base_model(base_folder)
    result = probe_loss(model, tokenizer, chats[:200] + endless, PARAMS, card.trained_from)
    assert len(result.rows) == 48
    assert all(row.row < 1000 for row in result.rows)


def test_a_small_version_is_probed_in_fewer_steps_and_a_tiny_one_not_at_all(chats: Rows, base_folder: Path) -> None:
    model, tokenizer, _ = load_base_model(base_folder)
    probed = [item for item in chats[:60] if encode_conversation(tokenizer, training_messages(item[0]), 64)]
    small = probe_loss(model, tokenizer, probed[:7], PARAMS, 1.0)
    assert (small.steps, len(small.rows)) == (1, 4)
    assert small.l == pytest.approx(small.curve[0])
    with pytest.raises(NotAssessedError, match="only 3 rows can be probed, fewer than one batch of 4"):
        probe_loss(model, tokenizer, probed[:3], PARAMS, 1.0)


@pytest.mark.parametrize("change", [{"steps": 0}, {"batch_rows": 0}, {"skipped_steps": 48}, {"skipped_steps": -1}])
def test_a_probe_that_measures_nothing_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be positive and skipped_steps below steps"):
        ProbeParams(**change)


def test_a_probe_on_disk_has_rows_hashes_and_losses_and_no_text(result: ProbeResult, tmp_path: Path) -> None:
    path = tmp_path / "probe_rows.csv"
    write_probe_rows(path, result.rows)
    rows, hashes, losses = read_probe_rows(path)
    assert rows == [row.row for row in result.rows]
    assert hashes == [row.hash for row in result.rows]
    assert losses == pytest.approx([row.loss_nats for row in result.rows], rel=1e-5)
    assert path.read_text().splitlines()[0] == "row,hash,step,tokens,loss_nats"
    summary = summarise_probe(result, "abc")
    assert (summary.l, summary.rows, summary.steps, summary.base_identity) == (result.l, 48, 12, "abc")
    write_step_curve(tmp_path / "curve.csv", "loss_nats", enumerate(result.curve, start=1))
    assert (tmp_path / "curve.csv").read_text().splitlines()[:2] == ["step,loss_nats", f"1,{result.curve[0]:.6g}"]


HEADER = "row,hash,step,tokens,loss_nats\n"


@pytest.mark.parametrize(
    "content",
    ["", HEADER, "row,hash\n1,ab\n", HEADER + "1,ab,0,5\n", HEADER + "x,ab,0,5,1.0\n", HEADER + "1," + "a" * 200_000],
    ids=["empty", "no rows", "columns missing", "cut short", "not a number", "a huge field"],
)
def test_a_damaged_probe_file_is_an_error_that_says_what_to_run(tmp_path: Path, content: str) -> None:
    path = tmp_path / "probe_rows.csv"
    path.write_text(content)
    with pytest.raises(EntropylawError, match=r"damaged .*run `dvc repro --force probe` again"):
        read_probe_rows(path)


def test_a_missing_probe_file_is_an_error_that_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(EntropylawError, match="no such file; run `dvc repro probe` first"):
        read_probe_rows(tmp_path / "none.csv")
    with pytest.raises(EntropylawError, match="cannot be read"):
        read_probe_rows(tmp_path)
