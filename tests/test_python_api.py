"""`import entropylaw`: light, typed, and the same figures as the commands."""

from __future__ import annotations

import codecs
import json
import os
import re
import subprocess
import sys
import types
import zlib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

import entropylaw
from corpus.files import write_rows
from corpus.params import read_params
from corpus.prepare import to_row
from corpus.records import canonical_text, data_hash
from entropylaw import api
from entropylaw.cli import app
from entropylaw.own_packages import NAMES
from entropylaw.repository.shipped_files import shipped_text

Rows = list[entropylaw.HashedRecord]

REPOSITORY = Path(__file__).resolve().parent.parent
GUIDE = REPOSITORY / "docs" / "python.md"
SMALL = {
    "base_model": {"vocabulary": 600, "hidden_size": 32, "layers": 1, "heads": 2, "max_length": 96, "steps": 60},
    "probe": {"steps": 16, "max_length": 96, "skipped_steps": 2},
    "calibration": {"seeds": 2, "updates": 2, "update_shares": [0.1, 0.2], "topics": 10, "law_runs": False},
}


def write_data(path: Path, rows: Rows) -> Path:
    write_rows(path, [to_row(record, row_hash) for record, row_hash in rows])
    return path


def garble(row: entropylaw.HashedRecord) -> entropylaw.HashedRecord:
    """Damage that shares no code with the rules: the answers in ROT13."""
    record = row.record
    assert isinstance(record, entropylaw.Conversation)
    messages = tuple(
        entropylaw.Message(item.role, codecs.encode(item.content, "rot13")) if item.role == "assistant" else item
        for item in record.messages
    )
    garbled = entropylaw.Conversation(messages, record.source, record.row)
    return entropylaw.HashedRecord(garbled, entropylaw.content_hash(garbled))


def pair(number: int) -> entropylaw.Preference:
    def say(role: entropylaw.api.Role, text: str) -> tuple[entropylaw.Message, ...]:
        return (entropylaw.Message(role, f"{text} {number}"),)

    return entropylaw.Preference(say("user", "count"), say("assistant", "yes"), say("assistant", "no"), row=number)


def run_python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def small_params(in_tmp_path: Path) -> Path:
    """params.yaml as `entropylaw init` writes it, with sizes for a test."""
    params = YAML().load(shipped_text("params.yaml"))
    for section, values in SMALL.items():
        params[section].update(values)
    path = in_tmp_path / "params.yaml"
    YAML().dump(params, path)
    return path


# --- the names


def test_every_name_is_in_one_list_and_can_be_had() -> None:
    assert entropylaw.__all__ == sorted([*api.__all__, "__version__"])
    assert dir(entropylaw) == entropylaw.__all__
    for name in api.__all__:
        assert getattr(entropylaw, name) is getattr(api, name)


def test_every_public_function_and_class_says_what_it_is() -> None:
    things = {name: getattr(entropylaw, name) for name in api.__all__}
    described = {name: thing.__doc__ or "" for name, thing in things.items() if hasattr(thing, "__module__")}
    # A dataclass without a docstring gets its signature as one.
    silent = {name for name, text in described.items() if not text or text.startswith(f"{name}(")}
    assert silent == set()


def test_every_package_says_that_its_types_can_be_used() -> None:
    """The wheel holds whole packages, and with them this file, without which a type checker takes all for Any."""
    for package in ("entropylaw", *NAMES):
        assert (REPOSITORY / package / "py.typed").is_file()


def test_importing_the_package_loads_nothing_yet() -> None:
    program = "import sys; before = set(sys.modules); import entropylaw; print(*sorted(set(sys.modules) - before))"
    loaded = run_python(program).stdout.split()
    assert [name for name in loaded if name.startswith("entropylaw")] == ["entropylaw", "entropylaw.own_packages"]
    assert not {"numpy", "typer", "importlib.metadata", "corpus"} & set(loaded)


def test_the_api_loads_no_heavy_library_before_it_is_called() -> None:
    heavy = ("torch", "transformers", "pandas", "scipy", "matplotlib", "sklearn", "pyarrow", "typer")
    done = run_python(f"import sys, entropylaw; entropylaw.measure_rows; print(*set(sys.modules) & set({heavy}))")
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'measure_everything'"):
        entropylaw.measure_everything  # type: ignore[attr-defined]  # noqa: B018


def test_another_package_of_our_name_that_was_imported_before_is_named(tmp_path: Path) -> None:
    (tmp_path / "monitor").mkdir()
    (tmp_path / "monitor" / "__init__.py").touch()
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import monitor, entropylaw; entropylaw.read_records"
    done = run_python(program)
    assert done.stderr.splitlines()[-1].startswith("ImportError: entropylaw: another package named 'monitor' (")


# --- settings


def test_the_defaults_are_those_that_init_writes(in_tmp_path: Path) -> None:
    Path("params.yaml").write_text(shipped_text("params.yaml"))
    assert entropylaw.read_settings() == entropylaw.Settings()


def test_settings_that_are_wrong_or_missing_are_named(small_params: Path) -> None:
    sections = read_params(small_params)
    sections["probe"]["stepz"] = 3
    YAML().dump(sections, small_params)
    with pytest.raises(entropylaw.ParamsError, match=r"params\.yaml: probe\.stepz: unknown key"):
        entropylaw.read_settings()
    del sections["probe"]
    YAML().dump(sections, small_params)
    with pytest.raises(entropylaw.ParamsError, match="missing section 'probe'"):
        entropylaw.read_settings()
    with pytest.raises(entropylaw.ParamsError, match="no such file"):
        entropylaw.read_settings("elsewhere.yaml")


# --- measures


def test_r_is_what_zlib_makes_of_the_rows(chats: Rows) -> None:
    text = "".join(canonical_text(record) for record, _ in chats[:200]).encode()
    measured = entropylaw.measure_rows(chats[:200])
    assert measured.r == pytest.approx(len(text) / len(zlib.compress(text, 9)), rel=1e-3)
    assert measured.r == entropylaw.measure_compression(record for record, _ in chats[:200]).r


def test_the_api_measures_what_the_stages_measure(small_params: Path, chats: Rows, base_folder: Path) -> None:
    file = write_data(Path("data.jsonl"), chats[300:500])

    def run(*words: str) -> Any:
        result = CliRunner().invoke(app, [*words, str(file), "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    settings = entropylaw.read_settings()
    rows = entropylaw.prepare_records(entropylaw.read_records(file, settings.prepare), settings.prepare).rows
    base = entropylaw.load_base_model(base_folder)
    steps: list[tuple[int, int | None]] = []
    measured = entropylaw.measure_rows(rows, settings)
    assert measured.l is None
    probed = entropylaw.measure_loss(measured, base, lambda done, total: steps.append((done, total)))
    assert probed.r == pytest.approx(run("compress")["r"], rel=1e-8)
    assert probed.c == pytest.approx(run("consistency")["agreement"], rel=1e-8)
    assert probed.l == pytest.approx(run("probe", "--base", str(base_folder))["l"], rel=1e-6)
    done, totals = zip(*steps, strict=True)
    assert len(steps) > 8 and list(done) == sorted(done) and set(totals) == {done[-1]}
    assert repr(probed) == (
        f"MeasuredDataset(sft: 200 rows, R {probed.r:.3f}, long R {probed.r_long:.3f}, L {probed.l:.3f}, "
        f"C {probed.c:.3f})"
    )


def test_rows_that_make_no_dataset_are_refused(chats: Rows) -> None:
    pairs = entropylaw.prepare_records([pair(1)]).rows
    assert entropylaw.measure_rows(pairs).evidence.dataset == "preferences"
    with pytest.raises(entropylaw.EntropylawError, match="two datasets"):
        entropylaw.measure_rows([*chats[:2], *pairs])
    with pytest.raises(entropylaw.EntropylawError, match="there are no rows"):
        entropylaw.measure_rows([])


def test_too_many_unusable_records_are_an_error_and_held_out_ones_are_not(chats: Rows) -> None:
    records = [record for record, _ in chats[:10]]
    prepared = entropylaw.prepare_records(records, held_out=records[:6])
    assert [record for record, _ in prepared.rows] == records[6:]
    assert {(row.row, row.reason) for row in prepared.dropped} == {(record.row, "held out") for record in records[:6]}
    tight = entropylaw.PrepareParams(max_characters=1)
    with pytest.raises(entropylaw.DataError, match=r"records: 10 of 10 rows are unusable, .*: 10 too long \("):
        entropylaw.prepare_records(records, tight)
    with pytest.raises(entropylaw.DataError, match="records: no row is left of 10"):
        entropylaw.prepare_records(records, held_out=records)


# --- comparison, verdict, history


def test_versions_that_cannot_be_compared_are_refused(chats: Rows) -> None:
    measured = entropylaw.measure_rows(chats[:20])
    pairs = entropylaw.measure_rows(entropylaw.prepare_records(map(pair, range(3))).rows)
    with pytest.raises(entropylaw.EntropylawError, match="conversations and the other preferences"):
        entropylaw.compare_versions(measured, pairs)
    settings = entropylaw.Settings(compression=entropylaw.CompressionParams(level=3))
    with pytest.raises(entropylaw.EntropylawError, match="different settings"):
        entropylaw.compare_versions(measured, entropylaw.measure_rows(chats[:20], settings))


def calibration(base_identity: str) -> entropylaw.Calibration:
    return entropylaw.Calibration(300, (3.0, 3.1), (), (), base_identity, entropylaw.CalibrationParams())


def test_a_version_without_l_of_the_calibrations_base_model_is_not_assessed(chats: Rows) -> None:
    from dataclasses import replace

    measured = entropylaw.measure_rows(chats[:20])
    with pytest.raises(entropylaw.NotAssessedError, match="sft has no L; call measure_loss first"):
        entropylaw.assess_version([measured], calibration("ours"))
    with pytest.raises(entropylaw.NotAssessedError, match="another base model than the calibration"):
        entropylaw.assess_version([replace(measured, base_identity="another")], calibration("ours"))
    with pytest.raises(entropylaw.EntropylawError, match="one dataset of each kind"):
        entropylaw.assess_version([measured, measured], calibration("ours"))


# --- selection


@pytest.mark.parametrize("method", ["zip", "random", "cluster"])
def test_the_api_selects_what_the_command_selects(method: str, in_tmp_path: Path, chats: Rows) -> None:
    file = write_data(Path("pool.jsonl"), chats[:60])
    result = CliRunner().invoke(app, ["select", method, str(file), "--out", "chosen.jsonl", "--rows", "12"])
    assert result.exit_code == 0, result.output
    params = entropylaw.SelectionParams(method=method, rows=12)  # type: ignore[arg-type]
    chosen = [json.loads(line)["hash"] for line in Path("chosen.jsonl").read_text().splitlines()]
    assert [row.hash for row in entropylaw.select_rows(chats[:60], params)] == chosen


def test_a_selection_that_lacks_what_it_ranks_by_is_refused(chats: Rows) -> None:
    for params, said in (
        (entropylaw.SelectionParams(method="perplexity"), "perplexity needs scores"),
        (entropylaw.SelectionParams(tokens=100), "needs token_counts, one for each row"),
        (entropylaw.SelectionParams(window="codec", compat="reference"), "use the command"),
    ):
        with pytest.raises(entropylaw.EntropylawError, match=said):
            entropylaw.select_rows(chats[:10], params)
    by_loss = entropylaw.select_rows(
        chats[:10], entropylaw.SelectionParams(method="perplexity", rows=2), scores=range(10)
    )
    assert [row.hash for row in by_loss] == [chats[9].hash, chats[8].hash]


# --- the guide


def read_examples() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_guide_runs_as_it_is_written(
    small_params: Path, chats: Rows, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Benign updates pass, and the task stops a file whose new answers are garbled."""
    write_data(Path("data/january.jsonl"), chats[:240])
    write_data(Path("data/february.jsonl"), chats[20:260])
    write_data(Path("data/march.jsonl"), [*chats[20:200], *map(garble, chats[340:400])])
    *examples, prefect = read_examples()
    names: dict[str, Any] = {}
    for example in examples:
        exec(compile(example, str(GUIDE), "exec"), names)
    assert "20 rows added, 20 removed, 220 kept" in capsys.readouterr().out
    verdict = names["verdict"]
    assert verdict.status == "pass" and verdict.parent.name == "january"
    assert len(names["numbers"]) == 120 and set(names["numbers"]) <= {record.row for record, _ in chats[20:260]}
    assert_the_task_stops_bad_data(prefect, names, monkeypatch)
    assert_only_good_versions_enter_the_history(
        names, entropylaw.measure_rows(names["prepare"]("data/march.jsonl"), names["settings"])
    )


def assert_the_task_stops_bad_data(example: str, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's decorators return functions that call what they decorate; more of it the example does not use."""
    stand_in = types.ModuleType("prefect")
    stand_in.__dict__.update(flow=lambda function: function, task=lambda function: function)
    monkeypatch.setitem(sys.modules, "prefect", stand_in)
    exec(compile(example, str(GUIDE), "exec"), names)
    trained: list[str] = []
    names["train_model"] = trained.append
    names["retrain"]("data/february.jsonl")
    assert CliRunner().invoke(app, ["check"]).exit_code == 0
    with pytest.raises(RuntimeError, match=r"data/march\.jsonl: risky"):
        names["retrain"]("data/march.jsonl")
    assert CliRunner().invoke(app, ["check"]).exit_code == 1
    assert trained == ["data/february.jsonl"]


def assert_only_good_versions_enter_the_history(names: dict[str, Any], risky: entropylaw.MeasuredDataset) -> None:
    measured = entropylaw.measure_loss(risky, names["base"])
    verdict = entropylaw.assess_version([measured], names["calibration"], entropylaw.read_history())
    with pytest.raises(entropylaw.EntropylawError, match="march is risky") as caught:
        entropylaw.accept_version(verdict, [measured], "march")
    assert caught.value.exit_code == 1
    with pytest.raises(entropylaw.EntropylawError, match="of other data"):
        entropylaw.accept_version(names["verdict"], [measured], "march")
    entropylaw.accept_version(names["verdict"], [names["after"]], "february", scores={"heldout": -3.0})
    assert [(entry.name, entry.scores) for entry in entropylaw.read_history()] == [
        ("january", {}),
        ("february", {"heldout": -3.0}),
    ]
    rules = entropylaw.compare_versions(names["before"], measured, names["calibration"]).rules
    assert rules is not None and any(rule.status == "risky" for rule in rules)
    assert verdict.version.data_hash == data_hash(row.hash for row in measured.evidence.records)


def test_rows_that_are_no_records_are_left_out_and_told(tmp_path: Path) -> None:
    good, bad = {"frage": "Hi", "antwort": "Hello", "hint": "x"}, {"frage": "Hi", "antwort": None}
    write_rows(tmp_path / "qa.jsonl", [good] * 30 + [bad])
    columns = {"prompt": "frage", "completion": "antwort"}
    with pytest.warns(UserWarning) as told:
        records = list(entropylaw.read_records(tmp_path / "qa.jsonl", columns=columns))
    assert [record.row for record in records] == list(range(1, 31))
    assert [str(warning.message).partition(": ")[2] for warning in told] == [
        "rows left out: 1 empty answer",
        "keys that are not read: hint (30 rows)",
    ]
    tight = entropylaw.PrepareParams(max_dropped_share=0.01)
    with pytest.raises(entropylaw.DataError, match=r"1 of 31 rows are unusable.*: 1 empty answer \(row 31; 'antwort'"):
        list(entropylaw.read_records(tmp_path / "qa.jsonl", tight, columns))
    with pytest.raises(entropylaw.EntropylawError, match="columns: unknown name 'frage'"):
        entropylaw.read_records(tmp_path / "qa.jsonl", columns={"frage": "prompt"})
