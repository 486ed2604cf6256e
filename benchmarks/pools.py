"""The rows that versions are made of: a baseline, fresh rows like it, and rows unlike both.

The rows of a corpus are split once. What is done with them stands in `updates` and `accidents`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from corpus.errors import EntropylawError
from corpus.formats import parse_row
from corpus.records import Record, content_hash
from entropylaw.demo.chitchat import ChatLog, pair_by_rating, to_conversation
from monitor.power.pool import Pool, group_by_topic, keep_distinct

# As many fresh rows as this share of the baseline are kept out of it, at least: for growth, and for the fresh rows of
# an update and of an accident.
SPARE_SHARE = 0.3

# Of a mixture, as many fresh rows as this multiple of the baseline, part by part, so that it can double and keep its
# proportions.
MIXTURE_SPARE = 1.2
# So many rows of a part are looked at for one in the baseline: all of them, and what goes to new topics.
LOOKED_AT = 3.2

# Of chit-chat, the baseline has no row of these months, nor of so many opening prompts.
LATER_MONTHS = ("2018-10", "2018-11")
NEW_OPENINGS = 6
# Of any other file, so many of its topics.
NEW_TOPICS = 2
# Rows that are in no version, for the pipeline's held-out file.
HELD_OUT_ROWS = 100


def split_chat_logs(logs: Sequence[ChatLog], rows: int, team: int) -> Pool:
    """Split the conversations of chit-chat. Another ``team`` gets other rows and other new topics."""
    rng = np.random.default_rng([team, 0])
    openings = sorted({log.opening for log in logs})
    unknown = {openings[i] for i in rng.permutation(len(openings))[:NEW_OPENINGS]}
    distinct: dict[str, tuple[ChatLog, Record]] = {}
    for log in logs:
        record = parse_row(to_conversation(log), "sharegpt", 1, "chit-chat")
        distinct.setdefault(content_hash(record), (log, record))
    usual: list[Record] = []
    novel: dict[str, list[Record]] = {"new opening prompts": [], "later months": []}
    for log, record in distinct.values():
        if log.start[:7] in LATER_MONTHS:
            novel["later months"].append(record)
        elif log.opening in unknown:
            novel["new opening prompts"].append(record)
        else:
            usual.append(record)
    return _split(usual, novel, rows, rng)


def split_ratings(logs: Sequence[ChatLog], rows: int, team: int) -> Pool:
    """Split preference pairs of chit-chat: a higher and a lower rated answer to the same opening prompt."""
    pairs = [parse_row(row, "preference", 1, "chit-chat") for row in pair_by_rating(list(logs), len(logs))]
    return _split(keep_distinct(pairs), {}, rows, np.random.default_rng([team, 1]))


def split_records(records: Sequence[Record], rows: int, team: int) -> Pool:
    """Split any data, in file order. The novel rows are those of a few topics, found by K-means on their words."""
    rng = np.random.default_rng([team, 2])
    records = keep_distinct(records)
    is_new = _draw_new_topics(records, team, rng)
    novel = {"new topics": [record for record, new in zip(records, is_new, strict=True) if new]}
    return _split([record for record, new in zip(records, is_new, strict=True) if not new], novel, rows, rng)


def split_mixture(parts: Sequence[Sequence[Record]], sizes: Sequence[int], team: int) -> Pool:
    """Split data of several parts; ``sizes``: how many rows of each the baseline has.

    The baseline's rows are shuffled, as they are for training: in a file sorted by source, half of what happens to it
    would happen to one source. Fresh and held-out rows have the baseline's proportions.
    """
    rng = np.random.default_rng([team, 3])
    owner: dict[str, int] = {}
    records: list[Record] = []
    for number, (part, size) in enumerate(zip(parts, sizes, strict=True)):
        found = [record for record in keep_distinct(part) if content_hash(record) not in owner]
        drawn = sorted(rng.permutation(len(found))[: round(LOOKED_AT * size)].tolist())
        owner.update((content_hash(found[i]), number) for i in drawn)
        records += [found[i] for i in drawn]
    is_new = _draw_new_topics(records, team, rng)
    novel = tuple(record for record, new in zip(records, is_new, strict=True) if new)
    usual: list[list[Record]] = [[] for _ in parts]
    for record, new in zip(records, is_new, strict=True):
        if not new:
            usual[owner[content_hash(record)]].append(record)
    held_out_share = HELD_OUT_ROWS / max(sum(sizes), HELD_OUT_ROWS)
    left = [len(rows) / size - 1 - held_out_share for rows, size in zip(usual, sizes, strict=True)]
    spare = min(MIXTURE_SPARE, *left)
    if spare < SPARE_SHARE:
        found_rows = [len(rows) for rows in usual]
        raise EntropylawError(f"parts of {found_rows} usual rows are too few for a first version with {list(sizes)}")
    baseline: list[Record] = []
    fresh: list[Record] = []
    held_out: list[Record] = []
    for rows, size in zip(usual, sizes, strict=True):
        drawn_rows = [rows[i] for i in rng.permutation(len(rows))]
        last = size + int(spare * size)
        baseline += drawn_rows[:size]
        fresh += drawn_rows[size:last]
        held_out += drawn_rows[last : last + round(held_out_share * size)]
    shuffled = tuple(baseline[i] for i in rng.permutation(len(baseline)))
    return Pool(shuffled, tuple(fresh), {"new topics": novel}, tuple(held_out))


def _draw_new_topics(records: Sequence[Record], team: int, rng: np.random.Generator) -> list[bool]:
    """Whether each row is of one of the topics that the baseline is not to have."""
    topics = group_by_topic(records, team)
    # The largest clusters hold usual rows, so new topics are chosen among the smaller half.
    by_size = np.argsort(np.bincount(topics))
    unknown = rng.permutation(by_size[: len(by_size) // 2])[:NEW_TOPICS]
    is_new: list[bool] = np.isin(topics, unknown).tolist()
    return is_new


def _split(usual: Sequence[Record], novel: dict[str, list[Record]], rows: int, rng: np.random.Generator) -> Pool:
    drawn = rng.permutation(len(usual))
    held_out = min(HELD_OUT_ROWS, len(usual) // 20)
    # Enough rows must stay out of the baseline for it to grow and to change.
    rows = min(rows, int((len(usual) - held_out) / (1 + SPARE_SHARE)))
    if rows < 100:
        raise EntropylawError(f"only {len(usual)} different rows of a kind: too few for a benchmark")
    cuts = [sorted(part.tolist()) for part in np.split(drawn, [rows, len(drawn) - held_out])]
    baseline, fresh, rest = (tuple(usual[i] for i in cut) for cut in cuts)
    return Pool(baseline, fresh, {name: tuple(found) for name, found in novel.items()}, rest)
