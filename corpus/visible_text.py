"""Which characters can be seen, and which be written: a name made of others looks empty, or like another name."""

from __future__ import annotations

import re

# Unicode counts these as letters, symbols or marks, and they show nothing: fillers, blanks and variation selectors
# (Default_Ignorable_Code_Point, DerivedCoreProperties.txt; U+2800 and U+1D159 are drawn without ink). The selectors of
# emoji, U+FE0E and U+FE0F, stand in ordinary text and are left out of the list.
UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0d\uffa0\U0001d159\U000e0100-\U000e01ef]"
)
EMOJI_SELECTORS = "\ufe0e\ufe0f"


def is_seen(character: str) -> bool:
    r"""Whether a character shows as itself, or is a blank: no control, direction or unassigned one, and none of UNSEEN.

    >>> [is_seen(character) for character in ("a", "字", " ", "\x1b", "\u202e", "\u3164")]
    [True, True, True, False, False, False]
    """
    return character.isprintable() and UNSEEN.match(character) is None


def shows_something(text: str) -> bool:
    r"""Whether a reader sees anything of a text.

    >>> shows_something("ana@example.org"), shows_something("\u200b \u3164\ufe0f")
    (True, False)
    """
    return any(is_seen(c) and not c.isspace() and c not in EMOJI_SELECTORS for c in text)


def can_be_written(text: str) -> bool:
    r"""Whether a text can be written as UTF-8: it holds no half of a surrogate pair.

    >>> can_be_written("😀"), can_be_written("\ud83d")
    (True, False)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
