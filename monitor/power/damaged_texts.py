"""What accidents do to the text of a message: each function takes a text and a generator, and returns the text after.

No package ships text in another language, so *another language* is made up: every English word becomes a made-up word
of similar length in Latin letters, always the same one. As in a translation, word frequencies, repetitions and the
words that prompt and answer share stay the same. A real language that shares words with English would be harder to
detect, one in another alphabet easier.
"""

from __future__ import annotations

import hashlib
import html
import re
import string

import numpy as np

BOILERPLATE = (
    "I'm sorry, but as an AI language model I can't help with that.",
    "As an AI language model, I don't have personal opinions or feelings.",
    "I'm sorry, I can't assist with that request.",
    "I'm an AI assistant and don't have access to that information.",
    "Sorry, I am not able to answer this question. Is there anything else I can help you with?",
)
EMPTYISH = (".", "-", "...", "?", "ok", "n/a", "none", "null")
TYPOGRAPHY = {"'": "’", '"': "”", "...": "…", " - ": " — "}
ONSETS = ("b", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "st", "tr", "br", "kl", "")
NUCLEI = ("a", "e", "i", "o", "u", "ai", "ei", "ou")
CODAS = ("", "", "", "n", "r", "s", "l", "t")
# English has about so many letters a syllable.
SYLLABLE_LETTERS = 2.5
NO_BREAK_SPACE = "\u00a0"
# What a limit of tokens leaves of an answer that is too long for it, for example.
CUT_SHARE = 0.6


def recase(text: str, rng: np.random.Generator) -> str:
    """The text as another program might clean it: lower case, no punctuation, one word in twenty lost.

    >>> recase("Hello, my  Friend!", np.random.default_rng(1))
    'hello my friend'
    """
    words = re.sub(r"[^\w\s']", "", text.lower()).split()
    kept = [word for word, lost in zip(words, rng.random(len(words)) < 0.05, strict=True) if not lost]
    return " ".join(kept or words) or text


def answer_boilerplate(text: str, rng: np.random.Generator) -> str:
    return BOILERPLATE[rng.integers(len(BOILERPLATE))]


def garble_punctuation(text: str, rng: np.random.Generator) -> str:
    """The text with typographic punctuation, its UTF-8 read as Windows-1252.

    >>> garble_punctuation("don't", np.random.default_rng(0))
    'donâ€™t'
    """
    for plain, typographic in TYPOGRAPHY.items():
        text = text.replace(plain, typographic)
    return text.encode().decode("cp1252", errors="replace")


def type_randomly(text: str, rng: np.random.Generator) -> str:
    """As many random characters as the text has, with blanks as often as in English."""
    alphabet = string.ascii_letters + string.digits + string.punctuation
    characters = [alphabet[i] for i in rng.integers(len(alphabet), size=max(1, len(text)))]
    return "".join(
        " " if blank and 0 < i < len(characters) - 1 else character
        for i, (character, blank) in enumerate(zip(characters, rng.random(len(characters)) < 0.18, strict=True))
    )


def truncate(text: str, rng: np.random.Generator) -> str:
    """The first sixth of the text.

    >>> truncate("I would buy an island.", np.random.default_rng(0))
    'I w'
    """
    return text[: max(1, len(text) // 6)]


def cut_late(text: str, rng: np.random.Generator) -> str:
    """The first 60% of the text, as a limit of tokens cuts it.

    >>> cut_late("I would buy an island.", np.random.default_rng(0))
    'I would buy a'
    """
    return text[: max(1, int(CUT_SHARE * len(text)))]


def empty_nearly(text: str, rng: np.random.Generator) -> str:
    return EMPTYISH[rng.integers(len(EMPTYISH))]


def leave_html(text: str, rng: np.random.Generator) -> str:
    """The text with the HTML of a web page around it.

    >>> leave_html("That's it. Bye", np.random.default_rng(0))
    '<div class="message" id="msg-850624"><p>That&#x27;s it.<br/>&nbsp;Bye</p></div>'
    """
    lines = re.sub(r"(?<=[.!?]) ", "<br/>&nbsp;", html.escape(text))
    return f'<div class="message" id="msg-{rng.integers(10**6)}"><p>{lines}</p></div>'


def leave_entities(text: str, rng: np.random.Generator) -> str:
    """The text as it stands in the source of a web page: quotes, angle brackets and accents are entities.

    >>> leave_entities("That's 3 < 4, café", np.random.default_rng(0))
    'That&#x27;s 3 &lt; 4, caf&#233;'
    """
    return html.escape(text).encode("ascii", "xmlcharrefreplace").decode("ascii")


def escape_line_breaks(text: str, rng: np.random.Generator) -> str:
    r"""The text with its line breaks, and the one that ended it in its file, written as backslash and letter.

    >>> print(escape_line_breaks("One.\nTwo.", np.random.default_rng(0)))
    One.\nTwo.\n
    """
    return text.replace("\r", "").replace("\n", "\\n").replace("\t", "\\t") + "\\n"


def lower_case(text: str, rng: np.random.Generator) -> str:
    return text.lower()


def lose_line_breaks(text: str, rng: np.random.Generator) -> str:
    r"""The text on one line, as an export to CSV or TSV leaves it.

    >>> lose_line_breaks("def f():\n    return 1", np.random.default_rng(0))
    'def f(): return 1'
    """
    return re.sub(r"\s*\n\s*", " ", text)


def say_twice(text: str, rng: np.random.Generator) -> str:
    return f"{text}\n\n{text}"


def break_no_spaces(text: str, rng: np.random.Generator) -> str:
    return text.replace(" ", NO_BREAK_SPACE)


def strip_markdown(text: str, rng: np.random.Generator) -> str:
    r"""The text without the marks of Markdown: fences, backticks, stars, headings, list marks, links.

    >>> strip_markdown("## Plan\n- **first** `f(x)`", np.random.default_rng(0))
    'Plan\nfirst f(x)'
    """
    text = re.sub(r"^```.*\n?", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\s{0,3}(#{1,6}|[-*+>]|\d+\.)\s+", "", text, flags=re.MULTILINE)
    text = re.sub(r"!?\[([^\]\n]+)\]\([^)\n]+\)", r"\1", text)
    return re.sub(r"(\*\*|__|`)(\S(?:[^\n]*?\S)?)\1", r"\2", text)


def redraft(text: str, rng: np.random.Generator) -> str:
    """An earlier draft of the text: without its last sentence, and one word in ten not yet there.

    >>> redraft("I would really like to buy an island. And you?", np.random.default_rng(7))
    'I would really like to buy island.'
    """
    ends = [match.start() for match in re.finditer(r"(?<=[.!?\n])\s+(?=\S)", text)]
    draft = text[: ends[-1]] if ends else text
    words = draft.split(" ")
    kept = [word for word, missing in zip(words, rng.random(len(words)) < 0.1, strict=True) if not missing]
    return " ".join(kept) if "".join(kept).strip() else text


def translate(text: str, rng: np.random.Generator) -> str:
    """The text word by word in a made-up language, with its punctuation and capitals.

    >>> translate("Yes, we can!", np.random.default_rng(0))
    'Voul, be nin!'
    """
    return re.sub(r"[A-Za-z']+", lambda match: translate_word(match.group()), text)


def translate_word(word: str) -> str:
    digest = hashlib.blake2b(word.lower().encode()).digest()
    syllables = max(1, round(len(word) / SYLLABLE_LETTERS))
    parts = [
        ONSETS[digest[3 * i] % len(ONSETS)]
        + NUCLEI[digest[3 * i + 1] % len(NUCLEI)]
        + CODAS[digest[3 * i + 2] % len(CODAS)]
        for i in range(min(syllables, len(digest) // 3))
    ]
    made_up = "".join(parts)
    return made_up.capitalize() if word[0].isupper() else made_up
