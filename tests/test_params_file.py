"""The shipped params.yaml and the dataclasses that read it say the same."""

import dataclasses

import pytest

from corpus.errors import ParamsError
from corpus.params import parse_section, read_params
from entropylaw.params_sections import SECTIONS
from entropylaw.repository.shipped_files import shipped_text


@pytest.fixture
def shipped(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(shipped_text("params.yaml"), encoding="utf-8")
    return read_params(path)


def test_every_section_is_read_by_one_dataclass(shipped):
    assert set(shipped) == {"datasets", *SECTIONS}


@pytest.mark.parametrize("name", SECTIONS)
def test_the_shipped_values_are_the_defaults_of_the_code(shipped, name):
    section = parse_section(SECTIONS[name], shipped[name], name)
    assert section == SECTIONS[name]()
    assert list(shipped[name]) == [field.name for field in dataclasses.fields(SECTIONS[name])]


@pytest.mark.parametrize(("old", "new"), [("odd_rows", "outlier_share")])
def test_a_key_of_an_older_file_is_refused_with_its_new_name(shipped, old, new):
    rules = {old if key == new else key: value for key, value in shipped["rules"].items()}
    with pytest.raises(ParamsError, match=rf"^params\.yaml: rules\.{old}: is now called {new}"):
        parse_section(SECTIONS["rules"], rules, "params.yaml: rules")


@pytest.mark.parametrize("old", ["outlier_quantiles", "odd_tails"])
def test_a_key_that_is_no_longer_needed_is_refused_with_the_reason(shipped, old):
    with pytest.raises(
        ParamsError, match=rf"^params\.yaml: rules\.{old}: .*every row is compared with kept rows like it"
    ):
        parse_section(SECTIONS["rules"], {**shipped["rules"], old: [0.975, 0.99]}, "params.yaml: rules")
