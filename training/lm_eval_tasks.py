"""Benchmarks of lm-eval, run by its own library: its tasks, and your own task files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
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


def read_documents(task: str, include_path: str | None = None) -> list[tuple[str, str]]:
    """What each document of a task asks, and its right answer, as lm-eval shows them to a model.

    Raises EntropylawError where lm-eval or the task is not to be had, and NotAssessedError where its data is not.
    """
    manager = open_tasks(LmEvalParams((task,), include_path))
    try:
        loaded = manager.load_task_or_group([task])
        return [pair for one in _list_tasks(loaded) for pair in _read_pairs(one)]
    except Exception as error:  # tasks are programs of many authors, and raise errors of any kind
        cause = next(iter(str(error).strip().splitlines()), "")
        raise NotAssessedError(f"lm-eval could not read {task}: {type(error).__name__}: {cause}") from None


def _list_tasks(loaded: Mapping[Any, Any]) -> Iterator[Any]:
    """The tasks of a group, however deep they lie in it."""
    for one in loaded.values():
        if isinstance(one, Mapping):
            yield from _list_tasks(one)
        else:
            yield one


def _read_pairs(task: Any) -> Iterator[tuple[str, str]]:
    for document in task.test_docs() if task.has_test_docs() else task.validation_docs():
        question, answer = task.doc_to_text(document), task.doc_to_target(document)
        choices = task.doc_to_choice(document) if task.config.doc_to_choice is not None else None
        if choices and isinstance(answer, int) and 0 <= answer < len(choices):
            answer = choices[answer]
        if isinstance(question, int) and choices:  # tasks that differ in what is asked, such as winogrande
            question = choices[question]
        yield str(question), str(answer)


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
