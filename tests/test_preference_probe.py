"""L of preferences: TRL's KTO loss on the same batch, and a run that is what it says it is."""

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from corpus.artifacts import to_json
from corpus.errors import NotAssessedError
from corpus.records import HashedRecord, Message, Preference, content_hash
from corpus.shapes import parse_shape
from entropylaw.demo.chitchat import load_chat_logs, pair_by_rating
from monitor.measures.probe_files import (
    PreferenceProbeSummary,
    ProbedRows,
    read_probe_rows,
    summarise_probe,
    write_probe_curve,
    write_probe_rows,
)
from training.base_model import load_base_model
from training.chat import EncodedAnswer, encode_answer
from training.fine_tuning import hardware_arguments, quiet_libraries
from training.preference_probe import (
    BETA,
    PreferenceProbeResult,
    answer_logps,
    kto_losses,
    probe_preferences,
    split_answers,
)
from training.probe import probe_loss
from training.probe_run import ProbeParams, choose_probe_rows
from training.template_inputs import to_chat

pytestmark = pytest.mark.slow

Rows = list[HashedRecord]
PARAMS = ProbeParams(steps=6, batch_rows=4, max_length=64, skipped_steps=2, learning_rate=1e-3)


def hashed(pairs: list[Preference]) -> Rows:
    return [(pair, content_hash(pair)) for pair in pairs]


def say(text: str) -> tuple[Message, ...]:
    return (Message("assistant", text),)


@pytest.fixture(scope="module")
def pairs() -> list[Preference]:
    """Different real pairs with short prompts."""
    made = [
        Preference((Message("user", pair["prompt"][:40]),), say(pair["chosen"]), say(pair["rejected"]), row=i)
        for i, pair in enumerate(pair_by_rating(load_chat_logs(), 60), start=1)
    ]
    return list({content_hash(pair): pair for pair in made if pair.chosen != pair.rejected}.values())


@pytest.fixture(scope="module")
def run(base_folder: Path) -> Callable[..., PreferenceProbeResult]:
    def probe(rows: list[Preference], params: ProbeParams = PARAMS) -> PreferenceProbeResult:
        model, tokenizer, _ = load_base_model(base_folder)
        return probe_preferences(model, tokenizer, hashed(rows), params, 1.0)

    return probe


@pytest.fixture(scope="module")
def result(pairs: list[Preference], run: Callable[..., PreferenceProbeResult]) -> PreferenceProbeResult:
    return run(pairs)


def encode(tokenizer: Any, pair: Preference) -> dict[bool, EncodedAnswer]:
    """Both answers from their beginning, as TRL cuts them."""
    sides = {True: pair.chosen, False: pair.rejected}
    encoded = {label: encode_answer(tokenizer, pair.prompt, side, 64) for label, side in sides.items() if side}
    return {label: answer for label, answer in encoded.items() if answer is not None}


@pytest.mark.parametrize("moved", ["policy", "reference"])
def test_the_loss_of_a_batch_is_trls(moved: str, pairs: list[Preference], base_folder: Path, tmp_path: Path) -> None:
    """The policy's own answers have become more likely where the reference moved away: KL is then above zero."""
    quiet_libraries()
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    models = {}
    for name in ("policy", "reference"):
        models[name], tokenizer, _ = load_base_model(base_folder)
        models[name].eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in models[moved].parameters():
            weight += 0.05 * torch.randn_like(weight)
    encoded = [encode(tokenizer, pair) for pair in [*pairs[:5], replace(pairs[5], chosen=())]]
    answers = split_answers(encoded)
    assert [answer.chosen for answer in answers] == [True] * 5 + [False] * 6

    def measure(mismatched: bool) -> torch.Tensor:
        with torch.no_grad():
            policy, reference = (
                answer_logps(models[name], answers, tokenizer.pad_token_id, 64, mismatched)[0]
                for name in ("policy", "reference")
            )
        return policy - reference

    kl = measure(mismatched=True).mean().clamp(min=0)
    assert (float(kl) > 0) == (moved == "reference")
    ours = kto_losses(measure(mismatched=False), kl, torch.tensor([answer.chosen for answer in answers])).mean()

    sides = [(pair.chosen, True) for pair in pairs[:5]] + [(pair.rejected, False) for pair in pairs[:6]]
    rows = [
        {"prompt": to_chat(pairs[answer.row_index].prompt), "completion": to_chat(side), "label": label}
        for answer, (side, label) in zip(answers, sides, strict=True)
    ]
    arguments = KTOConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=len(rows),
        max_length=64,
        beta=BETA,
        activation_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
        **hardware_arguments(),
    )
    trainer = KTOTrainer(
        model=models["policy"],
        ref_model=models["reference"],
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(rows))])
    with torch.no_grad():
        theirs = trainer.compute_loss(trainer.model, batch)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-4)
    assert float(ours) != pytest.approx(0.5, abs=1e-3)


def test_the_kl_term_pairs_no_prompt_with_an_answer_of_its_own_row(pairs: list[Preference], base_folder: Path) -> None:
    _, tokenizer, _ = load_base_model(base_folder)
    encoded = [encode(tokenizer, pair) for pair in pairs[:4]]
    answers = split_answers(encoded)
    assert len(answers) == 8
    assert all(answers[i - 1].row_index != answer.row_index for i, answer in enumerate(answers))


def test_before_the_first_step_every_loss_is_a_half(result: PreferenceProbeResult) -> None:
    first = [row.kto_loss for row in result.rows if row.step == 0]
    assert len(first) == 4
    assert first == pytest.approx([0.5] * 4) and result.curve[0] == pytest.approx(0.5)
    assert result.curve[-1] != pytest.approx(0.5, abs=1e-4)


def test_l_is_the_mean_over_the_answers_after_the_skipped_steps(result: PreferenceProbeResult) -> None:
    assert (result.steps, len(result.curve)) == (6, 6)
    trained = [row for row in result.rows if row.step is not None]
    assert len(trained) == 24 < len(result.rows)
    assert result.l == pytest.approx(sum(row.kto_loss for row in trained if row.step >= 2) / 16)
    assert all(math.isnan(row.kto_loss) for row in result.rows if row.step is None)
    assert result.l == pytest.approx(sum(result.curve[2:]) / 4)
    assert result.tokens == sum(row.tokens for row in result.rows)


def test_a_clear_preference_is_learned_and_lowers_the_loss(run: Callable[..., PreferenceProbeResult]) -> None:
    clear = [
        Preference((Message("user", f"Question {i}?"),), say("yes yes yes yes"), say("no no no no")) for i in range(64)
    ]
    curve = run(clear, replace(PARAMS, steps=16)).curve
    assert curve[-1] < 0.3 < curve[1] < curve[0]


def test_rows_are_probed_in_the_order_of_their_hashes(pairs: list[Preference], result: PreferenceProbeResult) -> None:
    chosen = choose_probe_rows(hashed(pairs), len(pairs), PARAMS.seed, 1.0)
    probed = [row.hash for row in result.rows]
    assert probed == [row_hash for _, row_hash in chosen if row_hash in probed]
    trained = {row.hash for row in result.rows if row.step is not None}
    assert trained <= {row_hash for _, row_hash in chosen[:30]}


def test_loss_and_margin_are_the_base_models(
    pairs: list[Preference], base_folder: Path, run: Callable[..., PreferenceProbeResult]
) -> None:
    """Row by row, with the loss that transformers itself computes."""
    model, tokenizer, _ = load_base_model(base_folder)
    by_row = {pair.row: pair for pair in pairs}

    def mean_loss(prompt: tuple[Message, ...], answer: tuple[Message, ...]) -> float:
        given = tokenizer.apply_chat_template(to_chat(prompt), add_generation_prompt=True)["input_ids"]
        ids = tokenizer.apply_chat_template(to_chat(prompt + answer))["input_ids"]
        labels = [-100] * len(given) + ids[len(given) :]
        return float(model(torch.tensor([ids]), labels=torch.tensor([labels])).loss.detach())

    result = run(pairs, replace(PARAMS, max_length=1000))
    for row in result.rows[::5]:
        pair = by_row[row.row]
        chosen, rejected = mean_loss(pair.prompt, pair.chosen), mean_loss(pair.prompt, pair.rejected)
        assert row.loss_nats == pytest.approx(chosen, rel=1e-4)
        assert row.margin_nats == pytest.approx(rejected - chosen, abs=1e-4)
    tokens = sum(row.tokens for row in result.rows)
    assert result.chosen_loss_nats == pytest.approx(sum(row.loss_nats * row.tokens for row in result.rows) / tokens)
    assert result.margin_nats == pytest.approx(sum(row.margin_nats for row in result.rows) / len(result.rows))


def test_exchanging_the_answers_turns_the_margins_round(
    pairs: list[Preference], run: Callable[..., PreferenceProbeResult]
) -> None:
    few = replace(PARAMS, steps=len(pairs) // 4)
    flipped = [replace(pair, chosen=pair.rejected, rejected=pair.chosen) for pair in pairs]
    before, after = ({row.row: row.margin_nats for row in run(rows, few).rows} for rows in (pairs, flipped))
    shared = before.keys() & after.keys()
    assert len(shared) > 40
    assert [after[row] for row in shared] == pytest.approx([-before[row] for row in shared], abs=1e-4)


def test_the_assistants_turns_in_the_prompt_are_not_answers(
    pairs: list[Preference], base_folder: Path, run: Callable[..., PreferenceProbeResult]
) -> None:
    longer = [replace(pair, prompt=(*pair.prompt, *say("Go on."), Message("user", "Well?"))) for pair in pairs]
    tokens = {row.row: row.response_tokens for row in run(pairs, replace(PARAMS, max_length=256)).rows}
    again = {row.row: row.response_tokens for row in run(longer, replace(PARAMS, max_length=256)).rows}
    shared = tokens.keys() & again.keys()
    assert shared and all(tokens[row] == again[row] for row in shared)


def test_the_probe_is_the_same_when_it_is_repeated_and_both_passes_count_as_progress(
    pairs: list[Preference], base_folder: Path, result: PreferenceProbeResult
) -> None:
    model, tokenizer, _ = load_base_model(base_folder)
    seen: list[tuple[int, int]] = []
    again = probe_loss(model, tokenizer, hashed(pairs), PARAMS, 1.0, lambda done, total: seen.append((done, total)))
    assert to_json(again) == to_json(result)
    done, totals = zip(*seen, strict=True)
    assert list(done) == sorted(done) and len(set(totals)) == 1 and done[-1] == totals[0]


def test_unpaired_rows_have_a_loss_and_no_margin(
    pairs: list[Preference], run: Callable[..., PreferenceProbeResult], tmp_path: Path
) -> None:
    unpaired = [replace(pair, **{side: ()}) for pair, side in zip(pairs, ("chosen", "rejected") * 30, strict=False)]
    result = run(unpaired)
    assert all(math.isnan(row.margin_nats) for row in result.rows)
    assert all(0 < row.kto_loss < 1 for row in result.rows if row.step is not None)
    assert result.margin_nats is None
    write_probe_rows(tmp_path / "rows.csv", result.rows)
    with (tmp_path / "rows.csv").open() as handle:
        assert {line["margin_nats"] for line in csv.DictReader(handle)} == {""}


def test_answers_after_a_long_prompt_are_read_with_the_context_that_fits_before_them(
    pairs: list[Preference], run: Callable[..., PreferenceProbeResult]
) -> None:
    endless = [replace(pair, prompt=(Message("user", "word " * 100 + str(pair.row)),)) for pair in pairs[:15]]
    result = run(endless)
    assert len(result.rows) == 15 and all(math.isfinite(row.loss_nats + row.margin_nats) for row in result.rows)
    whole = {row.row: row.response_tokens for row in run(pairs).rows}
    assert all(0 < row.tokens <= row.response_tokens == whole[row.row] for row in result.rows)


def test_a_row_without_an_answer_gives_its_place_to_another_row(
    pairs: list[Preference], run: Callable[..., PreferenceProbeResult]
) -> None:
    silent = [replace(pair, chosen=(), rejected=(), row=1000) for pair in pairs[:15]]
    result = run(pairs + silent, replace(PARAMS, rows=1))
    assert len(result.rows) == 24 and all(row.row < 1000 for row in result.rows)
    with pytest.raises(NotAssessedError, match="only 0 rows can be probed, fewer than one batch of 4"):
        run(silent)


def test_a_probe_of_preferences_on_disk_has_the_columns_of_every_probe_and_two_more(
    result: PreferenceProbeResult, tmp_path: Path
) -> None:
    path = tmp_path / "probe_rows.csv"
    write_probe_rows(path, result.rows)
    assert path.read_text().splitlines()[0] == "row,hash,step,tokens,response_tokens,loss_nats,kto_loss,margin_nats"
    read, known = read_probe_rows(path), ProbedRows.of(result.rows)
    assert (read.numbers, read.hashes) == (known.numbers, known.hashes)
    assert read.losses == pytest.approx(known.losses, rel=1e-5)
    assert (read.trained == known.trained).all()

    curve = tmp_path / "probe_curve.csv"
    write_probe_curve(curve, result)
    with curve.open() as handle:
        lines = list(csv.DictReader(handle))
    assert [float(line["kto_loss"]) for line in lines] == pytest.approx(result.curve, rel=1e-5)
    first = [row for row in result.rows if row.step == 0]
    mean = sum(row.loss_nats * row.tokens for row in first) / sum(row.tokens for row in first)
    assert (lines[0]["step"], float(lines[0]["loss_nats"])) == ("1", pytest.approx(mean, rel=1e-5))

    summary = summarise_probe(result, "abc")
    assert isinstance(summary, PreferenceProbeSummary) and summary.l == result.l
    assert to_json(parse_shape(json.loads(to_json(summary)), type(summary))) == to_json(summary)
