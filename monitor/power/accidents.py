"""Accidents of training data, injected into a version on purpose, so that it is known which rows are damaged.

They were written without looking at the rules that are to find them: nothing here comes from the rest of `monitor`.
An accident either *replaces* rows in the data, like a job that processes part of it again, or *adds* rows, like a job
that is retried; a loss takes rows away. Each says which verdict is right for it: `risky` where the rows are worse than
before, `warn` where they differ and a person has to say whether that was meant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from corpus.errors import EntropylawError
from corpus.records import Conversation, Record
from monitor.power import damaged_rows as rows_after
from monitor.power import damaged_texts as texts
from monitor.power.damaged_rows import Damage, TextChange, change_answers_by_prompt, change_contents

# The smallest share of the rows that a source has whose loss somebody should be told of.
MIN_LOST_SOURCE = 0.03

Alarm = Literal["warn", "risky"]


@dataclass(frozen=True)
class Accident:
    """A kind of accident.

    ``way``: damaged rows replace rows, or are added. ``verbatim``: they are exact copies. ``expected``: the verdict
    that is right. ``every_row``: it happens to all rows that it changes, not to a share of them.
    """

    name: str
    kind: Literal["conversations", "preferences"]
    way: Literal["replaces", "adds"]
    damage: Damage
    verbatim: bool = False
    expected: Alarm = "risky"
    every_row: bool = False


@dataclass(frozen=True)
class Loss:
    """Rows that are gone from a version. ``keep``: the rows that are left of those of the version before."""

    name: str
    keep: Callable[[Sequence[Record], np.random.Generator], list[Record]]
    expected: Alarm = "risky"


@dataclass(frozen=True)
class DamagedVersion:
    """A version after an accident. ``rows``: the numbers, from 1, of the damaged records."""

    records: tuple[Record, ...]
    rows: frozenset[int]


def inject(
    records: Sequence[Record],
    accident: Accident,
    share: float,
    rng: np.random.Generator,
    spare: Sequence[Record] = (),
) -> DamagedVersion:
    """Damage ``round(share * len(records))`` rows drawn by ``rng``; ``spare``: rows that the version does not have.

    When the accident does not change a row, or would make it unusable, another row is taken in its place. Raises
    EntropylawError where too few rows can be damaged. A share of 1 means all rows that can be damaged.
    """
    count = round(share * len(records))
    order = rng.permutation(len(records)).tolist()
    chosen, reserve = order[:count], order[count:]
    while True:
        originals = [records[i] for i in chosen]
        damaged = accident.damage(originals, rng, spare)
        unfit = [
            k
            for k, (before, after) in enumerate(zip(originals, damaged, strict=True))
            if not is_usable(after) or (before.turns() == after.turns()) != accident.verbatim
        ]
        if not unfit:
            break
        if share == 1 and len(unfit) < len(chosen):
            without = set(unfit)
            chosen = [i for k, i in enumerate(chosen) if k not in without]
            continue
        if len(unfit) > len(reserve):
            raise EntropylawError(f"{accident.name}: fewer than {count} of {len(records)} rows can be damaged")
        for k in unfit:
            chosen[k] = reserve.pop(0)
    version = list(records)
    if accident.way == "adds":
        chosen = list(range(len(version), len(version) + len(chosen)))
        version += damaged
    else:
        for i, record in zip(chosen, damaged, strict=True):
            version[i] = record
    return DamagedVersion(tuple(version), frozenset(i + 1 for i in chosen))


def is_usable(record: Record) -> bool:
    """Whether the last answer of a conversation, or of each side of a preference, is not blank."""
    sides = [record.messages] if isinstance(record, Conversation) else [record.chosen, record.rejected]
    answers = [[m.content for m in side if m.role == "assistant"] for side in sides if side]
    return bool(answers) and all(answer and answer[-1].strip() for answer in answers)


def can_happen(accident: Accident, share: float, records: Sequence[Record], spare: Sequence[Record]) -> bool:
    """Whether enough rows can be damaged: of rows without line breaks, none can lose theirs."""
    try:
        inject(records, accident, share, np.random.default_rng(0), spare)
    except EntropylawError:
        return False
    return True


# --- rows lost -----------------------------------------------------------------------------------------------------


def sources_to_lose(records: Sequence[Record]) -> list[str]:
    """The sources of at least a few rows in a hundred; none where all rows have one source, or none."""
    found = sorted({record.source for record in records})
    if len(found) < 2:
        return []
    share = {name: sum(record.source == name for record in records) / len(records) for name in found}
    return [name for name in found if name and share[name] >= MIN_LOST_SOURCE]


def lose_source(records: Sequence[Record], rng: np.random.Generator) -> list[Record]:
    """All rows but those of one source, as when one of the files to be merged was not found."""
    candidates = sources_to_lose(records)
    if not candidates:
        raise EntropylawError("source lost: the rows have no sources to lose one of")
    lost = candidates[rng.integers(len(candidates))]
    return [record for record in records if record.source != lost]


def keep_beginning(share: float) -> Callable[[Sequence[Record], np.random.Generator], list[Record]]:
    """The rows at the beginning of the file, ``share`` of all, as when a download or a write breaks off."""
    return lambda records, rng: list(records[: round(share * len(records))])


LOSSES = (
    Loss("source lost", lose_source),
    Loss("last 10% cut off", keep_beginning(0.9)),
    Loss("last 30% cut off", keep_beginning(0.7)),
    Loss("first tenth kept", keep_beginning(0.1)),
)


# --- all kinds -----------------------------------------------------------------------------------------------------


def _in_answers(name: str, change: TextChange, expected: Alarm = "risky", every_row: bool = False) -> Accident:
    damage = change_contents(change, answers_only=True)
    return Accident(name, "conversations", "replaces", damage, expected=expected, every_row=every_row)


def _in_all_text(name: str, change: TextChange, expected: Alarm = "risky", every_row: bool = False) -> Accident:
    damage = change_contents(change, answers_only=False)
    return Accident(name, "conversations", "replaces", damage, expected=expected, every_row=every_row)


def _to_rows(name: str, damage: Damage, expected: Alarm = "risky") -> Accident:
    return Accident(name, "conversations", "replaces", damage, expected=expected)


ACCIDENTS = (
    Accident("exact duplicates", "conversations", "adds", rows_after.copy_rows, verbatim=True),
    Accident("near-duplicates", "conversations", "adds", change_contents(texts.recase, answers_only=False)),
    Accident("contradictory copies", "conversations", "adds", rows_after.contradict),
    Accident("stale copies", "conversations", "adds", change_contents(texts.redraft, answers_only=True)),
    _in_answers("boilerplate answers", texts.answer_boilerplate),
    _to_rows("one refusal for all", rows_after.refuse_all),
    _to_rows("wrong code page", rows_after.read_wrongly),
    _in_all_text("garbled punctuation", texts.garble_punctuation),
    _in_answers("random characters", texts.type_randomly),
    _in_answers("truncated answers", texts.truncate),
    _in_answers("answers cut at 60%", texts.cut_late),
    _in_answers("empty-ish answers", texts.empty_nearly),
    _in_answers("answers twice", texts.say_twice),
    _in_answers("answers lower-cased", texts.lower_case),
    _in_answers("line breaks lost", texts.lose_line_breaks),
    _in_all_text("literal line breaks", texts.escape_line_breaks),
    _in_all_text("another language", texts.translate),
    _in_all_text("HTML left in", texts.leave_html),
    _in_all_text("HTML entities", texts.leave_entities),
    _to_rows("template tokens", rows_after.leak_template),
    _to_rows("think blocks", change_answers_by_prompt(rows_after.think_aloud)),
    _to_rows("prompt in front", change_answers_by_prompt(rows_after.put_prompt_in_front)),
    _to_rows("prompts echoed", rows_after.echo_prompts),
    _to_rows("input lost", rows_after.lose_input),
    _to_rows("answers swapped", rows_after.swap_answers),
    _to_rows("roles swapped", rows_after.swap_roles),
    _to_rows("prompt and answer exchanged", rows_after.exchange_columns),
    _in_all_text("every row: HTML entities", texts.leave_entities, every_row=True),
    _in_answers("every row: lower-cased", texts.lower_case, every_row=True),
    _to_rows("personal data", rows_after.reveal_person, "warn"),
    _to_rows("one closing phrase", rows_after.close_alike, "warn"),
    _in_answers("markdown stripped", texts.strip_markdown, "warn"),
    _in_all_text("no-break spaces", texts.break_no_spaces, "warn"),
    Accident("flipped preferences", "preferences", "replaces", rows_after.flip_preferences),
    Accident("fresh pairs flipped", "preferences", "replaces", rows_after.flip_fresh_pairs),
    Accident("Human: left in", "preferences", "replaces", rows_after.leave_next_turn),
)
