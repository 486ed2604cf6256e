"""Who speaks: the role names of published data, and the four roles of a message."""

from __future__ import annotations

from corpus.records import ROLES, Role

# Every spelling met in published data of ShareGPT, OpenAI, LLaMA-Factory, ms-swift, OpenAssistant, Gemini, LangChain,
# Cohere and MOSS. Names are compared in lower case.
ROLE_NAMES: dict[str, Role] = {
    **{role: role for role in ROLES},
    "developer": "system",
    "human": "user",
    "prompter": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "claude": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "chatbot": "assistant",
    "moss": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "tool_result": "tool",
    "observation": "tool",
    "observations": "tool",
    "ipython": "tool",
}
# The whole turn is a call of a tool, written as JSON.
CALL_ROLES = frozenset(("function_call", "tool_call"))

# By the name as it is written; no turn that needs a closer look is here.
PLAIN_ROLES: dict[str, Role] = {name: role for name, role in ROLE_NAMES.items() if name not in CALL_ROLES}


def role_of(name: object) -> Role | None:
    """The role behind a name, None when it is not known.

    >>> role_of("Human"), role_of("robot")
    ('user', None)
    """
    return ROLE_NAMES.get(name.strip().lower()) if isinstance(name, str) else None
