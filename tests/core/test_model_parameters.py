"""Parameters that another model refuses are left out, and nothing else is touched."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core.model_parameters import RULES, betas, fit, reasons
from wfb_core.price import ModelPrice, Rates

PRICE = ModelPrice("p", "m", "v", ((-1, Rates.flat(1, 2)),), max_output=64_000, context=200_000)
LONG = ModelPrice("p", "m", "v", ((-1, Rates.flat(1, 2)),), context=1_000_000)
CHAT, RESPONSES, CLAUDE = "openai-chat", "openai-responses", "anthropic-messages"
GEMINI, CONVERSE = "gemini-generate", "bedrock-converse"
ADAPTIVE, ENABLED = {"type": "adaptive"}, {"type": "enabled", "budget_tokens": 2000}


@pytest.mark.parametrize(
    ("model", "does"),
    [
        ("o3", True),
        ("o4-mini", True),
        ("gpt-5-mini", True),
        ("gpt-6-luna", True),
        ("openai/gpt-5", True),
        ("gpt-4o", False),
        ("gpt-4.1-mini", False),
        ("gpt-5-chat-latest", False),
        ("llama-3.1-8b-instant", False),
        ("openai/gpt-oss-20b", False),
        ("claude-haiku-4-5", False),
    ],
)
def test_reasoning_models_are_known_by_name(model, does):
    """OpenAI's, in any provider's spelling."""
    assert reasons(model) is does


FITS = [
    # dialect, model asked instead, parameters, what is left of them
    (CHAT, "gpt-4o-mini", {"reasoning_effort": "high", "temperature": 0.5}, {"temperature": 0.5}),
    (CHAT, "gpt-5-mini", {"reasoning_effort": "high", "temperature": 0.5}, {"reasoning_effort": "high"}),
    (CHAT, "gpt-5-mini", {"reasoning_effort": "xhigh"}, {}),
    (CHAT, "gpt-5-mini", {"max_tokens": 100, "logprobs": True}, {"max_completion_tokens": 100}),
    (CHAT, "gpt-5-mini", {"max_tokens": 100, "max_completion_tokens": 90}, {"max_completion_tokens": 90}),
    (CHAT, "gpt-4o-mini", {"max_tokens": 100, "verbosity": "low"}, {"max_tokens": 100}),
    (CHAT, "gpt-5-nano", {"verbosity": "low"}, None),
    (CHAT, "mistral-small-latest", {"prompt_mode": "reasoning", "top_p": 0.9}, {"top_p": 0.9}),
    (CHAT, "gpt-4o-mini", {"stop": ["x"], "tools": [{}], "response_format": {}}, None),
    (
        RESPONSES,
        "gpt-4o-mini",
        {"reasoning": {"effort": "high"}, "text": {"verbosity": "low", "format": {}}},
        {"text": {"format": {}}},
    ),
    (RESPONSES, "gpt-5-mini", {"reasoning": {"effort": "none", "summary": "auto"}}, {"reasoning": {"summary": "auto"}}),
    (RESPONSES, "gpt-5-mini", {"reasoning": {"effort": "minimal"}}, {}),
    (RESPONSES, "gpt-4.1", {"include": ["reasoning.encrypted_content", "x"]}, {"include": ["x"]}),
    (CLAUDE, "claude-haiku-4-5", {"thinking": ADAPTIVE, "output_config": {"effort": "low"}}, {}),
    (CLAUDE, "claude-haiku-4-5", {"thinking": ENABLED, "temperature": 1}, None),
    (CLAUDE, "claude-3-5-haiku-latest", {"thinking": ENABLED}, {}),
    (CLAUDE, "claude-3-5-haiku-latest", {"thinking": {"type": "disabled"}}, None),
    (CLAUDE, "claude-sonnet-5-5", {"thinking": ENABLED, "temperature": 0.2, "top_k": 5}, {}),
    (CLAUDE, "claude-sonnet-5-5", {"thinking": ADAPTIVE, "output_config": {"effort": "low"}}, None),
    (CLAUDE, "claude-opus-4-5", {"output_config": {"effort": "low", "format": {}}}, None),
    (CLAUDE, "claude-haiku-4-5", {"output_config": {"effort": "low", "format": {}}}, {"output_config": {"format": {}}}),
    (CLAUDE, "claude-haiku-4-5", {"speed": "fast", "betas": ["effort-2025-11-24", "x"]}, {"betas": ["x"]}),
    (
        CONVERSE,
        "anthropic.claude-haiku-4-5-20251001-v1:0",
        {"additionalModelRequestFields": {"thinking": ADAPTIVE}},
        {},
    ),
    (
        CONVERSE,
        "anthropic.claude-sonnet-5-5-v1:0",
        {"inferenceConfig": {"maxTokens": 9, "topP": 1}},
        {"inferenceConfig": {"maxTokens": 9}},
    ),
    (CONVERSE, "amazon.nova-lite-v1:0", {"inferenceConfig": {"maxTokens": 9, "topP": 1}}, None),
    (GEMINI, "gemini-2.5-flash", {"generationConfig": {"thinkingConfig": {"thinkingLevel": "low"}}}, {}),
    (GEMINI, "gemini-2.5-flash", {"generationConfig": {"thinkingConfig": {"thinkingBudget": 999}}}, None),
    (GEMINI, "gemini-2.5-flash-lite", {"generationConfig": {"thinkingConfig": {"thinkingBudget": 32_000}}}, {}),
    (GEMINI, "gemini-3-flash-preview", {"generationConfig": {"thinkingConfig": {"thinkingLevel": "low"}}}, None),
    (
        GEMINI,
        "gemini-2.0-flash",
        {"generation_config": {"thinking_config": {"include_thoughts": True}, "seed": 1}},
        {"generation_config": {"seed": 1}},
    ),
    ("cohere-chat", "command-r7b-12-2024", {"thinking": ENABLED, "temperature": 0.1}, {"temperature": 0.1}),
    ("ollama", "llama3.2", {"think": True, "options": {"seed": 1}}, {"options": {"seed": 1}}),
]


@pytest.mark.parametrize(("dialect", "model", "given_", "left"), FITS)
def test_what_a_model_refuses_is_left_out(dialect, model, given_, left):
    """The rest stays, the request that was given is not changed, and what was left out is told by its path."""
    document = {"model": "dear", "messages": [], **given_}
    before = copy.deepcopy(document)

    fitted = fit(dialect, document, model, PRICE)

    assert document == before
    assert fitted.document == {"model": "dear", "messages": [], **(given_ if left is None else left)}
    renamed = given_.keys() <= {"max_tokens", "max_completion_tokens"}
    assert bool(fitted.dropped) is (left is not None and not renamed)


@given(
    st.sampled_from(RULES),
    st.sampled_from(["gpt-4o-mini", "gpt-5-mini", "claude-haiku-4-5", "claude-sonnet-5-5", "gemini-2.5-flash", "x"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ),
)
def test_no_value_breaks_a_rule(rule, model, value):
    """Values are the caller's: whatever stands in a field, fitting neither fails nor changes what was given."""
    document = value
    for name in reversed(rule.path):
        document = {name: document}
    before = copy.deepcopy(document)
    for dialect in rule.dialects:
        fitted = fit(dialect, document, model, PRICE)
        assert document == before
        assert fitted.document.keys() <= document.keys() | {"max_completion_tokens"}


def test_betas_that_a_model_refuses_are_left_out():
    """By the beginnings of their names: a million tokens only where the model reads so many."""
    asked = ["context-1m-2025-08-07", "effort-2025-11-24", "interleaved-thinking-2025-05-14", "files-api-2025-04-14"]
    assert betas(asked, "claude-haiku-4-5", PRICE) == ["files-api-2025-04-14"]
    assert betas(asked, "claude-sonnet-5-5", LONG) == asked
