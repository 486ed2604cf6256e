"""The model card: what it says, what it leaves out, and what it never claims."""

import datetime
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from sample_results import prepare_report, selection_report
from sample_verdicts import of_conversations, sample_verdict
from typer.testing import CliRunner

from corpus.artifacts import hash_folder, write_json
from corpus.errors import NotAssessedError
from corpus.files import write_rows
from corpus.formats import read_records
from corpus.prepare import to_row
from corpus.records import HashedRecord, content_hash, data_hash
from entropylaw.cli import app
from entropylaw.repository.provenance import trace_rows
from monitor.gate import decide_gate
from monitor.measures.evidence import version_hash
from training.fine_tuning import TrainingReport
from training.kto import KtoParams, KtoReport
from training.model_card import Provenance, TrainedOn, read_hub_base, render_model_card, write_model_card
from training.sft import SftParams, train_sft

Rows = list[HashedRecord]

REPORT = TrainingReport(
    method="sft", rows=90, rows_dropped=10, tokens=5000, epochs=2.0, steps=24, first_loss=4.5, last_loss=4.0,
    heldout_loss=4.25, seconds=12.5, tokens_per_second=800.0, curve=((1, 4.5), (24, 4.0)),
)  # fmt: skip
KTO_REPORT = KtoReport(
    **{**REPORT.__dict__, "method": "kto", "heldout_loss": None},
    desirable_share=0.25, micro_batches=12, one_label_batches=3, desirable_weight=3.0, undesirable_weight=1.0,
)  # fmt: skip
TRAINED_ON = TrainedOn("ab" * 16, 100, "/home/someone/models/base", "cd" * 8)
APPROVED = Provenance("zip", 200, "ef" * 16, "warn", ("redundancy",))


def metadata(card: str) -> dict[str, object]:
    return dict(YAML(typ="safe").load(card.split("---\n")[1]))


def test_the_card_says_what_the_model_was_made_of() -> None:
    card = render_model_card(REPORT, SftParams(), TRAINED_ON, APPROVED)
    assert metadata(card) == {
        "library_name": "transformers", "pipeline_tag": "text-generation", "tags": ["entropylaw", "trl", "sft"],
    }  # fmt: skip
    for part in (
        "| Rows | 100 (hash `abababababababababababababababab`) |",
        "| Trained on | 90 conversations; 10 left out |",
        "| Selection | zip: 100 of 200 rows |",
        f"| Verdict on the data version | warn, approved under a waiver of redundancy (version `{'ef' * 16}`) |",
        "| Held-out rows, nats per response token | 4.25 |",
        "learning_rate: 0.0005\n",
        "evaluate_every_steps: null\n",
        "| torch | 2.",
    ):
        assert part in card, part


def test_the_card_leaves_out_what_differs_between_machines_and_runs() -> None:
    card = render_model_card(REPORT, SftParams(), TRAINED_ON, APPROVED)
    again = replace(REPORT, seconds=99.0, tokens_per_second=1.0)
    elsewhere = replace(TRAINED_ON, started_from="/tmp/base")
    assert render_model_card(again, SftParams(), elsewhere, APPROVED) == card
    assert "/home" not in card and "`base`" in card


def test_the_card_of_kto_says_how_the_labels_were_mixed() -> None:
    card = render_model_card(KTO_REPORT, KtoParams(), TRAINED_ON, Provenance())
    for part in ("| Desirable share | 0.25 |", "| One label batches | 3 |", "| Desirable weight | 3 |", "90 answers"):
        assert part in card, part
    assert "Held-out" not in card
    assert card.count("not checked") == 2


def test_a_hub_model_is_named_as_base_through_sft_and_kto(tmp_path: Path) -> None:
    write_model_card(tmp_path, REPORT, SftParams(), replace(TRAINED_ON, started_from="Qwen/Qwen2.5-0.5B"))
    assert read_hub_base(tmp_path) == "Qwen/Qwen2.5-0.5B"
    aligned = render_model_card(KTO_REPORT, KtoParams(), replace(TRAINED_ON, started_from=str(tmp_path)), Provenance())
    assert metadata(aligned)["base_model"] == "Qwen/Qwen2.5-0.5B"


@pytest.mark.parametrize("text", [None, "", "# A model\n", "---\nbase_model: [\n---\n", "---\ntags: []\n---\n", "\xff"])
def test_a_folder_without_our_card_has_no_known_base(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "README.md").write_bytes(text.encode("latin-1"))
    assert read_hub_base(tmp_path) is None


PARAMS = SftParams(epochs=1.0, learning_rate=5e-3, max_length=64)


def test_a_model_folder_names_no_place_on_this_machine_and_is_the_same_wherever_it_is_made(
    chats: Rows, base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [record for record, _ in chats[300:316]]
    hashes = set()
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        shutil.copytree(base_folder, tmp_path / name / "base")
        train_sft(records, tmp_path / name / "base", PARAMS, tmp_path / name / "model")
        hashes.add(hash_folder("model"))
        for path in Path("model").iterdir():
            assert str(tmp_path).encode() not in path.read_bytes(), path
        names = {path.name for path in Path("model").iterdir()}
        assert "README.md" in names and "training_args.bin" not in names
    assert len(hashes) == 1


@pytest.fixture
def pipeline(chats: Rows, in_tmp_path: Path) -> tuple[list[HashedRecord], str]:
    """The results of a pipeline over 40 rows of which 16 were selected and approved; the hash of those 16."""
    pool, chosen = chats[300:340], chats[304:320]
    Path("params.yaml").write_text("datasets: {sft: data/sft.jsonl}\n")
    pool_hash, rows_hash = (data_hash(row_hash for _, row_hash in rows) for rows in (pool, chosen))
    write_json("results/sft/selection.json", selection_report(pool_hash, rows_hash, pool_rows=40))
    write_json("results/sft/prepare.json", prepare_report(pool_hash))
    verdict = of_conversations(sample_verdict("pass"))
    verdict = replace(verdict, version=replace(verdict.version, data_hash=version_hash({"sft": pool_hash})))
    write_json("results/verdict.json", verdict)
    write_json("results/approval.json", decide_gate(verdict, (), datetime.date.min))
    return chosen, rows_hash


def test_rows_are_traced_to_their_selection_and_verdict(pipeline: tuple[Rows, str]) -> None:
    pool_hash = json.loads(Path("results/sft/prepare.json").read_text())["data_hash"]
    assert trace_rows("sft", pipeline[1]) == Provenance("zip", 40, pool_hash, "pass", ())


@pytest.mark.parametrize(
    ("file", "key", "value", "selection_holds"),
    [
        ("sft/selection.json", "selected_hash", "00" * 16, False),
        ("sft/selection.json", "selected_hash", None, False),
        ("sft/selection.json", "pool_hash", "00" * 16, True),
        ("sft/prepare.json", "data_hash", "00" * 16, True),
        ("approval.json", "data_hash", "00" * 16, True),
        ("approval.json", "approved", False, True),
        ("approval.json", "waivers", None, True),
    ],
)
def test_no_verdict_is_claimed_beyond_a_broken_link(
    pipeline: tuple[Rows, str], file: str, key: str, value: object, selection_holds: bool
) -> None:
    path = Path("results") / file
    write_json(path, {**json.loads(path.read_text()), key: value})
    origin = trace_rows("sft", pipeline[1])
    assert origin == (Provenance("zip", 40) if selection_holds else Provenance())


def test_nobody_trains_on_an_approval_that_the_gate_never_gave(pipeline: tuple[Rows, str]) -> None:
    pool_hash = json.loads(Path("results/sft/prepare.json").read_text())["data_hash"]
    risky = of_conversations(sample_verdict("risky"))
    write_json("results/verdict.json", replace(risky, version=replace(risky.version, data_hash=pool_hash)))
    with pytest.raises(NotAssessedError, match=r"results/approval\.json: approves what the gate stops: .* is risky"):
        trace_rows("sft", pipeline[1])
    write_json("results/verdict.json", of_conversations(sample_verdict("pass")))  # of other data
    with pytest.raises(NotAssessedError, match=r"results/approval\.json: does not approve the verdict"):
        trace_rows("sft", pipeline[1])


@pytest.mark.parametrize("file", ["sft/selection.json", "sft/prepare.json", "approval.json"])
def test_a_missing_or_damaged_result_is_a_broken_link(pipeline: tuple[Rows, str], file: str) -> None:
    for damage in ("[]", "{", None):
        path = Path("results") / file
        path.unlink() if damage is None else path.write_text(damage)
        assert trace_rows("sft", pipeline[1]).verdict is None


def test_the_stages_leave_the_hashes_that_rows_are_traced_by(pipeline: tuple[Rows, str], chats: Rows) -> None:
    write_rows("data/sft.jsonl", [to_row(record, row_hash) for record, row_hash in chats[300:340]])

    def run(*words: str) -> None:
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == 0, done.output

    Path("params.yaml").unlink()
    run("prepare", "data/sft.jsonl", "--out", "prepared.jsonl", "--report", "results/sft/prepare.json")
    selection = ("--rows", "10", "--seed", "3", "--report", "results/sft/selection.json")
    run("select", "random", "prepared.jsonl", "--out", "selected.jsonl", *selection)
    Path("params.yaml").write_text("datasets: {sft: data/sft.jsonl}\n")
    rows = data_hash(content_hash(record) for record in read_records("selected.jsonl"))
    origin = trace_rows("sft", rows)
    assert (origin.method, origin.pool_rows, origin.verdict) == ("random", 40, "pass")
    shuffled = data_hash(sorted(content_hash(record) for record in read_records("selected.jsonl")))
    assert trace_rows("sft", shuffled) == Provenance()


def test_the_command_writes_card_curves_and_report(pipeline: tuple[Rows, str], base_folder: Path) -> None:
    Path("params.yaml").unlink()  # the defaults, and no pipeline to name the datasets of
    write_rows("rows.jsonl", [to_row(record, row_hash) for record, row_hash in pipeline[0]])
    write_rows("heldout.jsonl", [to_row(record, row_hash) for record, row_hash in pipeline[0][:2]])
    words = ["train", "sft", "rows.jsonl", "--from", str(base_folder), "--out", "model", "--held-out", "heldout.jsonl"]
    done = CliRunner().invoke(app, [*words, "--report", "report.json", "--live", "live"])
    assert done.exit_code == 0, done.output
    report = json.loads(Path("report.json").read_text())
    # What is held out is not trained on, so these are not the rows that were selected.
    assert report["rows"] == 14 and "curve" not in report
    assert f"held out {report['heldout_loss']:.4f}; " in done.stdout and "tokens/s" in done.stdout
    assert Path("live/plots/metrics/eval/loss.tsv").exists()
    assert Path("model/README.md").read_text().count("not checked") == 2
