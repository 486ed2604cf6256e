"""Benchmarks of lm-eval, run by its own library: its tasks, and your own task files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.errors import EntropylawError, NotAssessedError
from training.device_memory import explain_full_memory
from training.evaluation_params import LmEvalParams
from training.model_loading import load_pretrained


@dataclass(frozen=True)
class TaskScore:
    """A model's score on one task.

    ``metric``: the first one that the task reports, as lm-eval names it; ``value`` and ``standard_error`` belong to it.
    ``z``: the value, or minus the value where lower is better, as for a perplexity. ``documents``: how many were
    scored; None for a group.
    """

    metric: str
    value: float
    standard_error: float | None
    z: float
    documents: int | None


def open_tasks(params: LmEvalParams) -> Any:
    """lm-eval's task manager, which knows every task and group that ``params`` names.

    Raises EntropylawError when lm-eval is not installed, the folder is missing, or a name is unknown.
    """
    try:
        from lm_eval.tasks import TaskManager
    except ImportError:
        raise EntropylawError(
            'evaluation.lm_eval.tasks needs the package lm-eval: pip install "entropylaw[eval]"'
        ) from None
    if params.include_path is not None and not Path(params.include_path).is_dir():
        raise EntropylawError(f"evaluation.lm_eval.include_path: {params.include_path}: no such folder")
    _quiet()
    if params.include_path is not None:
        # lm-eval takes ten seconds to read its own thirteen thousand task files, which only a group could refer to.
        manager = TaskManager(include_path=params.include_path, include_defaults=False)
        if set(params.tasks) <= set(manager.all_subtasks):
            return manager
    manager = TaskManager(include_path=params.include_path)
    known = {*manager.all_subtasks, *manager.all_groups}
    for name in params.tasks:
        if name not in known:
            raise EntropylawError(
                f"evaluation.lm_eval.tasks: no task or group {name!r}; `lm-eval ls tasks` lists those of lm-eval, and "
                "evaluation.lm_eval.include_path names a folder with yours"
            )
    return manager


def score_tasks(model_folder: str | Path, manager: Any, params: LmEvalParams, batch_rows: int) -> dict[str, TaskScore]:
    """The score of a saved model on each task of ``params``; ``manager`` comes from ``open_tasks``.

    Raises EntropylawError when the model cannot be loaded or memory is full, and NotAssessedError when a task's data
    cannot be had or gives no number.
    """
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    model, tokenizer = load_pretrained(str(model_folder))
    _quiet()
    wrapped = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=batch_rows)
    try:
        with explain_full_memory("lm-eval", f"evaluation.batch_rows (now {batch_rows})"):
            output = simple_evaluate(
                wrapped,
                tasks=list(params.tasks),
                task_manager=manager,
                limit=params.limit,
                num_fewshot=params.few_shots,
                log_samples=False,
            )
    except EntropylawError:
        raise
    except Exception as error:  # tasks are programs of many authors, and raise errors of any kind
        cause = next(iter(str(error).strip().splitlines()), "")
        names = ", ".join(params.tasks)
        raise NotAssessedError(f"lm-eval could not score {names}: {type(error).__name__}: {cause}") from None
    return {name: _read_score(name, output) for name in params.tasks}


def _read_score(name: str, output: Mapping[str, Any]) -> TaskScore:
    numbers = output["results"].get(name, {})
    # The key of a number is the metric and the filter of the answers, as in "acc,none"; other keys describe the task.
    keys = [key for key in numbers if "," in key and not key.partition(",")[0].endswith("_stderr")]
    # Infinity and NaN are null in JSON, and a Z of null would enter the history.
    if not keys or not isinstance(numbers[keys[0]], int | float) or not math.isfinite(numbers[keys[0]]):
        raise NotAssessedError(f"lm-eval reports no number for {name}; name the tasks that it consists of")
    metric, _, answers = keys[0].partition(",")
    value = float(numbers[keys[0]])
    error = numbers.get(f"{metric}_stderr,{answers}")
    is_less_better = output.get("higher_is_better", {}).get(name, {}).get(metric) is False
    return TaskScore(
        metric=keys[0],
        value=value,
        standard_error=float(error) if isinstance(error, int | float) else None,
        z=-value if is_less_better else value,
        documents=output.get("n-samples", {}).get(name, {}).get("effective"),
    )


def _quiet() -> None:
    """Silence lm-eval, which logs every step and warns at length about arguments that have no effect here."""
    import logging

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
