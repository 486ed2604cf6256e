"""How the rows of one file are read: what its owner says of them, and the plan for each set of keys that they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from corpus.errors import DataError
from corpus.files import Row, json_type
from corpus.formats.beside import add_before, read_score, read_source, read_tools
from corpus.formats.conversations import read_conversation, require_answer
from corpus.formats.detection import RowPlan, plan_row, sign_row
from corpus.formats.dialects import COLUMN_NAMES
from corpus.formats.keys import (
    HISTORY_KEY,
    LABEL_KEYS,
    SCORE_KEYS,
    SOURCE_KEYS,
    SYSTEM_KEYS,
    TOOLS_KEYS,
    KeyLedger,
    is_empty,
)
from corpus.formats.kinds import CONVERSATIONS, PREPARED, Format, FormatChoice
from corpus.formats.messages import Messages
from corpus.formats.preferences import read_inner_tools, read_preference
from corpus.formats.unreadable import Unreadable, Unsupported
from corpus.records import Conversation, Preference, Record

# Plans kept at once; a file with new keys in every row makes no more.
_MAX_PLANS = 1000
_SOURCE_KEYS = frozenset(SOURCE_KEYS)
# What `columns` may name: the columns of all formats, and what may stand beside them.
_BESIDE = (SYSTEM_KEYS[0], HISTORY_KEY, TOOLS_KEYS[0], SCORE_KEYS[0], SOURCE_KEYS[0])
MAPPABLE = tuple(sorted({*COLUMN_NAMES, *_BESIDE}))


@dataclass(frozen=True)
class Reading:
    """What the owner of a file says of its rows.

    ``format``: one of the formats, or "auto". ``columns``: our name of a column, and the name that it has in the file,
    such as ``{"prompt": "question"}``. ``ignore_keys``: keys and parts that are passed over, as if they were not there.
    """

    format: FormatChoice = "auto"
    columns: Mapping[str, str] = field(default_factory=dict)
    ignore_keys: Sequence[str] = ()

    def __post_init__(self) -> None:
        if unknown := [ours for ours in self.columns if ours not in MAPPABLE]:
            raise ValueError(f"columns: unknown name {unknown[0]!r}; known are {', '.join(MAPPABLE)}")
        theirs = list(self.columns.values())
        if twice := [name for name in theirs if theirs.count(name) > 1]:
            raise ValueError(f"columns: {twice[0]!r} is named twice")


class RowReader:
    """Reads the rows of one file, and keeps count of the keys that are not read."""

    def __init__(self, reading: Reading, keys: KeyLedger | None = None) -> None:
        self.reading = reading
        self.keys = keys or KeyLedger(reading.ignore_keys)
        self._ours = {theirs: ours for ours, theirs in reading.columns.items()}
        self._plans: dict[tuple[object, ...], RowPlan] = {}

    def name_columns(self, row: Row) -> Row:
        """The row under our names, without the keys that are ignored; prepared rows as they are."""
        if not self._ours and not self.keys.ignored:
            return row
        if row.keys() >= {"row", "hash", "source"}:
            return row
        taken = {}
        for key, value in row.items():
            if key in self._ours:
                taken[self._ours[key]] = value
            elif key in self.keys.ignored or key in self.reading.columns:
                if not is_empty(value):
                    self.keys.note_unread(key)
            else:
                taken[key] = value
        return taken

    def require_columns(self, rows: Sequence[tuple[int, Row]], path: str | Path) -> None:
        """Raise DataError where a column that ``columns`` names is in none of these rows."""
        seen = {key: None for _, row in rows for key in row}
        if all(row.keys() >= {"row", "hash", "source"} for _, row in rows):
            return
        for ours, theirs in self.reading.columns.items():
            if theirs not in seen:
                raise DataError(path, f"columns: {ours}: no column {theirs!r}; the rows have {', '.join(seen)}")

    def plan(self, row: Row, format: Format | None = None) -> RowPlan:
        """How a row, under our names, is read: in its own format, or in the one named."""
        signature = (format, *sign_row(row))
        plan = self._plans.get(signature)
        if plan is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            plan = self._plans[signature] = plan_row(row, format)
        return plan

    def read(self, row: Row, plan: RowPlan, row_number: int) -> Record:
        """The record of a row, under our names. Raises Unreadable and Unsupported."""
        format = plan.format
        if format is None:
            raise Unreadable("missing key", "no known format has these keys")
        for key in plan.unsupported:
            if not is_empty(row.get(key)):
                raise Unsupported(_explain_unsupported(key))
        given = row
        if plan.renamed:
            row = {key: value for key, value in row.items() if key not in plan.renamed.values()}
            row |= {ours: given[theirs] for ours, theirs in plan.renamed.items() if theirs in given}
        try:
            record = self._read(row, format, plan.has_extras, row_number)
            if says_nothing(record):
                raise Unreadable("blank row", "all texts are empty")
        except Unreadable as error:
            raise self._explain(error, given, plan) from None
        for key in plan.unread:
            if not is_empty(given.get(key)) and not _repeats(given, key, record):
                self.keys.note_unread(key)
        return record

    def _read(self, row: Row, format: Format, has_extras: bool, row_number: int) -> Record:
        keys, tools = self.keys, ""
        source = "" if _SOURCE_KEYS.isdisjoint(row) else read_source(row)
        if format in PREPARED:
            number = row.get("row")
            if type(number) is not int:
                problem = f"'row' is {json_type(number)}; expected a number" if "row" in row else "missing key 'row'"
                raise Unreadable("wrong type", problem)
            row_number, tools = number, row.get("tools") or ""
        elif has_extras:
            tools = read_tools(row, keys)
            if not tools and format == "openai_preference":
                tools = read_inner_tools(row)
        if format in CONVERSATIONS:
            messages = read_conversation(row, format, keys)
            if has_extras:
                messages = add_before(row, messages, format, keys)
            last = messages[-1] if messages else None
            if last is None or last.role != "assistant" or not last.trained:
                require_trained(require_answer(messages))
            return Conversation(messages, source, row_number, tools)
        prompt, chosen, rejected = read_preference(row, format, keys)
        if has_extras:
            prompt = add_before(row, prompt, format, keys)
        return Preference(prompt, chosen, rejected, source, row_number, read_score(row) if chosen else None, tools)

    def _explain(self, error: Unreadable, row: Row, plan: RowPlan) -> Unreadable:
        """The error under the names of the file, and as a blank row where that is what it is."""
        columns = {*plan.dialect.columns.values(), *plan.dialect.optional.values()} if plan.dialect else set()
        if error.reason != "blank row" and columns & row.keys() and all(is_empty(row.get(key)) for key in columns):
            return Unreadable("blank row", "all texts are empty")
        detail = error.detail
        for ours, theirs in {**self.reading.columns, **plan.renamed}.items():
            detail = detail.replace(repr(ours), repr(theirs))
        return Unreadable(error.reason, detail)


def require_trained(messages: Messages) -> None:
    """Raise Unreadable where no answer of a conversation is to be learned."""
    if not any(message.trained and message.role == "assistant" for message in messages):
        raise Unreadable("nothing to train on", "no answer is to be learned: all have a weight of 0")


def says_nothing(record: Record) -> bool:
    # The last text decides for nearly all rows.
    sides = (record.messages,) if isinstance(record, Conversation) else (record.rejected or record.chosen,)
    return not sides[0][-1].text.strip() and not any(message.text.strip() for _, message in record.turns())


def _repeats(row: Row, key: str, record: Record) -> bool:
    """Whether a key that is not read holds only what the row says elsewhere."""
    value = row[key]
    if isinstance(value, str):
        return any(value.strip() == message.content.strip() for _, message in record.turns())
    return isinstance(value, list) and any(value == other for name, other in row.items() if name != key)


def _explain_unsupported(key: str) -> str:
    if key in LABEL_KEYS:
        return (
            f"{key!r} is neither true nor false, 1 nor 0, so it is not known which rows are to be learned; if {key!r} "
            f"says something else, name it in prepare.ignore_keys"
        )
    return (
        f"{key!r} changes training and is not supported here; to read the rows without it, name it in "
        "prepare.ignore_keys"
    )
