"""Studies of preference pairs, studies whose budget is what an entry selects, and `entropylaw study --recipe`."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Rows
from ruamel.yaml import YAML
from test_study import write_params, write_tiny_params
from typer.testing import CliRunner

from corpus.artifacts import write_json
from corpus.errors import EntropylawError, NotAssessedError, ParamsError
from corpus.files import write_rows
from corpus.prepare import to_row
from corpus.records import HashedRecord, Message, Preference, content_hash
from corpus.row_sides import question_key
from entropylaw.cli import app
from entropylaw.repository.shipped_files import shipped_text
from entropylaw.study.budget import StudyBudget, find_budget
from entropylaw.study.files import StudyFiles
from entropylaw.study.params import StudyParams, read_study_params
from entropylaw.study.pipeline import SHIPPED, read_text, require_watched_keys, write_pipeline
from entropylaw.study.pool import split_preferences
from entropylaw.study.pool_files import write_sample
from entropylaw.study.run import find_entry_budget, run_method
from entropylaw.study.training import train_start
from reports.study.study import build_study
from reports.study.table import render_study
from selection.methods import SelectionParams
from training.evaluation_params import EvaluationParams
from training.heldout_pairs import evaluate_pairs

PREFERENCES = StudyFiles(Path("studies/preferences"))


def make_pairs(rows: Rows, per_prompt: int = 1) -> list[Preference]:
    """Pairs of real answers: each prompt's own answer against the next row's."""
    pairs = []
    for i, (record, _) in enumerate(rows):
        messages = record.messages  # type: ignore[union-attr]
        for offset in range(1, per_prompt + 1):
            other = rows[(i + offset) % len(rows)][0].messages[-1]  # type: ignore[union-attr]
            pairs.append(Preference((Message("user", f"{i}: {messages[0].content}"),), (messages[-1],), (other,)))
    return pairs


@pytest.fixture
def repository(in_tmp_path: Path, chats: Rows, base_folder: Path) -> list[Preference]:
    pairs = make_pairs(chats[300:420])
    write_rows("data/prepared/preferences.jsonl", (to_row(pair, content_hash(pair)) for pair in pairs))
    shutil.copytree(base_folder, "models/base")
    write_tiny_params(
        in_tmp_path,
        kto={"max_length": 96, "batch_rows": 8, "micro_batch_rows": 8},
        probe={"steps": 3, "max_length": 96, "skipped_steps": 1, "batch_rows": 4},
    )
    yaml, file = YAML(), in_tmp_path / "params.yaml"
    params = yaml.load(file)
    del params["datasets"]["sft"]  # there are no conversations
    yaml.dump(params, file)
    return pairs


def test_no_prompt_is_both_trained_on_and_scored(tmp_path: Path, in_tmp_path: Path, chats: Rows) -> None:
    write_tiny_params(in_tmp_path)
    pairs = make_pairs(chats[:80], per_prompt=3)
    write_rows("pairs.jsonl", (to_row(pair, content_hash(pair)) for pair in pairs))
    held_out = split_preferences(Path("pairs.jsonl"), 0.3, tmp_path / "pool.jsonl")
    kept = [json.loads(line)["hash"] for line in (tmp_path / "pool.jsonl").read_text().splitlines()]
    assert sorted([*kept, *map(content_hash, held_out)]) == sorted(map(content_hash, pairs))
    scored = {question_key(pair) for pair in held_out}
    assert not scored & {question_key(pair) for pair in pairs if content_hash(pair) in kept}
    # A coin of 0.3 for each of 80 prompts: more than five standard deviations away once in a million.
    assert 4 <= len(scored) <= 44


def test_a_split_that_leaves_a_side_empty_is_an_error(tmp_path: Path, in_tmp_path: Path, chats: Rows) -> None:
    write_tiny_params(in_tmp_path)
    write_rows("pairs.jsonl", (to_row(pair, content_hash(pair)) for pair in make_pairs(chats[:1])))
    for share, cause in ((1e-9, "no pair is held out"), (1 - 1e-9, "no row is left")):
        with pytest.raises(EntropylawError, match=cause):
            split_preferences(Path("pairs.jsonl"), share, tmp_path / "pool.jsonl")


@pytest.mark.slow
def test_the_margin_is_that_of_the_answers_one_by_one(base_folder: Path, chats: Rows) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    pairs = make_pairs(chats[:6])
    found = evaluate_pairs(base_folder, [*pairs, replace(pairs[0], rejected=())], EvaluationParams(max_length=4000))
    model, tokenizer = (kind.from_pretrained(base_folder) for kind in (AutoModelForCausalLM, AutoTokenizer))
    model.eval()

    def log_probability(pair: Preference, answer: Message) -> float:
        chat = [{"role": "user", "content": pair.prompt[0].content}]
        before = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]
        chat.append({"role": "assistant", "content": answer.content})
        ids = torch.tensor([tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"]])
        with torch.no_grad():
            each = torch.log_softmax(model(ids).logits[0, :-1], dim=-1).gather(1, ids[0, 1:, None])[:, 0]
        return float(each[len(before) - 1 :].mean())

    margins = [log_probability(pair, pair.chosen[0]) - log_probability(pair, pair.rejected[0]) for pair in pairs]
    assert found.pairs == 6 and found.z == found.margin_nats == pytest.approx(np.mean(margins), abs=2e-3)
    assert found.right_share == pytest.approx(np.mean([margin > 0 for margin in margins]))


@pytest.mark.slow
def test_without_a_pair_there_is_no_margin(base_folder: Path, chats: Rows) -> None:
    with pytest.raises(NotAssessedError, match="no held-out pair"):
        evaluate_pairs(base_folder, [replace(pair, chosen=()) for pair in make_pairs(chats[:3])], EvaluationParams())


@pytest.mark.long
def test_every_selection_of_pairs_is_aligned_and_scored_on_pairs_kept_out(repository: list[Preference]) -> None:
    params = StudyParams(
        0.4,
        (0, 1),
        {"random": SelectionParams("random"), "zip": SelectionParams(k1=60, k2=20, k3=10)},
        dataset="preferences",
        heldout_share=0.2,
    )
    assert "base model" in train_start(PREFERENCES.start)
    results = [run_method(name, params, PREFERENCES) for name in params.methods]
    for result, lengths in results:
        assert result.row_tokens == 2 * 96 and sum(lengths.values()) == sum(run.selected.rows for run in result.runs)
        for run in result.runs:
            assert run.right_share is not None and 0 < run.right_share < 1 and 0 < run.selected.l < 1
            # The budget counts canonical texts, whose role names take more tokens than the chat template's markers.
            assert run.trained_tokens == pytest.approx(result.budget_tokens, rel=0.25)
    assert len({run.z for result, _ in results for run in result.runs}) == 4
    built = build_study([result for result, _ in results], {r.name: n for r, n in results}, "margin", "preferences")
    page = render_study(built, [], "plots", "studies/preferences/params.yaml")
    assert "aligned by KTO" in page and "Pairs right" in page and "held-out loss" not in page


@pytest.mark.slow
def test_a_budget_in_rows_is_the_tokens_of_what_its_entry_selects(repository: list[Preference]) -> None:
    from tokenizers import Tokenizer

    params = StudyParams(
        None,
        (0,),
        {"random": SelectionParams("random"), "first": SelectionParams("zip", k1=60, k2=20, k3=10)},
        dataset="preferences",
        heldout_share=0.2,
        budget_rows=10**6,
        budget_entry="first",
    )
    whole = find_entry_budget(params)
    assert whole.share == 1.0
    few = find_entry_budget(replace(params, budget_rows=20))
    assert 0 < few.tokens < whole.tokens and few.share == few.tokens / whole.tokens
    write_json(PREFERENCES.budget, few)
    read = find_budget(params, PREFERENCES, pool_tokens=1)
    assert read.tokens == few.tokens and read.share == pytest.approx(few.share)
    # At least the longest answer alone is in the count, and no answer counts beyond what training reads.
    tokenizer = Tokenizer.from_file("models/base/tokenizer.json")
    assert max(len(tokenizer.encode(pair.chosen[0].content).ids) for pair in repository[:5]) < whole.tokens


def test_without_its_stage_a_budget_in_rows_is_not_known(in_tmp_path: Path) -> None:
    params = StudyParams(None, (0,), {"a": SelectionParams("random")}, budget_rows=5, budget_entry="a")
    with pytest.raises(EntropylawError, match=r"studies/preferences/dvc\.yaml:budget"):
        find_budget(params, PREFERENCES, 100)
    assert find_budget(
        replace(params, share=0.25, budget_rows=None, budget_entry=None), PREFERENCES, 102
    ) == StudyBudget(25, 0.25)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("share: null", "set share, or budget_rows"),
        ("share: 0.5, budget_rows: 5", "must be set together"),
        ("share: 0.5, budget_rows: 5, budget_entry: a", "share null"),
        ("share: null, budget_rows: 5, budget_entry: b", "no entry b"),
        ("share: 0.5, heldout_share: 1.0", "heldout_share must lie"),
        ("share: 0.5, dataset: both", "study.dataset: expected one of"),
        ("share: 0.5, evaluation: judge", "study.evaluation: expected one of"),
    ],
)
def test_wrong_settings_of_the_budget_and_the_kind_are_named(tmp_path: Path, text: str, cause: str) -> None:
    path = write_params(tmp_path, f"study: {{{text}, seeds: [0], methods: {{a: {{method: random}}}}}}")
    with pytest.raises(ParamsError, match=cause):
        read_study_params(path)


def test_grades_of_chosen_answers_rank_preferences_only(tmp_path: Path) -> None:
    path = write_params(tmp_path, "study: {share: 0.5, seeds: [0], methods: {a: {method: score}}}")
    with pytest.raises(ParamsError, match="score ranks preferences"):
        read_study_params(path)


@pytest.mark.parametrize("folder", SHIPPED, ids=str)
def test_a_shipped_study_reads_and_its_stages_name_their_own_folder(folder: Path) -> None:
    files = StudyFiles(folder)
    params = read_study_params(Path(__file__).resolve().parent.parent / files.params)
    assert params.methods["random"].method == "random" and params.seeds
    pipeline = shipped_text(files.pipeline.as_posix())
    assert all(other.as_posix() not in pipeline for other in SHIPPED if not folder.is_relative_to(other))


def test_where_nothing_prepares_conversations_pairs_are_aligned_from_the_base_model(in_tmp_path: Path) -> None:
    Path("params.yaml").write_text("datasets: {preferences: {path: data/preferences.jsonl}}\n")
    write_pipeline(PREFERENCES)
    text = PREFERENCES.pipeline.read_text()
    assert "data/prepared/sft.jsonl" not in text and "- sft\n" not in text and "models/base" in text
    with pytest.raises(EntropylawError, match=r"the studies that ship are studies/selection, studies/preferences"):
        read_text(Path("studies/none/dvc.yaml"))


def test_a_key_that_the_stages_watch_and_that_is_missing_is_named_with_the_line_to_add(in_tmp_path: Path) -> None:
    Path("params.yaml").write_text("datasets: {sft: {path: data/sft.jsonl}}\n")
    write_pipeline(PREFERENCES)
    text = "study: {dataset: preferences, start_rows: 5, share: 0.5, seeds: [0], methods: {a: {method: zip}}}"
    PREFERENCES.params.write_text(text)
    with pytest.raises(ParamsError, match=r"study\.evaluation: missing key; add `evaluation: heldout`"):
        require_watched_keys(PREFERENCES)
    PREFERENCES.params.write_text(shipped_text(PREFERENCES.params.as_posix()))
    require_watched_keys(PREFERENCES)


# A repository of its own.


def call(*words: str) -> Any:
    return CliRunner().invoke(app, ["study", *words])


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["--recipe", "gpt-5"], "--recipe gpt-5: unknown; known are tiny-cpu"),
        (["--sample", "30"], "--sample: give --recipe too"),
        (["--recipe", "tiny-cpu", "--data", "chats.jsonl"], "--data chats.jsonl: expected sft=PATH"),
        (["--recipe", "tiny-cpu", "--data", "preferences=p.jsonl"], "the study selects from sft"),
        (["--recipe", "tiny-cpu", "--data", "sft=p.jsonl"], "p.jsonl: is empty"),
        (["--recipe", "tiny-cpu", "--pipeline", "/studies/selection"], "name a folder in the new repository"),
        (
            ["--recipe", "tiny-cpu", "--pipeline", "studies/paper", "--data", "sft=p.jsonl"],
            "--data: studies/paper mixes a pool of its own; name the files in the section mix",
        ),
        (["--recipe", "tiny-cpu", "--settings", "mix.yaml"], "mix.yaml: mix.sft.a.path: missing key"),
        (["--recipe", "tiny-cpu", "--workspace", "full"], "full: not empty and not a study's"),
        (["--recipe", "tiny-cpu", "--workspace", "other"], "other: made with another recipe, data or sample"),
    ],
)
def test_what_a_study_of_its_own_cannot_do_is_said_in_one_line(in_tmp_path: Path, words: list[str], cause: str) -> None:
    write_rows("p.jsonl", [])
    Path("full").mkdir()
    Path("full/thesis.tex").touch()
    write_json("other/.entropylaw/study.json", {"recipe": "tiny-cpu", "data": [], "sample": 99})
    study = {"share": 0.5, "seeds": [0], "methods": {"zip": {"method": "zip"}}}
    write_json("mix.yaml", {"mix": {"sft": {"a": {"rows": 5}}}, "study": study})
    done = call(*words)
    assert done.exit_code == 2 and cause in done.stderr and "Traceback" not in done.stderr
    # The next try, with the mistake mended, finds the place empty.
    assert not Path("entropylaw-study-tiny-cpu").exists() and Path("full/thesis.tex").exists()


def test_a_sample_depends_on_the_rows_and_not_on_their_order(tmp_path: Path, chats: Rows) -> None:
    rows = [HashedRecord(*row) for row in chats[:60]]

    def sample(rows: list[HashedRecord]) -> set[str]:
        write_sample(rows, 20, tmp_path / "sample.jsonl")
        return {json.loads(line)["hash"] for line in (tmp_path / "sample.jsonl").read_text().splitlines()}

    assert sample(rows) == sample(rows[::-1]) and len(sample(rows)) == 20
    # Not the rows that the probe and the held-out rows begin with, which go by the content's own hash.
    assert sample(rows) != set(sorted(row.hash for row in rows)[:20])
    write_sample(rows, None, tmp_path / "all.jsonl")
    lines = (tmp_path / "all.jsonl").read_text().splitlines()
    assert [json.loads(line)["hash"] for line in lines] == [row.hash for row in rows]


@pytest.mark.long
def test_a_recipe_makes_the_tables_where_there_is_nothing_but_the_tool(in_tmp_path: Path, chats: Rows) -> None:
    write_rows("chats.jsonl", (to_row(*row) for row in chats[300:380]))
    Path("small.yaml").write_text(
        "study: {share: 0.5, seeds: [0], methods: {random: {method: random}, zip: {method: zip, k1: 40, k2: 9, k3: 5}}}"
    )
    words = ["--recipe", "tiny-cpu", "--data", "sft=chats.jsonl", "--settings", "small.yaml", "--sample", "60"]
    done = call(*words, "--json")
    assert done.exit_code == 0, done.stderr
    assert set(json.loads(done.stdout)["methods"]) == {"random", "zip"}
    assert (Path("entropylaw-study-tiny-cpu") / "studies/selection/results/table.md").exists()
    assert len(Path("entropylaw-study-tiny-cpu/data/sft.jsonl").read_text().splitlines()) == 60
