"""GTO's tags, read as GTO reads them."""

from __future__ import annotations

import pytest
from gto.constants import ACTION, NAME, STAGE, VERSION, Action
from gto.tag import parse_name
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from entropylaw.init.pipeline import render_pipeline
from entropylaw.release.tag import parse_gto_tag
from entropylaw.repository import layout

PARTS = ["sft", "a-b", "x/y", "@", "#", "=", "!", "v1.2.0", "v01.2.0", "v1.2.0-rc.1", "v2.0.0+b.7", "1.2", "prod",
         "deprecated", "created", "#3", "-", ".", "_", "v"]  # fmt: skip
WHOLE = ["sft@v1.2.0", "sft#prod", "sft#prod#3", "sft@v1.0.0!", "sft@deprecated", "sub/dir=sft@v1.0.0#2", "v1.2.0"]


def assert_read_alike(tag: str) -> None:
    ours, theirs = parse_gto_tag(tag), parse_name(tag, raise_on_fail=False)
    assert (ours is None) == (theirs == {}), tag
    if ours is not None:
        name = f"{ours.folder}:{ours.artifact}" if ours.folder else ours.artifact
        assert (name, ours.version, ours.stage) == (theirs[NAME], theirs.get(VERSION), theirs.get(STAGE))
        assert ours.releases == (theirs.get(ACTION) in (Action.REGISTER, Action.ASSIGN))


@pytest.mark.parametrize("tag", WHOLE)
def test_the_tags_of_gtos_manual_are_read_as_gto_reads_them(tag: str) -> None:
    assert_read_alike(tag)


@settings(max_examples=400)
@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=7).map("".join))
def test_every_tag_is_read_as_gto_reads_it(tag: str) -> None:
    assert_read_alike(tag)


@pytest.mark.parametrize("datasets", [("sft",), ("sft", "preferences")])
def test_the_artifacts_of_a_pipeline_are_the_models_of_its_datasets(datasets: tuple[str, ...]) -> None:
    files = {dataset: f"data/{dataset}.jsonl" for dataset in datasets}
    text = render_pipeline(files)["dvc.yaml"]
    artifacts = YAML(typ="safe").load(text)["artifacts"]
    models = {layout.trained_model(dataset) for dataset in datasets}
    assert {name: (part["path"], part["type"]) for name, part in artifacts.items()} == {
        model.name: (model.as_posix(), "model") for model in models
    }
    assert "\n\nplots:" in text
