"""What edits did to rows, each beside its own past: features that moved one way, and changes that only harm makes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from monitor.measures.row_edits import ANSWER, EXCHANGED, FORM, PROMPT, RowEdits
from monitor.measures.side_features import SIDE_FEATURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A feature has moved if it differs from its past by this share of the standard deviation between rows, a little more
# than what Cohen calls a small effect. Mended typos and tidied white space move few rows so far.
MIN_MOVE = 0.25
# In data whose rows are all alike the standard deviation is next to nothing; a change must also be so large a share of
# what there was.
MIN_CHANGE = 0.05
# An answer was cut if it lost so much of its length, and its ending. A last word or a full stop is less.
MIN_CUT = 0.1
# An answer or a prompt that kept no more of its characters than this was all but emptied.
MAX_EMPTIED = 0.1
# A prompt lost its input if a fifth of it went, and the answer finds a fifth fewer of its own words there.
MIN_LOST = 0.2
# Of a shorter text too little is known: "OK" has no case to lose, and "Why?" stands in many answers.
MIN_TEXT_CHARACTERS = 20
# An answer with fewer line breaks has no lines to speak of: one may be its end.
MIN_LINE_BREAKS = 2
# An answer that lost its case or its lines still has its words: its length is the same within a factor of 1.5, where
# indentation went with the lines. A shorter answer may have had no more to say.
SAME_LENGTH = math.log(1.5)
# An answer contains its prompt if it has so many of its different words, and had clearly fewer before. Not all of them,
# because a prompt may be cut.
CONTAINED, NOT_CONTAINED = 0.95, 0.8
# An answer says the same again if it grew by half or more, and its compression ratio by most of that: a text that goes
# on with new words compresses hardly better for it.
MIN_GROWTH, MIN_REPEATED = math.log(1.5), 0.6
# Of a shorter answer zlib's own bytes are the larger part, and any words that are added seem to repeat.
MIN_REPEATED_CHARACTERS = 100

# Fewer rows with a loss now and before say nothing: eight coins fall alike once in 256 throws.
MIN_MEASURED = 8
# Edited answers are harder if their loss rose by so much on average, in nats per token, and not only more often than
# not.
MIN_RISE = 0.1
# A loss that differs by less has not changed: how rows are batched moves it by a millionth.
MIN_LOSS_CHANGE = 1e-3
# Edited rows are easier to learn if so many fewer losses rose than fell that chance does it once in twenty times.
EASIER_P = 0.05

Columns = Mapping[str, "NDArray[np.float64]"]


@dataclass(frozen=True)
class EditFinding:
    """One thing that edits did, as a sign test over the edited rows sees it.

    - ``p_value``: that so many more rows went one way than the other by chance.
    - ``share``: of the edited rows, those that went this way minus those that went the other.
    - ``words``: what is said of the edited rows. ``went``: which rows went this way, shape (edits,).
    - ``worse``: whether this is harm, and not only a change.
    - ``measured``: of how many edited rows it is known; None where it is of all.
    """

    p_value: float
    share: float
    words: str
    went: NDArray[np.bool_]
    worse: bool = False
    measured: int | None = None


def test_signs(went: NDArray[np.bool_], back: NDArray[np.bool_]) -> float:
    """The sign test: how likely are so many rows that ``went`` one way, if each may as well go ``back``?

    >>> test_signs(np.array([True, True, True]), np.array([False, False, False]))
    0.125
    """
    from scipy import stats

    up, down = np.count_nonzero(went), np.count_nonzero(back)
    return float(stats.binom.sf(up - 1, up + down, 0.5)) if up else 1.0


def find_moves(edits: RowEdits) -> list[EditFinding]:
    """The features that moved, each in the direction in which more rows went. One finding for each feature."""
    known = {feature.name: feature for feature in SIDE_FEATURES}
    change = edits.values - edits.past_values
    least = np.maximum(MIN_MOVE * edits.spread, _least_changes(edits))
    findings = []
    untouched = find_untouched(edits)
    for i, name in enumerate(edits.features):
        up, down = change[:, i] >= least[:, i], change[:, i] <= -least[:, i]
        rises = up.sum() >= down.sum()
        went, back = (up, down) if rises else (down, up)
        if not went.any():
            continue
        feature = known[name]
        words = f"{feature.side} {feature.rise if rises else feature.fall}"
        if name in ("answer length", "prompt length"):
            ratio = math.exp(float(np.median(change[went, i])))
            words = f"{feature.side} {ratio - 1:.0%} longer" if rises else f"{feature.side} {1 - ratio:.0%} shorter"
        findings.append(EditFinding(test_signs(went, back), _net(went, back), words, went))
    if untouched.any():
        words = "prompts and answers as before, but other system messages, another order or other rejected answers"
        nothing = np.zeros_like(untouched)
        findings.append(EditFinding(test_signs(untouched, nothing), _net(untouched, nothing), words, untouched))
    return findings


def _least_changes(edits: RowEdits) -> NDArray[np.float64]:
    """MIN_CHANGE of each feature of each row, now or before, whichever is larger; of a length, which is a logarithm."""
    largest = np.fmax(np.abs(edits.values), np.abs(edits.past_values))
    is_length = np.array([name in ("answer length", "prompt length") for name in edits.features], dtype=bool)
    least = np.where(is_length, math.log1p(MIN_CHANGE), MIN_CHANGE * largest)
    return np.maximum(least, np.finfo(np.float32).eps)


def find_untouched(edits: RowEdits) -> NDArray[np.bool_]:
    """Edited rows whose prompts and answers are what they were, shape (edits,): something else in them has changed."""
    same = (edits.values == edits.past_values) | (np.isnan(edits.values) & np.isnan(edits.past_values))
    untouched: NDArray[np.bool_] = (edits.changed == FORM) & same.all(axis=1)
    return untouched


def find_damage(edits: RowEdits) -> list[EditFinding]:
    """Changes that are harm. Each is held against the same change the other way, which an honest edit makes as often.

    Answers of other rows and exchanged sides have no other way. Texts without case or lines may be wanted: where the
    losses say that these are easier to learn, it is a change like any other.
    """
    now = {name: edits.values[:, i] for i, name in enumerate(edits.features)}
    past = {name: edits.past_values[:, i] for i, name in enumerate(edits.features)}
    easier = _are_easier(edits)
    found = [
        _find_one(words, harm(now, past), harm(past, now), worse=sure or not easier) for harm, words, sure in _HARM
    ]
    nothing = np.zeros(edits.count, dtype=bool)
    moved = (edits.moved_from >= 0) & (edits.changed == ANSWER)
    alone, alone_before = edits.shared & ~edits.past_shared, edits.past_shared & ~edits.shared
    found += [
        _find_one("answers that several edited rows share", alone, alone_before),
        # Only answers that are in the table are known again.
        _find_one("answers of other rows", moved, nothing, scale=1 / max(edits.coverage, 1e-9)),
        _find_one("prompt and answer exchanged", edits.changed == EXCHANGED, nothing),
    ]
    return [finding for finding in found if finding.went.any()]


def find_harder(edits: RowEdits) -> list[EditFinding]:
    """Whether edited answers are harder than they were: for the base model, and for the second one where both versions
    were read by it. Nothing of a model that has read too few of the rows.
    """
    found = [_find_rises(edits, edits.loss, edits.past_loss, "harder to learn than before")]
    if edits.second_loss is not None and edits.past_second_loss is not None:
        words = "harder for the second model than before"
        found.append(_find_rises(edits, edits.second_loss, edits.past_second_loss, words))
    return [finding for finding in found if finding]


def _find_rises(
    edits: RowEdits, losses: NDArray[np.float64], past_losses: NDArray[np.float64], says: str
) -> EditFinding | None:
    rise, measured = _measure_rise(edits, losses, past_losses)
    count = int(measured.sum())
    if count < MIN_MEASURED:
        return None
    up, down = rise >= MIN_LOSS_CHANGE, rise <= -MIN_LOSS_CHANGE
    mean = float(rise[measured].mean())
    words = f"{says} in {up.sum() / count:.0%} of {count} measured ({mean:+.2f} nats per token)"
    share = float(int(up.sum()) - int(down.sum())) / count
    return EditFinding(test_signs(up, down), share, words, up, worse=mean >= MIN_RISE, measured=count)


def _are_easier(edits: RowEdits) -> bool:
    rise, _ = _measure_rise(edits, edits.loss, edits.past_loss)
    return test_signs(rise <= -MIN_LOSS_CHANGE, rise >= MIN_LOSS_CHANGE) <= EASIER_P


def _measure_rise(
    edits: RowEdits, losses: NDArray[np.float64], past_losses: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How much each row's loss has risen in nats per token, 0 where it was not measured; and where it was.

    A row whose prompt alone was edited, or its system message, is left out: another context moves the loss of an
    answer that is as good as it was. So is a row of a new source: it was written anew, and to be new is no harm.
    """
    measured = ~np.isnan(losses) & ~np.isnan(past_losses)
    measured &= (edits.changed != PROMPT) & ~find_untouched(edits) & ~edits.is_new
    return np.where(measured, losses - past_losses, 0.0), measured


def _net(went: NDArray[np.bool_], back: NDArray[np.bool_]) -> float:
    return float(int(went.sum()) - int(back.sum())) / max(1, went.size)


def _find_one(
    words: str, went: NDArray[np.bool_], back: NDArray[np.bool_], scale: float = 1.0, worse: bool = True
) -> EditFinding:
    return EditFinding(test_signs(went, back), min(scale * _net(went, back), 1.0), words, went, worse)


def _characters(row: Columns, side: str) -> NDArray[np.float64]:
    return np.expm1(row[f"{side} length"])


def _is_cut(now: Columns, past: Columns) -> NDArray[np.bool_]:
    shorter = now["answer length"] <= past["answer length"] + math.log1p(-MIN_CUT)
    cut: NDArray[np.bool_] = shorter & (past["answer ending"] == 1) & (now["answer ending"] == 0)
    return cut


def _is_emptied(now: Columns, past: Columns) -> NDArray[np.bool_]:
    had = _characters(past, "answer")
    return (had >= MIN_TEXT_CHARACTERS) & (_characters(now, "answer") <= MAX_EMPTIED * had)


def _lost_input(now: Columns, past: Columns) -> NDArray[np.bool_]:
    asked, used = "prompt length", "answer words from prompt"
    lost: NDArray[np.bool_] = now[asked] <= past[asked] + math.log1p(-MIN_LOST)
    return lost & (now[used] <= (1 - MIN_LOST) * past[used])


def _contains_prompt(now: Columns, past: Columns) -> NDArray[np.bool_]:
    asked = np.minimum(_characters(now, "prompt"), _characters(past, "prompt"))
    contained, before = now["prompt words in answer"], past["prompt words in answer"]
    return (asked >= MIN_TEXT_CHARACTERS) & (contained >= CONTAINED) & (before < NOT_CONTAINED)


def _repeats(now: Columns, past: Columns) -> NDArray[np.bool_]:
    growth = now["answer length"] - past["answer length"]
    ratio = np.log(now["answer compression ratio"]) - np.log(past["answer compression ratio"])
    grown: NDArray[np.bool_] = (growth >= MIN_GROWTH) & (_characters(past, "answer") >= MIN_REPEATED_CHARACTERS)
    return grown & (ratio >= MIN_REPEATED * growth)


def _lost_case(now: Columns, past: Columns) -> NDArray[np.bool_]:
    long_enough = _characters(past, "answer") >= MIN_TEXT_CHARACTERS
    lost: NDArray[np.bool_] = long_enough & (past["answer upper case"] > 0) & (now["answer upper case"] == 0)
    return lost & _is_as_long(now, past)


def _lost_lines(now: Columns, past: Columns) -> NDArray[np.bool_]:
    had = past["answer line breaks"] * _characters(past, "answer")
    lost: NDArray[np.bool_] = (had > MIN_LINE_BREAKS - 0.5) & (now["answer line breaks"] == 0)
    return lost & _is_as_long(now, past)


def _is_as_long(now: Columns, past: Columns) -> NDArray[np.bool_]:
    alike: NDArray[np.bool_] = np.abs(now["answer length"] - past["answer length"]) <= SAME_LENGTH
    return alike


# How a row is known by its features now and before, what is said of the edited rows, and whether it is harm whatever
# the losses say.
_HARM: tuple[tuple[Callable[[Columns, Columns], NDArray[np.bool_]], str, bool], ...] = (
    (_is_cut, "answers cut off before their ends", True),
    (_is_emptied, "answers all but emptied", True),
    (_lost_input, "prompts that lost words which their answers use", True),
    (_contains_prompt, "answers that now contain their prompts", True),
    (_repeats, "answers that say the same again", True),
    (_lost_case, "all upper case gone from the answers", False),
    (_lost_lines, "all line breaks gone from the answers", False),
)
# Tests that may find harm: those above, shared answers, answers of other rows, and exchanged sides.
DAMAGE_TESTS = len(_HARM) + 3
# Tests of features, each up and down, and of rows whose sides were not touched.
MOVE_TESTS = 2 * len(SIDE_FEATURES) + 1
