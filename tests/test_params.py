"""params.yaml: exactly the keys and types of the dataclass, or an error that names the key."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.errors import EntropylawError, ParamsError
from corpus.params import parse_section, parse_yaml, read_params, read_section


@dataclasses.dataclass(frozen=True)
class Inner:
    size: int = 1


@dataclasses.dataclass(frozen=True)
class Sample:
    count: int = 3
    rate: float = 0.5
    on: bool = True
    name: str = "x"
    mode: Literal["fast", "exact"] = "fast"
    limit: int | None = None
    sizes: tuple[int, ...] = (1, 2)
    weights: dict[str, float] = dataclasses.field(default_factory=dict)
    inner: Inner = dataclasses.field(default_factory=Inner)

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"count must not be negative, found {self.count}")


@dataclasses.dataclass(frozen=True)
class Choice:
    level: Literal[1, 2] = 1


@dataclasses.dataclass(frozen=True)
class Renamed:
    RENAMED: ClassVar[dict[str, str]] = {"tails": "quantiles (one minus the old values)"}

    quantiles: tuple[float, ...] = (0.98,)
    level: int = 1


GOOD = {
    "count": 7,
    "rate": 1,
    "on": False,
    "name": "sft",
    "mode": "exact",
    "limit": 9,
    "sizes": [4, 5],
    "weights": {"a": 1, "b": 0.5},
    "inner": {"size": 2},
}


def test_a_section_becomes_its_dataclass() -> None:
    sample = parse_section(Sample, GOOD, "params.yaml: sample")
    assert sample == Sample(7, 1.0, False, "sft", "exact", 9, (4, 5), {"a": 1.0, "b": 0.5}, Inner(2))
    assert isinstance(sample.rate, float)
    assert parse_section(Sample, {**GOOD, "limit": None}, "").limit is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 1.5}, "p: s.count: expected int, found 1.5"),
        ({"count": True}, "p: s.count: expected int, found True"),
        ({"count": None}, "p: s.count: expected int, found None"),
        ({"count": -1}, "p: s: count must not be negative, found -1"),
        ({"rate": "1e-4"}, "p: s.rate: expected float, found '1e-4'"),
        ({"rate": True}, "p: s.rate: expected float, found True"),
        ({"rate": float("nan")}, "p: s.rate: expected a finite number, found nan"),
        ({"rate": float("-inf")}, "p: s.rate: expected a finite number, found -inf"),
        ({"rate": 10**400}, "p: s.rate: expected a finite number, found 1000"),
        ({"on": 1}, "p: s.on: expected bool, found 1"),
        ({"on": "yes"}, "p: s.on: expected bool, found 'yes'"),
        ({"name": 3}, "p: s.name: expected str, found 3"),
        ({"mode": "slow"}, "p: s.mode: expected one of fast, exact, found 'slow'"),
        ({"mode": ["fast"]}, "p: s.mode: expected one of fast, exact, found ['fast']"),
        ({"limit": "9"}, "p: s.limit: expected int, found '9'"),
        ({"sizes": 4}, "p: s.sizes: expected a list, found 4"),
        ({"sizes": [1, "2"]}, "p: s.sizes[1]: expected int, found '2'"),
        ({"weights": [1]}, "p: s.weights: expected a section of keys, found [1]"),
        ({"weights": {"a": "b"}}, "p: s.weights.a: expected float, found 'b'"),
        ({"inner": {"size": "big"}}, "p: s.inner.size: expected int, found 'big'"),
        ({"inner": {}}, "p: s.inner.size: missing key"),
        ({"inner": None}, "p: s.inner: expected a section of keys, found None"),
        ({"colour": 1}, "p: s.colour: unknown key; known are count, rate, on, name, mode, "),
    ],
)
def test_a_wrong_value_is_named_by_its_key(change: dict[str, object], message: str) -> None:
    with pytest.raises(ParamsError) as caught:
        parse_section(Sample, {**GOOD, **change}, "p: s")
    assert str(caught.value).startswith(message)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("key", GOOD)
def test_every_key_must_be_there_and_is_named_with_the_line_to_add(key: str) -> None:
    section = {name: value for name, value in GOOD.items() if name != key}
    with pytest.raises(ParamsError, match=rf"^p: s\.{key}: missing key; add `{key}: .*` to the section s$") as caught:
        parse_section(Sample, section, "p: s")
    line = parse_yaml(str(caught.value).split("`")[1], "line")
    assert getattr(parse_section(Sample, {**section, **line}, "p: s"), key) == getattr(Sample(), key)


def test_a_choice_of_numbers_does_not_take_a_boolean() -> None:
    assert parse_section(Choice, {"level": 1}, "p") == Choice(1)
    with pytest.raises(ParamsError, match="expected one of 1, 2, found True"):
        parse_section(Choice, {"level": True}, "p")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
)


@given(key=st.sampled_from(list(GOOD)), value=JUNK)
def test_any_value_is_taken_or_refused_by_name(key: str, value: object) -> None:
    try:
        sample = parse_section(Sample, {**GOOD, key: value}, "p")
    except ParamsError as error:
        assert str(error).startswith("p")
        assert "\n" not in str(error)
    else:
        # What was taken comes back when the dataclass is written out and read again.
        assert parse_section(Sample, json.loads(json.dumps(dataclasses.asdict(sample))), "p") == sample


def write(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_sections_are_read_from_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "a:\n  size: 2\nb:\n  size: 1e3\n")
    assert read_params(path) == {"a": {"size": 2}, "b": {"size": 1000.0}}
    assert read_section(Inner, "a", path) == Inner(2)


def test_without_a_file_the_defaults_hold_and_with_one_every_section_must_be_there(tmp_path: Path) -> None:
    assert read_section(Inner, "a", tmp_path / "params.yaml") == Inner()
    path = write(tmp_path, "b: {}\n")
    with pytest.raises(ParamsError, match=r"params\.yaml: missing section 'a'$"):
        read_section(Inner, "a", path)
    with pytest.raises(ParamsError, match=r"params\.yaml: b\.size: missing key; add `size: 1` to the section b$"):
        read_section(Inner, "b", path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1\n", ", line 3: not YAML: "),
        ("a: 1\na: 2\n", ', line 2: not YAML: found duplicate key "a"'),
        ("a:\n\tb: 1\n", ", line 2: not YAML: found character '\\t'"),
        ("a: !!python/object:os.system {}\n", ", line 1: not YAML: could not determine a constructor"),
        ("a: \x00\n", ": not YAML: unacceptable character"),
        ("{" * 800, ": not YAML: "),
        ("", ": expected sections of keys at the top level"),
        ("- a\n", ": expected sections of keys at the top level"),
    ],
)
def test_a_broken_file_is_one_line_of_error(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ParamsError) as caught:
        read_params(path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no such file; run `entropylaw init`"):
        read_params(tmp_path / "params.yaml")
    with pytest.raises(ParamsError, match="cannot be read: Is a directory"):
        read_params(tmp_path)
    path = tmp_path / "params.yaml"
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(EntropylawError, match=r"not YAML: .*utf-8"):
        read_params(path)


@pytest.mark.parametrize(
    "section",
    [
        {"tails": [0.02], "level": 1},  # as the old file has it: the new key is missing
        {"level": 1, "quantiles": [0.98], "tails": [0.02]},  # beside the new one
    ],
)
def test_an_old_key_is_refused_with_its_new_name(section: dict[str, object]) -> None:
    message = "params.yaml: rules.tails: is now called quantiles (one minus the old values); rename it"
    with pytest.raises(ParamsError) as refused:
        parse_section(Renamed, section, "params.yaml: rules")
    assert str(refused.value) == message


def test_names_of_old_keys_are_no_key_themselves() -> None:
    assert parse_section(Renamed, {"quantiles": [0.9], "level": 2}, "p: s") == Renamed((0.9,), 2)
    with pytest.raises(ParamsError, match=r"^p: s\.RENAMED: unknown key; known are quantiles, level$"):
        parse_section(Renamed, {"RENAMED": {}}, "p: s")


def test_a_text_that_is_read_again_is_parsed_once_and_nobody_changes_what_the_next_one_gets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "probe: {steps: 12345}\n"
    first = parse_yaml(text, "params.yaml")
    first["probe"]["steps"] = 0
    monkeypatch.setattr("ruamel.yaml.YAML.load", lambda *arguments: pytest.fail("parsed again"))
    assert parse_yaml(text, "params.yaml") == {"probe": {"steps": 12345}}
