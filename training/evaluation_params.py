"""How trained models are evaluated: the section ``evaluation`` of params.yaml."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MtBenchParams:
    """How MT-bench is run (Zheng et al., 2023; the paper's benchmark, section 5.1); off without ``questions``.

    ``questions``: a file in the form of FastChat's question.jsonl. ``references``: one in the form of its reference
    answers; None where the questions hold their references themselves. ``max_new_tokens``: the longest answer.
    ``seed``: for answers in the categories whose temperature is above 0.
    """

    questions: str | None = None
    references: str | None = None
    max_new_tokens: int = 1024
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1 or self.seed < 0:
            raise ValueError("max_new_tokens must be positive and seed must not be negative")


@dataclass(frozen=True)
class LmEvalParams:
    """Which ``tasks`` and groups of lm-eval are run, by name; off without any.

    ``include_path``: a folder with your own task files. ``limit``: how many documents of each task are scored (None:
    all). ``few_shots``: how many examples come before each document (None: the task's own number).
    """

    tasks: tuple[str, ...] = ()
    include_path: str | None = None
    limit: int | None = None
    few_shots: int | None = None

    def __post_init__(self) -> None:
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError("tasks must name each task once")
        if (self.limit is not None and self.limit < 1) or (self.few_shots is not None and self.few_shots < 0):
            raise ValueError("limit must be positive and few_shots must not be negative")


@dataclass(frozen=True)
class EvaluationParams:
    """What a trained model is evaluated on.

    ``rows``: how many held-out rows at most, from the start of the file. ``max_length``: tokens after which a row is
    cut. ``batch_rows``: rows or questions that are given to the model at once, in every benchmark.
    """

    rows: int = 400
    max_length: int = 256
    batch_rows: int = 16
    mt_bench: MtBenchParams = MtBenchParams()
    lm_eval: LmEvalParams = LmEvalParams()

    def __post_init__(self) -> None:
        if min(self.rows, self.max_length, self.batch_rows) < 1:
            raise ValueError("rows, max_length and batch_rows must be positive")
