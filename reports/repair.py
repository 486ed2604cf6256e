"""What a repair takes, in words: in a terminal, row by row, and as a patch that a reviewer can read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from monitor.repair.search import Repair, SuspectedRow, is_stopped
from reports.escaping import escape_invisible, escape_log
from reports.numbers import format_count
from reports.text import wrap
from reports.words import WORDS

# So many reasons, and so many sources, are named; the list of rows has them all.
NAMED = 6


@dataclass(frozen=True)
class RowChange:
    """What a repair does to a row.

    ``file`` and ``line``: where it stands, ``line`` from 1. ``old`` and ``new``: the row as it is and as it was in the
    parent, as one line of text; ``new`` is None where the row is dropped.
    """

    row: SuspectedRow
    file: str
    line: int
    old: str
    new: str | None

    @property
    def action(self) -> str:
        return "dropped" if self.new is None else "put back"


def render_repair(repair: Repair, changes: Sequence[RowChange], parent: str) -> list[str]:
    """Lines of at most 80 columns: what it takes, whose rows these are, how sure that is, and what is left."""
    words, name = WORDS[repair.before.status].word.lower(), escape_log(repair.before.version.name)
    if not is_stopped(repair.before.status):
        return wrap(f"{name}: {words} against {parent}. There is nothing to repair.")
    lines = wrap(f"{name}: {words}. {repair.before.summary}")
    if not changes:
        return [*lines, *_explain_failure(repair)]
    outcome = (
        f"the verdict is then: {WORDS[repair.after.status].word.lower()}" if repair.mends else "that is not enough"
    )
    lines += ["", *wrap(f"{say_actions(changes, parent)}: {outcome}.")]
    lines += _count("reason", (f", rule {change.row.rule}: they {change.row.says}" for change in changes))
    lines += _count("source", (f" of source {change.row.source!r}" if change.row.source else "" for change in changes))
    honest = round(repair.honest)
    guess = "hardly any" if not honest else f"about {format_count(honest)}"
    lines += wrap(f"Honest among these rows, by estimate: {guess}.", first="  ", rest="    ")
    if not repair.mends:
        lines += ["", *_explain_failure(repair)]
    elif repair.after.status == "warn":
        lines += ["", *wrap(f"Still worth a look: {repair.after.summary}")]
    return lines


def say_actions(changes: Sequence[RowChange], parent: str) -> str:
    """How many rows are dropped and how many are put back, as the beginning of a sentence."""
    dropped = sum(change.new is None for change in changes)
    back = len(changes) - dropped
    parts = []
    if dropped:
        parts.append(f"drop {format_count(dropped)} {'row' if dropped == 1 else 'rows'}")
    if back:
        parts.append(f"put {format_count(back)} edited {'row' if back == 1 else 'rows'} back to what {parent} had")
    said = " and ".join(parts)
    return said[0].upper() + said[1:]


def _count(what: str, values: Iterable[str]) -> list[str]:
    found = Counter(values)
    if what == "source" and set(found) == {""}:
        return []
    lines: list[str] = []
    for value, count in found.most_common(NAMED):
        rows = f"{format_count(count)} {'row' if count == 1 else 'rows'}"
        lines += wrap(f"{rows}{value or ' without a source'}", first="  ", rest="    ")
    if len(found) > NAMED:
        rest = sum(found.values()) - sum(count for _, count in found.most_common(NAMED))
        lines.append(f"  {format_count(rest)} rows for {len(found) - NAMED} other {what}s")
    return lines


def _explain_failure(repair: Repair) -> list[str]:
    """Why no removal of rows lets the version pass."""
    if repair.is_too_much:
        return wrap(
            "More than half of the rows would have to go, which is no repair. Revert the commit, or get the parent's "
            "data with `dvc fetch`, so that edited rows can be put back to what they were."
        )
    if repair.missing:
        rule = repair.missing[0]
        return wrap(
            f"Rows are missing, which taking out others cannot mend: {rule.reason} Bring them back from the parent, or "
            "waive the rule if they were meant to go."
        )
    rules = [rule for rule in repair.after.rules if rule.status in ("risky", "not_assessed")]
    return [
        *wrap("No set of rows was found whose removal lets the version pass. What is left:"),
        *(line for rule in rules for line in wrap(f"{rule.id} in {rule.dataset}: {rule.reason}", "  ", "    ")),
    ]


def list_changes(changes: Iterable[RowChange]) -> Iterator[dict[str, object]]:
    """One object for each row, without its text: where it stands, what is done, and why."""
    for change in changes:
        row = change.row
        yield {
            "dataset": row.dataset,
            "file": change.file,
            "line": change.line,
            "row": row.row,
            "hash": row.hash,
            "source": row.source,
            "action": change.action,
            "rule": row.rule,
            "reason": f"they {row.says}",
            "probability": round(row.probability, 4),
        }


def render_patch(changes: Sequence[RowChange]) -> str:
    """A unified diff of the data without lines around it; behind each place stands why the row goes.

    Rows of JSON lines stand in it as they are, others as JSON. What would act in a terminal is shown as an escape.
    """
    lines: list[str] = []
    for file in dict.fromkeys(change.file for change in changes):
        lines += [f"--- a/{escape_invisible(file)}", f"+++ b/{escape_invisible(file)}"]
        shift = 0
        for change in sorted((c for c in changes if c.file == file), key=lambda c: c.line):
            place = change.line + shift
            now = f"{place},1" if change.new is not None else f"{place - 1},0"
            lines.append(f"@@ -{change.line},1 +{now} @@ {change.row.rule}: they {change.row.says}")
            lines.append(f"-{_show(change.old)}")
            if change.new is None:
                shift -= 1
            else:
                lines.append(f"+{_show(change.new)}")
    return "".join(f"{line}\n" for line in lines)


def _show(row: str) -> str:
    return escape_invisible(row, len(row) * 8)
