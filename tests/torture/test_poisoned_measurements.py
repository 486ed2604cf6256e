"""Whatever a rule rests on: taken away, of another version, not a number or infinite, it ends in `not_assessed`.

What is poisoned is found by going through the files and the dataclasses. So a new result, a new field and a new rule
are covered without a new test.
"""

import dataclasses
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tampering import build_once, find_entry, run

from corpus.artifacts import read_json
from monitor.measures.compression import CompressionProfile
from monitor.measures.consistency import ConsistencyProfile
from monitor.rules.drafts import Draft
from monitor.rules.registry import list_rules
from monitor.verdict import RuleResult

# Files that `assess` reads of a dataset; dvc.yaml lists them.
SHAPES = {"compression.json": CompressionProfile, "consistency.json": ConsistencyProfile}
# Numbers that no rule rests on: they are shown, or stand in for nothing.
SHOWN_ONLY = {
    ("consistency.json", "exact_duplicates"), ("consistency.json", "near_duplicates"),
    ("consistency.json", "contradictions"), ("consistency.json", "chosen_margin"),
    ("consistency.json", "flipped_pairs"), ("consistency.json", "equal_pairs"),
    ("compression.json", "raw_bytes"),
}  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_once(tmp_path_factory)


@pytest.fixture
def work(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(built, tmp_path / "work", symlinks=True)
    monkeypatch.chdir(tmp_path / "work")
    return Path.cwd()


def is_refused(name: str) -> None:
    code, said = run("assess", code=None)
    assert code == 3 or (code == 2 and "no such file" in said) or (code == 2 and "not here" in said), (
        f"{name}: {code} {said}"
    )


def list_inputs() -> list[str]:
    """Everything that the stage `assess` reads of a dataset."""
    from ruamel.yaml import YAML

    deps = YAML(typ="safe").load(Path("dvc.yaml"))["stages"]["assess"]["deps"]
    return [dep for dep in deps if "/sft" in dep or dep.endswith("calibration.json")]


def test_every_file_that_assess_reads_is_missed(work: Path, tally: Callable[..., None]) -> None:
    files = list_inputs()
    assert len(files) >= 8
    for file in files:
        kept = Path(file).read_bytes()
        Path(file).unlink()
        is_refused(f"{file} is gone")
        for damage in (b"[]", kept[: len(kept) // 2]):
            Path(file).write_bytes(damage)
            code, said = run("assess", code=None)
            assert code in (2, 3), f"{file} as {damage[:9]!r}: {code} {said}"
        Path(file).write_bytes(kept)
        tally("damaged or missing results", 3)
    run("assess")


@pytest.mark.torture
def test_every_file_of_another_version_is_seen(built: Path, work: Path, tally: Callable[..., None]) -> None:
    """Each result in turn is that of another version, x1, beside the others of this one."""
    from tampering import measure, write_rows  # the same code that made this version

    from corpus.prepare import read_prepared, to_row

    files = [file for file in list_inputs() if not file.endswith("calibration.json")]
    now = {file: Path(file).read_bytes() for file in files}
    rows = [to_row(record, row_hash) for record, row_hash in list(read_prepared("data/prepared/sft.jsonl"))[:200]]
    write_rows("data/sft.jsonl", rows)
    measure()
    then = {file: Path(file).read_bytes() for file in files}
    for file in files:
        for other in files:
            Path(other).write_bytes(then[file] if other == file else now[other])
        assert now[file] != then[file]
        is_refused(f"{file} is of x1")
        tally("results of another version")


def list_numbers(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all numbers of a JSON document; of a list the first and the last."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from list_numbers(value, (*path, key))
    elif isinstance(document, list):
        for i in sorted({0, len(document) - 1} if document else ()):
            yield from list_numbers(document[i], (*path, i))
    elif isinstance(document, (int, float)) and not isinstance(document, bool):
        yield path


def poison(file: Path, path: tuple[Any, ...], value: float | None) -> None:
    import json

    document = read_json(file)
    part = document
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    file.write_text(json.dumps(document))


@pytest.mark.torture
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_every_number_of_every_result_is_missed_where_it_is_none(
    work: Path, value: float, tally: Callable[..., None]
) -> None:
    files = [Path(file) for file in list_inputs() if file.endswith(".json")] + [find_entry()]
    count = 0
    for file in files:
        kept = file.read_bytes()
        for path in list_numbers(read_json(file)):
            file.write_bytes(kept)
            poison(file, path, value)
            is_refused(f"{file}: {path}")
            count += 1
        file.write_bytes(kept)
    assert count >= 60
    tally("numbers that are none", count)


@pytest.mark.parametrize("name", SHAPES)
def test_a_number_that_is_null_is_missed(work: Path, name: str, tally: Callable[..., None]) -> None:
    file = Path("results/sft") / name
    kept = file.read_bytes()
    for field in dataclasses.fields(SHAPES[name]):
        if (name, field.name) in SHOWN_ONLY or not isinstance(read_json(file).get(field.name), (int, float)):
            continue
        poison(file, (field.name,), None)
        is_refused(f"{file}: {field.name}")
        file.write_bytes(kept)
        tally("numbers that are null")


@pytest.mark.parametrize("loss", ["nan", "inf", "", "x"])
def test_a_loss_of_the_probe_that_is_none_is_missed(work: Path, loss: str) -> None:
    path = Path("results/sft/probe_rows.csv")
    lines = path.read_text().splitlines()
    lines[7] = ",".join([*lines[7].split(",")[:-1], loss])
    path.write_text("\n".join([*lines, ""]))
    is_refused(f"a loss is {loss!r}")


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.99])
def test_an_agreement_that_is_none_or_other_is_missed(work: Path, value: float) -> None:
    path = Path("results/sft/agreement.npy")
    rows = np.load(path)
    rows[5] = value
    np.save(path, rows)
    is_refused(f"an agreement is {value}")


@pytest.mark.parametrize("rule", list_rules(), ids=lambda rule: rule.id)
@pytest.mark.parametrize("number", ["effect", "statistic", "threshold", "p_value"])
def test_no_rule_passes_on_a_number_that_is_none(rule: Any, number: str) -> None:
    """Every rule there is, and every number that a draft has."""
    from monitor.rule_params import RuleParams, Thresholds
    from monitor.rules.apply import is_unsound
    from monitor.rules.drafts import refuse_result

    numbers = {"statistic": 0.1, "threshold": 0.2, "p_value": 0.3, "effect": 0.1, number: math.nan}
    effect = numbers.pop("effect")
    draft = Draft(RuleResult(rule.id, "sft", "pass", "", **numbers), effect=effect, thresholds=Thresholds(0.01, 0.02))
    assert is_unsound(draft)
    assert refuse_result(draft.result).status == "not_assessed"
    if number in ("effect", "p_value"):
        assert draft.decide(numbers["p_value"], 3, RuleParams()).status == "not_assessed"
