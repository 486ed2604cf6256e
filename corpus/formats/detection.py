"""Which format a row is in, told from its keys and, where those are used for several things, from what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from corpus.files import Row
from corpus.formats.dialects import DIALECTS, Dialect
from corpus.formats.keys import EXTRA_KEYS, READ_ANYWHERE, is_metadata, is_unsupported
from corpus.formats.kinds import PREPARED, Format, kind_of

# Theirs and ours: rows of all dialects that have a column of such a name are looked at more closely.
_LOOKED_AT = frozenset(dialect.columns[ours] for dialect in DIALECTS for ours in dialect.fits)
_BY_FORMAT: Mapping[Format, tuple[Dialect, ...]] = {
    dialect.format: tuple(other for other in DIALECTS if other.format == dialect.format) for dialect in DIALECTS
}
_PREPARED_KEYS = frozenset(("row", "hash", "source"))


@dataclass(frozen=True, slots=True)
class RowPlan:
    """How rows with the same keys are read.

    ``format``: None where no format has these keys; ``dialect``: of that format, None for prepared rows.
    ``has_extras``: whether a system text, a history or tools stand beside the texts. ``unread``: keys that are not
    read; ``unsupported``: keys that must not be passed over. Both count only in a row where they hold something.
    """

    format: Format | None
    dialect: Dialect | None = None
    has_extras: bool = False
    unread: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()

    @property
    def renamed(self) -> dict[str, str]:
        """Our name of each column that has another one in this dialect, and that name."""
        return self.dialect.renamed if self.dialect else {}

    def is_part_of(self, whole: RowPlan) -> bool:
        """Whether a row with this plan is one of the other plan that lacks a column, such as a pair without its
        rejected answer; a row that has more than the other is not.
        """
        if self.dialect is None or whole.dialect is None or kind_of(self.dialect.format) == "preferences":
            return False
        own, all_of_it = set(self.dialect.columns.values()), set(whole.dialect.columns.values())
        if kind_of(whole.dialect.format) == "conversations":
            return own <= all_of_it | set(whole.dialect.optional.values())
        return own < all_of_it


def detect_format(row: Row) -> Format | None:
    """The format of a row by its keys, None when no format has them.

    >>> detect_format({"prompt": "2+2?", "completion": "4", "label": True})
    'unpaired'
    """
    return plan_row(row).format


def plan_row(row: Row, format: Format | None = None) -> RowPlan:
    """How a row is to be read, in the ``format`` named or in the one that it is in. A null counts as absent, because
    parquet fills missing fields with nulls.
    """
    keys = {key for key, value in row.items() if value is not None}
    if keys >= _PREPARED_KEYS and {"messages", "prompt"} & keys:
        return RowPlan("prepared" if "messages" in keys else "prepared_preference")
    if format in PREPARED:
        return RowPlan(format)
    dialects = DIALECTS if format is None else _BY_FORMAT[format]
    dialect = next((dialect for dialect in dialects if _is_in(dialect, row)), None)
    if dialect is None:
        if format is None:
            return RowPlan(None)
        # The keys are there and hold nothing, or the wrong thing; reading the row says what is wrong with it.
        dialect = max(dialects, key=lambda other: len(set(other.columns.values()) & row.keys()))
    read = READ_ANYWHERE | {*dialect.columns.values(), *dialect.optional.values()}
    others = [key for key in row if key not in read and not is_metadata(key)]
    unsupported = tuple([key for key in others if is_unsupported(key)])
    return RowPlan(
        format or dialect.format,
        dialect,
        not EXTRA_KEYS.isdisjoint(keys) or dialect.format == "openai_preference",
        tuple([key for key in others if key not in unsupported]),
        unsupported,
    )


def guess_format(row: Row) -> Format | None:
    """The format that a row would have if its nulls held something, None when no format has its keys."""
    for dialect in DIALECTS:
        if set(dialect.columns.values()) <= row.keys() and _fits(dialect, row):
            return dialect.format
    return None


def _fits(dialect: Dialect, row: Row) -> bool:
    return all(fits(row[dialect.columns[ours]]) for ours, fits in dialect.fits.items())


def _is_in(dialect: Dialect, row: Row) -> bool:
    return all(row.get(theirs) is not None for theirs in dialect.columns.values()) and _fits(dialect, row)


def sign_row(row: Row) -> tuple[object, ...]:
    """Equal for rows that ``plan_row`` gives the same answer for, and quick to make."""
    return tuple(
        [
            (key, None) if value is None else key if key not in _LOOKED_AT else (key, _look_at(key, value))
            for key, value in row.items()
        ]
    )


def _look_at(key: str, value: object) -> tuple[bool, ...]:
    return tuple([fits(value) for fits in _FITS[key]])


_FITS = {
    key: tuple({fits for dialect in DIALECTS for ours, fits in dialect.fits.items() if dialect.columns[ours] == key})
    for key in _LOOKED_AT
}
