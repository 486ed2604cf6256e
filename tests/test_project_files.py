"""CITATION.cff, SECURITY.md, CHANGELOG.md and pyproject.toml name one version, and the citation is a valid one."""

import json
import re
import tomllib
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def citation():
    return YAML(typ="safe").load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def version():
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def test_the_citation_is_valid_by_the_schema_of_its_format(citation):
    vendored = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "citation-file-format.json"
    schema = json.loads(vendored.read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(citation)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate({**citation, "authors": []})


def test_the_citation_names_the_paper(citation):
    (paper,) = citation["references"]
    assert paper["title"] == "Entropy Law: The Story Behind Data Compression and LLM Performance"
    assert paper["doi"] == "10.48550/arXiv.2407.06645" and paper["url"].endswith("/2407.06645")
    assert [author["family-names"] for author in paper["authors"]] == [
        "Yin", "Wu", "Wang", "Wang", "Guo", "Wang", "Liu", "Tang", "Lian", "Chen",
    ]  # fmt: skip


def test_the_version_is_the_same_everywhere(citation, version):
    changes = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(.+?)\](?: - (\S+))?$", changes, re.M)
    assert released[0] == ("Unreleased", "")
    assert released[1] == (version, citation["date-released"])
    assert citation["version"] == version
    supported = version.rpartition(".")[0]
    assert f"| {supported}.x | yes |" in (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8")
