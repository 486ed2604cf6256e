"""Answers of a model to conversations. Each has random numbers of its own, so it does not depend on its batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from corpus.records import Message
from training.chat import encode_conversation, encode_prompt

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """A conversation to be answered. At temperature 0 the most likely tokens are taken and ``random`` is not used."""

    messages: tuple[Message, ...]
    temperature: float
    random: np.random.Generator


@dataclass(frozen=True, slots=True)
class GeneratedAnswer:
    """An answer. ``is_cut``: it reached the limit of new tokens, or of the model's own length, before its end."""

    text: str
    is_cut: bool


def generate_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[AnswerRequest],
    max_new_tokens: int,
    batch_rows: int,
) -> list[GeneratedAnswer]:
    """One answer of at most ``max_new_tokens`` tokens to each request, drawn from the model's own distribution.

    Of the model's generation_config.json only the end tokens count; its penalties and cut-offs are ignored. When a
    conversation leaves the model room for fewer tokens, it is answered in a batch of its own with as many as are left.
    Raises EntropylawError when the chat template refuses the messages.
    """
    prompts = [encode_prompt(tokenizer, request.messages) for request in requests]
    return complete_prompts(
        model, tokenizer, prompts, requests, max_new_tokens, batch_rows, find_stop_tokens(model, tokenizer)
    )


def complete_prompts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[tuple[int, ...]],
    requests: Sequence[AnswerRequest],
    max_new_tokens: int,
    batch_rows: int,
    stops: list[int],
) -> list[GeneratedAnswer]:
    """As ``generate_answers`` over prompts that are token ids already; ``requests`` say how each is drawn.

    ``stops``: ids of the tokens that end an answer.
    """
    longest = getattr(model.config, "max_position_embeddings", None)
    limits = [max_new_tokens if longest is None else min(max_new_tokens, longest - len(prompt)) for prompt in prompts]
    whole = [i for i, limit in enumerate(limits) if limit == max_new_tokens]
    batches = [whole[start : start + batch_rows] for start in range(0, len(whole), batch_rows)]
    batches += [[i] for i, limit in enumerate(limits) if 0 < limit < max_new_tokens]
    # Requests in no batch have no room for a single token.
    answers = [GeneratedAnswer("", is_cut=True)] * len(requests)
    model.eval()
    for batch in batches:
        drawn = _generate_batch(
            model,
            [prompts[i] for i in batch],
            [requests[i] for i in batch],
            limits[batch[0]],
            stops,
            tokenizer.pad_token_id,
        )
        for i, new in zip(batch, drawn, strict=True):
            length = next((count for count, token in enumerate(new) if token in stops), None)
            text = str(tokenizer.decode(new[:length], skip_special_tokens=True)).strip()
            answers[i] = GeneratedAnswer(text, is_cut=length is None)
    return answers


def find_stop_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids of the tokens that end an answer, ascending: those that tokenizer and model name, and that of the template.

    The one with which the chat template ends a turn is added because a base model that was trained with another
    model's template does not name it.
    """
    named = model.generation_config.eos_token_id if model.generation_config is not None else None
    stops = {tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])}
    row = encode_conversation(tokenizer, (Message("user", "Hi"), Message("assistant", "Hello")), max_length=2**20)
    if row is not None:
        last = [token for token, is_response in zip(row.ids, row.response, strict=True) if is_response][-1]
        # Only a token of its own: a template may also end a turn with ordinary text such as a line break.
        stops |= {last} & {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    return sorted(token for token in stops if token is not None)


def _generate_batch(
    model: PreTrainedModel,
    prompts: Sequence[tuple[int, ...]],
    requests: Sequence[AnswerRequest],
    max_new_tokens: int,
    stops: list[int],
    padding_id: int,
) -> list[list[int]]:
    """The new token ids for each prompt; padding follows the stop token."""
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    width = max(map(len, prompts))
    # Padded on the left, so that all answers begin at the same index.
    ids = torch.tensor([[padding_id] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    # What is not set here would be taken from the model's own configuration, such as a penalty on repetitions.
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        return_dict_in_generate=False,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        eos_token_id=stops or None,
        pad_token_id=padding_id,
    )
    generate: Any = model.generate  # its annotations say Tensor
    with torch.inference_mode():
        output = generate(
            ids.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=config,
            logits_processor=LogitsProcessorList([_noise(requests, model.device)]),
        )
    return [list(row) for row in output[:, width:].tolist()]


def _noise(requests: Sequence[AnswerRequest], device: torch.device) -> Any:
    """A logits processor after which taking the largest score is a draw at each row's temperature (the Gumbel trick).

    The library's own sampling draws a whole batch from one stream of random numbers, so that an answer would change
    with the other requests of its batch.
    """
    import torch
    from transformers import LogitsProcessor

    streams = [
        torch.Generator(device).manual_seed(int(request.random.integers(2**63))) if request.temperature > 0 else None
        for request in requests
    ]

    class AddNoise(LogitsProcessor):
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            scores = scores.float()
            for i, (request, stream) in enumerate(zip(requests, streams, strict=True)):
                if stream is not None:
                    exponential = torch.empty_like(scores[i]).exponential_(generator=stream)
                    scores[i] = scores[i] / request.temperature - exponential.log()
            return scores

    return AddNoise()
