"""Honest updates of real data: what a team does to its data on an ordinary day, on purpose.

Each says which verdict is right for it: `pass` for more of the same, in any order; at most `warn` where the rows are of
a new kind or were edited on purpose, which a person has to confirm. None of them is `risky`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from corpus.formats import Kind
from corpus.records import Conversation, Message, Preference, Record, canonical_text
from monitor.power.edited_texts import mend_typos, normalise_space, replace_names
from monitor.power.pool import UPDATED_SHARE, Pool, group_by_topic, replace_rows

# Of the rows there were: a quarter more, half as many again, twice as many.
GROWN_SHARES = (0.25, 0.5, 1.0)
# A clean-up removes so many of the rows.
CLEANED_SHARE = 0.1
# A deduplication removes so many.
DEDUPLICATED_SHARE = 0.05
# Typos are mended in so many of the rows.
MENDED_SHARE = 0.1
# So many rows get a system prompt, where not all of them do.
PROMPTED_SHARE = 0.1
# A new source has so many of the rows: a first try, and a larger purchase.
NEW_SOURCE_SHARES = (0.05, 0.15)
# So many rows of one source alone are added.
ONE_KIND_SHARE = 0.15
# A source that grows has this share of the rows at least: one that is hardly there would not be the one to grow.
MIN_GROWING_SOURCE = 0.05

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a friendly and knowledgeable assistant. Answer as clearly and correctly as you can.",
    "Below is a conversation with an AI assistant. The assistant is polite, and says so when it does not know.",
)

Update = Callable[[Pool, np.random.Generator], list[Record]]


@dataclass(frozen=True)
class HonestUpdate:
    """A kind of update. ``expected``: the verdict that is right; after "warn", `pass` is as right."""

    name: str
    make: Update
    expected: Literal["pass", "warn"] = "pass"


# --- more or less of the same --------------------------------------------------------------------------------------


def update_randomly(pool: Pool, rng: np.random.Generator) -> list[Record]:
    """The ordinary update: a tenth of the rows is replaced by fresh ones."""
    return replace_rows(pool.baseline, pool.fresh, UPDATED_SHARE, rng)[0]


def grow(share: float) -> Update:
    """As many fresh rows as ``share`` of the data are added at the end."""

    def make(pool: Pool, rng: np.random.Generator) -> list[Record]:
        added = rng.permutation(len(pool.fresh))[: round(share * len(pool.baseline))]
        return [*pool.baseline, *(pool.fresh[i] for i in added)]

    return make


def shuffle_rows(pool: Pool, rng: np.random.Generator) -> list[Record]:
    return [pool.baseline[i] for i in rng.permutation(len(pool.baseline))]


def sort_by_length(pool: Pool, rng: np.random.Generator) -> list[Record]:
    return sorted(pool.baseline, key=lambda record: len(canonical_text(record)))


def sort_by_topic(pool: Pool, rng: np.random.Generator) -> list[Record]:
    """The same rows source by source, and topic by topic within a source; topics come in any order."""
    topics = group_by_topic(pool.baseline, int(rng.integers(2**31)))
    places = sorted(range(len(pool.baseline)), key=lambda i: (pool.baseline[i].source, topics[i], i))
    return [pool.baseline[i] for i in places]


def drop_short_rows(pool: Pool, rng: np.random.Generator) -> list[Record]:
    """A clean-up: of half of the rows, drawn at random, the shortest are removed, a tenth of all rows in number."""
    records = pool.baseline
    looked_at = rng.permutation(len(records))[: len(records) // 2].tolist()
    by_length = sorted(looked_at, key=lambda i: (len(canonical_text(records[i])), i))
    gone = set(by_length[: round(CLEANED_SHARE * len(records))])
    return [record for i, record in enumerate(records) if i not in gone]


def drop_alike_rows(pool: Pool, rng: np.random.Generator) -> list[Record]:
    """Deduplication after an ordinary update: the rows most like an earlier one are removed, a twentieth of all."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    records = update_randomly(pool, rng)
    words = TfidfVectorizer(sublinear_tf=True, max_features=20_000).fit_transform(map(canonical_text, records)).tocsr()
    likest = np.zeros(len(records))
    for start in range(0, len(records), 500):
        likeness = (words[start : start + 500] @ words.T).toarray()
        for k, row in enumerate(likeness):
            likest[start + k] = row[: start + k].max(initial=0.0)
    gone = set(np.argsort(-likest, kind="stable")[: round(DEDUPLICATED_SHARE * len(records))].tolist())
    return [record for i, record in enumerate(records) if i not in gone]


def mend_some_rows(pool: Pool, rng: np.random.Generator) -> list[Record]:
    """Typos mended in a tenth of the rows, or in all that have some where these are fewer; no other change."""
    return edit_rows(pool.baseline, lambda record: change_texts(record, mend_typos), MENDED_SHARE, rng)


# --- new sources and deliberate edits ------------------------------------------------------------------------------


def add_new_source(share: float, labelled: bool) -> Update:
    """Rows of a new source in place of as many others, ``share`` of all; with its label, or with none at all."""

    def make(pool: Pool, rng: np.random.Generator) -> list[Record]:
        rows = [record if labelled else replace(record, source="") for record in pool.new_source]
        return replace_rows(pool.baseline, rows, share, rng)[0]

    return make


def replace_by_novel(name: str) -> Update:
    """Rows that are new in some way, in place of a tenth of the rows."""
    return lambda pool, rng: replace_rows(pool.baseline, pool.novel[name], UPDATED_SHARE, rng)[0]


def put_system_prompt(share: float, empty: bool) -> Update:
    """A system prompt, the same one or an empty one, on ``share`` of the rows after an ordinary update."""

    def make(pool: Pool, rng: np.random.Generator) -> list[Record]:
        records = update_randomly(pool, rng)
        prompt = "" if empty else SYSTEM_PROMPTS[rng.integers(len(SYSTEM_PROMPTS))]
        return edit_rows(records, lambda record: with_system(record, prompt), share, rng)

    return make


def grow_one_kind(pool: Pool, rng: np.random.Generator) -> list[Record]:
    """Fresh rows of one source alone are added: 15% of all rows, or all there are of it."""
    sources = growing_sources(pool)
    chosen = sources[rng.integers(len(sources))]
    fresh = [record for record in pool.fresh if record.source == chosen]
    added = rng.permutation(len(fresh))[: round(ONE_KIND_SHARE * len(pool.baseline))]
    return [*pool.baseline, *(fresh[i] for i in added)]


def growing_sources(pool: Pool) -> list[str]:
    """The sources that may grow; none where the rows have one source, or none."""
    found = {record.source for record in pool.baseline}
    needed = MIN_GROWING_SOURCE * len(pool.baseline)
    return [
        name
        for name in sorted(found)
        if len(found) > 1 and all(sum(r.source == name for r in rows) >= needed for rows in (pool.baseline, pool.fresh))
    ]


def edit_all(change: Callable[[str], str]) -> Update:
    """All text changed on purpose, after an ordinary update."""
    return lambda pool, rng: [change_texts(record, change) for record in update_randomly(pool, rng)]


def edit_rows(
    records: Sequence[Record],
    edit: Callable[[Record], Record],
    share: float,
    rng: np.random.Generator,
) -> list[Record]:
    """The records with ``share`` of them edited where they stand: rows drawn at random of those the edit changes."""
    wanted = round(share * len(records))
    edited = list(records)
    for i in rng.permutation(len(records)).tolist():
        if not wanted:
            break
        after = edit(records[i])
        if after.turns() != records[i].turns():
            edited[i] = after
            wanted -= 1
    return edited


def change_texts(record: Record, change: Callable[[str], str]) -> Record:
    """The record with all its texts changed; a text that would be blank stays as it is."""

    def side(messages: tuple[Message, ...]) -> tuple[Message, ...]:
        changed = [(message, change(message.content)) for message in messages]
        return tuple(replace(message, content=text) if text.strip() else message for message, text in changed)

    if isinstance(record, Preference):
        return replace(record, prompt=side(record.prompt), chosen=side(record.chosen), rejected=side(record.rejected))
    return replace(record, messages=side(record.messages))


def with_system(record: Record, prompt: str) -> Record:
    """The conversation with a system message in front; a row that has one stays as it is."""
    if not isinstance(record, Conversation) or record.messages[0].role == "system":
        return record
    return replace(record, messages=(Message("system", prompt), *record.messages))


# --- all kinds -----------------------------------------------------------------------------------------------------


def honest_updates(kind: Kind, pool: Pool) -> tuple[HonestUpdate, ...]:
    """The updates that can be made of this data.

    A re-export in another format is none of them: the rows that reach the stages are those of the random update.
    """
    same = [
        *(HonestUpdate(f"grown by {share:.0%}", grow(share)) for share in GROWN_SHARES if enough(pool, share)),
        HonestUpdate("shuffled", shuffle_rows),
        HonestUpdate("sorted by length", sort_by_length),
    ]
    if kind == "preferences":
        named = [HonestUpdate("random update", update_randomly), *same]
        return tuple(replace(update, name=f"preferences: {update.name}") for update in named)
    same = [
        HonestUpdate("random update", update_randomly),
        *same,
        HonestUpdate("sorted by topic", sort_by_topic),
        HonestUpdate("cleaned up", drop_short_rows),
        HonestUpdate("deduplicated", drop_alike_rows),
        HonestUpdate("typos mended", mend_some_rows),
    ]
    return (*same, *_deliberate_updates(pool))


def enough(pool: Pool, share: float) -> bool:
    """Whether the pool has fresh rows for growth by ``share``."""
    return len(pool.fresh) >= round(share * len(pool.baseline))


def _deliberate_updates(pool: Pool) -> list[HonestUpdate]:
    updates: list[tuple[str, Update]] = [
        (name, replace_by_novel(name))
        for name, rows in pool.novel.items()
        if len(rows) >= round(UPDATED_SHARE * len(pool.baseline))
    ]
    for share in NEW_SOURCE_SHARES:
        if len(pool.new_source) >= round(share * len(pool.baseline)):
            updates.append((f"new source, {share:.0%}", add_new_source(share, labelled=True)))
            updates.append((f"new source without label, {share:.0%}", add_new_source(share, labelled=False)))
    updates += [
        ("system prompt on 10%", put_system_prompt(PROMPTED_SHARE, empty=False)),
        ("empty system prompt on 10%", put_system_prompt(PROMPTED_SHARE, empty=True)),
        ("system prompt on all", put_system_prompt(1.0, empty=False)),
        ("names replaced", edit_all(replace_names)),
        ("white space normalised", edit_all(normalise_space)),
    ]
    if growing_sources(pool):
        updates.append(("one source grown", grow_one_kind))
    return [HonestUpdate(name, make, "warn") for name, make in updates]


def make_honest(name: str, pool: Pool, rng: np.random.Generator) -> list[Record]:
    """An honest version that follows ``pool.baseline``; ``name``: one of those in ``honest_updates``."""
    kind: Kind = "preferences" if isinstance(pool.baseline[0], Preference) else "conversations"
    (update,) = [update for update in honest_updates(kind, pool) if update.name == name]
    return update.make(pool, rng)
