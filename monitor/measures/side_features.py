"""Side features: plain numbers of one row that people understand, such as its answer's length. No model makes them."""

from __future__ import annotations

import math
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from corpus.row_sides import RowSides

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Of a longer text so many characters are read, so that one row cannot take a second.
MAX_CHARACTERS = 20_000
# Texts are read in blocks of so many characters, so that memory does not grow with the number of rows.
BLOCK_CHARACTERS = 1_000_000
# zlib's own default, and in a long text four times as fast as level 9. The ratio is compared with itself only.
ZLIB_LEVEL = 6
# Characters that markup of web pages, of Markdown and of chat templates is made of.
MARKUP = frozenset("<>&`#*|\\[]{}_~")

_WORD = re.compile(r"\w+")
_LIST_LINE = re.compile(r"^[ \t]*(?:[-*+•–]|\d{1,3}[.)])[ \t]", re.MULTILINE)
_INDENTED_LINE = re.compile(r"^[ \t]+(?=\S)", re.MULTILINE)
# A text whose last character is a word's, or one of these, breaks off. A full stop has too many forms to list them all.
OPEN_ENDS = frozenset(",-–—([{/\\@$")


@dataclass(frozen=True)
class SideFeature:
    """One number of a row: its name, what it measures, and what is said where it has risen or fallen.

    ``rise`` and ``fall`` follow the word "answers" or "prompts", whichever ``side`` the number is of.
    """

    name: str
    side: str
    what: str
    rise: str
    fall: str

    def describe(self, rises: bool) -> str:
        """The side with a higher, or a lower, value of the feature: "longer answers", "prompts with fewer digits"."""
        word = self.rise if rises else self.fall
        return f"{self.side} {word}" if word.startswith(("with ", "that ")) else f"{word} {self.side}"


SIDE_FEATURES: tuple[SideFeature, ...] = (
    SideFeature("answer length", "answers", "natural logarithm of 1 + its characters", "longer", "shorter"),
    SideFeature(
        "answer line breaks", "answers", "line breaks per character", "with more line breaks", "with fewer line breaks"
    ),
    SideFeature(
        "answer upper case", "answers", "upper case among its letters", "with more upper case", "with less upper case"
    ),
    SideFeature("answer digits", "answers", "digits per character", "with more digits", "with fewer digits"),
    SideFeature(
        "answer punctuation",
        "answers",
        "punctuation and symbols per character",
        "with more punctuation",
        "with less punctuation",
    ),
    SideFeature(
        "answer non-ASCII",
        "answers",
        "characters outside ASCII per character",
        "with more characters outside ASCII",
        "with fewer characters outside ASCII",
    ),
    SideFeature(
        "answer white space",
        "answers",
        "white space other than line breaks per character",
        "with more white space",
        "with less white space",
    ),
    SideFeature(
        "answer markup", "answers", "characters of markup per character", "with more markup", "with less markup"
    ),
    SideFeature(
        "answer questions", "answers", "question marks per character", "with more questions", "with fewer questions"
    ),
    SideFeature(
        "answer word length", "answers", "mean characters of its words", "with longer words", "with shorter words"
    ),
    SideFeature("answer lists", "answers", "list items among its lines", "with more lists", "with fewer lists"),
    SideFeature(
        "answer indentation",
        "answers",
        "indented lines among its lines",
        "with more indented lines",
        "with fewer indented lines",
    ),
    SideFeature(
        "answer ending",
        "answers",
        "1 where it ends as a sentence, a list or code ends, else 0",
        "that end like sentences more often",
        "that end like sentences less often",
    ),
    SideFeature(
        "answer compression ratio",
        "answers",
        "its bytes over its bytes by zlib",
        "more repetitive",
        "less repetitive",
    ),
    SideFeature(
        "answer words from prompt",
        "answers",
        "words of the answer that stand in the prompt, among all its words",
        "that take more of their words from the prompts",
        "that take fewer of their words from the prompts",
    ),
    SideFeature(
        "prompt words in answer",
        "answers",
        "different words of the prompt that stand in the answer, among all of them",
        "that say more of the prompts again",
        "that say less of the prompts again",
    ),
    SideFeature("prompt length", "prompts", "natural logarithm of 1 + its characters", "longer", "shorter"),
    SideFeature(
        "prompt line breaks", "prompts", "line breaks per character", "with more line breaks", "with fewer line breaks"
    ),
    SideFeature(
        "prompt upper case", "prompts", "upper case among its letters", "with more upper case", "with less upper case"
    ),
    SideFeature("prompt digits", "prompts", "digits per character", "with more digits", "with fewer digits"),
    SideFeature(
        "prompt punctuation",
        "prompts",
        "punctuation and symbols per character",
        "with more punctuation",
        "with less punctuation",
    ),
    SideFeature(
        "prompt non-ASCII",
        "prompts",
        "characters outside ASCII per character",
        "with more characters outside ASCII",
        "with fewer characters outside ASCII",
    ),
    SideFeature(
        "prompt markup", "prompts", "characters of markup per character", "with more markup", "with less markup"
    ),
    SideFeature(
        "prompt questions", "prompts", "question marks per character", "with more questions", "with fewer questions"
    ),
)

FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in SIDE_FEATURES)

# What is counted in a text, character by character. A character may belong to several.
_CLASSES: dict[str, Callable[[str], bool]] = {
    "line breaks": lambda character: character == "\n",
    "letters": str.isalpha,
    "upper case": str.isupper,
    "digits": str.isdigit,
    "punctuation": lambda character: unicodedata.category(character)[0] in "PS",
    "non-ASCII": lambda character: character > "\x7f",
    "white space": lambda character: character.isspace() and character != "\n",
    "markup": MARKUP.__contains__,
    "questions": "?？؟".__contains__,
}
_PER_CHARACTER = ("line breaks", "digits", "punctuation", "non-ASCII", "white space", "markup", "questions")


def measure_side_features(sides: Sequence[RowSides]) -> NDArray[np.float64]:
    """The features of each row, shape (rows, len(SIDE_FEATURES)), nan where a row has none.

    Of each side the first MAX_CHARACTERS characters are read, and for the answer's ending its last ones.

    >>> values = measure_side_features([RowSides("Tea?", "Yes, please.")])
    >>> dict(zip(FEATURE_NAMES, values[0].round(3).tolist()))["answer upper case"]
    0.111
    """
    prompts = [side.prompt[:MAX_CHARACTERS] for side in sides]
    answers = [side.answer[:MAX_CHARACTERS] for side in sides]
    columns = {
        "answer length": np.array([math.log1p(len(side.answer)) for side in sides]),
        "prompt length": np.array([math.log1p(len(side.prompt)) for side in sides]),
        **_measure_characters("answer", answers),
        **_measure_characters("prompt", prompts),
        **_measure_words(prompts, answers),
        **_measure_lines(answers),
        "answer ending": np.array([_ends(side.answer) for side in sides]),
        "answer compression ratio": np.array([_compression_ratio(answer) for answer in answers]),
    }
    if not sides:
        return np.empty((0, len(SIDE_FEATURES)))
    return np.column_stack([columns[name] for name in FEATURE_NAMES])


def _measure_characters(side: str, texts: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    counts = _count_characters(texts)
    lengths = np.array([len(text) for text in texts], dtype=np.float64)
    found = {f"{side} {name}": _divide(counts[name], lengths) for name in _PER_CHARACTER}
    found[f"{side} upper case"] = _divide(counts["upper case"], counts["letters"])
    return found


def _count_characters(texts: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """How many characters of each class each text has, shape (texts,) each."""
    parts = [_count_block(block) for block in _split_blocks(texts)]
    return {
        name: np.concatenate([part[name] for part in parts]) if parts else np.empty(0, dtype=np.float64)
        for name in _CLASSES
    }


def _split_blocks(texts: Sequence[str]) -> Iterator[list[str]]:
    block: list[str] = []
    size = 0
    for text in texts:
        if block and size + len(text) > BLOCK_CHARACTERS:
            yield block
            block, size = [], 0
        block.append(text)
        size += len(text)
    if block:
        yield block


def _count_block(texts: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype="<u4")
    ends = np.cumsum([len(text) for text in texts])
    # Each character that occurs is looked at once, then by its number.
    seen = np.zeros(int(codes.max()) + 1 if codes.size else 1, dtype=bool)
    seen[codes] = True
    characters = [(code, chr(code)) for code in np.flatnonzero(seen).tolist()]
    counts = {}
    for name, belongs in _CLASSES.items():
        table = np.zeros(seen.size, dtype=bool)
        table[[code for code, character in characters if belongs(character)]] = True
        places = np.flatnonzero(table[codes])
        counts[name] = np.diff(np.searchsorted(places, ends), prepend=0).astype(np.float64)
    return counts


def _measure_words(prompts: Sequence[str], answers: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    word_length, from_prompt, in_answer = (np.full(len(answers), np.nan) for _ in range(3))
    for i, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        words = _WORD.findall(answer.lower())
        asked = set(_WORD.findall(prompt.lower()))
        if words:
            word_length[i] = sum(map(len, words)) / len(words)
        if words and asked:
            from_prompt[i] = sum(map(asked.__contains__, words)) / len(words)
        if asked:
            in_answer[i] = len(asked.intersection(words)) / len(asked)
    return {
        "answer word length": word_length,
        "answer words from prompt": from_prompt,
        "prompt words in answer": in_answer,
    }


def _measure_lines(answers: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    lines = np.array([answer.count("\n") + 1 if answer else 0 for answer in answers], dtype=np.float64)
    listed = np.array([len(_LIST_LINE.findall(answer)) for answer in answers], dtype=np.float64)
    indented = np.array([len(_INDENTED_LINE.findall(answer)) for answer in answers], dtype=np.float64)
    return {"answer lists": _divide(listed, lines), "answer indentation": _divide(indented, lines)}


def _ends(text: str) -> float:
    """1 where a text ends as a sentence, a list or code ends, else 0; nan where it is empty.

    >>> _ends("Tea is hot."), _ends("Tea is"), _ends("Tea is "), _ends("")
    (1.0, 0.0, 0.0, nan)
    """
    last = text[-MAX_CHARACTERS:].rstrip()[-1:]
    if not last:
        return math.nan
    # Letters, digits, and the vowel signs (marks) of Indic scripts.
    in_word = unicodedata.category(last)[0] in "LNM" or last == "_"
    return float(not in_word and last not in OPEN_ENDS)


def _compression_ratio(text: str) -> float:
    raw = text.encode("utf-8", "surrogatepass")
    return len(raw) / len(zlib.compress(raw, ZLIB_LEVEL)) if raw else math.nan


def _divide(counts: NDArray[np.float64], by: NDArray[np.float64]) -> NDArray[np.float64]:
    """A share for each row, nan where there is nothing to divide by."""
    share: NDArray[np.float64] = np.divide(counts, by, out=np.full(counts.shape, np.nan), where=by > 0)
    return share
