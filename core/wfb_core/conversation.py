"""Whether a request goes on with a conversation, or begins one: what tells is an answer in its history."""

from typing import Any

from wfb_core.call import CallFacts
from wfb_core.dialects.request import Document

HISTORIES = ("messages", "input", "contents", "chat_history", "turns", "steps")
"""Fields that hold a history, in the words of all dialects."""
ANSWERING = frozenset({"assistant", "model", "chatbot", "tool", "function", "agent"})
"""Roles of what a model said, and of what came back from tools that it called; in lower case."""
ANSWERED = frozenset(
    {
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "reasoning",
        "item_reference",
        "function_result",
        "thought",
    }
)
"""Types of items that only an earlier answer can have made (Responses, Interactions)."""
EARLIER = frozenset(
    {
        "previous_response_id",
        "conversation",
        "previous_interaction_id",
        "conversation_id",
        "container",
        "thread",
        "audio_id",
        "context",
    }
)
"""What dialects call input that the provider keeps from an earlier answer; `CallFacts.hidden_input` has these names."""
THINKING = frozenset({"reasoning", "thinking", "redacted_thinking", "reasoningContent", "thought"})
"""Parts that hold a model's own, often signed, thoughts, which are no other model's to read."""


def goes_on(document: Document, facts: CallFacts) -> bool:
    """Whether the request goes on with a conversation: its history holds an answer, or the provider keeps one.

    A last message of the assistant is the beginning of the answer that is asked for, and no answer. Examples that are
    written as an assistant's messages look like a history, and count as one.
    """
    if not EARLIER.isdisjoint(facts.hidden_input) or not EARLIER.isdisjoint(document):
        return True
    for history in _histories(document):
        for index, item in enumerate(history):
            if _answered(item) and not (index == len(history) - 1 and _said(item)):
                return True
    return False


def holds_thinking(document: Document) -> bool:
    """Whether the history holds thoughts of the model that answered before."""
    for history in _histories(document):
        for item in history:
            if not isinstance(item, dict):
                continue
            if item.get("type") in THINKING:
                return True
            content = item.get("content")
            for part in content if isinstance(content, list) else ():
                if isinstance(part, dict) and (part.get("type") in THINKING or not THINKING.isdisjoint(part)):
                    return True
    return False


def _histories(document: Document) -> list[list[Any]]:
    return [history for name in HISTORIES if isinstance(history := document.get(name), list)]


def _answered(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    return str(item.get("role", "")).lower() in ANSWERING or item.get("type") in ANSWERED


def _said(item: Any) -> bool:
    """Whether an item is an assistant's own words, as against a tool's result."""
    return str(item.get("role", "")).lower() in {"assistant", "model"}
