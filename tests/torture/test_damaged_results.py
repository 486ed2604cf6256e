"""Every file that Entropylaw writes and reads back, or that a person writes, with one part of it damaged.

A small repository is measured and judged once: its second version repeats a quarter of the first, so it is risky. Each
trial damages one place in one file and runs the command that reads it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from damage import damaged_bytes, damaged_json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from sample_results import evaluation, selection_report
from test_assess import make_rows, renumber
from test_compare import made_up_calibration
from typer.testing import CliRunner

from corpus.artifacts import read_json, to_json, write_json, write_text
from corpus.prepare import PrepareParams, prepare_file
from corpus.records import HashedRecord
from entropylaw.cli import app
from entropylaw.repository import layout
from entropylaw.repository.shipped_files import shipped_text
from monitor.measures.compression import CompressionParams, profile_compression
from monitor.measures.consistency import ConsistencyParams, profile_consistency
from monitor.measures.probe_files import ProbeSummary, write_probe_rows
from training.probe_run import ProbedRow
from training.unread_rows import UnreadRows

TRIALS = [2, pytest.param(100, marks=pytest.mark.torture)]
Rows = list[HashedRecord]
# From best to worst. What a verdict rests on was damaged: it may only get worse.
RISKY, NOT_ASSESSED = "risky", "not_assessed"


def invoke(*words: str) -> Result:
    """Run a command. It ends by an exit code of the contract, and never by an exception of ours or of a library."""
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 1, 2, 3)
    if result.exit_code in (2, 3) and result.stderr:
        assert result.stderr.count("\n") == 1 and len(result.stderr) < 1500, result.stderr
    return result


def measure(rows: Rows) -> None:
    """What the stages from `prepare` to `probe` write of a version; no model is needed for a loss of each row."""
    lines = [{"messages": [vars_of(message) for message in record.messages]} for record, _ in rows]  # type: ignore[union-attr]
    write_text("data/sft.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    write_json(
        layout.result("sft", "prepare.json"), prepare_file("data/sft.jsonl", layout.prepared("sft"), PrepareParams())
    )
    records = [record for record, _ in rows]
    write_json(layout.result("sft", "compression.json"), profile_compression(records, CompressionParams()))
    profile, agreement = profile_consistency(rows, ConsistencyParams())
    write_json(layout.result("sft", "consistency.json"), profile)
    np.save(layout.result("sft", "agreement.npy"), agreement.astype(np.float32))
    noise = np.random.default_rng(len(rows))
    probed = [
        ProbedRow(
            record.row,
            row_hash,
            "",
            i if i < 100 else None,
            20,
            20,
            float(5 + 3 * (record.row > 160) + noise.normal(0, 0.5)),
        )
        for i, (record, row_hash) in enumerate(rows[::2])
    ]
    write_probe_rows(layout.result("sft", "probe_rows.csv"), probed)
    mean = float(np.mean([row.loss_nats for row in probed]))
    summary = ProbeSummary(mean, len(probed), 48, 2000, 1.0, "base", unread=UnreadRows(len(probed)))
    write_json(layout.result("sft", "probe.json"), summary)


def vars_of(message: Any) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose second version is risky, and whose first one was accepted."""
    folder = tmp_path_factory.mktemp("judged") / "repository"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        params = YAML().load(shipped_text("params.yaml"))
        del params["datasets"]["preferences"]
        # Half as many honest batches as usual, which take most of the time of a verdict on so few rows.
        params["calibration"]["updates"] = 2
        with open("params.yaml", "w", encoding="utf-8") as handle:
            YAML().dump(params, handle)
        calibration = made_up_calibration("base")
        write_json(layout.CALIBRATION, calibration)
        first = make_rows(0, 160)
        measure(first)
        assert invoke("assess").exit_code == 0
        accepted = invoke("accept")
        assert accepted.exit_code == 0, accepted.output
        measure(renumber([*first, *make_rows(160, 190), *first[:30]]))
        assert invoke("assess").exit_code == 0
        assert read_json(layout.VERDICT)["status"] == RISKY
        write_text("waivers.yaml", "waivers: []\n")
        assert invoke("check").exit_code == 1
        for rule in read_json(layout.VERDICT)["rules"]:
            if rule["status"] == RISKY:
                words = ("--reason", "wanted", "--owner", "ana", "--expires", "2999-01-31")
                assert invoke("waive", rule["id"], *words).exit_code == 0
        assert invoke("check").exit_code == 0 and invoke("gate").exit_code == 0
        prepared, selected = read_json(layout.result("sft", "prepare.json"))["data_hash"], "c" * 32
        write_json(
            layout.result("sft", "selection.json"), selection_report(prepared, selected, pool_rows=len(first) + 60)
        )
        write_json(layout.EVALUATION, evaluation(read_json(layout.VERDICT)["version"]["data_hash"], heldout=-4.9))
        write_text(layout.MODELS / "sft" / "model.safetensors", "weights")
        assert invoke("release").exit_code == 0
        assert invoke("score", "--benchmark", "ours", "--value", "0.5").exit_code == 0
    return folder


@pytest.fixture
def repository(judged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(shutil.copytree(judged, tmp_path / "repository"))
    return Path()


def try_out(trials: int, trial: Callable[[st.DataObject], None], tally: Callable[..., None], what: str) -> None:
    """Run a trial so often, with other damage each time: the same in each run of a few, new ones in a long run."""
    run = settings(
        max_examples=trials, derandomize=trials < 100, database=None, suppress_health_check=list(HealthCheck)
    )(given(st.data())(trial))
    run()
    tally(what, trials)


def damage(data: st.DataObject, file: Path, content: bytes) -> bool:
    """Put a damaged file in the place of this one. Says whether it still holds values of the right types."""
    if file.suffix == ".json" and data.draw(st.integers(0, 3)):
        text, same_types = data.draw(damaged_json(json.loads(content)))
        file.write_text(text, encoding="utf-8", errors="surrogatepass")
        return same_types
    file.write_bytes(data.draw(damaged_bytes(content)))
    return file.suffix != ".json" or is_same(content, file.read_bytes())


def is_same(content: bytes, other: bytes) -> bool:
    """Whether two files hold the same JSON values, or values of the same types in the same places."""

    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shape(item) for key, item in value.items()}
        return [shape(item) for item in value] if isinstance(value, list) else type(value)

    try:
        return bool(shape(json.loads(content)) == shape(json.loads(other)))
    except (ValueError, RecursionError):
        return False


@pytest.mark.parametrize("trials", TRIALS)
@pytest.mark.parametrize(
    "name",
    [
        "results/calibration.json",
        "results/sft/compression.json",
        "results/sft/consistency.json",
        "results/sft/prepare.json",
        "results/sft/probe.json",
        "results/sft/probe_rows.csv",
        "results/sft/agreement.npy",
        "data/prepared/sft.jsonl",
        "history",
    ],
)
def test_a_damaged_measurement_never_betters_the_verdict(
    repository: Path, name: str, trials: int, tally: Callable[..., None]
) -> None:
    file = next(iter(layout.HISTORY.glob("*.json"))) if name == "history" else Path(name)
    content = file.read_bytes()

    def trial(data: st.DataObject) -> None:
        layout.VERDICT.unlink(missing_ok=True)
        same_types = damage(data, file, content)
        code = invoke("assess").exit_code
        assert code in (0, 2, 3) and layout.VERDICT.exists() == (code == 0)
        if code == 0 and not same_types:
            assert read_json(layout.VERDICT)["status"] in (RISKY, NOT_ASSESSED)

    try_out(trials, trial, tally, "damaged measurements")


@pytest.mark.parametrize("trials", TRIALS)
def test_a_damaged_verdict_opens_nothing(repository: Path, trials: int, tally: Callable[..., None]) -> None:
    layout.WAIVERS.unlink()
    content = layout.VERDICT.read_bytes()

    def trial(data: st.DataObject) -> None:
        damage(data, layout.VERDICT, content)
        assert invoke("check").exit_code in (1, 3)
        assert invoke("gate").exit_code in (1, 3)
        assert not layout.APPROVAL.exists()

    try_out(trials, trial, tally, "damaged verdicts")


@pytest.mark.parametrize("trials", TRIALS)
@pytest.mark.parametrize("command", ["check", "history", "waive", "score"])
def test_a_damaged_history_stops_whoever_reads_it(
    repository: Path, command: str, trials: int, tally: Callable[..., None]
) -> None:
    (file,) = layout.HISTORY.glob("*.json")
    content = file.read_bytes()
    words = {
        "score": ("x1", "--benchmark", "ours", "--value", "1"),
        "waive": ("all", "--reason", "wanted", "--owner", "ana", "--expires", "2999-01-31"),
    }.get(command, ())

    def trial(data: st.DataObject) -> None:
        same_types = damage(data, file, content)
        result = invoke(command, *words)
        assert result.exit_code in (0, 2, 3)
        if command == "history" and not same_types and not is_same(content, file.read_bytes()):
            assert result.exit_code == 3 or "x1" in result.stdout

    try_out(trials, trial, tally, "damaged histories")


@pytest.mark.parametrize("trials", TRIALS)
@pytest.mark.parametrize("name", ["waivers.yaml", "params.yaml"])
def test_a_damaged_file_that_a_person_wrote_is_one_line(
    repository: Path, name: str, trials: int, tally: Callable[..., None]
) -> None:
    content = Path(name).read_bytes()
    # Every value as text or number: JSON has no days.
    document = json.loads(to_json(YAML(typ="safe").load(content.replace(b"2999-01-31", b"'2999-01-31'"))))

    def trial(data: st.DataObject) -> None:
        if data.draw(st.booleans()):
            text, _ = data.draw(damaged_json(document))
            Path(name).write_text(text, encoding="utf-8", errors="surrogatepass")
        else:
            Path(name).write_bytes(data.draw(damaged_bytes(content)))
        command = data.draw(st.sampled_from(["check --format gitlab", "gate", "assess", "doctor", "waive all"]))
        words = ("--reason", "wanted", "--owner", "ana", "--expires", "2999-01-31") if "waive" in command else ()
        invoke(*command.split(), *words)

    try_out(trials, trial, tally, "damaged parameters and waivers")


@pytest.mark.parametrize("trials", TRIALS)
@pytest.mark.parametrize(
    "name",
    [
        "results/approval.json",
        "results/evaluation.json",
        "results/sft/selection.json",
        "results/release.json",
        "results/scores.json",
    ],
)
def test_what_binds_a_release_is_whole_or_refused(
    repository: Path, name: str, trials: int, tally: Callable[..., None]
) -> None:
    file = Path(name)
    content = file.read_bytes()
    released = layout.RELEASE_JSON.read_bytes()

    def trial(data: st.DataObject) -> None:
        same_types = damage(data, file, content)
        if name.endswith("release.json"):
            assert invoke("release", "check").exit_code in (1, 3)
        elif name.endswith("scores.json"):
            code = invoke("score", "--benchmark", "ours", "--value", "1").exit_code
            assert code == 0 if same_types else code in (0, 3)
        else:
            code = invoke("release").exit_code
            assert code in (0, 2, 3)
            if code == 0 and not same_types:
                # What was damaged is not what a release says.
                assert read_json(layout.RELEASE_JSON).keys() == json.loads(released).keys()

    try_out(trials, trial, tally, "damaged approvals, selections, scores and releases")
