"""A check: looks at every row of the files in one go, and says which issues it sees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow


@dataclass(frozen=True)
class TokenCounter:
    """A model's tokenizer, as far as checks need it.

    ``count``: from texts to their numbers of tokens, without tokens that a chat template adds. ``special_tokens``:
    the tokens that the tokenizer reads as control tokens wherever they stand in a text.
    """

    count: Callable[[Sequence[str]], list[int]]
    special_tokens: tuple[str, ...]


@dataclass(frozen=True)
class LintSettings:
    """What the user asked for.

    ``tokenizer``: None where no tokenizer was named. ``max_length``: how many tokens of a row training reads, None
    where that was not said. ``max_characters``: as in the section `prepare` of params.yaml. ``wanted``: the codes that
    are reported.
    """

    wanted: frozenset[str]
    tokenizer: TokenCounter | None = None
    max_length: int | None = None
    max_characters: int = 1_000_000


@dataclass(frozen=True)
class Hit:
    """One row that has an issue.

    ``index``: of the row among all rows that could be read. ``detail``: what it was, never words of the row: findings
    count rows by it. ``text``, ``start``: a text of the row and where in it the issue stands, for those who want to see
    it. ``other``: the index of the row that this one repeats.
    """

    issue: Issue
    index: int
    detail: str = ""
    text: str = field(default="", repr=False)
    start: int = 0
    other: int | None = None


class Observer:
    """What a check does while the rows go by, once for each run. A check overrides what it needs.

    It keeps hashes and counts of rows, never their texts, except those of a sample of bounded size.
    """

    def look(self, row: LintRow) -> Iterable[Hit]:
        """Called for every row in order."""
        return ()

    def wanted_again(self) -> Iterable[int]:
        """After the last row: indices of rows that the check must see once more, to be sure."""
        return ()

    def look_again(self, row: LintRow) -> None:
        """Called for those rows, in order."""

    def finish(self) -> Iterable[Hit]:
        """The hits that only all rows together show, in the order of the rows."""
        return ()


@dataclass(frozen=True)
class RowObserver(Observer):
    """The Observer of a check that needs no other row."""

    function: Callable[[LintRow], Iterable[Hit]]

    def look(self, row: LintRow) -> Iterable[Hit]:
        return self.function(row)


@dataclass(frozen=True)
class Check:
    """One check. A file of this folder that has one calls it CHECK, and ``list_checks`` finds it there.

    ``issues``: all that it can report. ``start``: makes its observer; a sentence instead says why it cannot run.
    """

    issues: tuple[Issue, ...]
    start: Callable[[LintSettings], Observer | str]


def row_check(issues: tuple[Issue, ...], function: Callable[[LintRow], Iterable[Hit]]) -> Check:
    """A check that looks at each row alone."""
    return Check(issues, lambda settings: RowObserver(function))
