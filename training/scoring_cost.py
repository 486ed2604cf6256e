"""What letting a model score rows will take, said before it starts, so that one who cannot wait stops it at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# A weight takes part in one multiplication and one addition for each token read, and in three times as many for each
# token learned from: forward, and backward to inputs and to weights (Kaplan et al., 2020, section 2.1).
OPERATIONS_PER_WEIGHT_READ = 2
OPERATIONS_PER_WEIGHT_LEARNED = 6
# How fast they are made, to guess a time. One CPU core: SmolLM2-135M reads 280 tokens a second on it (measured).
CORE_OPERATIONS_PER_SECOND = 7e10
# One GPU of a data centre, single precision: a third of the 67e12 that an H100's data sheet promises.
GPU_OPERATIONS_PER_SECOND = 2e13
# Rows whose tokens are counted to estimate those of all.
COUNTED_ROWS = 100


@dataclass(frozen=True)
class ScoringCost:
    """The work of one model, about; ``what`` it does and ``model``, its name, are for people.

    ``weights``: how many the model has. ``read_tokens``: of all rows. ``written_tokens``: at most. ``learned_tokens``:
    over all epochs of a training. ``operations_per_second``: of this machine, a guess.

    >>> print(ScoringCost("tags", "OFA-Sys/InsTagger", 300, 6_738_000_000, 30_000, 9_000, 0, 2e13))
    tags: OFA-Sys/InsTagger (6.7 billion weights) reads about 30,000 tokens of 300 rows, writes at most 9,000; \
about 5.3e+14 operations, at least 26 seconds here
    """

    what: str
    model: str
    rows: int
    weights: int
    read_tokens: int
    written_tokens: int
    learned_tokens: int
    operations_per_second: float

    @property
    def operations(self) -> float:
        """Additions and multiplications."""
        passed = OPERATIONS_PER_WEIGHT_READ * (self.read_tokens + self.written_tokens)
        return float(self.weights) * (passed + OPERATIONS_PER_WEIGHT_LEARNED * self.learned_tokens)

    def __str__(self) -> str:
        work = []
        if self.learned_tokens:
            work.append(f"learns from about {self.learned_tokens:,} tokens of {self.rows:,} rows")
        if self.read_tokens:
            work.append(f"reads about {self.read_tokens:,} tokens of {self.rows:,} rows")
        if self.written_tokens:
            work.append(f"writes at most {self.written_tokens:,}")
        # Tokens are written one after the other, which is slower than reading by a factor that differs by machine.
        about = "at least" if self.written_tokens else "about"
        time = _round_time(self.operations / self.operations_per_second)
        return (
            f"{self.what}: {self.model} ({_round_count(self.weights)} weights) {', '.join(work)}; about "
            f"{self.operations:.1e} operations, {about} {time} here"
        )


# Told of each model's work before it starts.
Announce = Callable[[ScoringCost], None]


def ignore_cost(cost: ScoringCost) -> None:
    """The Announce that says nothing."""


def estimate_cost(
    what: str,
    name: str,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_length: int,
    *,
    rows: int | None = None,
    epochs_learned: float = 0.0,
    written_each: int = 0,
) -> ScoringCost:
    """The cost of reading ``texts``, each cut at ``max_length`` tokens, from the tokens of some of them.

    ``rows``: how many rows the texts are of, if not one each. ``epochs_learned``: the texts are learned from so often,
    and not read. ``written_each``: tokens written for each text, at most.
    """
    step = max(1, len(texts) // COUNTED_ROWS)
    counted = [len(tokenizer.encode(text, add_special_tokens=False)) for text in texts[::step]]
    mean = sum(min(count, max_length) for count in counted) / max(1, len(counted))
    tokens = round(mean * len(texts))
    return ScoringCost(
        what=what,
        model=name,
        rows=len(texts) if rows is None else rows,
        weights=sum(weight.numel() for weight in model.parameters()),
        read_tokens=0 if epochs_learned else tokens,
        written_tokens=written_each * len(texts),
        learned_tokens=round(epochs_learned * tokens),
        operations_per_second=_guess_speed(model),
    )


def _guess_speed(model: PreTrainedModel) -> float:
    import torch

    if model.device.type == "cpu":
        return CORE_OPERATIONS_PER_SECOND * torch.get_num_threads()
    return GPU_OPERATIONS_PER_SECOND


def _round_count(number: int) -> str:
    """
    >>> _round_count(6_738_000_000), _round_count(134_500_000), _round_count(51_200)
    ('6.7 billion', '134.5 million', '51,200')
    """
    for size, word in ((10**9, "billion"), (10**6, "million")):
        if number >= size:
            return f"{number / size:.1f} {word}"
    return f"{number:,}"


def _round_time(seconds: float) -> str:
    """
    >>> _round_time(0.2), _round_time(100.0), _round_time(600.0), _round_time(20_000.0), _round_time(10**6)
    ('1 second', '100 seconds', '10 minutes', '6 hours', '12 days')
    """
    for size, word, until in ((1, "second", 120), (60, "minute", 7200), (3600, "hour", 2 * 86400)):
        if seconds < until:
            number = max(1, round(seconds / size))
            return f"{number} {word}{'s' if number > 1 else ''}"
    return f"{round(seconds / 86400):,} days"
