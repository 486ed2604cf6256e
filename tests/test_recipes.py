"""The recipes: whole params.yaml files that differ from the shipped one where they say so, and nowhere else."""

import re
from pathlib import Path
from typing import Any

import pytest
from test_params_file import SECTIONS

from corpus.params import parse_section, read_params
from entropylaw.init.command import RECIPES, shipped_text

REPOSITORY = Path(__file__).resolve().parent.parent

# The paper, Appendix B, for both models; section 5.1.1 for the models.
PAPER = {
    "sft.epochs": 4.0,
    "sft.batch_rows": 128,
    "sft.max_length": 2048,
    "sft.packing": True,
    "kto.batch_rows": 128,
    "kto.learning_rate": 1e-6,
}
# What follows from the paper's lengths and from the models' sizes.
FOLLOWS = {
    "probe.max_length": 512,
    "row_scores.max_length": 2048,
    "row_scores.batch_rows": 4,
    "sft.micro_batch_rows": 4,
    "sft.gradient_checkpointing": True,
    "kto.micro_batch_rows": 4,
    "kto.max_length": 2048,
    "kto.gradient_checkpointing": True,
    "evaluation.max_length": 2048,
    "evaluation.batch_rows": 4,
}
LARGE = {
    "base_model.weights": "bfloat16",
    "base_model.lora_rank": 16,
    "probe.steps": 192,
    "probe.batch_rows": 2,
    "calibration.law_learning_rate": 3e-4,
    "launch.strategy": "fsdp",
}
CHANGES: dict[str, dict[str, Any]] = {
    "tiny-cpu": {},
    "qwen-small": {
        **PAPER,
        **FOLLOWS,
        "base_model.pretrained": "Qwen/Qwen2.5-0.5B",
        "probe.learning_rate": 1e-5,
        "calibration.law_learning_rate": 1e-4,
        "sft.learning_rate": 1e-5,
    },
    "mistral-7b": {
        **PAPER,
        **FOLLOWS,
        **LARGE,
        "base_model.pretrained": "mistralai/Mistral-7B-v0.1",
        "base_model.chat_template": "vicuna",
        "sft.learning_rate": 4e-6,
    },
    "llama-3-8b": {
        **PAPER,
        **FOLLOWS,
        **LARGE,
        "base_model.pretrained": "meta-llama/Meta-Llama-3-8B",
        "base_model.chat_template": "llama-3",
        "sft.learning_rate": 1e-5,
    },
}


def flatten(sections: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in sections.items():
        flat.update(flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return flat


@pytest.fixture
def recipe(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read_params(REPOSITORY / "recipes" / f"{request.param}.yaml")


def test_every_recipe_is_one_that_init_knows() -> None:
    assert {path.stem for path in (REPOSITORY / "recipes").iterdir()} == set(RECIPES) == set(CHANGES)


@pytest.mark.parametrize("recipe", RECIPES, indirect=True)
def test_every_section_of_a_recipe_is_read_by_its_dataclass(recipe: dict[str, Any]) -> None:
    assert set(recipe) == {"datasets", *SECTIONS}
    for name, cls in SECTIONS.items():
        parse_section(cls, recipe[name], name)


@pytest.mark.parametrize(("recipe", "changes"), CHANGES.items(), indirect=["recipe"], ids=list(CHANGES))
def test_a_recipe_differs_from_the_shipped_values_exactly_here(recipe: dict[str, Any], changes: dict[str, Any]) -> None:
    shipped, found = flatten(read_params(REPOSITORY / "params.yaml")), flatten(recipe)
    assert list(found) == list(shipped)
    assert {key: value for key, value in found.items() if value != shipped[key]} == changes


@pytest.mark.parametrize("name", RECIPES)
def test_every_other_line_is_that_of_the_shipped_file_and_every_changed_one_says_why(name: str) -> None:
    """Whoever changes a comment in params.yaml changes it here, too."""
    sentence = "Sizes for the small model on a CPU. "  # before the paper's sizes; true of the shipped values only
    shipped = shipped_text("params.yaml").replace(sentence, "") if CHANGES[name] else shipped_text("params.yaml")
    known = set(shipped.splitlines())
    header, _, body = shipped_text(f"recipes/{name}.yaml").partition("\n\n")
    assert all(line.startswith("#") for line in header.splitlines()) and name in header
    own = [line for line in body.splitlines() if line not in known]
    assert all(re.fullmatch(r"  \w+: \S+ # .*\b(paper|ours|sft)\b.*", line) for line in own), own
    # As many lines as the shipped file without its two lines of introduction, for none is left out.
    assert len(body.splitlines()) == len(shipped.partition("\n\n")[2].splitlines())
