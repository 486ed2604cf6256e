"""What a branch changed beside its data: the rules that the data is judged by, and the stages that judge it.

A threshold that is loosened in the same pull request as the data would be a quiet way past the gate. It may be meant,
so it is said in every form of `entropylaw check`, where a reviewer reads it. A gate that is gone is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from corpus.errors import NotAssessedError, ParamsError
from corpus.params import PARAMS_FILE, parse_yaml, read_text
from corpus.shapes import show_value
from entropylaw.repository import layout
from entropylaw.repository.git import hash_as_git, list_committed, read_blobs
from entropylaw.repository.history_guard import Base, list_entries, read_facts
from entropylaw.repository.lockfile import PIPELINE_FILE

# The sections of params.yaml that a verdict depends on: what is read, how it is measured, and what is too much.
JUDGED_BY = (
    *("prepare", "contamination", "compression", "consistency", "base_model", "probe", "second_model"),
    *("calibration", "rules", "history"),
)
# The stages of our pipeline up to the gate.
JUDGES = ("prepare", "compression", "consistency", "base_model", "probe", "calibration", "assess", "report", "gate")
# How a stage runs a command of ours, with whatever starts it, such as `uv run entropylaw assess`.
_RUNS = re.compile(r"(?:.*?[\s/])?entropylaw (?P<name>[a-z][\w-]*)")
# So many changes are named; a reviewer sees the whole in the diff.
NAMED = 8


def list_changed_rules(base: Base, data_hash: str) -> tuple[str, ...]:
    """A sentence for each file in which this branch changed what its data is judged by, since it left its ``base``.

    ``data_hash``: of the version under test, whose own entry in the history judges nothing. Raises NotAssessedError
    where a stage that judges, or its command, is gone.
    """
    paths = [PARAMS_FILE, PIPELINE_FILE.as_posix(), layout.CALIBRATION.as_posix(), layout.WAIVERS.as_posix()]
    there = {path: blob for path, blob in list_committed(base.commit, paths).items() if path in paths}
    files = [path for path in paths if Path(path).is_file()]
    here = hash_as_git(files) if files else {}
    changed = {path: blob for path, blob in there.items() if here.get(path) != blob}
    contents = read_blobs(changed.values()) if changed else {}
    where = f"{base.name} ({base.commit[:7]})"
    found: list[str] = []
    for path, blob in changed.items():
        past = contents.get(blob, b"").decode("utf-8", errors="replace")
        if path == PARAMS_FILE:
            found += _name_params(_parse(past, path), where)
        elif path == PIPELINE_FILE.as_posix():
            found += _name_stages(_parse(past, path), where)
        elif path not in files:
            found.append(f"{path}: is gone, and {where} has one")
        elif path == layout.CALIBRATION.as_posix():
            found.append(f"{path}: what counts as a benign update is not what it was in {where}")
        else:
            found.append(f"{path}: waivers are not those of {where}")
    if new := [path for path in files if path not in there]:
        found.append(f"{', '.join(new)}: new in this branch; {where} has no such file")
    found += _name_entries(base, data_hash, where)
    return tuple(found)


def _name_entries(base: Base, data_hash: str, where: str) -> Iterator[str]:
    """Versions that were accepted in this branch, so that the one under test is compared with them."""
    files = [path.as_posix() for path in sorted(layout.HISTORY.glob("*.json"))]
    known = set(list_entries(base.commit).values())
    new = [path for path, blob in (hash_as_git(files) if files else {}).items() if blob not in known]
    named = []
    for path in new:
        entry = read_facts(Path(path).read_bytes())
        if entry.get("data_hash") != data_hash:
            start = "a new start" if entry.get("status") == "baseline" else "confirmed" if entry.get("anchor") else ""
            named.append(f"{Path(path).name}{f' ({start})' if start else ''}")
    if named:
        more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
        yield f"{layout.HISTORY}: accepted in this branch and not in {where}: {', '.join(named[:NAMED])}{more}"


def _name_params(past: Mapping[str, Any], where: str) -> Iterator[str]:
    now = _parse_file(Path(PARAMS_FILE))
    changes = [
        f"{key} {_show(old)} → {_show(new)}"
        for section in JUDGED_BY
        for key, old, new in list_changes(past.get(section), now.get(section), section)
    ]
    if changes:
        more = f" and {len(changes) - NAMED} more" if len(changes) > NAMED else ""
        named = "; ".join(changes[:NAMED])
        yield f"{PARAMS_FILE}: the version is judged by other parameters than {where}: {named}{more}"


def list_changes(old: Any, new: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    """The dotted keys at which two sections differ, with both values; None where one has no such key.

    >>> list(list_changes({"rate": 0.05, "loss": {"warn": 1}}, {"rate": 0.5, "loss": {"warn": 1}}, "rules"))
    [('rules.rate', 0.05, 0.5)]
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys([*old, *new]):
            yield from list_changes(old.get(name), new.get(name), f"{key}.{name}")
    elif old != new:
        yield key, old, new


def _name_stages(past: Mapping[str, Any], where: str) -> Iterator[str]:
    now = _parse_file(PIPELINE_FILE)
    before, after = past.get("stages"), now.get("stages") or {}
    before = before if isinstance(before, Mapping) else {}
    if not isinstance(after, Mapping):
        raise ParamsError(f"{PIPELINE_FILE}: stages: expected a section of keys, found {show_value(after)}")
    ours = [name for name in JUDGES if name in before]
    for name in ours:
        command = _RUNS.match(_command(before[name]))
        if command is None:
            continue
        if name not in after:
            raise NotAssessedError(
                f"{PIPELINE_FILE}: has no stage {name}, which {where} has, so nothing judges the version; "
                "put the stage back, then run `dvc repro`"
            )
        # The same command, started in the same way or by its plain name.
        begins = {command[0], f"entropylaw {command['name']}"}
        if not any(re.match(rf"{re.escape(begin)}(?![\w-])", _command(after[name])) for begin in begins):
            raise NotAssessedError(
                f"{PIPELINE_FILE}: stage {name} does not run `{command[0]}`, as it does in {where}; "
                "put it back, then run `dvc repro`"
            )
    other = [name for name in ours if name in after and before[name] != after[name]]
    # What trains must wait for the gate.
    approval = layout.APPROVAL.as_posix()
    other += [
        name for name in before if name not in JUDGES and name in after
        and approval in str(before[name]) and approval not in str(after[name])
    ]  # fmt: skip
    if other:
        yield f"{PIPELINE_FILE}: stages {', '.join(other)} are not those of {where}"


def _command(stage: Any) -> str:
    """The command of a stage, with single blanks; several are lines."""
    stage = stage if isinstance(stage, Mapping) else {}
    inner = stage.get("do", stage)
    command = inner.get("cmd", "") if isinstance(inner, Mapping) else ""
    lines = command if isinstance(command, list) else [command]
    return "\n".join(" ".join(str(line).split()) for line in lines)


def _parse(text: str, path: str) -> dict[str, Any]:
    """The sections of a file of an earlier commit; none where it was not YAML then."""
    try:
        return parse_yaml(text, path)
    except ParamsError:
        return {}


def _parse_file(path: Path) -> dict[str, Any]:
    """The sections of a file that is here; none where it is gone, which then differs in all of them."""
    text = read_text(path)
    return {} if text is None else parse_yaml(text, path)


def _show(value: Any) -> str:
    return "(not there)" if value is None else str(value)
