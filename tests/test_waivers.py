"""waivers.yaml as people and the command line write it."""

import datetime
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import ParamsError
from corpus.visible_text import shows_something
from monitor.waivers import Waiver, add_waiver, read_waivers, valid_waivers, waiver_problems

HERE, ELSEWHERE = "a" * 32, "b" * 32
DAY = datetime.date(2026, 3, 31)
RULES = ("redundancy", "loss", "agreement", "both_rise", "forecast")

HAND_WRITTEN = """\
# Who may waive: the data lead.
waivers:
  # Seen by Kim in the March export.
  - rule: agreement
    data_hash: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    reason: short answers are meant  # see the style guide
    owner: kim
    expires: 2026-03-31
# The end.
"""


def make_waiver(**changes: str) -> Waiver:
    fields = {"rule": "agreement", "data_hash": HERE, "reason": "r", "owner": "kim", "expires": "2026-03-31"}
    return Waiver(**{**fields, **changes})


def test_no_file_and_an_empty_list_are_no_waivers(tmp_path: Path) -> None:
    assert read_waivers(tmp_path / "waivers.yaml", RULES) == ()
    for text in ("", "# none\n", "waivers: []\n", "waivers:\n", "# none\nwaivers:\n"):
        (tmp_path / "waivers.yaml").write_text(text)
        assert read_waivers(tmp_path / "waivers.yaml", RULES) == ()


def test_a_hand_written_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "waivers.yaml"
    path.write_text(HAND_WRITTEN)
    assert read_waivers(path, RULES) == (make_waiver(reason="short answers are meant"),)
    path.write_text(HAND_WRITTEN.replace("2026-03-31", "'2026-03-31'"))
    assert read_waivers(path, RULES) == (make_waiver(reason="short answers are meant"),)


@settings(max_examples=40)
@given(
    st.lists(
        st.builds(
            make_waiver,
            rule=st.sampled_from(["redundancy", "loss", "agreement", "both_rise", "forecast"]),
            # Digits alone, or digits around one e, are numbers to YAML unless quoted.
            data_hash=st.sampled_from([HERE, "0" * 32, "1" * 32, "1e" + "0" * 30, "0b" * 16]),
            reason=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1).filter(
                shows_something
            ),
            owner=st.sampled_from(["kim", "no", "~", "3", "{a: b}", "# x", "- y", "a: b", "'", '"', "@me", "&x *y"]),
            expires=st.dates().map(datetime.date.isoformat),
        ),
        max_size=6,
    )
)
def test_the_last_waiver_for_a_rule_and_its_data_is_the_one_read_back(tmp_path_factory: Any, waivers: Any) -> None:
    path = tmp_path_factory.mktemp("waivers") / "waivers.yaml"
    expected: dict[tuple[str, str], Waiver] = {}
    for waiver in waivers:
        add_waiver(path, waiver, RULES)
        expected[waiver.rule, waiver.data_hash] = waiver
    assert read_waivers(path, RULES) == tuple(expected.values())


def test_adding_and_replacing_keep_every_comment(tmp_path: Path) -> None:
    path = tmp_path / "waivers.yaml"
    path.write_text(HAND_WRITTEN)
    add_waiver(path, make_waiver(rule="redundancy", reason="copies are meant"), RULES)
    add_waiver(path, make_waiver(owner="lee", expires="2026-06-30"), RULES)
    text = path.read_text()
    for comment in ("# Who may waive: the data lead.", "# Seen by Kim in the March export.", "# The end."):
        assert comment in text
    assert [(waiver.rule, waiver.owner) for waiver in read_waivers(path, RULES)] == [
        ("agreement", "lee"),
        ("redundancy", "kim"),
    ]


def test_the_first_waiver_of_an_empty_list_is_written_as_a_block_under_the_comments(tmp_path: Path) -> None:
    path = tmp_path / "waivers.yaml"
    for text in ("# Waivers.\nwaivers: []  # none yet\n", "# Waivers.\nwaivers:  # none yet\n"):
        path.write_text(text)
        add_waiver(path, make_waiver(), RULES)
        # The column of a trailing comment is the YAML library's to choose.
        assert re.sub(" +#", "  #", path.read_text()) == (
            "# Waivers.\n"
            "waivers:  # none yet\n"
            "  - rule: agreement\n"
            f'    data_hash: "{HERE}"\n'
            "    reason: r\n"
            "    owner: kim\n"
            "    expires: 2026-03-31\n"
        )


def test_a_hash_of_digits_written_without_quotes_survives_another_waiver(tmp_path: Path) -> None:
    path = tmp_path / "waivers.yaml"
    for digits in ("0" * 32, "0123456789" * 3 + "01", "1e" + "0" * 30):
        path.write_text(HAND_WRITTEN.replace(HERE, digits))
        add_waiver(path, make_waiver(rule="forecast"), RULES)
        assert [waiver.data_hash for waiver in read_waivers(path, RULES)] == [digits, HERE]


def test_a_waiver_holds_through_its_last_day_for_its_own_data_only() -> None:
    waiver = make_waiver()
    assert valid_waivers([waiver], HERE, DAY) == (waiver,)
    assert valid_waivers([waiver], HERE, DAY + datetime.timedelta(days=1)) == ()
    assert valid_waivers([waiver], ELSEWHERE, DAY) == ()


def test_of_several_waivers_that_miss_the_nearest_miss_is_told() -> None:
    waivers = [
        make_waiver(expires="2026-01-31"),
        make_waiver(data_hash=ELSEWHERE),
        make_waiver(rule="forecast", data_hash="c" * 32),
        make_waiver(rule="forecast", data_hash=ELSEWHERE),
        make_waiver(rule="redundancy", expires="2026-01-31"),
        make_waiver(rule="redundancy"),
    ]
    assert waiver_problems(waivers, HERE, DAY) == {
        "agreement": "its waiver expired on 2026-01-31",
        "forecast": "its waiver is bound to other data (bbbbbbbbbbbb)",
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rule: agreement", "rule: wording", r"waivers\[0\]\.rule: 'wording' is no longer a rule.*remove it"),
        ("rule: agreement", "rule: agrement", r"waivers\[0\]\.rule: unknown rule 'agrement'; known are redundancy"),
        ("    owner: kim\n", "", r"waivers\[0\]\.owner: missing key"),
        ("owner: kim", "owner: '  '", r"waivers\[0\]\.owner: must not be empty"),
        ("owner: kim", "owner: [kim]", r"waivers\[0\]\.owner: expected str"),
        ("reason: short answers are meant  #", "reason:  #", r"waivers\[0\]\.reason: must not be empty"),
        ("owner: kim", "owner: \u200b\u3164\u2800", r"waivers\[0\]\.owner: must not be empty, nor of characters that"),
        ("owner: kim", "owner: \u034f\ufe0f", r"waivers\[0\]\.owner: must not be empty, nor of characters that"),
        ("owner: kim", "owner: kim\n    because: 1", r"waivers\[0\]\.because: unknown key"),
        ("expires: 2026-03-31", "expires: 2026-02-30", r"waivers\[0\]\.expires: expected a day"),
        ("expires: 2026-03-31", "expires: soon", r"waivers\[0\]\.expires: expected a day as YYYY-MM-DD"),
        ("expires: 2026-03-31", "expires: '20260331'", r"waivers\[0\]\.expires: expected a day"),
        ("expires: 2026-03-31", "expires: 2026-03-31 10:00:00", r"waivers\[0\]\.expires: expected a day"),
        ("data_hash: a", "data_hash: x", r"waivers\[0\]\.data_hash: expected the 32 hex digits"),
        (
            "data_hash: " + HERE,
            "data_hash: 11",
            r"waivers\[0\]\.data_hash: expected the 32 hex digits of verdict.json, found '11'",
        ),
        ("waivers:", "waiver:", "waiver: unknown key; expected only `waivers`"),
        ("owner: kim", "owner: kim\n    owner: lee", "not YAML: found duplicate key"),
        ("rule: agreement", "rule: [", "not YAML"),
        (HAND_WRITTEN, "waivers: 3", "waivers: expected a list, found '3'"),
        (HAND_WRITTEN, "waivers: [x]", r"waivers\[0\]: expected a section of keys, found 'x'"),
        (HAND_WRITTEN, "- rule: agreement", "expected a section `waivers`"),
    ],
)
def test_an_ill_formed_file_is_an_error_that_names_the_entry_and_is_not_touched(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "waivers.yaml"
    assert old in HAND_WRITTEN
    path.write_text(HAND_WRITTEN.replace(old, new))
    before = path.read_bytes()
    for attempt in (lambda: read_waivers(path, RULES), lambda: add_waiver(path, make_waiver(rule="forecast"), RULES)):
        with pytest.raises(ParamsError, match=rf"waivers\.yaml.*: {message}"):
            attempt()
    assert path.read_bytes() == before


@pytest.mark.parametrize("changes", [{"rule": "all"}, {"reason": " "}, {"owner": ""}, {"expires": "never"}])
def test_an_ill_formed_waiver_is_refused_and_nothing_is_written(tmp_path: Path, changes: dict[str, str]) -> None:
    (key,) = changes
    with pytest.raises(ParamsError, match=rf"^waiver\.{key}: "):
        add_waiver(tmp_path / "waivers.yaml", make_waiver(**changes), RULES)
    assert list(tmp_path.iterdir()) == []
