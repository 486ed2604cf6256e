"""The documentation points at things that exist: files, headings, and the code that it names."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("corpus", "selection", "training", "monitor", "reports", "entropylaw", "benchmarks", "tests", "recipes")
PAGES = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for path in (REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs").rglob("*.md"))
)

# [text](target), [text](target "title") and ![text](target); the text may go over two lines.
LINK = re.compile(r"\[[^\]]*\]\(\s*([^)\s]+)[^)]*\)")
NAMED_FILE = re.compile(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)})/[\w./*-]*\.(?:py|yaml|j2)\b")


def remove_code_blocks(text: str) -> str:
    return re.sub(r"^( *)(```|~~~).*?^\1\2$", "", text, flags=re.MULTILINE | re.DOTALL)


def list_anchors(page: str) -> set[str]:
    """The fragments that GitHub makes of a page's headings.

    >>> sorted(list_anchors("# The rules\\n## `a_b`: what's in it?\\n## The rules\\n"))
    ['a_b-whats-in-it', 'the-rules', 'the-rules-1']
    """
    anchors: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", remove_code_blocks(page), flags=re.MULTILINE):
        words = LINK.sub(lambda link: link.group(0)[1:].split("]")[0], heading)
        anchor = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        times = anchors.get(anchor, 0)
        anchors[anchor] = times + 1
        if times:
            anchors[f"{anchor}-{times}"] = 1
    return set(anchors)


def find_broken_links(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    broken = []
    for target in LINK.findall(re.sub(r"`[^`\n]*`", "", remove_code_blocks(page.read_text(encoding="utf-8")))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, fragment = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or not file.is_relative_to(REPOSITORY):
            broken.append(f"{target}: no such file")
        elif fragment and (file.suffix != ".md" or fragment not in list_anchors(file.read_text(encoding="utf-8"))):
            broken.append(f"{target}: no such heading")
    return broken


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: str) -> None:
    assert find_broken_links(REPOSITORY / page) == []


@pytest.mark.parametrize("page", PAGES)
def test_every_file_of_code_that_a_page_names_exists(page: str) -> None:
    names = set(NAMED_FILE.findall((REPOSITORY / page).read_text(encoding="utf-8")))
    assert [name for name in sorted(names) if not any(REPOSITORY.glob(name))] == []


def test_a_link_to_nowhere_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "REPOSITORY", tmp_path)
    (tmp_path / "other.md").write_text("# What's new?\n\n```\n# no heading\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](gone.md) [b](other.md#whats-new) [c\nd](other.md#no-heading) ![e](gone.png) [f](#here)\n## Here\n"
        "[g](https://example.org/gone.md) `[h](code.md)`\n"
    )
    assert find_broken_links(page) == [
        "gone.md: no such file",
        "other.md#no-heading: no such heading",
        "gone.png: no such file",
    ]
