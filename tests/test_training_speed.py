"""The benchmark of the training stages: what it counts as work, and that it compares like with like."""

import doctest
from pathlib import Path

import pytest

from benchmarks import training_speed
from benchmarks.training_speed import Setting, Trained, compare, find_peak_flops, flops_per_token


def test_its_examples_are_right() -> None:
    results = doctest.testmod(training_speed)
    assert results.attempted >= 3 and results.failed == 0


def test_a_token_of_a_model_with_one_linear_layer_costs_six_operations_a_weight() -> None:
    """One product and one sum for each weight forward, and for each of the two gradients."""
    width, vocabulary = 8, 100
    assert flops_per_token(width * vocabulary, 0, width, 50.0, "sft") == 6 * width * vocabulary
    assert flops_per_token(width * vocabulary, 0, width, 50.0, "kto") == 12 * width * vocabulary


def test_attention_over_a_row_costs_what_its_pairs_of_tokens_cost() -> None:
    """Forward, each of the n(n+1)/2 pairs of a row costs two products over the width; counted with n² / 2 pairs."""
    length, width, layers = 1000, 64, 3
    pairs = sum(range(1, length + 1))
    counted = flops_per_token(0, layers, width, float(length), "sft") / 3 * length
    assert counted == pytest.approx(layers * pairs * 2 * 2 * width, rel=2e-3)


def test_the_kind_of_h100_decides_its_peak() -> None:
    assert find_peak_flops("NVIDIA H100 PCIe") < find_peak_flops("NVIDIA H100 NVL") < find_peak_flops("NVIDIA H100")


@pytest.mark.slow
@pytest.mark.long
def test_sides_that_train_differently_are_not_compared(tmp_path: Path) -> None:
    def train(loss: float):
        return lambda folder: Trained(loss, 0.1)

    assert len(compare(Setting("sft", 10, 5.0, train(2.0), train(2.001)), 3, tmp_path, gpu=False)) == 3
    with pytest.raises(SystemExit, match="not the same training"):
        compare(Setting("sft", 10, 5.0, train(2.0), train(2.1)), 1, tmp_path, gpu=False)
