"""Which rows to train on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from numpy.typing import ArrayLike

from corpus.embeddings import embed_texts, load_embedder
from corpus.errors import EntropylawError
from corpus.records import HashedRecord, answers_of, canonical_text, plain_text
from entropylaw.own_packages import find_own_packages_first
from selection import methods
from selection.engines import EngineName
from selection.methods import NEED_EMBEDDINGS, NEED_PLAIN_TEXTS, RowFacts, SelectionParams


def select_rows(
    rows: Sequence[HashedRecord],
    params: SelectionParams | None = None,
    scores: ArrayLike | None = None,
    token_counts: Sequence[int] | None = None,
    workers: int = 1,
    engine: EngineName = "threads",
    target: Iterable[HashedRecord] | None = None,
    tags: Sequence[Iterable[str]] | None = None,
) -> list[HashedRecord]:
    """The rows to train on, in the order in which they were selected, by ZIP or by ``params.method``.

    ``params`` also says how many: ``rows``, ``tokens`` or a ``share`` of the rows. ``token_counts``, shape (rows,): for
    a budget in tokens. ``scores``, shape (rows,): what perplexity, superfiltering, deita and score rank by, such as
    each row's loss; NaN where a row has none. For length, the lengths of the answers, by default in characters.
    ``target``: rows like those that dsir is to find. ``workers`` and ``engine`` are ZIP's; with the engine
    ``processes``, call it from a script below ``if __name__ == "__main__":``, as every program that starts Python
    processes must.

    ``scores`` are also what cherry (each row's IFD), alpagasus (its grade) and qurating (its rating) rank by. ``tags``:
    of each row, for instag. mods trains a model on the way and is there as a command only.

    Raises EntropylawError when the method needs scores, or the budget token counts, and there is not one for each row.

    >>> from entropylaw import Conversation, Message, SelectionParams, prepare_records, select_rows
    >>> answers = ["Hello!", "Hello!", "Good morning, how are you?", "Hello!"]
    >>> rows = prepare_records(
    ...     Conversation((Message("user", "Hi"), Message("assistant", answer)), row=number)
    ...     for number, answer in enumerate(answers, start=1)
    ... ).rows
    >>> sorted(record.row for record, hash in select_rows(rows, SelectionParams(rows=2)))
    [1, 3]
    """
    # Since entropylaw was imported, a notebook may have put a folder of its own first on the path, which workers get.
    find_own_packages_first()
    params = params or SelectionParams()
    if params.compat == "reference":
        raise EntropylawError("select_rows: compat reference needs the rows as they stand in the file; use the command")
    if params.tokens is not None and (token_counts is None or len(token_counts) != len(rows)):
        raise EntropylawError("select_rows: a budget in tokens needs token_counts, one for each row")
    texts = [canonical_text(record) for record, _ in rows]
    embeddings = embed_texts(load_embedder(), texts) if params.method in NEED_EMBEDDINGS else None
    if params.method == "length" and scores is None:
        scores = [len(answers_of(record)) for record, _ in rows]
    facts = RowFacts(
        token_counts,
        scores,
        embeddings,
        plain_texts=[plain_text(record) for record, _ in rows] if params.method in NEED_PLAIN_TEXTS else None,
        target_texts=None if target is None else (plain_text(record) for record, _ in target),
        tags=tags,
    )
    try:
        chosen = methods.select_rows(
            (text.encode() for text in texts),
            len(rows),
            params,
            facts,
            workers=workers,
            engine=engine,
        )
    except ValueError as error:  # nothing to rank by
        raise EntropylawError(f"select_rows: {error}") from None
    return [rows[position] for position in chosen.positions]
