"""The demo's corpus: 4,017 real two-person conversations of 2018 from the PyPI package chitchat-dataset (MIT)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.errors import EntropylawError

OPENING_FALLBACK = "Let's chat."


@dataclass(frozen=True)
class ChatLog:
    """One conversation: its id, ISO start time, opening prompt, alternating turns, and mean rating (1-10) if rated."""

    id: str
    start: str
    opening: str
    turns: tuple[str, ...]
    rating: float | None


def load_chat_logs() -> list[ChatLog]:
    """All conversations in which two people spoke, by start time. Raises EntropylawError without the package."""
    try:
        import chitchat_dataset
    except ImportError:
        raise EntropylawError(
            "the demo needs the package chitchat-dataset; install it with `pip install 'entropylaw[demo]'`"
        ) from None
    with (Path(chitchat_dataset.__file__).parent / "dataset.json").open(encoding="utf-8") as handle:
        raw: dict[str, Any] = json.load(handle)
    logs = [_parse_log(key, value) for key, value in raw.items()]
    return sorted((log for log in logs if log is not None), key=lambda log: (log.start, log.id))


def _parse_log(key: str, value: Mapping[str, Any]) -> ChatLog | None:
    turns: list[str] = []
    speakers: list[str] = []
    for group in value["messages"]:
        text = " ".join(part["text"].strip() for part in group if part["text"].strip())
        if not text:
            continue
        if speakers and speakers[-1] == group[0]["sender"]:
            turns[-1] += " " + text
        else:
            turns.append(text)
            speakers.append(group[0]["sender"])
    if len(set(speakers)) < 2:
        return None
    ratings = [score for score in value.get("ratings", {}).values() if isinstance(score, (int, float))]
    return ChatLog(
        id=key,
        start=value["start"],
        opening=(value.get("prompt") or "").strip() or OPENING_FALLBACK,
        turns=tuple(turns),
        rating=sum(ratings) / len(ratings) if ratings else None,
    )


def to_conversation(log: ChatLog) -> dict[str, Any]:
    """A ShareGPT row: the opening prompt is the human's, the first speaker answers it, and so on in turn."""
    roles = ("gpt", "human")
    turns = [{"from": "human", "value": log.opening}]
    turns += [{"from": roles[i % 2], "value": text} for i, text in enumerate(log.turns)]
    if turns[-1]["from"] == "human":  # an unanswered last turn has nothing to learn from
        turns.pop()
    return {"id": log.id, "source": log.start[:7], "conversations": turns}


def to_preference(chosen: ChatLog, rejected: ChatLog) -> dict[str, Any]:
    """A preference pair: two answers to one opening prompt, from a conversation rated high and one rated low."""
    return {"prompt": chosen.opening, "chosen": chosen.turns[0], "rejected": rejected.turns[0]}


def pair_by_rating(logs: list[ChatLog], pairs: int) -> list[dict[str, Any]]:
    """At most ``pairs`` preference pairs: within each opening prompt the best rated against the worst rated."""
    by_opening: dict[str, list[ChatLog]] = {}
    for log in logs:
        if log.rating is not None:
            by_opening.setdefault(log.opening, []).append(log)
    ranked = [sorted(group, key=lambda log: log.rating or 0.0) for group in by_opening.values()]
    candidates = [(group[-1 - i], group[i]) for group in ranked for i in range(len(group) // 2)]
    # Widest difference in rating first.
    candidates.sort(key=lambda pair: (pair[1].rating or 0.0) - (pair[0].rating or 0.0))
    return [to_preference(high, low) for high, low in candidates[:pairs] if (high.rating or 0) > (low.rating or 0)]
