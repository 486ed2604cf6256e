"""The headline of a verdict and the next steps, for every status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from monitor.gate import RESTART_COMMAND
from monitor.verdict import FlaggedRow, Status
from reports.rule_view import RuleView


@dataclass(frozen=True)
class Step:
    """One thing to do: a sentence, and the commands that do it where there are any."""

    text: str
    commands: tuple[str, ...] = ()


# So many rules are looked at one by one, and so many waivers written out, in a list that is read at once.
MOST_LOOKS = 3
MOST_COMMANDS = 3

ACCEPT = Step("After training, record the version; the next one is compared with it.", ("entropylaw accept",))
COMPARED_LATER = Step("It is recorded in history/: later versions are compared with it.")
# Of a version without a parent, so that nobody takes it for one that passed.
NOT_COMPARED = "Nothing was compared: there was no version to compare it with."
REPAIR = Step("Repair what is named above and run the pipeline again; until then the gate is closed.", ("dvc repro",))
RESTART = Step("Only if the rows are wanted as they are: begin anew with them.", (RESTART_COMMAND,))
RERUN = Step("Mend or revert the data, then run the pipeline again.", ("dvc repro",))
MEND = Step(
    "Take the damaged rows out, or put them back to what they were; without --apply the command only says which. Then "
    "run the pipeline again.",
    ("entropylaw repair --apply", "dvc repro"),
)
# Of rows that are gone there is nothing to take out.
NO_ROWS_TO_REPAIR = ("coverage",)


def write_headline(status: Status, name: str, released: bool) -> str:
    """The headline. ``released``: risky, but let through by waivers. A version without a name is "this version".

    >>> write_headline("risky", "x5", released=False), write_headline("pass", "", released=False)
    ('Do not train on x5', 'This version shows no risk')
    """
    if not name:
        headline = write_headline(status, "this version", released)
        return headline[0].upper() + headline[1:]
    if released:
        return f"{name} is risky, and let through under a waiver"
    return {
        "baseline": f"{name} is the baseline",
        "pass": f"{name} shows no risk",
        "warn": f"Look at {name} before training on it",
        "risky": f"Do not train on {name}",
        "not_assessed": f"{name} could not be assessed",
    }[status]


def list_steps(
    status: Status, rules: Sequence[RuleView], released: bool, blocked: bool, accepted: bool = False
) -> tuple[Step, ...]:
    """The next steps in order; the first ones name rows to look at. ``rules``: the worst results first.

    ``blocked``: the gate is closed, which under ``--strict`` a warning can do as well. ``accepted``: the version is in
    the history, so nobody is told to record it again.
    """
    # Rules that could not run keep the gate closed too, and no waiver opens it for them.
    causes = (status, "not_assessed") if status == "risky" else (status,)
    looks = _list_looks([rule for rule in rules if rule.status in causes])
    record = COMPARED_LATER if accepted else ACCEPT
    match status:
        case "baseline":
            start = f"{NOT_COMPARED} " if not rules else ""
            if accepted:
                return (replace(COMPARED_LATER, text=start + COMPARED_LATER.text),)
            return (Step(f"{start}Record it as the baseline.", ("entropylaw accept",)),)
        case "pass":
            return (record,)
        case "warn" if not blocked:
            return (*looks, Step("If the change is meant, go on: the gate lets a warning through."), record)
        case "not_assessed":
            return (*looks, REPAIR, RESTART) if rules else (*looks, REPAIR)
    if released:
        return (*looks, Step("Training may go on. Later versions will not be compared with this one."))
    unwaived = _list_unwaived(rules, status)
    if not unwaived and not any(rule.status == "not_assessed" for rule in rules):
        # What is still closing the gate are warnings, under --strict.
        unwaived = _list_unwaived(rules, "warn")
    elif len(unwaived) > MOST_COMMANDS and not any(rule.waiver for rule in rules):
        unwaived = ["all"]
    waive = Step(
        "Only if the change is meant: name who answers for it.",
        tuple(f'entropylaw waive {rule} --reason "…" --owner NAME --expires DATE' for rule in unwaived),
    )
    if unwaived:
        risky = [rule.id for rule in rules if rule.status == "risky" and not rule.waiver]
        return (*looks, MEND if set(risky) - set(NO_ROWS_TO_REPAIR) else RERUN, waive)
    return (*looks, REPAIR, RESTART) if rules else (*looks, REPAIR)


def _list_unwaived(rules: Sequence[RuleView], status: Status) -> list[str]:
    return list(dict.fromkeys(rule.id for rule in rules if rule.status == status and not rule.waiver))


def _list_looks(rules: Sequence[RuleView]) -> tuple[Step, ...]:
    """A step for each of the surest rules, and one for all others: they mostly name the same rows."""
    found = [rule for rule in rules if rule.status != "not_assessed"]
    first, rest = found[:MOST_LOOKS], found[MOST_LOOKS:]
    steps = [_look_at(rule) for rule in first]
    if rest:
        steps.append(Step(f"Then, in the same way: {', '.join(f'{rule.title} ({rule.dataset})' for rule in rest)}."))
    return (*steps, *(_look_at(rule) for rule in rules if rule.status == "not_assessed"))


def _look_at(rule: RuleView) -> Step:
    where = f"{rule.title} ({rule.dataset})"
    if rule.status == "not_assessed":
        return Step(f"{where}: {rule.reason}")
    if not rule.rows:
        return Step(f"{where}: {rule.advice}")
    sources = ", ".join(dict.fromkeys(row.source for row in rule.first_rows if row.source))
    return Step(
        f"{where}: start with {'rows' if len(rule.first_rows) > 1 else 'row'} {name_rows(rule.first_rows)}"
        + (f" (source {sources}). " if sources else ". ")
        + rule.advice
    )


def name_rows(rows: Sequence[FlaggedRow]) -> str:
    """Rows by their numbers, each file of several named once, in the order of the first row in it.

    >>> def row(file, number):
    ...     return FlaggedRow(number, "", "", "sft", "damage", 1.0, "", file, number)
    >>> name_rows([row("a", 7), row("b", 2), row("a", 9)])
    '7, 9 of a; 2 of b'
    """
    if rows[0].file is None:
        return f"{', '.join(row.name for row in rows)} of the input file"
    numbers: dict[str, list[str]] = {}
    for row in rows:
        numbers.setdefault(str(row.file), []).append(str(row.file_row))
    return "; ".join(f"{', '.join(found)} of {file}" for file, found in numbers.items())
