"""What a team does to the text of its rows on purpose: each function takes a text and returns the text after."""

from __future__ import annotations

import re

# Common first names in English text, without those that are words or parts of names of places too.
_NAMES = (
    "Adam Alan Albert Alex Alexander Alexis Alice Alyssa Amanda Amber Amy Andrea Andrew Andy Angela Anna Anne "
    "Anthony Arthur Ashley Barbara Barry Becky Ben Benjamin Beth Betty Bill Bob Bobby Brad Brandon Brenda Brian "
    "Bruce Carl Carla Carlos Carol Caroline Catherine Charles Charlie Charlotte Chris Christina Christine "
    "Christopher Cindy Claire Connor Craig Cynthia Daniel Danny Dave David Deborah Dennis Diana Diane Donald Donna "
    "Doris Dorothy Dylan Eddie Edward Elizabeth Ella Ellen Emily Emma Eric Erica Ethan Eva Evan Frank Fred Gary "
    "George Gerald Gloria Greg Hannah Harold Harry Heather Helen Henry Howard Ian Isabella Jack Jackie Jackson "
    "Jacob Jake James Jamie Jane Janet Jason Jean Jeff Jennifer Jenny Jeremy Jerry Jesse Jessica Jill Jim Jimmy "
    "Joan Joe John Johnny Jonathan Jordan Jose Joseph Josh Joshua Joyce Juan Judy Julia Julie Justin Karen Kate "
    "Katherine Kathy Katie Keith Kelly Kevin Kyle Larry Laura Lauren Leo Leonard Leslie Lily Linda Lisa Logan Louis "
    "Lucas Lucy Luke Marcus Maria Marie Martha Martin Mary Matt Matthew Megan Melissa Mia Michael Michelle Mike "
    "Monica Nancy Natalie Nathan Neil Nicholas Nicole Noah Olivia Oscar Pamela Patricia Patrick Paul Paula Peter "
    "Philip Rachel Ralph Randy Raymond Rebecca Richard Robert Roger Ronald Roy Russell Ruth Ryan Sally Sam Samantha "
    "Samuel Sandra Sara Sarah Scott Sean Seth Sharon Sheila Shirley Simon Sophia Stacy Stanley Stella Stephanie "
    "Stephen Steve Steven Stuart Susan Tara Ted Teresa Terry Theresa Thomas Tim Timothy Tina Toby Tom Tommy Tony "
    "Tracy Tyler Vanessa Victor Victoria Vincent Wanda Wayne Wendy William Zach Zoe"
)
FIRST_NAMES = frozenset(_NAMES.split())
# Spellings that are wrong in any English text, with the right ones.
TYPOS = {
    "alot": "a lot",
    "arent": "aren't",
    "becuase": "because",
    "beleive": "believe",
    "cant": "can't",
    "couldnt": "couldn't",
    "definately": "definitely",
    "didnt": "didn't",
    "doesnt": "doesn't",
    "dont": "don't",
    "favourit": "favourite",
    "freind": "friend",
    "havent": "haven't",
    "im": "I'm",
    "isnt": "isn't",
    "ive": "I've",
    "recieve": "receive",
    "seperate": "separate",
    "shouldnt": "shouldn't",
    "teh": "the",
    "thats": "that's",
    "thier": "their",
    "tommorow": "tomorrow",
    "untill": "until",
    "wasnt": "wasn't",
    "wierd": "weird",
    "wont": "won't",
    "wouldnt": "wouldn't",
    "youre": "you're",
}
_TYPO = re.compile(rf"\b({'|'.join(TYPOS)})\b", re.IGNORECASE)
_VERBS = "am|was|have|had|do|did|don't|think|like|love|would|can|will|know|want|just|really"


def mend_typos(text: str) -> str:
    """The text with common slips mended: spelling, a small i, a word twice, blanks before a comma, no final stop.

    >>> mend_typos("i dont like the the rain , sorry")
    "I don't like the rain, sorry."
    """
    text = _TYPO.sub(_spell_right, text)
    text = re.sub(rf"\bi(?='(?:m|ll|ve|d)\b| (?:{_VERBS})\b)", "I", text)
    text = re.sub(r"\b(the|a|an|to|of|and|is|in|that) \1\b", r"\1", text)
    text = re.sub(r"(?<=\w) +(?=[,.!?](?:\s|$))", "", text)
    # The last line of a plain sentence; code and lists of values do not end in a word after three words.
    return re.sub(r"((?:^|\n|[.!?] )[A-Za-z][\w,'’-]*(?: [\w,'’-]+){2,})$", r"\1.", text)


def _spell_right(match: re.Match[str]) -> str:
    right = TYPOS[match.group().lower()]
    return right[0].upper() + right[1:] if match.group()[0].isupper() else right


def replace_names(text: str) -> str:
    """The text with a placeholder for each first name.

    >>> replace_names("Natalie and Tom ask Marble.")
    '[NAME] and [NAME] ask Marble.'
    """
    return re.sub(r"\b[A-Z][a-z]+\b", lambda match: "[NAME]" if match.group() in FIRST_NAMES else match.group(), text)


def normalise_space(text: str) -> str:
    r"""The text without blanks at line ends, double blanks inside a line, and more than one blank line.

    >>> normalise_space("One.  Two. \n\n\n    three()\n")
    'One. Two.\n\n    three()'
    """
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    text = re.sub(r"[ \u00a0]+$", "", text, flags=re.MULTILINE)
    text = re.sub(r"(?<=\S)  +", " ", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")
