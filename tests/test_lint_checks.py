"""Every check of `lint` finds what it is for, and says nothing of rows that only look like it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lint_rows import Row, ask, lint_rows, rows_by_code, sound_rows, talk
from made_up_rows import draw_chats

from corpus.records import Conversation
from entropylaw.demo.chitchat import ChatLog, to_conversation
from monitor.lint.check import TokenCounter
from monitor.lint.registry import list_issues
from monitor.lint.tally import Finding

PROSE = "We walked along the canal until the lamps were lit, and then we sat down on a bench near the old mill. "
GITHUB_TOKEN = "ghp_" + "k3Vq8ZpWm2Xr7TbN5cYd" + "H9sJf4Lg6RuE1aQo"
PREFERENCE = {"prompt": "Which tea keeps you awake?", "chosen": "Black tea does.", "rejected": "Water, I think."}

# Code, a row that has the issue, and a row that only looks like it.
SINGLE_ROWS: list[tuple[str, Row, Row]] = [
    ("W103", ask("Hi", "Hello!", hint="Be kind."), ask("Hi", "Hello!", id=7, hint="")),
    ("E101", ask("Hi", "Hello!", images=["a.png"]), ask("Hi", "Hello!", images=[])),
    ("W201", talk("user: Hi", "user: Are you there?", "assistant: Yes."), talk("user: Hi", "assistant: Yes?")),
    (
        "W201",
        talk("user: Hi", "assistant: Hello.", "assistant: How are you?"),
        talk("user: Time?", "assistant: I look it up.", "tool: 12:30", "assistant: Half past twelve."),
    ),
    ("W202", talk("user: Hi", "assistant: Yes?", "user: Bye"), talk("user: Hi", "assistant: Yes?")),
    (
        "W203",
        talk("user: Hi", "system: Be kind.", "assistant: Hello!"),
        talk("system: Be kind.", "user: Hi", "assistant: Hello!"),
    ),
    (
        "W204",
        talk("assistant: Welcome!", "user: Hi", "assistant: Hello!"),
        talk("system: Be kind.", "user: Hi", "assistant: Hello!"),
    ),
    (
        "W205",
        talk("user: Hi", "assistant:  ", "user: Hello?", "assistant: Yes!"),
        talk("system: ", "user: Hi", "assistant: Yes!"),
    ),
    ("W206", {"prompt": " ", "completion": "The answer."}, {"prompt": "?", "completion": "The answer."}),
    ("E301", ask("Where?", " \n"), ask("Where?", ".")),
    ("W303", ask("Where does he live?", "NaN"), ask("What does 0/0 give in IEEE, NaN or an error?", "NaN")),
    (
        "W303",
        {"instruction": "Name a colour.", "input": "<noinput>", "output": "Green."},
        {"instruction": "Name a colour.", "input": "no input from me, please", "output": "Green."},
    ),
    ("W304", ask("Tell me.", PROSE + "I do not know what to say. " * 5), ask("Laugh!", "Ha ha ha ha ha ha!")),
    ("W304", ask("Tell me.", "Row, row, row your boat. " * 4), ask("Draw a table.", "| 0 | 0 | 0 |\n" * 20)),
    ("W304", ask("Tell me.", PROSE + PROSE), ask("Tell me.", PROSE + PROSE.replace("mill", "barn"))),
    (
        "W305",
        ask("Write a short note about the river and its mill.", "Write a short note about the river and its mill.\nGo"),
        ask("Write a short note about the river and its weirs.", "Write a short note? Here it is."),
    ),
    (
        "W305",
        ask("Write a short note about the river and its weirs.", "write a short note about the river and its weirs"),
        ask("Say hello!", "Hello!"),
    ),
    ("W307", ask("Go on.", PROSE + "After that we saw the"), ask("Go on.", PROSE + "Yours,\nJane Doe")),
    ("W307", ask("Go on.", PROSE + "We had bread, cheese,"), ask("Go on.", PROSE + "It was sad :(")),
    (
        "W307",
        ask("Write it.", PROSE + "\n```python\nprint(1)\nprint("),
        ask("Write it.", PROSE + "\n```python\nprint(1)\n```"),
    ),
    (
        "N310",
        ask("How are you?", "As an AI language model, I have no feelings."),
        ask("What is GPT-2?", "It is a language model from 2019."),
    ),
    (
        "W501",
        ask("Hi", "Hello!<|im_end|>"),
        ask("How does ChatML end a turn?", "With a token of its own: `<|im_end|>`."),
    ),
    ("W503", ask("2+2?", "<think>Two and two"), ask("2+2?", "<think>Two and two.</think>4")),
    (
        "W504",
        ask("Why is it dark?", "It is night.\n\n### Instruction:\nName a star."),
        ask("Write a dialogue of two humans.", "Human: Hi!\nUser: Hello!"),
    ),
    ("W504", ask("Why is it dark?\n\n### Response:", "It is night."), ask("Your response?", "It is night.")),
    (
        "W505",
        ask("Who?", "Tom &amp; Jerry, &quot;the&quot; cat and mouse."),
        ask("Escape < for HTML.", "Write &lt; instead."),
    ),
    ("W505", ask("Who?", "Caf&eacute; and tea&#8230;"), ask("Print it.", "```c\nscanf(\"%d\", &amp;n);\n```")),
    ("W506", ask("Who?", "First line.<br/>Second line."), ask("Make a page in HTML.", "<p>First line.</p>")),
    ("W507", ask("Who?", "First line.\\nSecond line."), ask("In LaTeX?", "Write \\nabla f and \\neq 0.")),
    ("W507", ask("Who?", "Caf\\u00e9 Central"), ask("Split it.", "text.split('\\n')")),
    ("W508", ask("Who?", "I donâ€™t know."), ask("Qui ?", "Où êtes-vous ? Über den Wolken, naïve 你好.")),
    ("W508", ask("Who?", "I don\ufffdt know."), ask("Who?", "I don’t know 🙂.")),
    ("W509", ask("Who?", "\x1b[31mred\x1b[0m"), ask("Who?", "one\ttwo\nthree")),
    ("N510", ask("Who?", "zero\u200bwidth"), ask("Who?", "👩\u200d🚒 and می\u200cخواهم")),
    ("E701", ask("My key?", f"It is {GITHUB_TOKEN}."), ask("My key?", "It is ghp_" + "xxxxXXXX" * 4 + "1234.")),
    (
        "W702",
        ask("Where?", "postgres://anna:Tr0ub4dorx3x@db.kranich-verlag.de/main"),
        ask("Where?", "postgres://user:password@localhost/main"),
    ),
    ("N703", ask("Whom do I ask?", "Ask j.kranich@verlag-kranich.de."), ask("Whom?", "Ask jane.doe@example.com.")),
    ("N704", ask("Call whom?", "Call +49 30 1234 5678."), ask("Add up!", "2021-2345 + 1 200 300 = 1.299.624")),
    ("N704", ask("Call whom?", "Call (808) 782-1557."), ask("Call whom?", "Call (808) 555-0157.")),
    (
        "W801",
        {**PREFERENCE, "rejected": "Black tea  does"},
        PREFERENCE,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("code", "bad", "good"), SINGLE_ROWS)
def test_a_row_with_the_issue_is_found_and_one_that_looks_like_it_is_not(
    tmp_path: Path, code: str, bad: Row, good: Row
) -> None:
    assert 1 in rows_by_code(lint_rows(tmp_path, [bad])).get(code, [])
    assert code not in rows_by_code(lint_rows(tmp_path, [good]))


def test_sound_rows_have_no_issue_at_all(tmp_path: Path) -> None:
    assert rows_by_code(lint_rows(tmp_path, sound_rows())) == {}


def test_every_issue_has_a_test() -> None:
    others = {  # tested below, or with the command
        "E101", "E102", "W104", "W302", "W306", "W308", "W309", "W401", "W402", "W403", "N404", "E502", "W601", "W602",
        "W802",
    }  # fmt: skip
    assert {code for code, *_ in SINGLE_ROWS} | others == {issue.code for issue in list_issues()}


def find(tmp_path: Path, code: str, rows: list[object], **settings: object) -> Finding | None:
    report = lint_rows(tmp_path, rows, **settings)  # type: ignore[arg-type]
    return next((finding for finding in report.findings if finding.issue.code == code), None)


def test_rows_that_are_no_records_are_counted_by_their_reasons(tmp_path: Path) -> None:
    broken = [talk("user: Hi"), {"messages": [{"role": "user"}, {"role": "assistant", "content": "Yes?"}]}, {"a": 1}]
    finding = find(tmp_path, "E101", [*broken, *sound_rows(), talk("user: Hi", "user: Bye")])
    assert finding is not None
    assert [row.row for row in finding.rows] == [1, 2, 3, 10]
    assert finding.details["no assistant turn"] == 2
    assert finding.share == 4 / 10


def test_a_row_of_another_format_is_named_with_its_format(tmp_path: Path) -> None:
    finding = find(tmp_path, "E102", [*sound_rows(), PREFERENCE])
    assert finding is not None and [row.row for row in finding.rows] == [7]
    assert finding.details == {"preference, not messages": 1}


def test_a_row_is_too_long_by_the_limit_of_prepare(tmp_path: Path) -> None:
    assert find(tmp_path, "W104", [ask("Long?", "a b " * 250_000)]) is not None
    assert find(tmp_path, "W104", [ask("Long?", "a b " * 200_000)]) is None


def test_an_exact_copy_names_the_row_it_repeats_and_other_metadata_does_not_hide_it(tmp_path: Path) -> None:
    copy = {**sound_rows()[1], "id": "another"}
    finding = find(tmp_path, "W401", [*sound_rows(), copy])
    assert finding is not None and finding.count == 1
    assert (finding.rows[0].row, finding.rows[0].other_row) == (7, 2)


def test_a_row_with_a_word_changed_is_a_near_duplicate_and_no_exact_one(tmp_path: Path) -> None:
    long = PROSE * 2 + "In the end a boat came by, and its owner gave us some apples and a map of the marshes."
    rows = [*sound_rows(), ask("What did you do?", long), ask("What did you do?", long.replace("apples", "pears"))]
    codes = rows_by_code(lint_rows(tmp_path, rows))
    assert codes["W402"] == [8] and "W401" not in codes


def test_rows_with_one_long_prompt_and_different_answers_are_no_near_duplicates(tmp_path: Path) -> None:
    rows = [
        ask(f"{PROSE * 3} What do you think?", answer)
        for _, answer in ((s["messages"][0], s["messages"][1]["content"]) for s in sound_rows())
    ]
    assert "W402" not in rows_by_code(lint_rows(tmp_path, rows))


def test_a_fixed_instruction_makes_no_near_duplicates(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    words = [chat.messages[0].content.split() for chat in draw_chats(rng, 400)]
    rows = [
        ask(f"{PROSE * 3} Sort the words: {' '.join(rng.permutation(w)[:8])}", "one of the two kinds") for w in words
    ]
    finding = find(tmp_path, "W402", rows)
    assert finding is None or finding.count <= 4


def test_one_answer_to_unlike_prompts_is_a_stock_answer_but_not_to_paraphrases(tmp_path: Path) -> None:
    refusal = "I am sorry, but I cannot help with that."
    prompts = [row["messages"][0]["content"] for row in sound_rows()]
    finding = find(tmp_path, "W306", [ask(prompt, refusal) for prompt in prompts])
    assert finding is not None and finding.count == 6
    paraphrases = [f"{verb} a query that selects all employees" for verb in ("Write", "Make", "Give", "Show", "Craft")]
    assert find(tmp_path, "W306", [ask(prompt, "SELECT * FROM employees LIMIT 5") for prompt in paraphrases]) is None


def test_two_labels_or_results_for_one_prompt_contradict_each_other(tmp_path: Path) -> None:
    texts = [f"Is this review positive or negative: {row['messages'][1]['content']}" for row in sound_rows()]
    labels = ["positive", "negative"] * 3
    rows = [ask(text, label) for text, label in zip(texts, labels, strict=True)]
    assert find(tmp_path, "W403", rows) is None
    finding = find(tmp_path, "W403", [*rows, ask(texts[0], "negative")])
    assert finding is not None and [row.row for row in finding.rows] == [1, 7]
    sums = [ask("What is 17 + 4?", "17 + 4 = 21\n#### 21"), ask("What is 17 + 4?", "It is\n#### 22")]
    assert find(tmp_path, "W403", sums) is not None
    assert find(tmp_path, "W403", [sums[0], ask("What is 17 + 4?", "Count up from 17.\n#### 21")]) is None


def test_several_wanted_answers_to_one_prompt_are_a_notice(tmp_path: Path) -> None:
    rows = [ask("Suggest a name for a grey cat.", name) for name in ("Ash", "Pebble", "Mist")]
    codes = rows_by_code(lint_rows(tmp_path, rows))
    assert codes["N404"] == [1, 2, 3] and "W403" not in codes


def test_answers_under_another_system_message_are_answers_to_another_prompt(tmp_path: Path) -> None:
    rows = [ask("What is 2 + 2?", answer, system) for answer, system in (("4", "Be right."), ("5", "Be wrong."))]
    assert not {"W403", "N404"} & set(rows_by_code(lint_rows(tmp_path, rows)))


def test_c_and_c_plus_plus_are_different_prompts(tmp_path: Path) -> None:
    rows = [ask(f"Write hello world in {name}.", f"// {name}\nputs(hello)") for name in ("C", "C++", "C#")]
    assert "N404" not in rows_by_code(lint_rows(tmp_path, rows))


def chat_rows(chats: list[Conversation]) -> list[object]:
    return [ask(chat.messages[0].content, chat.messages[1].content) for chat in chats]


def with_answers_of(chats: list[Conversation], order: list[int]) -> list[Conversation]:
    return [
        replace(chat, messages=(chat.messages[0], chats[i].messages[1])) for chat, i in zip(chats, order, strict=True)
    ]


def split_turns(log: ChatLog) -> tuple[str, str]:
    """What the first speaker of a conversation says, and what the second does."""
    turns = to_conversation(log)["conversations"]
    asked, said = ("\n".join(turn["value"] for turn in turns if turn["from"] == name) for name in ("human", "gpt"))
    return asked, said


@pytest.mark.slow
def test_exchanged_answers_are_found_where_they_are_and_not_elsewhere(tmp_path: Path, chat_logs: list[ChatLog]) -> None:
    rng = np.random.default_rng(1)
    rows = [split_turns(log) for log in chat_logs[:800]]
    sound = [ask(prompt, answer) for prompt, answer in rows]
    assert not {"W308", "W309"} & set(rows_by_code(lint_rows(tmp_path, sound)))
    answers = [answer for _, answer in rows]
    exchanged = rng.choice(len(rows), 80, replace=False)
    for i, j in zip(exchanged, np.roll(exchanged, 1), strict=True):
        answers[i] = rows[j][1]
    damaged = [ask(prompt, answer) for (prompt, _), answer in zip(rows, answers, strict=True)]
    finding = find(tmp_path, "W308", damaged)
    assert finding is not None and finding.count >= 30
    assert sum(row.row - 1 in exchanged for row in finding.rows) >= 7


@pytest.mark.slow
def test_answers_shifted_by_one_row_from_the_middle_on_are_found(tmp_path: Path) -> None:
    chats = draw_chats(np.random.default_rng(2), 600)
    order = [i if i < 300 else min(i + 1, 599) for i in range(600)]
    finding = find(tmp_path, "W309", chat_rows(with_answers_of(chats, order)))
    assert finding is not None
    assert set(finding.details) == {"fits the prompt 1 row after"}
    assert all(row.row > 290 for row in finding.rows) and finding.count >= 200


def count_words(texts: object) -> list[int]:
    return [len(text.split()) for text in texts]  # type: ignore[attr-defined]


def test_rows_longer_than_the_limit_in_tokens_are_cut_and_long_prompts_leave_no_room(tmp_path: Path) -> None:
    counter = TokenCounter(count_words, ())
    rows = [ask("one two", "three four"), ask("two one", "three four five"), ask("one two three four", "five")]
    report = lint_rows(tmp_path, rows, tokenizer=counter, max_length=4)
    assert rows_by_code(report) == {"W601": [2], "W602": [3]}


def test_special_tokens_of_the_tokenizer_are_found_in_code_too(tmp_path: Path) -> None:
    rows = [ask("What ends a text?", "`<EOT>`"), ask("What ends a text?", "<EO T>")]
    finding = find(tmp_path, "E502", rows, tokenizer=TokenCounter(count_words, ("<EOT>", " ")))
    assert finding is not None and [row.row for row in finding.rows] == [1]
    assert "E502" in lint_rows(tmp_path, rows).not_run


def test_a_pair_the_other_way_round_is_flipped(tmp_path: Path) -> None:
    flipped = {**PREFERENCE, "chosen": PREFERENCE["rejected"], "rejected": PREFERENCE["chosen"]}
    finding = find(tmp_path, "W802", [PREFERENCE, flipped, {**flipped, "prompt": "Which drink is clear?"}])
    assert finding is not None and [row.row for row in finding.rows] == [1, 2]


def test_a_rejected_answer_may_be_bad(tmp_path: Path) -> None:
    rows = [{**PREFERENCE, "rejected": "I do not know what to say. " * 8 + "Because"}]
    assert rows_by_code(lint_rows(tmp_path, rows)) == {}


def test_where_cuts_are_known_other_answers_without_an_end_were_cut_too(tmp_path: Path) -> None:
    whole = [ask(f"How was day {i}?", f"{PROSE}On day {i} it rained.") for i in range(60)]
    known = [ask(f"How was day {i}?", f"{PROSE}On day {i} we met the") for i in range(60, 66)]
    open_end = [ask("How was day 70?", f"{PROSE}On that day it rained on top")]
    finding = find(tmp_path, "W307", [*whole, *known, *open_end])
    assert finding is not None and [row.row for row in finding.rows] == [61, 62, 63, 64, 65, 66, 67]
    assert find(tmp_path, "W307", [*whole, *open_end]) is None


def test_a_function_word_at_the_end_is_no_cut_where_authors_do_without_full_stops(tmp_path: Path) -> None:
    rows = [ask(f"How was day {i}?", f"{PROSE[:-2]} with {i} friends from the village") for i in range(40)]
    ends = {"messages": [*rows[0]["messages"][:1], {"role": "assistant", "content": f"{PROSE} it was because"}]}
    assert "W307" not in rows_by_code(lint_rows(tmp_path, [*rows, ends]))
    assert "W307" in rows_by_code(lint_rows(tmp_path, [*rows[:5], ends]))
