"""One word for one thing: the glossary has them all, and the words that were given up are gone."""

import re
from pathlib import Path
from typing import get_args

import pytest

from monitor.verdict import RuleStatus, Status
from reports.words import MEASURES

REPOSITORY = Path(__file__).resolve().parent.parent
GLOSSARY = (REPOSITORY / "docs" / "glossary.md").read_text(encoding="utf-8")

# Words of earlier versions, and what is said now. Each pattern is a use that had our meaning: "odd" alone is a word
# like any other.
RETIRED = {
    r"\bodd[ _-](?:row|tail)s?\b": "new row, named row",
    r"`(?:wording|form)` (?:and|sees?|rule)|\brules? `(?:wording|form)`": "`damage`, `style`",
    r"\boutlier_quantiles\b|\bquantile thresholds?\b|\boutliers/": "rank",
    r"\bmis-?fits?\b": "answer mismatch",
    r"\bharmless\b": "benign",
    r"\b(?:row|version)[ _-]marks?\b|\bmarks? of (?:a|the|its|each) rows?\b": "row feature",
    r"\btails? (?:is|are) cut\b|\bcut_?offs?\b|\btail_?cuts?\b": "rank",
    r"\becho\b(?= \||`|:)|\"echo\"": "repetition",
    r"\bsurprises?\b": "surprisal",
    r"\b(?:warn|risky)`? bands?\b|\bBand\(|: Band\b": "threshold",
    r"\bdraft\.(?:slight|calm)\b|\b(?:slight|calm)=": "alarm, negligible, passing",
    r"\brule `?consistency\b|\bconsistency`? rule\b|`consistency` (?:asks|compares|raises|tests)": "rule loss",
}
# These say what an old key is called now, or are a decision that another has replaced.
TELLS_OLD_NAMES = (
    "monitor/rule_params.py",
    "docs/decisions/0013-outliers.md",
    "docs/decisions/0017-a-room-for-every-rule.md",
    "CHANGELOG.md",
)


def list_texts() -> list[str]:
    """Every file whose words people read, by its name in the repository."""
    pages = (
        "docs/*.md",
        "docs/decisions/*.md",
        "docs/reference/*",
        "docs/schemas/*",
        "*.md",
        "params.yaml",
        "recipes/*",
    )
    packages = ("corpus", "selection", "training", "monitor", "reports", "entropylaw", "benchmarks")
    patterns = (*pages, *(f"{package}/**/*" for package in packages))
    files = {path for pattern in patterns for path in REPOSITORY.glob(pattern)}
    kinds = {".md", ".py", ".yaml", ".yml", ".json", ".j2", ".css", ".js"}
    return sorted(path.relative_to(REPOSITORY).as_posix() for path in files if path.suffix in kinds)


def find_retired(text: str) -> list[str]:
    return [
        f"{found.group()!r}: say {now}"
        for old, now in RETIRED.items()
        for found in re.finditer(old, text, re.IGNORECASE)
    ]


def defines(term: str) -> bool:
    """Whether the glossary has an entry or a table row of this name."""
    return bool(re.search(rf"^(?:\| `{term}` \||\*\*(?:[^*]*, )?{term}(?:[ ,.*]))", GLOSSARY, re.MULTILINE))


@pytest.mark.parametrize("status", get_args(Status))
def test_the_glossary_has_every_status_of_a_verdict(status: str) -> None:
    assert f"| `{status}` |" in GLOSSARY


@pytest.mark.parametrize("status", get_args(RuleStatus))
def test_the_glossary_has_every_status_of_a_rule(status: str) -> None:
    assert f"`{status}`" in GLOSSARY


@pytest.mark.parametrize("symbol", [*("Long R" if m.key == "r_long" else m.symbol for m in MEASURES), "Z"])
def test_the_glossary_has_every_measure(symbol: str) -> None:
    assert defines(symbol)


def test_the_glossary_defines_nothing_twice() -> None:
    terms = [term.strip(" .") for term in re.findall(r"^\*\*([^*]+)\*\*", GLOSSARY, re.MULTILINE)]
    assert len(terms) > 60
    assert sorted(terms) == sorted(set(terms))


def test_every_word_in_italics_has_an_entry_of_its_own() -> None:
    entries = " ".join(re.findall(r"\*\*([^*]+)\*\*", GLOSSARY)).lower()
    words = re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", GLOSSARY)
    forms = {word: {word.lower(), word.lower().removesuffix("s"), word.lower().removesuffix("es")} for word in words}
    missing = [word for word, spelt in forms.items() if not any(form in entries for form in spelt)]
    assert missing == ["italics"]  # the sentence that explains them


@pytest.mark.parametrize("name", list_texts())
def test_no_text_uses_a_retired_word(name: str) -> None:
    if name in TELLS_OLD_NAMES:
        return
    assert find_retired((REPOSITORY / name).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the odd rows are counted", 1),
        ("Odd, so that no bend is among them", 0),
        ("harmless updates", 1),
        ("the surprise of each character", 1),
        ("the surprisal of each character, which is surprising", 0),
        ("its `risky` band and a wide band", 1),
        ("the stage consistency, and consistency.json", 0),
        ("the rule `consistency`", 1),
        ("| | echo | share of", 1),
        ("cmp a b && echo the same; prompts echoed", 0),
        ("marks of the rows; a mark of its own", 1),
    ],
)
def test_a_retired_word_is_told_from_the_same_letters_in_another_use(text: str, found: int) -> None:
    assert len(find_retired(text)) == found
