"""Answers of a model to conversations, each drawn by its own random numbers: they do not depend on the batch."""

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
    """A conversation to be answered. At temperature 0 the most likely token is taken and ``random`` is not used."""

    messages: tuple[Message, ...]
    temperature: float
    random: np.random.Generator


@dataclass(frozen=True, slots=True)
class GeneratedAnswer:
    """``is_cut``: the limit of new tokens, or of the model's own length, came before the end of the answer."""

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

    Penalties and cut-offs of the model's generation_config.json are left aside; its end tokens are heeded. A
    conversation that leaves the model fewer tokens than that is answered by itself, in as many as are left.
    Raises EntropylawError when the chat template refuses the messages.
    """
    prompts = [encode_prompt(tokenizer, request.messages) for request in requests]
    longest = getattr(model.config, "max_position_embeddings", None)
    limits = [max_new_tokens if longest is None else min(max_new_tokens, longest - len(prompt)) for prompt in prompts]
    whole = [place for place, limit in enumerate(limits) if limit == max_new_tokens]
    batches = [whole[start : start + batch_rows] for start in range(0, len(whole), batch_rows)]
    batches += [[place] for place, limit in enumerate(limits) if 0 < limit < max_new_tokens]
    stops = find_stop_tokens(model, tokenizer)
    # What is in no batch has no room for a single token.
    answers = [GeneratedAnswer("", is_cut=True)] * len(requests)
    model.eval()
    for batch in batches:
        drawn = _generate_batch(
            model,
            [prompts[place] for place in batch],
            [requests[place] for place in batch],
            limits[batch[0]],
            stops,
            tokenizer.pad_token_id,
        )
        for place, new in zip(batch, drawn, strict=True):
            length = next((i for i, token in enumerate(new) if token in stops), None)
            text = str(tokenizer.decode(new[:length], skip_special_tokens=True)).strip()
            answers[place] = GeneratedAnswer(text, is_cut=length is None)
    return answers


def find_stop_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end an answer: those of the tokenizer and the model, and the one that the chat template ends a
    turn with, which a base model that was trained with another's template does not name.
    """
    named = model.generation_config.eos_token_id if model.generation_config is not None else None
    stops = {tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])}
    row = encode_conversation(tokenizer, (Message("user", "Hi"), Message("assistant", "Hello")), max_length=2**20)
    if row is not None:
        last = [token for token, is_response in zip(row.ids, row.response, strict=True) if is_response][-1]
        # A template that ends a turn with a line break has no token of its own for it.
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
    """New token ids of each prompt; after a stop token comes padding."""
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    width = max(map(len, prompts))
    # Padded on the left: the answers all begin at the same place.
    ids = torch.tensor([[padding_id] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    # Whatever is unset here is filled in from the model's own configuration, such as a penalty on repetitions.
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
    """A logits processor after which the largest score is a draw at each row's temperature (the Gumbel trick).

    The library's own sampling draws a batch from one stream, so that an answer would change with its neighbours.
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
            for place, (request, stream) in enumerate(zip(requests, streams, strict=True)):
                if stream is not None:
                    exponential = torch.empty_like(scores[place]).exponential_(generator=stream)
                    scores[place] = scores[place] / request.temperature - exponential.log()
            return scores

    return AddNoise()
