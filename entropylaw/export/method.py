"""How rows are trained on."""

from __future__ import annotations

from enum import StrEnum


class Method(StrEnum):
    """``sft``: conversations. ``dpo``: pairs of answers. ``kto``: single answers with a label."""

    sft = "sft"
    dpo = "dpo"
    kto = "kto"
