"""Chat templates that never end, that eat the memory, or that reach for what is none of theirs."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from corpus.errors import EntropylawError
from corpus.records import Message
from training import template_limits
from training.chat import CHAT_TEMPLATE, encode_conversation
from training.chat_templates import mark_known_template
from training.small_model import train_tokenizer
from training.template_limits import TemplateLimitError, limited_template, require_fitting_length

pytestmark = pytest.mark.slow

CHAT = (Message("user", "Hello there"), Message("assistant", "I am fine."))
LOOP = "{% for a in range(99999) %}"
ENDLESS = {
    "loops in loops": LOOP * 3 + "{% endfor %}" * 3,
    "a macro that calls itself twice": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}"
    "{{ f(60) }}",
    "a number without end": "{{ 9 ** (9 ** 9) }}",
    "filler text": "{{ lipsum(n=10 ** 9) }}",
    "a sorted product": LOOP + "{% set x = range(99999) | map('string') | sort | join | length %}{% endfor %}",
}
GREEDY = {
    "a text that doubles": "{% set n = namespace(s='aaaa') %}" + LOOP + "{% set n.s = n.s ~ n.s %}{% endfor %}",
    "a list that doubles": "{% set n = namespace(s=[1]) %}" + LOOP + "{% set n.s = n.s + n.s %}{% endfor %}",
    "a product": "{{ 'a' * 10 ** 12 }}",
    "a wide column": "{{ 'a'.center(10 ** 12) }}",
    "a wide number": "{{ '%0999999999999d' % 1 }}",
    "a replacement": "{{ ('a' * 10 ** 6).replace('a', 'b' * 10 ** 6) }}",
}
DEEP = {"a macro that calls itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"}
LONG = {"a long text": "{{ 'a' * 2 * 10 ** 6 }}"}
FORBIDDEN = {
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "format": "{{ '{0.__class__.__init__.__globals__}'.format(namespace) }}",
    "a file": "{% include '/etc/passwd' %}",
    "another file": "{% extends '/etc/passwd' %}",
    "an import": "{% import '/etc/passwd' as x %}",
    "a change": "{{ messages.append(1) }}",
    "division by zero": "{{ 1 / 0 }}",
    "a sum of unlike things": "{{ 1 + 'a' }}",
    "a key": "{{ messages[0]['no']['such'] }}",
    "a message of its own": "{{ raise_exception('\x1b[2J\n::error::x') }}",
}


def tokenizer_with(template: str) -> Any:
    tokenizer = train_tokenizer(["Hello there, I am fine. user assistant"] * 3, 300)
    tokenizer.chat_template = template + CHAT_TEMPLATE
    return tokenizer


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_limits, "MAX_SECONDS", 0.2)
    monkeypatch.setattr(template_limits, "MAX_MEMORY_BYTES", 2**28)


# `make test` tries one of each kind.
SHARE = ("loops in loops", "a text that doubles", *DEEP, *LONG)
MORE = [pytest.param(kind, marks=pytest.mark.torture) for kind in (*ENDLESS, *GREEDY) if kind not in SHARE]


# The clock may ring while Python collects garbage, which drops the exception; it rings again a moment later.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", [*SHARE, *MORE])
def test_a_template_without_end_is_one_line_within_seconds(kind: str, tight: None, tally: Callable[..., None]) -> None:
    template = {**ENDLESS, **GREEDY, **DEEP, **LONG}[kind]
    tokenizer = tokenizer_with(template)
    # With tools the template is first asked what it writes, and must not be taken for one that refuses.
    for tools in ("", '[{"name": "clock", "parameters": {}}]'):
        began = time.process_time()
        with pytest.raises(EntropylawError, match=r"the chat template (took|called|wrote) .* endless loop") as error:
            encode_conversation(tokenizer, CHAT, 96, tools)
        assert "\n" not in str(error.value)
        assert time.process_time() - began < 3
    tally("hostile chat templates")


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_a_template_that_reaches_for_more_is_one_line_and_gets_nothing(kind: str, tally: Callable[..., None]) -> None:
    with pytest.raises(EntropylawError, match="the chat template") as error:
        encode_conversation(tokenizer_with(FORBIDDEN[kind]), CHAT, 96)
    assert "\n" not in str(error.value) and "root:" not in str(error.value) and "uid=" not in str(error.value)
    tally("hostile chat templates")


def test_the_limits_end_with_the_template(tight: None) -> None:
    """What comes behind it may take as long, and as much memory, as it needs."""
    encode_conversation(tokenizer_with(""), CHAT, 96)
    began = time.process_time()
    while time.process_time() - began < 0.3:
        pass
    assert len(bytearray(2**29)) == 2**29


def test_in_another_thread_a_template_is_rendered_all_the_same() -> None:
    found: list[Any] = []
    tokenizer = tokenizer_with("")
    thread = threading.Thread(target=lambda: found.append(encode_conversation(tokenizer, CHAT, 96)))
    thread.start()
    thread.join()
    assert found == [encode_conversation(tokenizer, CHAT, 96)]


def test_another_thread_leaves_the_limits_of_the_process_as_they_are() -> None:
    import resource

    def render() -> None:
        with limited_template():
            found.append(resource.getrlimit(resource.RLIMIT_AS))

    found = [resource.getrlimit(resource.RLIMIT_AS)]
    thread = threading.Thread(target=render)
    thread.start()
    thread.join()
    assert found[0] == found[1]


@pytest.mark.torture  # TRL takes four seconds to import
def test_a_template_that_trl_is_asked_about_ends_too(tight: None) -> None:
    with pytest.raises(TemplateLimitError):
        mark_known_template(tokenizer_with(ENDLESS["loops in loops"]))


def test_a_long_conversation_may_be_written_as_long_as_it_is() -> None:
    require_fitting_length(written=20_000_000, given=1_000_000)
    with pytest.raises(TemplateLimitError):
        require_fitting_length(written=22_000_000, given=1_000_000)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is limited on Linux only; CI is Linux")
def test_the_limit_of_memory_holds_where_the_system_has_one_already(tight: None) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    encode_conversation(tokenizer_with(""), CHAT, 96)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
