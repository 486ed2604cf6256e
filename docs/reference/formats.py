"""formats.md, and the list of formats in README.md: one row of every dialect, from the code that reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

from corpus.errors import EntropylawError
from corpus.formats import DIALECTS, Dialect, Format, Kind, kind_of
from corpus.formats.keys import HISTORY_KEY, SCORE_KEYS, SOURCE_KEYS, SYSTEM_KEYS, TOOLS_KEYS
from corpus.formats.kinds import PREPARED
from corpus.formats.messages import CONTENT_KEYS, MASK_KEYS, REASONING_KEYS, ROLE_KEYS
from corpus.formats.reading import MAPPABLE
from corpus.formats.roles import CALL_ROLES, ROLE_NAMES
from corpus.records import ROLES

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- formats: made by `make docs` -->", "<!-- end of formats -->"

INTRODUCTION = """\
# Formats

One row of every form of data that is read. A *format* is what the columns of a row mean; its *dialects* are the names
under which published data has them. Rows are told apart by their keys, from the first 100 rows of a file. This page is
made by `make docs` from `corpus/formats/`.

## When the names are others

Say which is which under the dataset in `params.yaml`, our name first:

```yaml
datasets:
  sft:
    path: data/questions.jsonl
    format: auto # or a name from this page
    columns: {prompt: frage, completion: antwort}
```

`path` alone is enough where the names are known, also as `sft: data/questions.jsonl`. `entropylaw init --columns
sft.prompt=frage` writes the same. A `format` here wins over `prepare.format`, which counts for every dataset that holds
what that format holds. Our names:

"""

KEYS = """\
## Beside the texts

| key | what becomes of it |
|---|---|
| {system} | the system message, unless the messages begin with one |
| `{history}` | earlier turns, as pairs of a question and an answer or as messages |
| {tools} | the tools that the model may call, kept as one canonical text |
| {source} | where the row comes from; rows are compared within their source |
| {score} | the grade of the chosen answer, for `entropylaw select score` |

## Inside a message

| key | what becomes of it |
|---|---|
| {roles} | who speaks; see below |
| {content} | what is said: a text, or parts of text; the first that holds something |
| {reasoning} | what was thought before the answer, kept apart from it |
| `tool_calls`, `function_call` | calls of tools, kept as one canonical text |
| {masks} | 0 or false: the answer stays in the conversation and is not learned |

Who speaks, by the names of published data in upper or lower case:

{role_table}

A whole turn by {call_roles} is a call where it is JSON.

## Nothing is dropped in silence

- **Ids, scores and notes** about a row, such as `id`, `prompt_id`, `model`, `rating` or `metadata`, are passed over.
- **Any other key** is not read, but named with the number of rows that have it: on stderr, and as `unread_keys` in
  `results/<dataset>/prepare.json`.
- **What changes training and is not supported is an error**: images, audio and video, masks of tokens, weights between
  0 and 1, a second answer beside a conversation, a `label` that says neither yes nor no.
- `prepare.ignore_keys` names keys, also those of messages and parts, that are to be read as if they were not there.
  What `columns` names is read all the same.
- **A row that is no record** is left out, counted and listed with its reason: null or blank texts, no answer, an
  unknown role, a number where a text is expected. With more than `prepare.max_dropped_share` of such rows the version
  is an error that names every reason and the first rows of each.
- **A file of two formats** is an error. A pair whose rejected answer is missing is left out; it never becomes a
  conversation.
"""


def write_formats() -> str:
    """The page's text."""
    blocks = [INTRODUCTION + ", ".join(f"`{name}`" for name in MAPPABLE) + "."]
    titles: dict[Kind, str] = {"conversations": "Conversations", "preferences": "Preferences"}
    for kind, title in titles.items():
        blocks.append(f"## {title}")
        for format in _formats(kind):
            dialects = [dialect for dialect in DIALECTS if dialect.format == format]
            blocks += [f"### {format}", *(_describe(dialect) for dialect in _without_other_labels(dialects))]
    blocks.append(
        KEYS.format(
            system=_names(SYSTEM_KEYS),
            history=HISTORY_KEY,
            tools=_names(TOOLS_KEYS),
            source=_names(SOURCE_KEYS),
            score=_names(SCORE_KEYS),
            roles=_names(ROLE_KEYS),
            content=_names(CONTENT_KEYS),
            reasoning=_names(REASONING_KEYS),
            masks=_names(MASK_KEYS),
            role_table=_write_roles(),
            call_roles=" or ".join(f"`{name}`" for name in sorted(CALL_ROLES)),
        )
    )
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def write_readme() -> str:
    """README.md with its list of formats made anew. Raises EntropylawError where the place for it is gone."""
    text = README.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise EntropylawError(f"{README}: the lines {BEGIN} and {END} around the list of formats are missing")
    lines = ["| format | a row | also under |", "|---|---|---|"]
    for kind in get_args(Kind):
        for format in _formats(kind):
            first, *others = _without_other_labels([dialect for dialect in DIALECTS if dialect.format == format])
            names = [_columns(dialect) for dialect in others]
            more = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
            lines.append(f"| `{format}` | `{_row(first)}` | {more} |")
    table = "\n".join(lines)
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def _formats(kind: Kind) -> list[Format]:
    return [format for format in get_args(Format) if format not in PREPARED and kind_of(format) == kind]


def _without_other_labels(dialects: list[Dialect]) -> list[Dialect]:
    """The dialects without those that have `kto_tag` where another has `label`."""
    return [dialect for dialect in dialects if dialect.columns.get("label") != "kto_tag"]


def _describe(dialect: Dialect) -> str:
    names = ", ".join(f"`{theirs}`" for theirs in dialect.columns.values())
    optional = "".join(f", and `{theirs}` where there is one" for theirs in dialect.optional.values())
    mapping = ", ".join(f"{ours}: {theirs}" for ours, theirs in dialect.renamed.items())
    renamed = f" As `columns: {{{mapping}}}`." if mapping else ""
    tag = " The label may also be called `kto_tag`." if "label" in dialect.columns else ""
    row = json.dumps(dialect.example, ensure_ascii=False)
    return f"{names}{optional} ({dialect.used_by}).{renamed}{tag}\n\n```json\n{row}\n```"


def _row(dialect: Dialect) -> str:
    return json.dumps(dialect.example, ensure_ascii=False).replace("|", r"\|")


def _columns(dialect: Dialect) -> str:
    return " + ".join(f"`{name}`" for name in dialect.columns.values())


def _names(keys: tuple[str, ...]) -> str:
    return ", ".join(f"`{key}`" for key in keys)


def _write_roles() -> str:
    rows = ["| role | names |", "|---|---|"]
    for role in ROLES:
        rows.append(f"| {role} | {_names(tuple(name for name, named in ROLE_NAMES.items() if named == role))} |")
    return "\n".join(rows)
