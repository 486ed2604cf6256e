"""What a check of `doctor` says: one sentence about one thing, and what to do where something is to be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# "broken": a person must mend it before the pipeline can run. "to do": the next command is known.
State = Literal["ok", "to do", "broken"]


@dataclass(frozen=True)
class Finding:
    """``subject``: what it is about, such as "history". ``remedy``: one line, mostly a command; empty where all is in
    order.

    >>> Finding("data", "broken", "data/sft.jsonl is not here", "run `dvc pull`").state
    'broken'
    """

    subject: str
    state: State
    text: str
    remedy: str = ""
