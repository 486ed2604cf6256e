"""waivers.yaml: who lets one risky data version through one rule, why, and until when."""

from __future__ import annotations

import datetime
import io
import re
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from corpus.artifacts import write_text
from corpus.errors import ParamsError
from corpus.params import load_yaml, parse_section, read_text
from corpus.shapes import show_value
from corpus.visible_text import shows_something

# Rules of release 0.2. What they looked at, `damage`, `style` and `loss` see now, and may say something else of it.
RETIRED_RULES = ("wording", "form", "consistency")
HEADER = "# Data versions let through a rule that found them risky; `entropylaw waive` adds to this list.\n"


@dataclass(frozen=True)
class Waiver:
    """A decision to let one data version, ``data_hash``, through one rule.

    ``expires``: the last day on which it holds, as an ISO date such as 2026-01-31.
    """

    rule: str
    data_hash: str
    reason: str
    owner: str
    expires: str


def read_waivers(path: str | Path, rules: Collection[str]) -> tuple[Waiver, ...]:
    """The waivers of a file; none where there is no file. ``rules``: the names of all rules.

    Raises ParamsError naming the entry and the key when the file is ill-formed.
    """
    # Every value as text, so that a hash that has only digits does not become a number.
    sections = load_yaml(read_text(path) or "", path, "base") or {}
    if not isinstance(sections, dict):
        raise ParamsError(f"{path}: expected a section `waivers`, found {show_value(sections)}")
    for key in sections:
        if key != "waivers":
            raise ParamsError(f"{path}: {key}: unknown key; expected only `waivers`")
    entries = sections.get("waivers") or []
    if not isinstance(entries, list):
        raise ParamsError(f"{path}: waivers: expected a list, found {show_value(entries)}")
    waivers = []
    for index, entry in enumerate(entries):
        where = f"{path}: waivers[{index}]"
        waivers.append(parse_section(Waiver, entry, where))
        _check_waiver(waivers[-1], rules, where)
    return tuple(waivers)


def add_waiver(path: str | Path, waiver: Waiver, rules: Collection[str]) -> None:
    """Write a waiver into the file. It replaces one for the same rule and data; comments in the file stay.

    Raises ParamsError when the waiver or the file is ill-formed. The file is then left as it was.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedSeq
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    _check_waiver(waiver, rules, "waiver")
    existing = read_waivers(path, rules)
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 120
    text = read_text(path)
    document = load_yaml(text or "", path, "rt")
    if not isinstance(document, dict):  # no file, or one with nothing but comments
        document = load_yaml(f"{HEADER if text is None else text}\nwaivers: []\n", path, "rt")
    if not document.get("waivers"):
        document["waivers"] = CommentedSeq()
    entries = document["waivers"]
    entries.fa.set_block_style()
    # Quoted, because other readers of YAML take a hash that has only digits for a number.
    values = {
        **asdict(waiver),
        "data_hash": DoubleQuotedScalarString(waiver.data_hash),
        "expires": datetime.date.fromisoformat(waiver.expires),
    }
    same = [i for i, old in enumerate(existing) if (old.rule, old.data_hash) == (waiver.rule, waiver.data_hash)]
    if same:
        entries[same[0]].update(values)
        for index in reversed(same[1:]):
            del entries[index]
    else:
        entries.append(values)
    buffer = io.StringIO()
    yaml.dump(document, buffer)
    write_text(path, buffer.getvalue())


def require_future(expires: str, today: datetime.date) -> None:
    """Raise ParamsError unless a waiver that ends on this day would hold today.

    >>> require_future("2026-01-31", datetime.date(2026, 1, 31))
    """
    _check_day(expires, "waiver")
    if datetime.date.fromisoformat(expires) < today:
        raise ParamsError(
            f"waiver.expires: {expires} is past, so the waiver would never hold; name a day from {today} on"
        )


def valid_waivers(waivers: Iterable[Waiver], data_hash: str, today: datetime.date) -> tuple[Waiver, ...]:
    """The waivers that hold today for a data version."""
    return tuple(waiver for waiver in waivers if _problem(waiver, data_hash, today) is None)


def waiver_problems(waivers: Iterable[Waiver], data_hash: str, today: datetime.date) -> dict[str, str]:
    """Why no waiver of a rule holds today for a data version, by rule. Rules with a valid waiver are left out.

    >>> waivers = [Waiver("agreement", "aa", "known glitch", "kim", "2026-01-31")]
    >>> waiver_problems(waivers, "aa", datetime.date(2026, 2, 1))
    {'agreement': 'its waiver expired on 2026-01-31'}
    >>> waiver_problems(waivers, "bb", datetime.date(2026, 1, 1))
    {'agreement': 'its waiver is bound to other data (aa)'}
    """
    waivers = tuple(waivers)
    covered = {waiver.rule for waiver in valid_waivers(waivers, data_hash, today)}
    problems: dict[str, str] = {}
    # Of several waivers the one that nearly holds is named: one for this data, and of these the one added last.
    for waiver in sorted(waivers, key=lambda waiver: waiver.data_hash == data_hash):
        problem = _problem(waiver, data_hash, today)
        if problem and waiver.rule not in covered:
            problems[waiver.rule] = problem
    return problems


def _problem(waiver: Waiver, data_hash: str, today: datetime.date) -> str | None:
    if waiver.data_hash != data_hash:
        return f"its waiver is bound to other data ({waiver.data_hash[:12]})"
    if datetime.date.fromisoformat(waiver.expires) < today:
        return f"its waiver expired on {waiver.expires}"
    return None


def _check_waiver(waiver: Waiver, rules: Collection[str], where: str) -> None:
    if waiver.rule in RETIRED_RULES:
        raise ParamsError(f"{where}.rule: {waiver.rule!r} is no longer a rule, so nothing needs this waiver: remove it")
    if waiver.rule not in rules:
        raise ParamsError(f"{where}.rule: unknown rule {show_value(waiver.rule)}; known are {', '.join(rules)}")
    if not re.fullmatch("[0-9a-f]{32}", waiver.data_hash):
        found = show_value(waiver.data_hash)
        raise ParamsError(f"{where}.data_hash: expected the 32 hex digits of verdict.json, found {found}")
    for key, text in (("reason", waiver.reason), ("owner", waiver.owner)):
        if not shows_something(text):
            raise ParamsError(f"{where}.{key}: must not be empty, nor of characters that nobody sees")
    _check_day(waiver.expires, where)


def _check_day(expires: str, where: str) -> None:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", expires) or not _is_date(expires):
        raise ParamsError(f"{where}.expires: expected a day as YYYY-MM-DD, found {show_value(expires)}")


def _is_date(text: str) -> bool:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True
