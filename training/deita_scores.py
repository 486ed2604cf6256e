"""DEITA's scores of a row: complexity and quality of its turns, as graded by two models (Liu et al., 2023)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from corpus.errors import EntropylawError
from corpus.progress import Progress, ignore_progress, part_of
from corpus.records import Record
from training.chat import EncodedRow, training_messages
from training.loss import collate_rows
from training.model_loading import limit_length, load_causal_model
from training.row_scores import RowScoreParams, batch_by_length
from training.scoring_cost import Announce, estimate_cost, ignore_cost
from training.turns import Turn, split_turns

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# The prompts that the scorers were trained with, from their authors' program: every blank counts.
COMPLEXITY_PROMPT = (
    "You are a helpful assistant. Please identify the complexity score of the following user query. \n"
    "##Query: {instruction}  \n##Complexity: "
)
QUALITY_PROMPT = (
    "You are a helpful assistant. Please identify the quality score of the Response corresponding to the Question. \n"
    " #Question#:\n{instruction}\n#Response#:\n{output} \n##Quality: "
)
GRADES = "123456"
# The length that the scorers were trained at.
SCORER_TOKENS = 2048


def score_turns(
    records: Sequence[Record],
    params: RowScoreParams,
    progress: Progress = ignore_progress,
    announce: Announce = ignore_cost,
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Complexity and quality, from 1 to 6, of the turns of each record: two lists with an array (turns,) per record.

    A score is the expected grade under the scorer's probabilities of the six digits (Liu et al., 2023). ``progress`` is
    told rows done and rows in all; each row counts once for each scorer. Raises EntropylawError when a scorer cannot be
    loaded or has no digits.
    """
    # One after the other: two models of this size seldom fit in memory together.
    complexities = _grade_turns(
        params.complexity_scorer, COMPLEXITY_PROMPT, records, params, part_of(progress, 0, 2), announce
    )
    qualities = _grade_turns(params.quality_scorer, QUALITY_PROMPT, records, params, part_of(progress, 1, 2), announce)
    return complexities, qualities


def _grade_turns(
    name: str, prompt: str, records: Sequence[Record], params: RowScoreParams, progress: Progress, announce: Announce
) -> list[NDArray[np.float64]]:
    """One scorer's grades of every turn of each record."""
    model, tokenizer = load_causal_model(name)
    grade_ids = _find_grade_ids(tokenizer, name)
    limit = limit_length(model, SCORER_TOKENS)
    turns = [split_turns(training_messages(record)) for record in records]
    texts = [prompt.format(instruction=turn.instruction, output=turn.output) for of_row in turns for turn in of_row]
    announce(estimate_cost("grades", name, model, tokenizer, texts, limit, rows=len(records)))
    grades = [np.zeros(0)] * len(records)
    for batch in batch_by_length(records, params.batch_rows, progress):
        prompts = [_fit_prompt(tokenizer, prompt, turn, limit) for i in batch for turn in turns[i]]
        expected = _expect_grades(model, prompts, grade_ids, tokenizer.pad_token_id, params.batch_rows)
        ends = np.cumsum([len(turns[i]) for i in batch])
        for i, of_row in zip(batch, np.split(expected, ends[:-1]), strict=True):
            grades[i] = of_row
    return grades


def _find_grade_ids(tokenizer: PreTrainedTokenizerBase, name: str) -> list[int]:
    """The token ids of the six digits. Llama's tokenizer puts a blank before a digit, so the last id counts."""
    ids = []
    for digit in GRADES:
        encoded = tokenizer.encode(digit, add_special_tokens=False)
        if not encoded or str(tokenizer.decode(encoded[-1:])).strip() != digit:
            raise EntropylawError(
                f"model {name}: its tokenizer has no token for the digit {digit}, so it cannot grade; "
                "name a scorer trained as DEITA's"
            )
        ids.append(encoded[-1])
    return ids


def _fit_prompt(tokenizer: PreTrainedTokenizerBase, prompt: str, turn: Turn, limit: int) -> list[int]:
    """The filled prompt in at most ``limit`` tokens.

    To fit, both texts of the turn are cut to the same number of characters, the largest possible. The end of the
    prompt, which asks for the grade, is always whole.
    """

    def encode(characters: int) -> list[int]:
        filled = prompt.format(instruction=turn.instruction[:characters], output=turn.output[:characters])
        ids: list[int] = tokenizer.encode(filled, verbose=False)
        return ids

    longest = max(len(turn.instruction), len(turn.output))
    whole = encode(longest)
    if len(whole) <= limit:
        return whole
    return encode(bisect_left(range(1, longest), True, key=lambda characters: len(encode(characters)) > limit))


def _expect_grades(
    model: PreTrainedModel, prompts: Sequence[list[int]], grade_ids: list[int], padding_id: int, batch_rows: int
) -> NDArray[np.float64]:
    """The expected grade that follows each prompt: (prompts,)."""
    import torch

    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    expected = np.zeros(len(prompts))
    values = torch.arange(1, len(grade_ids) + 1, dtype=torch.float64, device=model.device)
    with torch.inference_mode():
        for start in range(0, len(order), batch_rows):
            chosen = order[start : start + batch_rows]
            rows = [EncodedRow(tuple(prompts[i]), (False,) * len(prompts[i])) for i in chosen]
            batch = {key: tensor.to(model.device) for key, tensor in collate_rows(rows, padding_id).items()}
            mask = batch["attention_mask"]
            # Only the last token's logits are made: those of 2,048 tokens over a vocabulary would fill the memory.
            output = model(
                input_ids=batch["input_ids"],
                attention_mask=mask,
                use_cache=False,
                logits_to_keep=mask.sum(dim=1, keepdim=True) - 1,
            )
            chances = output.logits[:, 0, grade_ids].double().softmax(dim=-1)
            expected[chosen] = (chances @ values).cpu().numpy()
    return expected
