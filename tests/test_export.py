"""`entropylaw export`: approved rows as another trainer reads them, read back as the same rows."""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from ruamel.yaml import YAML
from typer.testing import CliRunner

from corpus.artifacts import write_json
from corpus.formats import Reading, read_records
from corpus.prepare import PrepareParams, prepare_file
from corpus.records import Conversation, Preference, Record, content_hash, data_hash
from entropylaw.cli import app
from entropylaw.export.losses import Losses
from entropylaw.init.pipeline import render_pipeline
from entropylaw.init.stages import Stages
from entropylaw.repository import layout
from monitor.measures.evidence import version_hash
from monitor.verdict import Version
from tests.sample_results import selection_report
from tests.sample_verdicts import written_verdict

SECTIONS = render_pipeline({"sft": "data/chats.jsonl"}, stages=Stages.all)["params.yaml"]
MONITOR = render_pipeline({"sft": "data/chats.jsonl"}, stages=Stages.monitor)["params.yaml"]

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {}}}}}
CALL = {"type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 2}'}}
PLAIN: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": f"{i}+1?"}, {"role": "assistant", "content": f"It is “{i + 1}”.\n"}]}
    for i in range(4)
]
SYSTEM = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Bye"},
        {"role": "assistant", "content": "Bye."},
    ]
}
THINKS = {
    "messages": [
        {"role": "user", "content": "6*7?"},
        {"role": "assistant", "content": "42", "reasoning_content": "six sevens"},
    ]
}
CALLS = {
    "messages": [
        {"role": "user", "content": "2+2?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "4"},
        {"role": "assistant", "content": "It is 4."},
    ],
    "tools": [TOOL],
}
MASKED = {
    "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "What?", "weight": 0},
        {"role": "user", "content": "Hi!"},
        {"role": "assistant", "content": "Hello!", "weight": 1},
    ]
}
UNANSWERED = {"messages": [*SYSTEM["messages"], {"role": "user", "content": "Still there?"}]}
PAIRS: list[dict[str, Any]] = [
    {"prompt": "Hi", "chosen": "Hello!", "rejected": "Go away."},
    {
        "prompt": [*SYSTEM["messages"][:3], {"role": "user", "content": "And now?"}],
        "chosen": [{"role": "assistant", "content": "Now we part."}],
        "rejected": [{"role": "assistant", "content": "Nothing."}],
    },
]
UNPAIRED = {"prompt": "Who?", "completion": "Me.", "label": False}

Export = Callable[..., Result]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(SECTIONS, encoding="utf-8")
    return tmp_path


def approve(rows: Sequence[dict[str, Any]], dataset: str = "sft", status: str = "pass") -> list[Record]:
    """A version of these rows that was prepared and judged."""
    source = Path("data/raw.jsonl")
    source.parent.mkdir(exist_ok=True)
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    report = prepare_file(source, layout.prepared(dataset), PrepareParams())
    assert report.rows_kept == len(rows)
    write_json(layout.result(dataset, "prepare.json"), report)
    version = Version("x5", version_hash({dataset: report.data_hash}), len(rows))
    write_json(layout.VERDICT, replace(written_verdict(status), version=version))
    return list(read_records(source))


def select(dataset: str, numbers: Sequence[int]) -> None:
    """What the stage `select` leaves behind for these rows."""
    lines = layout.prepared(dataset).read_text(encoding="utf-8").splitlines(keepends=True)
    target = layout.selected(dataset)
    target.parent.mkdir(exist_ok=True)
    target.write_text("".join(lines[i] for i in numbers), encoding="utf-8")
    hashes = [json.loads(lines[i])["hash"] for i in numbers]
    pool = json.loads(layout.result(dataset, "prepare.json").read_text())["data_hash"]
    write_json(layout.result(dataset, "selection.json"), selection_report(pool, data_hash(hashes)))


def export(*words: str) -> Result:
    return CliRunner().invoke(app, ["export", *words])


def refuse(*words: str) -> str:
    """The one line of an export that is refused as a mistake, after which nothing is there."""
    result = export(*words)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert not list(Path().glob("data/export/*/*.yaml")) and not list(Path().glob("data/export/*/*.jsonl"))
    return result.stderr


def config(trainer: str, dataset: str = "sft") -> dict[str, Any]:
    # As a reader of YAML 1.1 sees it, which both trainers have.
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    found: dict[str, Any] = yaml.load(Path(f"data/export/{trainer}/{dataset}.yaml").read_text(encoding="utf-8"))
    return found


def read_back(trainer: str, dataset: str = "sft", **columns: str) -> list[Record]:
    path = Path(f"data/export/{trainer}/{dataset}.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        for tool in row.get("tools") or () if trainer == "axolotl" else ():
            # Text for axolotl, so that rows with other tools do not get these parameters.
            tool["function"]["parameters"] = json.loads(tool["function"]["parameters"])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return list(read_records(path, reading=Reading(columns=columns)))


def hashes(records: Sequence[Record]) -> list[str]:
    return [content_hash(record) for record in records]


def test_axolotl_gets_every_row_with_tools_reasoning_and_masks(repository: Path) -> None:
    records = approve([*PLAIN, SYSTEM, THINKS, CALLS, MASKED])
    result = export("axolotl")
    assert result.exit_code == 0, result.output
    assert hashes(read_back("axolotl")) == hashes(records)
    (dataset,) = config("axolotl")["datasets"]
    assert dataset["path"] == "data/export/axolotl/sft.jsonl" and dataset["type"] == "chat_template"
    assert dataset["message_field_training"] == "train"


@pytest.mark.parametrize("trainer", ["axolotl", "llamafactory"])
def test_numbers_of_more_than_64_bits_are_exported(repository: Path, trainer: str) -> None:
    number = str(2**70)
    call = {"type": "function", "function": {"name": "add", "arguments": f'{{"a": {number}}}'}}
    tool = {"type": "function", "function": {"name": "add", "parameters": {"properties": {"a": {"maximum": 2**70}}}}}
    messages = [CALLS["messages"][0], {**CALLS["messages"][1], "tool_calls": [call]}, *CALLS["messages"][2:]]
    approve([*PLAIN, {"messages": messages, "tools": [tool]}])
    assert export(trainer).exit_code == 0
    assert Path(f"data/export/{trainer}/sft.jsonl").read_text().count(number) == 2


def test_without_masks_axolotl_is_told_of_none(repository: Path) -> None:
    approve(PLAIN)
    assert export("axolotl").exit_code == 0
    assert "message_field_training" not in config("axolotl")["datasets"][0]


def test_llamafactory_gets_every_row_that_it_can_hold(repository: Path) -> None:
    records = approve([*PLAIN, SYSTEM, CALLS])
    result = export("llamafactory")
    assert result.exit_code == 0, result.output
    assert hashes(read_back("llamafactory")) == hashes(records)
    info = json.loads(Path("data/export/llamafactory/dataset_info.json").read_text())
    assert info["sft"]["file_name"] == "sft.jsonl" and info["sft"]["formatting"] == "sharegpt"
    assert "ranking" not in info["sft"]
    assert config("llamafactory")["dataset"] == "sft"
    assert config("llamafactory")["dataset_dir"] == "data/export/llamafactory"


def test_what_llamafactory_has_no_place_for_stops_the_export(repository: Path) -> None:
    approve([*PLAIN, MASKED, UNANSWERED])
    message = refuse("llamafactory")
    assert "without the mark that an answer is not to be learned: 1 row (row 5)" in message
    assert "left out, questions and answers that do not come in turn: 1 row (row 6)" in message
    assert "--allow-loss" in message


def test_with_leave_the_rows_are_written_and_the_loss_is_told(repository: Path) -> None:
    records = approve([*PLAIN, MASKED, UNANSWERED, THINKS])
    result = export("llamafactory", "--allow-loss", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (document["rows_read"], document["rows"]) == (7, 6)
    assert len(document["lost"]) == 3 and "between <think> and </think>: 1 row (row 7)" in document["lost"][2]
    found = read_back("llamafactory")
    assert hashes(found)[:4] == hashes(records)[:4]
    assert isinstance(found[4], Conversation) and all(message.trained for message in found[4].messages)
    thought = found[5]
    assert isinstance(thought, Conversation)
    assert thought.messages[-1].content == "<think>\nsix sevens\n</think>\n\n42"


@pytest.mark.parametrize(("trainer", "columns"), [("axolotl", {"prompt": "messages"}), ("llamafactory", {})])
def test_pairs_are_for_dpo(repository: Path, trainer: str, columns: dict[str, str]) -> None:
    use_preferences()
    records = approve(PAIRS, "preferences")
    result = export(trainer)
    assert result.exit_code == 0, result.output
    assert hashes(read_back(trainer, "preferences", **columns)) == hashes(records)
    written = config(trainer, "preferences")
    assert written["rl" if trainer == "axolotl" else "stage"] == "dpo"
    assert written["rl_beta" if trainer == "axolotl" else "pref_beta"] == 0.1
    if trainer == "llamafactory":
        info = json.loads(Path("data/export/llamafactory/dataset_info.json").read_text())["preferences"]
        assert info["ranking"] is True and info["columns"]["rejected"] == "rejected"


@pytest.mark.parametrize("trainer", ["axolotl", "llamafactory"])
def test_rows_with_one_answer_make_it_kto(repository: Path, trainer: str) -> None:
    use_preferences()
    records = approve([UNPAIRED, {**UNPAIRED, "completion": "I.", "label": True}], "preferences")
    assert export(trainer).exit_code == 0
    assert hashes(read_back(trainer, "preferences")) == hashes(records)
    assert config(trainer, "preferences")["rl" if trainer == "axolotl" else "stage"] == "kto"
    message = export(trainer, "--method", "dpo").stderr
    assert "left out, one answer only, and DPO compares two: 2 rows (first: row 1)" in message


@pytest.mark.parametrize("trainer", ["axolotl", "llamafactory"])
def test_for_kto_a_pair_is_two_rows(repository: Path, trainer: str) -> None:
    use_preferences()
    (pair,) = approve(PAIRS[:1], "preferences")
    assert export(trainer, "--method", "kto").exit_code == 0
    assert isinstance(pair, Preference)
    halves = [replace(pair, rejected=()), replace(pair, chosen=())]
    assert hashes(read_back(trainer, "preferences")) == hashes(halves)


def test_axolotls_kto_has_no_form_for_longer_conversations(repository: Path) -> None:
    use_preferences()
    approve(PAIRS, "preferences")
    message = refuse("axolotl", "--method", "kto")
    assert "more than one question and one answer, which axolotl's KTO has no form for: 1 row (row 2)" in message
    assert export("llamafactory", "--method", "kto").exit_code == 0


def use_preferences() -> None:
    texts = render_pipeline({"preferences": "data/pairs.jsonl"}, stages=Stages.all)
    Path("params.yaml").write_text(texts["params.yaml"], encoding="utf-8")


def test_selected_rows_are_taken_before_all_prepared_ones(repository: Path) -> None:
    records = approve(PLAIN)
    select("sft", [3, 1])
    assert export("axolotl").exit_code == 0
    assert hashes(read_back("axolotl")) == hashes([records[3], records[1]])
    # A pipeline that does not select takes no selection of earlier times.
    Path("params.yaml").write_text(MONITOR, encoding="utf-8")
    assert export("axolotl").exit_code == 0
    assert hashes(read_back("axolotl")) == hashes(records)


def test_a_selection_of_other_rows_is_refused(repository: Path) -> None:
    approve(PLAIN)
    select("sft", [0])
    approve([*PLAIN, SYSTEM])
    assert "selected from other rows than those prepared; run `dvc repro select`" in refuse("axolotl")
    approve(PLAIN)
    layout.selected("sft").unlink()
    assert "not here; run `dvc pull data/selected/sft.jsonl`" in refuse("axolotl")


def test_a_row_that_was_edited_after_the_verdict_is_found(repository: Path) -> None:
    approve(PLAIN)
    path = layout.prepared("sft")
    path.write_text(path.read_text(encoding="utf-8").replace("1+1?", "1+2?"), encoding="utf-8")
    assert "holds other rows than the stage prepare wrote" in refuse("axolotl")


@pytest.mark.parametrize(
    ("status", "code", "cause"),
    [("baseline", 0, ""), ("warn", 0, ""), ("risky", 1, "not exported: x5 is risky"), ("not_assessed", 3, "not expo")],
)
def test_only_what_the_gate_lets_through_is_exported(repository: Path, status: str, code: int, cause: str) -> None:
    approve(PLAIN, status=status)
    result = export("axolotl")
    assert result.exit_code == code and cause in result.stderr
    assert Path("data/export").exists() == (code == 0)


def test_a_waived_version_is_exported(repository: Path) -> None:
    approve(PLAIN, status="risky")
    verdict = json.loads(layout.VERDICT.read_text())
    expires = (datetime.date.today() + datetime.timedelta(days=5)).isoformat()
    rules = {rule["id"] for rule in verdict["rules"] if rule["status"] == "risky"}
    waivers = [
        {"rule": rule, "data_hash": verdict["version"]["data_hash"], "reason": "r", "owner": "o", "expires": expires}
        for rule in sorted(rules)
    ]
    layout.WAIVERS.write_text(json.dumps({"waivers": waivers}), encoding="utf-8")
    assert export("axolotl").exit_code == 0


def test_without_a_verdict_or_with_that_of_other_data_nothing_is_approved(repository: Path) -> None:
    approve(PLAIN)
    verdict = layout.VERDICT.read_text()
    approve([*PLAIN, SYSTEM])
    layout.VERDICT.write_text(verdict)
    result = export("axolotl")
    assert result.exit_code == 3 and "is of other data than was prepared" in result.stderr
    layout.VERDICT.unlink()
    assert export("axolotl").exit_code == 3


def test_the_numbers_are_those_of_params_yaml(repository: Path) -> None:
    params = YAML(typ="safe", pure=True).load(SECTIONS)
    params["sft"] |= {"epochs": 3.0, "batch_rows": 64, "micro_batch_rows": 2, "learning_rate": 2e-6, "max_length": 512}
    params["sft"] |= {"tuning": "qlora", "lora_rank": 8, "packing": True, "gradient_checkpointing": True}
    params["base_model"] |= {"pretrained": "org/model", "chat_template": "vicuna"}
    Path("params.yaml").write_text(json.dumps(params), encoding="utf-8")
    approve(PLAIN)
    assert export("axolotl").exit_code == 0 and export("llamafactory").exit_code == 0
    found = config("axolotl")
    assert (found["base_model"], found["num_epochs"], found["learning_rate"]) == ("org/model", 3.0, 2e-6)
    assert (found["micro_batch_size"], found["gradient_accumulation_steps"]) == (2, 32)
    assert (found["sequence_len"], found["sample_packing"], found["warmup_ratio"]) == (512, True, 0.1)
    assert (found["adapter"], found["load_in_4bit"], found["lora_r"]) == ("qlora", True, 8)
    assert found["chat_template"] == "jinja"
    assert "ASSISTANT:" in Path(found["chat_template_jinja"]).read_text(encoding="utf-8")
    found = config("llamafactory")
    assert (found["model_name_or_path"], found["num_train_epochs"], found["learning_rate"]) == ("org/model", 3.0, 2e-6)
    assert (found["per_device_train_batch_size"], found["gradient_accumulation_steps"]) == (2, 32)
    assert (found["cutoff_len"], found["neat_packing"], found["template"]) == (512, True, "vicuna")
    assert (found["finetuning_type"], found["quantization_bit"], found["lora_rank"]) == ("lora", 4, 8)
    assert found["disable_gradient_checkpointing"] is False


@pytest.mark.parametrize(("model", "rate"), [("mistralai/Mistral-7B-v0.1", 4e-6), ("meta-llama/Meta-Llama-3-8B", 1e-5)])
def test_without_a_section_they_are_the_papers(repository: Path, model: str, rate: float) -> None:
    Path("params.yaml").write_text(MONITOR, encoding="utf-8")
    approve(PLAIN)
    result = export("axolotl", "--model", model)
    assert result.exit_code == 0 and "the paper, Appendix B" in result.stdout
    found = config("axolotl")
    # Appendix B: batch 128, four epochs, length 2048, warm-up 0.1, packed.
    assert found["micro_batch_size"] * found["gradient_accumulation_steps"] == 128
    assert (found["num_epochs"], found["sequence_len"], found["warmup_ratio"]) == (4.0, 2048, 0.1)
    assert (found["learning_rate"], found["sample_packing"]) == (rate, True)


@pytest.mark.parametrize("row", [CALLS, {**SYSTEM, "messages": [*SYSTEM["messages"][1:3], *SYSTEM["messages"]]}])
def test_a_shipped_template_that_cannot_write_a_row_is_said_before_axolotl_stops(
    repository: Path, row: dict[str, Any]
) -> None:
    params = YAML(typ="safe", pure=True).load(SECTIONS)
    params["base_model"] |= {"pretrained": "org/model", "chat_template": "vicuna"}
    Path("params.yaml").write_text(json.dumps(params), encoding="utf-8")
    approve([*PLAIN, row])
    assert "left out, a message that the template vicuna has no role for: 1 row (row 5)" in refuse("axolotl")


def test_a_prompt_that_a_shipped_template_cannot_write_is_said_too(repository: Path) -> None:
    use_preferences()
    params = YAML(typ="safe", pure=True).load(Path("params.yaml").read_text(encoding="utf-8"))
    params["base_model"] |= {"pretrained": "org/model", "chat_template": "llama-3"}
    Path("params.yaml").write_text(json.dumps(params), encoding="utf-8")
    asked = [*CALLS["messages"], {"role": "user", "content": "Sure?"}]
    approve([{"prompt": asked, "chosen": "Yes.", "rejected": "No."}], "preferences")
    assert "a message that the template llama-3 has no role for: 1 row (row 1)" in refuse("axolotl")


def test_training_text_stays_out_of_git_and_other_datasets_stay_listed(repository: Path) -> None:
    approve(PLAIN)
    folder = Path("data/export/llamafactory")
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text('{"theirs": {"file_name": "x.json"}}')
    assert export("llamafactory").exit_code == 0
    assert (folder / ".gitignore").read_text() == "/sft.jsonl\n"
    assert set(json.loads((folder / "dataset_info.json").read_text())) == {"theirs", "sft"}


def test_training_text_stays_out_of_git_where_a_gitignore_says_other_things(repository: Path) -> None:
    approve(PLAIN)
    folder = Path("exported")
    folder.mkdir()
    (folder / ".gitignore").write_text("/other.jsonl")
    assert export("axolotl", "--out", "exported").exit_code == 0
    assert (folder / ".gitignore").read_text() == "/other.jsonl\n/sft.jsonl\n"


def test_no_file_is_replaced_that_no_export_wrote(repository: Path) -> None:
    approve(PLAIN)
    # The folder of the prepared rows: both have the dataset's name.
    before = layout.prepared("sft").read_bytes()
    result = export("axolotl", "--out", layout.prepared("sft").parent.as_posix())
    assert result.exit_code == 2 and "name another folder with --out" in result.stderr
    assert layout.prepared("sft").read_bytes() == before and not Path("data/prepared/sft.yaml").exists()
    config = Path("mine/sft.yaml")
    config.parent.mkdir()
    config.write_text("base_model: ours\n")
    assert export("axolotl", "--out", "mine").exit_code == 2
    assert config.read_text() == "base_model: ours\n" and not Path("mine/sft.jsonl").exists()
    # An earlier export is replaced.
    assert export("axolotl").exit_code == 0
    assert export("axolotl").exit_code == 0


def test_rows_of_a_verdict_on_other_data_than_is_here_are_not_exported(repository: Path) -> None:
    approve(PLAIN)
    Path("dvc.yaml").write_text(render_pipeline({"sft": "data/chats.jsonl"})["dvc.yaml"])
    result = export("axolotl")
    assert result.exit_code == 3 and "dvc.lock: no such file" in result.stderr


def test_rows_are_not_exported_where_accepted_versions_are_missing(repository: Path) -> None:
    approve(PLAIN)
    write_json(layout.HISTORY / "x1.json", {"data_hash": "1"})
    for words in (["init", "--quiet"], ["add", "history"], ["commit", "--quiet", "--message", "x1"]):
        subprocess.run(["git", *words], check=True)
    shutil.rmtree(layout.HISTORY)
    result = export("axolotl")
    assert result.exit_code == 3 and "missing here or changed: x1.json" in result.stderr


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["axolotl", "--dataset", "preferences"], "params.yaml has no such dataset; there is sft"),
        (["axolotl", "--method", "kto"], "--method kto: is for preferences"),
    ],
)
def test_an_option_that_does_not_fit_is_one_line(repository: Path, words: list[str], cause: str) -> None:
    approve(PLAIN)
    assert cause in refuse(*words)


def test_several_messages_of_one_row_are_counted_once() -> None:
    losses = Losses()
    for row in (3, 3, 5):
        losses.alter("reasoning", row)
    assert losses.describe() == ["written without reasoning: 2 rows (first: row 3)"]
