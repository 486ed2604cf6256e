"""L: which rows are probed, and that the run is what it says it is."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import DamagedResultError, EntropylawError, NotAssessedError
from corpus.records import Conversation, HashedRecord, Message, content_hash
from corpus.row_sides import side_key, split_sides
from monitor.measures.probe_files import (
    ProbedRows,
    read_probe_rows,
    summarise_probe,
    write_probe_rows,
    write_step_curve,
)
from training.base_model import is_trained_row, load_base_model
from training.chat import EncodedRow, encode_conversation, training_messages
from training.loss import collate_rows
from training.probe import probe_loss
from training.probe_run import ProbeParams, ProbeResult, choose_probe_rows
from training.row_window import choose_window, read_conversation

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
    by_hash = {row_hash: record for record, row_hash in chats}
    assert not any(is_trained_row(by_hash[row.hash]) for row in result.rows)
    whole = choose_probe_rows(chats, len(chats), 0, 0.5)
    assert {row_hash for _, row_hash in chats} - {row_hash for _, row_hash in whole} == {
        row_hash for record, row_hash in chats if is_trained_row(record)
    }


def test_l_is_the_token_mean_over_the_steps_after_the_skipped_ones(result: ProbeResult) -> None:
    assert (result.steps, len(result.curve)) == (12, 12)
    tokens = [sum(row.tokens for row in result.rows if row.step == step) for step in range(12)]
    assert [sum(row.step == step for row in result.rows) for step in range(12)] == [4] * 12
    assert result.tokens == sum(tokens[2:])
    mean = sum(loss * count for loss, count in zip(result.curve[2:], tokens[2:], strict=True)) / result.tokens
    assert result.l == pytest.approx(mean)


def test_each_loss_is_recorded_before_the_step_that_uses_it(
    chats: Rows, base_folder: Path, result: ProbeResult
) -> None:
    """The run again in plain torch, with transformers' own loss."""
    import torch

    model, tokenizer, _ = load_base_model(base_folder)
    by_hash = {row_hash: record for record, row_hash in chats[:300]}
    optimizer = torch.optim.AdamW(model.parameters(), lr=PARAMS.learning_rate, weight_decay=0.0)
    curve = []
    for step in range(PARAMS.steps):
        records = [by_hash[row.hash] for row in result.rows if row.step == step]
        rows = [read_conversation(tokenizer, record, PARAMS.max_length) for record in records]
        loss = model(**collate_rows([row.encoded for row in rows if row], tokenizer.pad_token_id)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        curve.append(loss.item())
    assert result.curve == pytest.approx(curve, rel=1e-4)
    # The base model's own losses of the last rows are others: it had not been trained yet.
    last = [row for row in result.rows if row.step == PARAMS.steps - 1]
    untrained = sum(row.loss_nats * row.tokens for row in last) / sum(row.tokens for row in last)
    assert curve[-1] != pytest.approx(untrained, rel=1e-3)


def test_the_probe_is_the_same_when_it_is_repeated(chats: Rows, base_folder: Path, result: ProbeResult) -> None:
    model, tokenizer, card = load_base_model(base_folder)
    seen: list[tuple[int, int]] = []
    again = probe_loss(
        model, tokenizer, chats[:300], PARAMS, card.trained_from, lambda done, total: seen.append((done, total))
    )
    assert again == result
    done, totals = zip(*seen, strict=True)
    assert list(done) == sorted(done) and len(set(totals)) == 1 and done[-1] == totals[0]


def test_each_row_is_read_by_the_base_model_as_it_is(chats: Rows, base_folder: Path, result: ProbeResult) -> None:
    """One row at a time, with transformers' own loss."""
    import torch

    model, tokenizer, _ = load_base_model(base_folder)
    model.eval()
    by_hash = {row_hash: record for record, row_hash in chats[:300]}
    assert len(result.rows) > 100
    for row in result.rows[::7]:
        read = read_conversation(tokenizer, by_hash[row.hash], PARAMS.max_length)
        assert read is not None and (row.tokens, row.response_tokens) == (
            sum(read.encoded.response[1:]),
            read.response_tokens,
        )
        with torch.no_grad():
            alone = model(**collate_rows([read.encoded], tokenizer.pad_token_id)).loss.item()
        assert row.loss_nats == pytest.approx(alone, rel=1e-4)


def test_a_row_has_the_same_loss_in_every_version(chats: Rows, base_folder: Path, result: ProbeResult) -> None:
    """Also in one where it is trained on at another time, or only read."""
    model, tokenizer, card = load_base_model(base_folder)
    other = probe_loss(model, tokenizer, chats[100:420], replace(PARAMS, seed=3), card.trained_from)
    before, after = ({row.hash: row for row in part.rows} for part in (result, other))
    shared = before.keys() & after.keys()
    assert len(shared) > 60
    assert any(before[key].step != after[key].step for key in shared)
    for key in shared:
        assert after[key].loss_nats == pytest.approx(before[key].loss_nats, rel=1e-4)


def test_a_row_whose_answer_was_edited_stays_in_the_probe_and_on_its_side(chats: Rows) -> None:
    def edit(record: Conversation) -> HashedRecord:
        answers = [replace(m, content="Sorry?") if m.role == "assistant" else m for m in record.messages]
        new = replace(record, messages=tuple(answers))
        return HashedRecord(new, content_hash(new))

    # Some rows have no prompt, and some share theirs; of these, only the answer tells one from the other.
    prompts = Counter(side_key(split_sides(record).prompt) for record, _ in chats[:500])
    rows = [item for item in chats[:500] if prompts[side_key(split_sides(item[0]).prompt)] == 1]
    assert len(rows) > 300
    before = choose_probe_rows(rows, 60, 0, 0.5)
    after = choose_probe_rows([edit(record) for record, _ in rows], 60, 0, 0.5)
    assert [item[0].row for item in after] == [item[0].row for item in before]
    assert not {row_hash for _, row_hash in after} & {row_hash for _, row_hash in before}


def test_the_end_of_a_long_row_is_read_as_often_as_its_beginning(base_folder: Path) -> None:
    _, tokenizer, _ = load_base_model(base_folder)
    starts = []
    for i in range(300):
        turns = [Message("user" if k % 2 == 0 else "assistant", f"{i} turn {k} word word word") for k in range(60)]
        read = read_conversation(tokenizer, Conversation(tuple(turns)), 64)
        whole = encode_conversation(tokenizer, turns, 10**6)
        assert read is not None and whole is not None and len(whole.ids) > 10 * 64
        assert len(read.encoded.ids) <= 64 and any(read.encoded.response[1:])
        assert read.response_tokens == sum(whole.response[1:])
        found = [k for k in range(len(whole.ids)) if whole.ids[k : k + len(read.encoded.ids)] == read.encoded.ids]
        starts.append(found[0] / (len(whole.ids) - 64))
    thirds = [sum(low <= start < low + 1 / 3 for start in starts) for low in (0, 1 / 3, 2 / 3)]
    # Each third has 100 of 300 with a standard deviation of 8. The first and last windows stop at the row's ends.
    assert min(thirds) > 70


@settings(max_examples=200)
@given(
    response=st.lists(st.booleans(), min_size=1, max_size=40),
    max_length=st.integers(1, 45),
    place=st.floats(0, 1, exclude_max=True),
)
def test_a_window_is_a_piece_of_its_row_with_responses_of_that_row_only(
    response: list[bool], max_length: int, place: float
) -> None:
    row = EncodedRow(tuple(range(len(response))), tuple(response))
    window = choose_window(row, max_length, place)
    if window is None:
        assert not any(response[1:]) or max_length < 2
        return
    start = window.ids[0]
    assert len(window.ids) <= max_length and window.ids == tuple(range(start, start + len(window.ids)))
    assert any(window.response[1:]) and window.response[-1]
    assert all(row.response[i] for i, flag in zip(window.ids, window.response, strict=True) if flag)
    if len(row.ids) <= max_length:
        assert sum(window.response[1:]) == sum(row.response[1:])


def test_a_window_keeps_the_first_token_of_a_model_that_needs_one() -> None:
    row = EncodedRow((7, *range(100, 120)), (False,) * 11 + (True,) * 10)
    window = choose_window(row, 8, 0.9, first_id=7)
    assert window is not None and window.ids[0] == 7 and window.ids[1:] == row.ids[-7:]
    assert choose_window(row, 8, 0.9, first_id=8) == EncodedRow(row.ids[-8:], (False, *(True,) * 7))


def test_rows_without_a_response_are_replaced_so_that_the_probe_keeps_its_size(chats: Rows, base_folder: Path) -> None:
    silent: Rows = []
    for i in range(20):
        record = Conversation((Message("user", f"word {i}"),), row=1000 + i)
        silent.append(HashedRecord(record, content_hash(record)))
    model, tokenizer, card = load_base_model(base_folder)
    params = replace(PARAMS, rows=1)
    result = probe_loss(model, tokenizer, chats[:200] + silent, params, card.trained_from)
    assert len(result.rows) == 48
    assert all(row.row < 1000 for row in result.rows)


def test_a_small_version_is_probed_in_fewer_steps_and_a_tiny_one_not_at_all(chats: Rows, base_folder: Path) -> None:
    model, tokenizer, _ = load_base_model(base_folder)
    probed = [item for item in chats[:60] if encode_conversation(tokenizer, training_messages(item[0]), 64)]
    small = probe_loss(model, tokenizer, probed[:7], PARAMS, 1.0)
    assert (small.steps, [row.step for row in small.rows]) == (1, [0] * 4 + [None] * 3)
    assert small.l == pytest.approx(small.curve[0])
    with pytest.raises(NotAssessedError, match="only 3 rows can be probed, fewer than one batch of 4"):
        probe_loss(model, tokenizer, probed[:3], PARAMS, 1.0)


@pytest.mark.parametrize(
    "change", [{"steps": 0}, {"batch_rows": 0}, {"rows": 0}, {"skipped_steps": 48}, {"skipped_steps": -1}]
)
def test_a_probe_that_measures_nothing_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be positive and skipped_steps below steps"):
        ProbeParams(**change)


def test_a_probe_on_disk_has_rows_hashes_and_losses_and_no_text(result: ProbeResult, tmp_path: Path) -> None:
    path = tmp_path / "probe_rows.csv"
    write_probe_rows(path, result.rows)
    read, known = read_probe_rows(path), ProbedRows.of(result.rows)
    assert (read.numbers, read.hashes) == (known.numbers, known.hashes)
    assert read.losses == pytest.approx(known.losses, rel=1e-5)
    assert (read.tokens == known.tokens).all() and (read.trained == known.trained).all()
    assert read.trained.sum() == 48 < len(read.trained)
    assert path.read_text().splitlines()[0] == "row,hash,step,tokens,response_tokens,loss_nats"
    summary = summarise_probe(result, "abc")
    assert (summary.l, summary.steps, summary.base_identity) == (result.l, 12, "abc")
    assert summary.rows == len(result.rows)
    share = sum(row.tokens for row in result.rows) / sum(row.response_tokens for row in result.rows)
    assert summary.tokens_read_share == pytest.approx(share) and 0 < share < 1
    write_step_curve(tmp_path / "curve.csv", "loss_nats", enumerate(result.curve, start=1))
    assert (tmp_path / "curve.csv").read_text().splitlines()[:2] == ["step,loss_nats", f"1,{result.curve[0]:.6g}"]


HEADER = "row,hash,step,tokens,response_tokens,loss_nats\n"


@pytest.mark.parametrize(
    "content",
    [
        "",
        HEADER,
        "row,hash\n1,ab\n",
        HEADER + "1,ab,0,5,5\n",
        HEADER + "1,ab,0,5,5,1.25",
        HEADER + "x,ab,0,5,5,1.0\n",
        HEADER + "1,ab,0,5,5,nan\n",
        HEADER + "1,ab,0,5,5,1e999\n",
        HEADER + "1,ab,0,0,5,1.0\n",
        HEADER + f"1,ab,0,{10**30},5,1.0\n",
        HEADER + f"{'9' * 5000},ab,0,5,5,1.0\n",
        HEADER + "1,ab,0,5,5,1.0\0\n",
        HEADER + "1," + "a" * 200_000,
        "\udcff",
    ],
)
def test_a_damaged_probe_file_is_an_error_that_says_what_to_run(tmp_path: Path, content: str) -> None:
    path = tmp_path / "probe_rows.csv"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(DamagedResultError, match=r"damaged .*run `dvc repro --force probe`$"):
        read_probe_rows(path)


def test_a_probe_file_of_older_versions_has_other_losses_and_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "probe_rows.csv"
    path.write_text("row,hash,step,tokens,loss_nats\n1,ab,0,5,1.0\n")
    with pytest.raises(EntropylawError, match=r"older version of the tool; run `dvc repro --force probe`$"):
        read_probe_rows(path)


def test_a_missing_probe_file_is_an_error_that_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(EntropylawError, match="no such file; run `dvc repro probe` first"):
        read_probe_rows(tmp_path / "none.csv")
    with pytest.raises(EntropylawError, match="cannot be read"):
        read_probe_rows(tmp_path)
