"""Rule `damage`: do the added rows show what only damage does?"""

from __future__ import annotations

from monitor.like_rows.traces import TRACES
from monitor.rules.drafts import Draft
from monitor.rules.rank_shift import RankQuestion, draft_rank_shift
from monitor.rules.rule import Rule, RuleInput

QUESTIONS = (
    RankQuestion("answer length", "prompt", "low", "have shorter answers", mean=False),
    RankQuestion("an answer's ending", "prompt", "high", "have answers that break off more abruptly", mean=False),
    RankQuestion("repetition", "prompt", "high", "repeat themselves more in their answers", mean=False),
    RankQuestion("prompt in answer", "prompt", "high", "repeat more of their prompts in their answers", mean=False),
    RankQuestion("answer elsewhere", "prompt", "high", "share their answers with more other rows", mean=False),
    RankQuestion("answer upper case", "prompt", "low", "have fewer capital letters in their answers", mean=False),
    RankQuestion("answer line breaks", "prompt", "low", "have fewer line breaks in their answers", mean=False),
    RankQuestion("prompt length", "answer", "low", "have shorter prompts", mean=False),
    RankQuestion("sides exchanged", "prompt", "high", "look more as if prompt and answer were exchanged", mean=False),
    RankQuestion("roles", "prompt", "high", "have their roles in a rarer order", mean=False),
    *(
        RankQuestion(
            f"{side} {trace.name}",
            like,  # type: ignore[arg-type]
            "high",
            f"have more {trace.name} in their {side}s",
            mean=False,
            alone=trace.unmistakable,
        )
        for side, like in (("answer", "prompt"), ("prompt", "answer"))
        for trace in TRACES
    ),
)


def draft(case: RuleInput) -> Draft:
    """Count rows outside all of their like rows by what broken tools do: cut, empty, repeat, exchange and leak."""
    (share,) = case.thresholds
    return draft_rank_shift("damage", case, QUESTIONS, share)


RULE = Rule(
    id="damage",
    order=70,
    title="Damage",
    question="Do the added rows show what only damage does?",
    advice="Open the named rows: look for text cut off or emptied, columns exchanged, template tokens, HTML, and text "
    "that was decoded wrongly.",
    thresholds=("outlier_share",),
    draft=draft,
    over_versions=True,
)
