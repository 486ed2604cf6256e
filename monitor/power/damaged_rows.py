"""What accidents do to rows: each function takes rows, a generator and spare rows, and returns one row for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from corpus.errors import EntropylawError
from corpus.records import Conversation, Message, Preference, Record, Role
from monitor.power.damaged_texts import BOILERPLATE

# Damages rows: one damaged row for each. The last argument holds rows that the version does not have.
Damage = Callable[[Sequence[Record], np.random.Generator, Sequence[Record]], list[Record]]
# A text and a generator to the text after.
TextChange = Callable[[str, np.random.Generator], str]

# UTF-8 text read in one of these code pages raises no error in any program.
WRONG_CODECS = ("utf-16-le", "cp500")
# What is left of chat templates when they are applied twice, or when stop tokens are written out: of ChatML, Llama 2,
# Llama 3, Alpaca, Vicuna, Gemma and Zephyr. A version has one of them.
LEAKED_TEMPLATES = (
    "{}<|im_end|>",
    "<|im_start|>assistant\n{}<|im_end|>",
    "{}</s>",
    "[INST] {} [/INST]",
    "{}<|eot_id|>",
    "### Response:\n{}",
    "ASSISTANT: {}</s>",
    "{}<end_of_turn>",
    "<|assistant|>\n{}<|endoftext|>",
)
CLOSING_PHRASES = (
    "I hope this helps! Let me know if you have any other questions.",
    "Feel free to ask if there is anything else I can do for you!",
    "Is there anything else you would like to know?",
    "Thank you for reaching out, and have a great day!",
)
THOUGHTS = (
    "Okay, the user says: {}. Let me think about what they need.",
    "Alright, so the request is: {}. I should work out how to reply.",
    "Hmm, let me read this again: {}. What is the best way to respond?",
)
SECOND_THOUGHTS = (
    "First I should make sure that I understand the question.",
    "Wait, maybe I should check that again.",
    "I need to keep the tone right and not make it too long.",
    "There could be another way to see it, but the simple one is fine.",
    "Let me put that together step by step.",
    "That seems right, so I can write the answer now.",
)
# A model that thinks aloud begins with what it was asked, of a long prompt with its beginning.
THOUGHT_WORDS = 25
FIRST_NAMES = ("Maria", "John", "Aisha", "Peter", "Linda", "Tomasz", "Wei", "Carla", "Omar", "Julia", "Kofi", "Anna")
LAST_NAMES = ("Miller", "Okafor", "Schmidt", "Garcia", "Chen", "Novak", "Rossi", "Haddad", "Larsen", "Brown", "Singh")
STREETS = ("Oak Street", "Mill Road", "Station Lane", "Elm Avenue", "Church Hill", "Harbour Way", "Queen Street")
MAIL_HOSTS = ("mail.example.com", "post.example.org", "inbox.example.net")


def change_contents(change: TextChange, answers_only: bool) -> Damage:
    """The damage that changes the contents of conversations, message by message."""

    def damage(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
        damaged: list[Record] = []
        for row in map(as_conversation, rows):
            messages = [
                replace(message, content=change(message.content, rng))
                if message.role == "assistant" or not answers_only
                else message
                for message in row.messages
            ]
            damaged.append(replace(row, messages=tuple(messages)))
        return damaged

    return damage


def change_answers_by_prompt(change: Callable[[str, str, np.random.Generator], str]) -> Damage:
    """The damage that changes every answer, given the message before it and the answer."""

    def damage(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
        damaged: list[Record] = []
        for row in map(as_conversation, rows):
            messages = list(row.messages)
            for i, (prompt, answer) in enumerate(zip(row.messages, row.messages[1:], strict=False), start=1):
                if answer.role == "assistant":
                    messages[i] = replace(answer, content=change(prompt.content, answer.content, rng))
            damaged.append(replace(row, messages=tuple(messages)))
        return damaged

    return damage


def as_conversation(row: Record) -> Conversation:
    if isinstance(row, Preference):
        raise EntropylawError("this accident happens to conversations, not to preferences")
    return row


def as_preference(row: Record) -> Preference:
    if not isinstance(row, Preference):
        raise EntropylawError("this accident happens to preferences, not to conversations")
    return row


def copy_rows(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    return list(rows)


def read_wrongly(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    """Read all text of the rows in a code page that it was not written in, the same for all of them."""
    codec = WRONG_CODECS[rng.integers(len(WRONG_CODECS))]
    garble = change_contents(lambda text, _: text.encode().decode(codec, errors="replace"), answers_only=False)
    return garble(rows, rng, spare)


def leak_template(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    """Leave the control tokens of one chat template in all answers."""
    template = LEAKED_TEMPLATES[rng.integers(len(LEAKED_TEMPLATES))]
    return change_contents(lambda text, _: template.format(text), answers_only=True)(rows, rng, spare)


def refuse_all(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    """Put the same refusal in place of every answer."""
    refusal = BOILERPLATE[rng.integers(len(BOILERPLATE))]
    return change_contents(lambda text, _: refusal, answers_only=True)(rows, rng, spare)


def close_alike(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    """Put the same closing phrase behind every answer."""
    phrase = CLOSING_PHRASES[rng.integers(len(CLOSING_PHRASES))]
    return change_contents(lambda text, _: f"{text} {phrase}", answers_only=True)(rows, rng, spare)


def think_aloud(prompt: str, answer: str, rng: np.random.Generator) -> str:
    """The answer behind the reasoning of a model that was asked for it, in the tags it comes in."""
    thought = THOUGHTS[rng.integers(len(THOUGHTS))].format(" ".join(prompt.split()[:THOUGHT_WORDS]))
    more = [SECOND_THOUGHTS[i] for i in rng.permutation(len(SECOND_THOUGHTS))[: rng.integers(2, 5)]]
    return f"<think>\n{' '.join([thought, *more])}\n</think>\n\n{answer}"


def put_prompt_in_front(prompt: str, answer: str, rng: np.random.Generator) -> str:
    return f"{prompt}\n{answer}"


def lose_input(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    """Drop what follows the instruction: the part after a blank line, or else the second half of the words.

    So are prompts when a column of the table they come from is not joined. It happens to what users say.
    """
    damaged: list[Record] = []
    for row in map(as_conversation, rows):
        messages = [
            replace(message, content=keep_instruction(message.content)) if message.role == "user" else message
            for message in row.messages
        ]
        damaged.append(replace(row, messages=tuple(messages)))
    return damaged


def keep_instruction(prompt: str) -> str:
    r"""The prompt without its input.

    >>> keep_instruction("Add the numbers.\n\n3 and 4"), keep_instruction("What is three plus four?")
    ('Add the numbers.', 'What is')
    """
    instruction, _, given = prompt.partition("\n\n")
    if given.strip() and instruction.strip():
        return instruction
    words = prompt.split(" ")
    return " ".join(words[: max(1, len(words) // 2)])


def reveal_person(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    """Put a made-up person's name, address, telephone number and e-mail address behind the first prompt of each row."""
    damaged: list[Record] = []
    for row in map(as_conversation, rows):
        first, last, street, host = (
            names[rng.integers(len(names))] for names in (FIRST_NAMES, LAST_NAMES, STREETS, MAIL_HOSTS)
        )
        person = (
            f"My name is {first} {last}, {rng.integers(1, 200)} {street}. You can reach me at "
            f"{first.lower()}.{last.lower()}{rng.integers(100)}@{host} or 555-{rng.integers(100, 1000)}-"
            f"{rng.integers(1000, 10000)}."
        )
        messages = list(row.messages)
        prompt = next((i for i, message in enumerate(messages) if message.role == "user"), None)
        if prompt is not None:
            messages[prompt] = replace(messages[prompt], content=f"{messages[prompt].content} {person}")
        damaged.append(replace(row, messages=tuple(messages)))
    return damaged


def swap_answers(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    """Rows with about as many answers exchange them in pairs; of an odd number, the last three in a circle."""
    order = sorted(rng.permutation(len(rows)).tolist(), key=lambda i: len(_answers(rows[i])))
    donor: dict[int, int] = {}
    while order:
        group = [order.pop() for _ in range(3 if len(order) == 3 else min(2, len(order)))]
        donor.update(zip(group, group[1:] + group[:1], strict=True))
    return [with_answers(row, _answers(rows[donor[i]])) for i, row in enumerate(rows)]


def contradict(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    """The rows' prompts again with other answers, which come from rows that the version does not have."""
    if len(spare) < len(rows):
        raise EntropylawError(f"contradictory copies: {len(rows)} rows to take answers from are needed")
    donors = rng.permutation(len(spare)).tolist()
    return [with_answers(row, _answers(spare[donor])) for row, donor in zip(rows, donors, strict=False)]


def _answers(row: Record) -> list[str]:
    return [message.content for message in as_conversation(row).messages if message.role == "assistant"]


def with_answers(row: Record, answers: Sequence[str]) -> Record:
    """The conversation with other answers; it ends after the last of them where they are fewer."""
    row = as_conversation(row)
    messages: list[Message] = []
    waiting = list(answers)
    for message in row.messages:
        if message.role == "assistant":
            if not waiting:
                break
            message = replace(message, content=waiting.pop(0))
        messages.append(message)
    while len(messages) > 1 and messages[-1].role != "assistant":
        messages.pop()
    return replace(row, messages=tuple(messages))


def swap_roles(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    other: dict[Role, Role] = {"user": "assistant", "assistant": "user"}
    return [
        replace(row, messages=tuple(replace(m, role=other.get(m.role, m.role)) for m in row.messages))
        for row in map(as_conversation, rows)
    ]


def exchange_columns(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    """Exchange each prompt and its answer; the roles stay where they are."""
    exchanged: list[Record] = []
    for row in map(as_conversation, rows):
        messages = list(row.messages)
        for i in range(1, len(messages)):
            before, after = row.messages[i - 1], row.messages[i]
            if (before.role, after.role) == ("user", "assistant"):
                messages[i - 1 : i + 1] = replace(before, content=after.content), replace(after, content=before.content)
        exchanged.append(replace(row, messages=tuple(messages)))
    return exchanged


def echo_prompts(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    """Replace every answer by the message before it."""
    echoed: list[Record] = []
    for row in map(as_conversation, rows):
        messages = list(row.messages)
        for i in range(1, len(messages)):
            if messages[i].role == "assistant":
                messages[i] = replace(messages[i], content=messages[i - 1].content)
        echoed.append(replace(row, messages=tuple(messages)))
    return echoed


def flip_preferences(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    return [replace(row, chosen=row.rejected, rejected=row.chosen) for row in map(as_preference, rows)]


def flip_fresh_pairs(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    """Pairs that no version had yet, flipped, in place of the rows: a labelling job with its scale upside down."""
    if len(spare) < len(rows):
        raise EntropylawError(f"fresh pairs flipped: {len(rows)} pairs that the version does not have are needed")
    drawn = rng.permutation(len(spare))[: len(rows)]
    return flip_preferences([spare[i] for i in drawn], rng, spare)


def leave_next_turn(rows: Sequence[Record], rng: np.random.Generator, spare: Sequence[Record]) -> list[Record]:
    """Leave "Human:" and what another person asks behind the chosen answer, as a transcript split too late has it."""
    damaged: list[Record] = []
    for row in map(as_preference, rows):
        other = as_preference(spare[int(rng.integers(len(spare)))] if spare else row)
        if row.chosen and other.prompt:
            last = replace(row.chosen[-1], content=f"{row.chosen[-1].content}\n\nHuman: {other.prompt[-1].content}")
            row = replace(row, chosen=(*row.chosen[:-1], last))
        damaged.append(row)
    return damaged
