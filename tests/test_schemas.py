"""The published schemas against the documents that they describe."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hostile import FRAGMENTS, report_with
from jsonschema import Draft202012Validator
from sample_verdicts import STATUSES, history, sample_verdict, waiver

from corpus.artifacts import to_json
from monitor.law.entropy_law import fit_entropy_law, summarise_law
from monitor.law.results import CurveBand, LawCurve, LawPoint
from monitor.rules.flagged_rows import ROWS_PER_RULE
from monitor.verdict import SCHEMA_VERSION, RuleStatus, Status
from reports.checks import CHECK_SCHEMA_VERSION, render_check
from reports.report_data import build_report_data
from reports.rule_view import ROWS_PER_RULE as ROWS_SHOWN

FOLDER = Path(__file__).parent.parent / "docs" / "schemas"
SCHEMAS = {name: json.loads((FOLDER / f"{name}.schema.json").read_text()) for name in ("verdict", "check")}


def build_document(name: str, status: str) -> Any:
    verdict = sample_verdict(status)
    if name == "verdict":
        return json.loads(to_json(verdict))
    waivers = [waiver("redundancy"), waiver("loss", of=3)]
    return json.loads(render_check(build_report_data(verdict, history() if verdict.parent else [], waivers), "json"))


DOCUMENTS = [
    pytest.param(name, build_document(name, status), id=f"{name}-{status}") for name in SCHEMAS for status in STATUSES
]


def check_document(schema: Any, document: Any) -> list[str]:
    return [error.json_path + ": " + error.message for error in Draft202012Validator(schema).iter_errors(document)]


def close(schema: Any) -> Any:
    """The same schema, in which an object has no key that is not described."""
    if isinstance(schema, list):
        return [close(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: close(value) for key, value in schema.items()}
    return {"additionalProperties": False, **closed} if "properties" in schema else closed


def list_objects(document: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document, the document first."""
    if isinstance(document, dict):
        yield document
    for part in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from list_objects(part)


def list_schemas(schema: Any) -> Iterator[dict[str, Any]]:
    """The schema of every key that a schema names."""
    for part in list_objects(schema):
        if isinstance(part.get("properties"), dict):
            yield from part["properties"].values()


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_schema_is_one_and_says_what_each_key_means(schema: Any) -> None:
    Draft202012Validator.check_schema(schema)
    for part in list_schemas(schema):
        assert part.get("description") or part == {"$ref": "#/$defs/rule_id"}, part


@pytest.mark.parametrize(("name", "document"), DOCUMENTS)
def test_every_document_is_valid_and_has_no_key_that_is_not_described(name: str, document: Any) -> None:
    assert check_document(SCHEMAS[name], document) == []
    assert check_document(close(SCHEMAS[name]), document) == []


@pytest.mark.parametrize(("name", "document"), DOCUMENTS)
def test_a_key_that_is_removed_or_renamed_breaks_the_schema(name: str, document: Any) -> None:
    changed = copy.deepcopy(document)
    maps = [changed["measurements"], changed.get("parent_measurements")]
    if name == "verdict":
        maps.append(changed["changes"])
        for dataset in changed["changes"].values():
            maps += [dataset["normal"], dataset["lengths"]["counts"], dataset["lengths"]["medians"]]
        # It has no required keys: a baseline may have none of them.
        changed["law"] = {}
    is_valid = Draft202012Validator(SCHEMAS[name]).is_valid
    parts = {tuple(part): part for part in list_objects(changed) if not any(part is other for other in maps)}
    assert tuple(changed) in parts and tuple(changed["version"]) in parts
    for keys, part in parts.items():
        for key in keys:
            value = part.pop(key)
            assert not is_valid(changed), f"{key} is missing"
            part[f"{key}s"] = value
            assert not is_valid(changed), f"{key} is renamed"
            del part[f"{key}s"]
            part[key] = value
    assert is_valid(changed)


@pytest.mark.parametrize(("name", "document"), DOCUMENTS)
def test_a_key_that_a_later_release_adds_is_allowed(name: str, document: Any) -> None:
    changed = copy.deepcopy(document)
    for part in [changed, changed["version"], changed["law"], *changed["rules"]]:
        part["added_later"] = True
    assert check_document(SCHEMAS[name], changed) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("status", "fine"),
        ("schema_version", 2),
        ("version", None),
        ("rules", {}),
        ("summary", 3),
        ("measurements", {"sft": {"rows": 3}}),
    ],
)
@pytest.mark.parametrize("name", SCHEMAS)
def test_a_value_of_another_kind_is_not_valid(name: str, key: str, value: Any) -> None:
    assert check_document(SCHEMAS[name], {**build_document(name, "risky"), key: value})


def test_the_schemas_name_the_statuses_rules_and_numbers_of_the_code() -> None:
    verdict, check = SCHEMAS["verdict"], SCHEMAS["check"]
    for rule_id in (verdict["$defs"]["rule_id"], check["$defs"]["rule"]["properties"]["id"]):
        # Listing them here would make every new rule a change of the schema.
        assert "docs/reference/rules.md" in rule_id["description"] and "enum" not in rule_id
    for schema in (verdict, check):
        assert schema["properties"]["status"]["enum"] == list(get_args(Status))
        assert schema["$defs"]["rule"]["properties"]["status"]["enum"] == list(get_args(RuleStatus))
    assert verdict["properties"]["schema_version"]["const"] == SCHEMA_VERSION
    assert check["properties"]["schema_version"]["const"] == CHECK_SCHEMA_VERSION
    assert f"at most {ROWS_PER_RULE} " in verdict["properties"]["rows"]["description"]
    assert f"at most {ROWS_SHOWN}." in check["$defs"]["rule"]["properties"]["rows"]["description"]


@pytest.mark.parametrize("n_points", [2, 12])
def test_the_law_as_the_code_describes_it_has_no_key_that_is_not_described(n_points: int) -> None:
    points = [LawPoint(f"run {i}", 2.8 + 0.01 * i, 3.5 + i, 5 - 0.1 * (i % 5), -5 - 0.1 * i) for i in range(n_points)]
    column = (1.0, 2.0)
    curve = LawCurve(
        n_points, True, "It falls.", "power", (1.0, 2.0), 3.0, 0.1, 0.9, 0.8, 0.1, 0.01, {"power": -3.0},
        CurveBand(column, column, column, column, column, column),
    )  # fmt: skip
    law = summarise_law(fit_entropy_law(points), {"r": curve, "l": LawCurve(2, None, "Too few runs.")})
    document = json.loads(to_json(replace(sample_verdict("pass"), law=law)))
    assert check_document(close(SCHEMAS["verdict"]), document) == []
    assert (document["law"]["slopes"] is not None) is (n_points == 12)


def test_hostile_data_give_a_valid_document() -> None:
    document = json.loads(render_check(report_with(*FRAGMENTS), "json"))
    assert check_document(close(SCHEMAS["check"]), document) == []
