"""InsTag's tags of a row: what its questions are about, as a tagger model writes them down (Lu et al., 2023)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.errors import EntropylawError
from corpus.progress import Progress, ignore_progress
from corpus.records import Record
from training.chat import training_messages
from training.generation import AnswerRequest, complete_prompts
from training.model_loading import limit_length, load_causal_model
from training.row_scores import RowScoreParams
from training.scoring_cost import Announce, estimate_cost, ignore_cost
from training.turns import split_turns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# The prompt that OFA-Sys/InsTagger was trained with, from its model card: Vicuna's conversation in its own spelling.
PROMPT_START = (
    "system: A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
    "detailed, and polite answers to the human's questions. user: Please identify tags of user intentions in the "
    "following user query and provide an explanation for each tag. Please respond in the JSON format "
    '{"tag": str, "explanation": str}.\nUser query: '
)
PROMPT_END = " Assistant:"
# The length that the tagger was trained at (FastChat's default).
TAGGER_TOKENS = 2048

# A tag in JSON, or in what a model writes for JSON: with single quotes, and cut at the end of what it may write.
_TAG = re.compile(r"""["']tag["']\s*:\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')""")
_BETWEEN_WORDS = re.compile(r"[\W_]+")
# Where tags stand in a row as one text.
_BETWEEN_TAGS = re.compile(r"[,;|\n]")


def tag_rows(
    records: Sequence[Record],
    params: RowScoreParams,
    progress: Progress = ignore_progress,
    announce: Announce = ignore_cost,
) -> list[frozenset[str]]:
    """The tags of each record's questions, all turns together, as ``params.tagger`` finds them; empty where none.

    ``progress`` is told questions done and questions in all. Raises EntropylawError when the tagger cannot be loaded,
    and when it writes no tag for any row.
    """
    model, tokenizer = load_causal_model(params.tagger)
    limit = limit_length(model, TAGGER_TOKENS)
    room = limit - params.max_new_tokens
    frame = len(_encode_prompt(tokenizer, "", 2**62))
    if room <= frame:
        raise EntropylawError(
            f"model {params.tagger}: of its {limit} tokens InsTag's prompt takes {frame} and "
            f"row_scores.max_new_tokens={params.max_new_tokens} the rest; lower it, or name another row_scores.tagger"
        )
    questions = [(i, turn.instruction) for i, r in enumerate(records) for turn in split_turns(training_messages(r))]
    texts = [f"{PROMPT_START}{text}{PROMPT_END}" for _, text in questions]
    announce(
        estimate_cost(
            "tags", params.tagger, model, tokenizer, texts, room, rows=len(records), written_each=params.max_new_tokens
        )
    )
    prompts = [_encode_prompt(tokenizer, text, room) for _, text in questions]
    tags: list[set[str]] = [set() for _ in records]
    # The longest first, so that a batch that does not fit in memory fails at once.
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    for start in range(0, len(order), params.batch_rows):
        batch = order[start : start + params.batch_rows]
        # At temperature 0 nothing is drawn.
        requests = [AnswerRequest((), 0.0, np.random.default_rng(0))] * len(batch)
        written = complete_prompts(
            model, tokenizer, [prompts[i] for i in batch], requests, params.max_new_tokens, len(batch),
            [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else [],
        )  # fmt: skip
        for i, answer in zip(batch, written, strict=True):
            tags[questions[i][0]] |= find_tags(answer.text)
        progress(start + len(batch), len(order))
    if records and not any(tags):
        raise EntropylawError(
            f'model {params.tagger}: it wrote no tag such as {{"tag": "…"}} for any of {len(records)} rows; '
            "set row_scores.tagger to a model trained as InsTagger"
        )
    return [frozenset(names) for names in tags]


def find_tags(written: str) -> frozenset[str]:
    """The tags in what a tagger wrote: JSON, or nearly so, which may end anywhere.

    Tags are lower-cased, and all but letters and digits become single spaces, as in the paper's first aggregation.

    >>> sorted(find_tags('[{"tag": "Code Review", "explanation": "…"}, {"tag": "code-review"}, {"tag": "py'))
    ['code review']
    """
    return _normalise(_unescape(double or single) for double, single in _TAG.findall(written))


def read_tags(value: Any) -> frozenset[str]:
    """The tags that stand in a row: a list of names or of objects with a name, the same as JSON, or names with commas.

    >>> sorted(read_tags(["Maths", {"tag": "proof"}])), sorted(read_tags("maths, proof")), read_tags(None)
    (['maths', 'proof'], ['maths', 'proof'], frozenset())
    """
    if isinstance(value, str):
        if not value.lstrip().startswith(("[", "{")):
            return _normalise(_BETWEEN_TAGS.split(value))
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return find_tags(value)
    items = value if isinstance(value, list) else [value]
    names = [item.get("tag") if isinstance(item, dict) else item for item in items]
    return _normalise(name for name in names if isinstance(name, str))


def _normalise(names: Iterable[str]) -> frozenset[str]:
    return frozenset(filter(None, (_BETWEEN_WORDS.sub(" ", name.casefold()).strip() for name in names)))


def _unescape(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text


def _encode_prompt(tokenizer: PreTrainedTokenizerBase, question: str, room: int) -> tuple[int, ...]:
    """InsTag's prompt in at most ``room`` tokens: a question that is too long loses its end, the prompt does not."""
    start: list[int] = tokenizer.encode(PROMPT_START + question, verbose=False)
    end: list[int] = tokenizer.encode(PROMPT_END, add_special_tokens=False)
    return (*start[: room - len(end)], *end)
