"""Small models that classify, or write one text: real ones, made of the base model of the tests in a moment."""

from __future__ import annotations

import shutil
from pathlib import Path

from training.model_loading import load_causal_model


def make_classifier(base_folder: Path, folder: Path, outputs: int) -> Path:
    """A model of sequence classification with the base model's layers and numbers that differ between texts."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(outputs)
    config = LlamaConfig.from_pretrained(base_folder, num_labels=outputs)
    model = LlamaForSequenceClassification(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base_folder).save_pretrained(folder)
    return folder


def make_tagger(base_folder: Path, folder: Path, written: str) -> Path:
    """A model that writes the same text and ends, whatever it reads; the text is one token of its own."""
    import torch

    shutil.copytree(base_folder, folder)
    model, tokenizer = load_causal_model(str(folder), device="cpu")
    tokenizer.add_tokens([written])
    tokenizer.save_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer))
    text, end = tokenizer.convert_tokens_to_ids(written), tokenizer.eos_token_id
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if "norm" in name else 0.0)
        # After the text comes the end, after anything else the text.
        embeddings, head = (torch.zeros_like(model.get_input_embeddings().weight) for _ in range(2))
        embeddings[:, 0], embeddings[text, 0] = 1.0, -1.0
        head[text, 0], head[end, 0] = 1.0, -1.0
        model.config.tie_word_embeddings = False
        model.get_input_embeddings().weight = torch.nn.Parameter(embeddings)
        model.lm_head.weight = torch.nn.Parameter(head)
    model.save_pretrained(folder)
    return folder
