"""How trained models are evaluated: the section ``evaluation`` of params.yaml."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MtBenchParams:
    """MT-bench (Zheng et al., 2023), the paper's benchmark (section 5.1); off without a file of ``questions``.

    ``questions`` is a file in the form of FastChat's question.jsonl, ``references`` one in the form of its reference
    answers; without it the questions carry their references themselves. An answer has at most ``max_new_tokens``
    tokens. ``seed`` draws the answers of the categories whose temperature is above 0.
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
    """Tasks and groups of lm-eval by name; off without any.

    ``include_path`` is a folder of task files of one's own, ``limit`` the number of each task's documents that are
    scored (None: all), ``few_shots`` the examples before each (None: the task's own number).
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
    """At most ``rows`` held-out rows (the first ones of the file), each cut at ``max_length`` tokens.

    ``batch_rows`` rows or questions are given to the model at once, on every benchmark.
    """

    rows: int = 400
    max_length: int = 256
    batch_rows: int = 16
    mt_bench: MtBenchParams = MtBenchParams()
    lm_eval: LmEvalParams = LmEvalParams()

    def __post_init__(self) -> None:
        if min(self.rows, self.max_length, self.batch_rows) < 1:
            raise ValueError("rows, max_length and batch_rows must be positive")
