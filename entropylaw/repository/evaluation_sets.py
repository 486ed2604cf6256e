"""The rows that must not be trained on: those that are held out, and the benchmarks that params.yaml names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from corpus.params import read_section
from corpus.progress import Progress, ignore_progress
from corpus.records import HashedRecord, Preference, Record
from corpus.workers import IN_THIS_THREAD, Workers
from entropylaw.printing import note

if TYPE_CHECKING:
    from corpus.files import Row
    from corpus.leaked_rows import LeakReport
    from monitor.measures.leak_index import EvaluationRow, EvaluationSet

# The stage of progress in which near copies are looked for.
LEAKS = "near copies of held-out rows"
# How contamination.sets names a task of lm-eval, as the history does.
TASK = "lm_eval/"


@dataclass(frozen=True)
class ContaminationParams:
    """The section ``contamination`` of params.yaml: what must not be trained on, beside the held-out rows.

    ``sets``: files, folders or patterns in any accepted format, question files of MT-bench, and ``lm_eval/TASK`` for a
    task of lm-eval.
    """

    # Files of releases up to 0.2.0 have no such section.
    OPTIONAL: ClassVar[bool] = True
    sets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.sets)) < len(self.sets) or not all(self.sets):
            raise ValueError("sets must name each set once")


class LeakSearch:
    """Finds near copies of evaluation sets, in one version after another. The sets are read once, when first needed.

    ``names``: of the sets, as ``list_sets`` gives them.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self._sets: list[EvaluationSet] | None = None

    def read(self) -> list[EvaluationSet]:
        """The sets. Raises EntropylawError where one cannot be read."""
        if self._sets is None:
            self._sets = read_sets(self.names)
        return self._sets

    def find(
        self,
        rows: Sequence[HashedRecord],
        progress: Progress = ignore_progress,
        workers: Workers = IN_THIS_THREAD,
    ) -> LeakReport | None:
        """The near copies among some rows; None where there are no sets."""
        from monitor.measures.leaks import find_leaks

        return find_leaks(rows, self.read(), progress, workers) if self.names else None


def list_sets(held_out: Path | None) -> tuple[str, ...]:
    """The names of all sets that must not be trained on: the held-out file, and those that params.yaml names."""
    paths = () if held_out is None else (held_out.as_posix(),)
    return tuple(dict.fromkeys([*paths, *read_section(ContaminationParams, "contamination").sets]))


def tell_leaks(data: object, leaks: LeakReport | None) -> None:
    """Say on stderr, in one line, how many rows are near copies, and of what; nothing where none is."""
    if leaks is None or not leaks.leaked:
        return
    from monitor.rules.drafts import join_words

    of = join_words(
        [f"{one.leaked:,} of the {one.rows:,} rows of {name}" for name, one in leaks.sets.items() if one.leaked]
    )
    note(f"{data}: {leaks.leaked:,} of {leaks.rows:,} rows are near copies of {of}")


def read_sets(names: Iterable[str]) -> list[EvaluationSet]:
    """Each set by its name."""
    from monitor.measures.leak_index import EvaluationSet

    return [EvaluationSet(name, tuple(_read_set(name))) for name in names]


def _read_set(name: str) -> Iterator[EvaluationRow]:
    if name.startswith(TASK):
        return _read_task(name.removeprefix(TASK))
    return _read_file(Path(name))


def _read_file(path: Path) -> Iterator[EvaluationRow]:
    """The rows of a file. One that cannot be read cannot be found either."""
    from corpus.files import read_rows
    from corpus.formats import parse_rows
    from corpus.prepare import PrepareParams
    from entropylaw.repository.datasets import held_out_reading

    reading = held_out_reading(path)
    limit = read_section(PrepareParams, "prepare").max_row_bytes
    rows = read_rows(path, limit, bad_rows=lambda row: None)
    first = list(islice(rows, 1))
    if first and is_question(first[0][1]):
        yield from (_read_question(row, number) for number, row in chain(first, rows) if is_question(row))
    elif first:
        parsed = parse_rows(chain(first, rows), path, reading, None, lambda row: None)
        yield from (to_evaluation_row(row.record, row.number) for row in parsed.rows)


def is_question(row: Row) -> bool:
    """Whether a row is a question of MT-bench, in FastChat's format."""
    turns = row.get("turns")
    return "question_id" in row and isinstance(turns, list) and all(isinstance(turn, str) for turn in turns)


def _read_question(row: Row, number: int) -> EvaluationRow:
    from monitor.measures.leak_index import EvaluationRow

    reference: Any = row.get("reference")
    answers = reference if isinstance(reference, list) else ()
    return EvaluationRow(number, tuple(row["turns"]), tuple(answer for answer in answers if isinstance(answer, str)))


def _read_task(task: str) -> Iterator[EvaluationRow]:
    from monitor.measures.leak_index import EvaluationRow
    from training.evaluation_params import EvaluationParams
    from training.lm_eval_tasks import read_documents

    params = read_section(EvaluationParams, "evaluation").lm_eval
    for number, (question, answer) in enumerate(read_documents(task, params.include_path), start=1):
        yield EvaluationRow(number, (question,), (answer,) if answer.strip() else ())


def to_evaluation_row(record: Record, number: int) -> EvaluationRow:
    """What a record asks, and what it answers: of a preference both answers."""
    from monitor.measures.leak_index import EvaluationRow

    sides = (record.prompt, record.chosen, record.rejected) if isinstance(record, Preference) else (record.messages,)
    said = [message for side in sides for message in side]
    asked = tuple(message.text for message in said if message.role not in ("system", "assistant"))
    return EvaluationRow(number, asked, tuple(message.text for message in said if message.role == "assistant"))
