"""What tells a conversation that goes on from one that begins, in the words of every dialect."""

import pytest

from wfb_core.call import CallFacts
from wfb_core.conversation import goes_on, holds_thinking

USER = {"role": "user", "content": "hello"}
ASSISTANT = {"role": "assistant", "content": "well"}
MODEL = {"role": "model", "parts": [{"text": "well"}]}


def facts(*hidden):
    """The least facts, with hidden input."""
    return CallFacts("openai-chat", "openai", "chat.completions", "m", stream=False, cap=1, hidden_input=hidden)


BEGINS = [
    {},
    {"messages": [USER]},
    {"messages": [{"role": "system", "content": "be brief"}, USER]},
    {"messages": [USER, ASSISTANT]},  # the beginning of the answer that is asked for
    {"input": "hello"},
    {"input": [USER]},
    {"input": [{"type": "message", "role": "user", "content": "hello"}]},
    {"contents": [{"role": "user", "parts": []}]},
    {"contents": {"parts": []}},
    {"prompt": "hello"},
    {"messages": [7, None]},
]
GOES_ON = [
    {"messages": [USER, ASSISTANT, USER]},
    {"messages": [USER, {"role": "tool", "content": "42"}]},
    {"messages": [USER, ASSISTANT, {"role": "tool", "content": "42"}]},
    {"input": [USER, ASSISTANT, USER]},
    {"input": [USER, {"type": "function_call_output", "output": "42"}]},
    {"input": [{"type": "reasoning"}, USER]},
    {"contents": [{"role": "user"}, MODEL, {"role": "user"}]},
    {"chat_history": [{"role": "CHATBOT", "message": "well"}, {"role": "USER", "message": "and?"}]},
    {"input": "and?", "previous_response_id": "resp_1"},
    {"input": "and?", "conversation": "conv_1"},
    {"input": "and?", "previous_interaction_id": "i_1"},
    {"prompt": "and?", "context": [1, 2, 3]},
]


@pytest.mark.parametrize("document", BEGINS)
def test_a_conversation_begins(document):
    """No answer stands in its history."""
    assert not goes_on(document, facts())


@pytest.mark.parametrize("document", GOES_ON)
def test_a_conversation_goes_on(document):
    """An answer, a tool's result, or what the provider keeps of one."""
    assert goes_on(document, facts())


def test_what_is_hidden_may_be_a_history():
    """A dialect that reads the field by another name says so in its facts; a file is no history."""
    assert goes_on({}, facts("previous_response_id"))
    assert not goes_on({}, facts("file_id", "image_url"))


@pytest.mark.parametrize(
    ("document", "thinks"),
    [
        ({"messages": [USER, ASSISTANT, USER]}, False),
        ({"messages": [{"role": "assistant", "content": [{"type": "thinking", "thinking": "…"}]}]}, True),
        ({"messages": [{"role": "assistant", "content": [{"type": "redacted_thinking"}]}]}, True),
        ({"messages": [{"role": "assistant", "content": [{"reasoningContent": {}}]}]}, True),
        ({"input": [{"type": "reasoning", "encrypted_content": "x"}]}, True),
        ({"messages": "none"}, False),
    ],
)
def test_a_models_own_thoughts_are_found(document, thinks):
    """Signed or encrypted, they are no other model's to read."""
    assert holds_thinking(document) is thinks
