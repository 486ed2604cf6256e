"""The benchmark of base models: what it does to numbers, its two figures, and that a run which was stopped goes on."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from benchmarks.base_models import (
    SOUND,
    BaseModel,
    change_last_number,
    change_numbers,
    damage_rows,
    list_damages,
    measure_auc,
    measure_corpus,
    share_risen,
    tabulate,
)
from corpus.errors import EntropylawError
from corpus.records import HashedRecord
from training.probe_run import ProbeParams

NUMBER = re.compile("[0-9]+")
TEXTS = st.text(alphabet="0123456789 .$\nab", max_size=40)


@given(TEXTS, st.integers(0, 5))
def test_every_number_becomes_another_of_its_length_and_nothing_else_changes(text: str, seed: int) -> None:
    changed = change_numbers(text, np.random.default_rng(seed))
    before, after = NUMBER.findall(text), NUMBER.findall(changed)
    assert NUMBER.split(changed) == NUMBER.split(text)
    assert [len(number) for number in after] == [len(number) for number in before]
    assert all(new != old for new, old in zip(after, before, strict=True))
    # A number that comes twice stays one number.
    assert len(set(zip(before, after, strict=True))) == len(set(before))


@given(TEXTS, st.integers(0, 5))
def test_the_last_number_alone_becomes_another(text: str, seed: int) -> None:
    changed = change_last_number(text, np.random.default_rng(seed))
    before, after = NUMBER.findall(text), NUMBER.findall(changed)
    assert NUMBER.split(changed) == NUMBER.split(text)
    assert after[:-1] == before[:-1]
    assert not before or (after[-1] != before[-1] and len(after[-1]) == len(before[-1]))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_the_auc_is_that_of_scikit_learn(damaged: list[int], sound: list[int]) -> None:
    labels = [1] * len(damaged) + [0] * len(sound)
    assert measure_auc(damaged, sound) == pytest.approx(roc_auc_score(labels, damaged + sound))


def test_a_row_is_compared_with_itself_alone() -> None:
    assert share_risen({"1": 2.0, "2": 0.5, "3": 9.0}, {"1": 1.0, "2": 0.6}) == 0.5


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(EntropylawError, match="answers eaten: no such kind; there are all numbers wrong, last number"):
        list_damages(["answers eaten"])


def test_a_run_that_was_stopped_reads_what_is_missing_only(
    base_folder: Path, chats: list[HashedRecord], tmp_path: Path
) -> None:
    rows = [record for record, _ in chats[:12]]
    damages = list_damages(["answers swapped", "prompt in front", "all numbers wrong"])
    model = BaseModel("small", tmp_path / "model", ProbeParams(max_length=64))
    shutil.copytree(base_folder, model.folder)
    found = measure_corpus(rows, damages, [model], tmp_path)
    assert set(found["small"]) == {SOUND, *(damage.name for damage in damages)}
    assert set(found["small"][SOUND].losses) == {str(i) for i in range(1, 13)}
    for damage in damages:
        damaged = damage_rows(rows, damage)
        assert set(found["small"][damage.name].losses) <= set(map(str, damaged))
        assert all(record.turns() != rows[i - 1].turns() for i, record in damaged.items())
    (tmp_path / "small-64" / "prompt-in-front.json").unlink()
    again = measure_corpus(rows, damages, [model], tmp_path)["small"]
    assert again["prompt in front"].losses == found["small"]["prompt in front"].losses
    # With all cases kept the model is not even opened.
    shutil.rmtree(model.folder)
    kept = measure_corpus(rows, damages, [model], tmp_path)
    assert kept == {"small": again}
    swapped = next(line for line in tabulate(kept, damages) if line.startswith("| answers swapped"))
    auc = measure_auc(list(again["answers swapped"].losses.values()), list(again[SOUND].losses.values()))
    assert f"| 12 | {auc:.2f} | {share_risen(again['answers swapped'].losses, again[SOUND].losses):.0%} |" in swapped
