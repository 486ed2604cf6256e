"""The stages of dvc.yaml as DVC would run them: one for each dataset, with the values of params.yaml filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from entropylaw.repository.lockfile import look_up

_VALUE = re.compile(r"\$\{([^}]+)\}")


@dataclass(frozen=True)
class DeclaredStage:
    """A stage: its name in dvc.lock, the files it reads and writes, and the dotted keys of params.yaml it reads."""

    name: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    params: tuple[str, ...]


def list_declared(pipeline: Mapping[str, Any], params: Mapping[str, Any]) -> list[DeclaredStage]:
    """The stages of a dvc.yaml in the order in which they stand there, which is the order in which ours run.

    >>> stage = {"cmd": "entropylaw prepare --dataset ${key}", "deps": ["${item.path}"], "params": ["datasets.${key}"]}
    >>> pipeline = {"stages": {"prepare": {"foreach": "${datasets}", "do": stage}}}
    >>> list_declared(pipeline, {"datasets": {"sft": {"path": "chats"}}})
    [DeclaredStage(name='prepare@sft', deps=('chats',), outs=(), params=('datasets.sft',))]
    """
    stages = []
    for name, stage in (pipeline.get("stages") or {}).items():
        if "foreach" not in stage:
            stages.append(_declare(name, stage, params))
            continue
        over = stage["foreach"]
        if isinstance(over, str):
            over = look_up(params, over.strip("${} ")) or {}
        pairs = over.items() if isinstance(over, Mapping) else [(item, item) for item in over]
        stages += [_declare(f"{name}@{key}", stage["do"], {**params, "key": key, "item": item}) for key, item in pairs]
    return stages


def _declare(name: str, stage: Mapping[str, Any], values: Mapping[str, Any]) -> DeclaredStage:
    def list_filled(section: str) -> tuple[str, ...]:
        # Options of a file stand below its name. A section of `params` below a name is of another file than ours.
        entries = stage.get(section) or ()
        names = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
        return tuple(_VALUE.sub(lambda match: str(look_up(values, match[1].strip())), text) for text in names)

    params = [key for key in list_filled("params") if not key.endswith((".yaml", ".json", ".toml", ".py"))]
    outs = (*list_filled("outs"), *list_filled("metrics"), *list_filled("plots"))
    return DeclaredStage(name, list_filled("deps"), outs, tuple(params))
