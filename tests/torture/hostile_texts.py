"""Hostile and broken data files of text: JSON in every layout, CSV and TSV, and any text in the wrong encoding."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator

from corpus.formats.dialects import DIALECTS

GOOD = [
    {"prompt": f"What is {number} and {number}?", "completion": f"It is {2 * number}, as you can count."}
    for number in range(1, 9)
]
LINES = "".join(json.dumps(row) + "\n" for row in GOOD).encode()
ARRAY = json.dumps(GOOD, indent=1).encode()
WRAPPED = json.dumps({"version": 1, "data": GOOD}).encode()
TABLE = b"prompt,completion\n" + b"".join(f'"{row["prompt"]}","{row["completion"]}"\n'.encode() for row in GOOD)


def _call(arguments: str) -> bytes:
    """A message that calls a tool with these arguments."""
    return json.dumps([{"role": "assistant", "tool_calls": [{"name": "f", "arguments": arguments}]}]).encode()


# What may stand where a text, a list or an object is expected, each as its JSON text.
VALUES: dict[str, bytes] = {
    "null": b"null",
    "true": b"true",
    "zero": b"0",
    "minus zero": b"-0.0",
    "NaN": b"NaN",
    "infinity": b"-Infinity",
    "a number that is too large": b"1e999",
    "a number that is too small": b"1e-999",
    "an integer of 400 digits": b"9" * 400,
    "an integer of 5,000 digits": b"9" * 5000,
    "a negative integer of 5,000 digits": b"-" + b"9" * 5000,
    "a fraction of 5,000 digits": b"0." + b"3" * 5000,
    "an empty text": b'""',
    "a blank text": b'" \\t\\n\\u00a0\\u3000"',
    "a NUL": b'"a\\u0000b"',
    "control characters": b'"\\u0001\\u001b[31m\\u0007\\u007f\\u009b"',
    "a raw control character": b'"a\x01b"',
    "a raw line of ESC": b'"\x1b]0;title\x07"',
    "line breaks of every kind": '"a\\r\\nb\\u0085c\\u2028d\u2029e\\u000bf"'.encode(),
    "a high surrogate": b'"\\ud83d"',
    "a low surrogate": b'"\\ude00"',
    "surrogates the wrong way round": b'"\\ude00\\ud83d"',
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "an overlong slash": b'"\xc0\xaf"',
    "a byte of Latin-1": b'"caf\xe9"',
    "a code point beyond the last": b'"\xf4\x90\x80\x80"',
    "a byte order mark": b'"\xef\xbb\xbftext\\ufeff"',
    "noncharacters": b'"\\uffff\\ufffe"',
    "text from right to left": '"\u202egnp.exe\u202c\u2066"'.encode(),
    "a thousand combining marks": b'"e' + "\u0301".encode() * 1000 + b'"',
    "a long word": b'"' + b"x" * 200_000 + b'"',
    "an escape that is none": b'"\\x41"',
    "half an escape": b'"\\u12"',
    "a text without end": b'"abc',
    "an empty list": b"[]",
    "an empty object": b"{}",
    "a list of null": b"[null]",
    "a list of lists": b"[[[[]]], [[]]]",
    "a list of numbers": b"[1, 2, 3]",
    "a list of texts": b'["a", "b", "c"]',
    "a list of mixed types": b'[1, "a", null, {"role": "user"}, [], true]',
    "an object of numbers": b'{"a": 1, "role": 2, "content": 3}',
    "nested 500 deep": b"[" * 500 + b"]" * 500,
    "nested 900 deep": b"[" * 900 + b"]" * 900,
    "nested 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "objects nested 900 deep": b'{"content":' * 900 + b'"a"' + b"}" * 900,
    "objects nested 50,000 deep": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "parts nested 900 deep": b'{"parts":[' * 450 + b'"a"' + b"]}" * 450,
    "an open bracket ten thousand times": b"[" * 10_000,
    "an object without end": b'{"a": ',
    "a key twice": b'{"role": "user", "role": "assistant", "content": "a", "content": "b"}',
    "a key that is empty": b'{"": "", "role": "user"}',
    "a key of control characters": b'{"\\u001b[2J\\n\\r": "a", "role": "assistant", "content": "b"}',
    "a key that is half a character": b'{"\\ud800": "a"}',
    "a key of a million characters": b'{"' + b"k" * 1_000_000 + b'": "a"}',
    "a role of a million characters": b'[{"role": "' + b"r" * 1_000_000 + b'", "content": "a"}]',
    "a role that is an object": b'[{"role": {"a": {"role": []}}, "content": "a"}]',
    "a role that is a list": b'[{"role": ["user"], "content": "a"}]',
    "a role that is a number": b'[{"role": 1, "content": "a"}]',
    "a content that is a number": b'[{"role": "user", "content": 7}, {"role": "assistant", "content": true}]',
    "a content of parts that are none": b'[{"role": "user", "content": [{"type": 5}, {"type": "text", "text": []}]}]',
    "a part without a type": b'[{"role": "user", "content": [{}, {"": ""}]}]',
    "parts that are no list": b'[{"role": "user", "content": {"parts": 5}}]',
    "tool calls that are none": b'[{"role": "assistant", "content": "", "tool_calls": [1, [], {"function": 5}]}]',
    "a tool call with an odd name": b'[{"role": "assistant", "tool_calls": [{"function": {"name": {"a": []}}}]}]',
    "arguments that are half a character": _call('{"a": "\\ud800"}'),
    "arguments of 5,000 digits": b'[{"role":"assistant","tool_calls":[{"name":"f","arguments":"'
    + b"7" * 5000
    + b'"}]}]',
    "arguments that are NaN": b'[{"role":"assistant","tool_calls":[{"name":"f","arguments":"NaN"}]}]',
    "a weight that is a list": b'[{"role": "assistant", "content": "a", "weight": [1]}]',
    "a weight that is a large number": b'[{"role": "assistant", "content": "a", "weight": 1e300}]',
    "a weight of 400 digits": b'[{"role":"assistant","content":"a","weight":' + b"1" * 400 + b"}]",
    "messages in columns": b'{"role": ["user", "assistant"], "content": ["a"]}',
    "messages in columns of other types": b'{"role": ["user"], "content": "a", "from": 5}',
    "pairs of questions": b'[{"input": [], "output": {}}, 5]',
    "JSON in a text, nested deep": json.dumps("[{" * 20_000 + "}]").encode(),
    "Python in a text, nested deep": json.dumps("[{'role':" + "(" * 5000 + ")" * 5000 + "}]").encode(),
    "Python in a text, of 5,000 digits": json.dumps("[{'role': " + "9" * 5000 + "}]").encode(),
    "Python in a text with a NUL": json.dumps("[{'role': '\0'}]").encode(),
    "Python in a text with a list as key": json.dumps("[{[1]: 2}]").encode(),
    "Python in a text, many operators": json.dumps("[{" + "-" * 20_000 + "1}]").encode(),
    "JSON in a text that is half a character": json.dumps('[{"role": "user", "content": "\\ud800"}]').encode(),
    "marks of a dialogue": json.dumps("\n\nHuman: \n\nAssistant:" * 2000).encode(),
    "marks of another dialogue": json.dumps("<|im_start|>user\n" * 3000).encode(),
    "blank lines before a mark": json.dumps("\n" * 20_000 + "### Human: a\n### Assistant: b").encode(),
}

# Broken layouts of JSON, by the suffix that they stand under.
LAYOUTS: dict[str, bytes] = {
    "one bracket.json": b"[",
    "one brace.json": b"{",
    "only a brace.jsonl": b"{",
    "one quote.jsonl": b'"',
    "only spaces.jsonl": b" \n\t\r\n  \n",
    "only spaces.json": b" \n\t\r\n  \n",
    "only marks.jsonl": b"\xef\xbb\xbf" * 100,
    "only NUL.jsonl": b"\0" * 10_000,
    "NUL after rows.jsonl": LINES + b"\0" * 4096,
    "NUL between rows.jsonl": LINES + b"\0\0\0\0\n" + LINES,
    "NUL after an array.json": ARRAY + b"\0" * 4096,
    "a million empty lines.jsonl": LINES + b"\n" * 1_000_000 + LINES,
    "a million carriage returns.jsonl": LINES + b"\r" * 1_000_000 + LINES,
    "a million marks.jsonl": LINES + b"\xef\xbb\xbf\n" * 300_000 + LINES,
    "only empty lines.jsonl": b"\n" * 1_000_000,
    "carriage returns for line breaks.jsonl": LINES.replace(b"\n", b"\r"),
    "line separators for line breaks.jsonl": LINES.replace(b"\n", "\u2028".encode()),
    "objects on one line.jsonl": LINES.replace(b"\n", b""),
    "commas at the ends.jsonl": LINES.replace(b"\n", b",\n"),
    "single quotes.jsonl": LINES.replace(b'"', b"'"),
    "a Python list.json": repr(GOOD).encode(),
    "cut in a key.jsonl": LINES[:-60],
    "cut in an array.json": ARRAY[:-40],
    "cut in a wrapper.json": WRAPPED[:-40],
    "an array twice.json": ARRAY + ARRAY,
    "an array and lines.json": ARRAY + b"\n" + LINES,
    "lines and an array.jsonl": LINES + ARRAY,
    "a wrapper twice.json": WRAPPED + WRAPPED,
    "a wrapper in a wrapper.json": b'{"data": ' + WRAPPED + b"}",
    "a wrapper of two lists.json": b'{"data": ' + ARRAY + b', "rows": ' + ARRAY + b"}",
    "a wrapper of nothing.json": b'{"data": []}',
    "a wrapper of numbers.json": b'{"data": [1, 2, 3]}',
    "a wrapper with a number for a key.json": b'{"data": [{"prompt": "a", "completion": "b"}], 5: 6}',
    "a wrapper with a long number.json": b'{"n": ' + b"1" * 500_000 + b', "data": ' + ARRAY + b"}",
    "a wrapper with a deep value.json": b'{"n": ' + b"[" * 90_000 + b"]" * 90_000 + b', "data": ' + ARRAY + b"}",
    "a wrapper with closing brackets.json": b'{"n": [}]}, "data": ' + ARRAY + b"}",
    "an array of arrays.json": b"[[{}], [{}]]",
    "an array of nothing.json": b"[]",
    "an array of commas.json": b"[,,,,]",
    "an array of null.json": b"[null, null, null]",
    "an array with a comma too many.json": ARRAY.rstrip()[:-1] + b",]",
    "an array with a comma too few.json": ARRAY.replace(b"},", b"}", 1),
    "an array that closes twice.json": ARRAY + b"]",
    "an array with a comment.json": b"// rows\n" + ARRAY,
    "a number alone.json": b"5",
    "a text alone.json": b'"text"',
    "true alone.jsonl": b"true\n",
    "numbers.jsonl": b"1\n2\n3\n",
    "texts.jsonl": b'"a"\n"b"\n',
    "empty objects.jsonl": b"{}\n" * 1000,
    "empty lists.jsonl": b"[]\n" * 1000,
    "ten thousand open brackets.json": b"[" * 10_000,
    "ten thousand open braces.json": b'{"a":' * 10_000,
    "ten thousand open brackets on lines.jsonl": b"[\n" * 10_000,
    "a key in every row.jsonl": b"".join(
        b'{"prompt": "a%d?", "completion": "b.", "extra%d": 1}\n' % (n, n) for n in range(3000)
    ),
    "ten thousand columns.jsonl": json.dumps({**GOOD[0], **{f"c{n}": n for n in range(10_000)}}).encode() + b"\n",
    "another format in every row.jsonl": b"".join(json.dumps(dialect.example).encode() + b"\n" for dialect in DIALECTS),
    "a web page.jsonl": b"<!DOCTYPE html><html><body>Sign in</body></html>",
    "a merge conflict.jsonl": LINES + b"<<<<<<< HEAD\n" + LINES + b"=======\n>>>>>>> x\n",
    "a merge conflict.json": ARRAY[:60] + b"\n<<<<<<< HEAD\n" + ARRAY[60:],
    "a pointer of Git LFS.jsonl": b"version https://git-lfs.github.com/spec/v1\noid sha256:"
    + b"0" * 64
    + b"\nsize 9\n",
    "a pointer of Git LFS.parquet": b"version https://git-lfs.github.com/spec/v1\noid sha256:\nsize -1\n",
    "a pointer of Git LFS.csv": b"version https://git-lfs.github.com/spec/v1\n",
    "the note of DVC.jsonl": b"outs:\n- md5: 0123456789abcdef0123456789abcdef\n  size: 5\n  path: sft.jsonl\n",
    "a pickle.jsonl": b"\x80\x04\x95\x0a\x00\x00\x00\x00\x00\x00\x00",
    "a shell script.jsonl": b"#!/bin/sh\nrm -rf /\n",
    "prepared rows without a hash.jsonl": b'{"messages": [], "source": 5, "row": "x", "hash": null}\n',
    "prepared rows with odd messages.jsonl": b'{"messages": [5, {"role": 7}], "source": "", "row": 1, "hash": "00"}\n',
    "prepared rows of another shape.jsonl": b'{"prompt": {}, "chosen": "x", "rejected": 5, "source": "", "row": 1}\n',
    "prepared rows with a row of 4,000 digits.jsonl": b'{"messages": [{"role": "user", "content": "a"}, '
    b'{"role": "assistant", "content": "b"}], "source": "", "row": ' + b"9" * 4000 + b', "hash": "00"}\n',
}

# Tables that break the rules of CSV, or keep them in odd ways.
TABLES: dict[str, bytes] = {
    "only a header.csv": b"prompt,completion\n",
    "no header.csv": TABLE.split(b"\n", 1)[1],
    "one column.csv": b"prompt\na\nb\n",
    "no column.csv": b",,,\n,,,\n",
    "columns without a name.csv": b",,\na,b,c\n",
    "a column twice.csv": b"prompt,completion,prompt\na,b,c\n",
    "a column twice but for spaces.csv": b"prompt, prompt ,completion\na,b,c\n",
    "ten thousand columns.csv": ",".join(["prompt", "completion", *(f"c{n}" for n in range(10_000))]).encode()
    + b"\na,b"
    + b",x" * 10_000
    + b"\n",
    "a cell too few.csv": TABLE + b"alone\n",
    "a cell too many.csv": TABLE + b"a,b,c\n",
    "a quote without end.csv": TABLE + b'"never closed, ' + b"x\n" * 1000,
    "a quote in a cell.csv": TABLE + b'a "quoted" word,b\n"a" b,c\n',
    "a quote at the end.csv": TABLE + b'a,"b"x\n',
    "NUL in a cell.csv": TABLE + b"a\0b,c\n",
    "NUL in the header.csv": b"prompt\0,completion\na,b\n",
    "carriage returns.csv": TABLE.replace(b"\n", b"\r"),
    "carriage returns in cells.csv": TABLE + b'"a\rb","c\r\nd"\n' + b"a\rb,c\n",
    "a million empty lines.csv": TABLE + b"\n" * 1_000_000,
    "only empty lines.csv": b"\n" * 100_000,
    "only commas.csv": b"," * 100_000,
    "only quotes.csv": b'"' * 100_001,
    "a header twice.csv": TABLE + TABLE,
    "a hint of Excel.csv": b"sep=;\nprompt;completion\na;b\n",
    "a hint of Excel that is a quote.csv": b'sep="\nprompt"completion\na"b\n',
    "a hint of Excel that is a line break.csv": b"sep=\n\nprompt,completion\n",
    "a hint of Excel that is a carriage return.csv": b"sep=\r\r\nprompt,completion\na,b\n",
    "a hint of Excel that is a NUL.csv": b"sep=\0\nprompt\0completion\na\0b\n",
    "a hint of Excel beyond ASCII.csv": "sep=é\npromptécompletion\naéb\n".encode(),
    "a hint of Excel beyond the first plane.csv": "sep=😀\nprompt😀completion\na😀b\n".encode(),
    "a hint of Excel that is a space.csv": b"sep= \nprompt completion\na b\n",
    "a hint of Excel alone.csv": b"sep=,\n",
    "a hint of Excel twice.csv": b"sep=,\nsep=,\na,b\n",
    "semicolons.csv": TABLE.replace(b",", b";"),
    "tabs.tsv": TABLE.replace(b",", b"\t"),
    "commas.tsv": TABLE,
    "JSON.csv": LINES,
    "an array.csv": ARRAY,
    "a cell of two megabytes.csv": TABLE + b'"' + b"x" * 2_000_000 + b'",b\n',
    "a name of a megabyte.csv": b"x" * 1_000_000 + b",completion\na,b\n",
    "ESC in the header.csv": b"\x1b[31mprompt,completion\na,b\n",
    "formulas.csv": b"prompt,completion\n=cmd|'/c calc'!A1,+1\n",
}

ENCODINGS = (
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "utf-32-le",
    "utf-32-be",
    "utf-7",
    "cp1252",
    "cp037",
    "shift_jis",
    "gb18030",
)
MARKS = {"UTF-8": codecs.BOM_UTF8, "UTF-16": codecs.BOM_UTF16_LE, "UTF-32": codecs.BOM_UTF32_BE}


def files_of_text() -> Iterator[tuple[str, bytes]]:
    """Every file of text: its name, which says what is wrong with it, and its bytes."""
    for name, value in VALUES.items():
        bad = b'{"prompt": ' + value + b', "completion": "b"}'
        yield f"{name}.jsonl", LINES + bad + b"\n" + LINES
        yield f"{name} in an array.json", ARRAY.rstrip()[:-1] + b",\n" + bad + b"\n]"
        yield f"{name} in a wrapper.json", b'{"' + b'note": ' + value + b', "data": ' + ARRAY + b"}"
        yield f"{name} as a row.jsonl", LINES + value + b"\n"
        yield f"{name} alone.json", value
    yield from LAYOUTS.items()
    yield from TABLES.items()
    accented = [{"prompt": f"Où est l'été n°{n} 字?", "completion": "Là-bas, à côté — du café."} for n in range(20)]
    for layout, suffix in (
        (json.dumps(accented, ensure_ascii=False), "json"),
        ("\n".join(json.dumps(row, ensure_ascii=False) for row in accented), "jsonl"),
        ("prompt,completion\n" + "é?,Là-bas: 字.\n" * 20, "csv"),
    ):
        for encoding in ENCODINGS:
            encoded = layout.encode(encoding, "replace")
            yield f"{encoding}.{suffix}", encoded
            yield f"{encoding} after good rows.{suffix}", layout.encode() + b"\n" + encoded
            yield f"{encoding} cut by a byte.{suffix}", encoded[:-1]
        for mark, raw in MARKS.items():
            yield f"the mark of {mark} before it.{suffix}", raw + layout.encode()
            yield f"the mark of {mark} within.{suffix}", layout.encode() + b"\n" + raw + layout.encode()
            yield f"the mark of {mark} alone.{suffix}", raw


def files_of_dialects() -> Iterator[tuple[str, bytes]]:
    """For every dialect, a file for each of its columns and each hostile value in it, beside three good rows."""
    for number, dialect in enumerate(DIALECTS, start=1):
        good = json.dumps(dialect.example, ensure_ascii=False).encode()
        for column in dialect.example:
            rest = {key: value for key, value in dialect.example.items() if key != column}
            head = json.dumps(rest, ensure_ascii=False).encode()[:-1] + (b", " if rest else b"")
            for name, value in VALUES.items():
                bad = head + json.dumps(column).encode() + b": " + value + b"}\n"
                yield f"{number} {column} {name}.jsonl", good + b"\n" + bad + good + b"\n"
