"""The names of one model: what callers, routers, regions and dates put around it is taken away, nothing is guessed."""

import pytest

from wfb_core.model_names import names, routed, same_form

NAMES = [
    ("openai", "GPT-4o-2024-08-06", "gpt-4o"),
    ("anthropic", "claude-haiku-4-5-20251001", "claude-haiku-4-5-2025-10-01"),
    ("anthropic", "claude-haiku-4-5-latest", "claude-haiku-4-5"),
    ("google", "models/gemini-2.5-flash", "gemini-2.5-flash"),
    ("google", "publishers/google/models/gemini-2.5-flash", "gemini-2.5-flash"),
    ("aws", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-haiku-4-5-20251001-v1:0"),
    ("aws", "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
    ("openrouter", "deepseek/deepseek-chat:free", "deepseek/deepseek-chat"),
]


@pytest.mark.parametrize(("provider", "model", "expected"), NAMES)
def test_a_model_is_also_known_by_its_bare_name(provider, model, expected):
    """The name itself comes first, in lower case, and the bare one among the others."""
    found = list(names(provider, model))

    assert found[0] == model.lower()
    assert expected in found


@pytest.mark.parametrize(
    "model", ["arn:aws:bedrock:us-east-1:1:application-inference-profile/ab12", "anthropic.claude-v2:1"]
)
def test_what_hides_its_model_yields_only_itself(model):
    """A profile's name says nothing of the model behind it."""
    assert set(names("aws", model)) == {model}


ROUTES = [
    ("huggingface", "meta-llama/Llama-3.3-70B:together", ("huggingface_together", "meta-llama/Llama-3.3-70B")),
    ("huggingface", "meta-llama/Llama-3.3-70B:fastest", ("huggingface", "meta-llama/Llama-3.3-70B")),
    ("huggingface", "meta-llama/Llama-3.3-70B", ("huggingface", "meta-llama/Llama-3.3-70B")),
    ("huggingface_groq", "llama:groq", ("huggingface_groq", "llama")),
    ("openai", "ft:gpt-4o:org", ("openai", "ft:gpt-4o:org")),
]


@pytest.mark.parametrize(("provider", "model", "expected"), ROUTES)
def test_a_routers_name_says_who_bills(provider, model, expected):
    """Only Hugging Face's router names the provider behind the model."""
    assert routed(provider, model) == expected


@pytest.mark.parametrize(
    ("dialect", "model", "other", "same"),
    [
        ("gemini-generate", "gemini-2.5-pro", "gemini-2.5-flash", True),
        ("gemini-generate", "gemini-2.5-pro", "claude-haiku-4-5", False),
        ("anthropic-messages", "claude-opus-4-5", "gemini-2.5-flash", False),
        ("anthropic-messages", "claude-opus-4-5", "claude-haiku-4-5", True),
        ("openai-chat", "openai/gpt-4o", "anthropic/claude-haiku-4.5", True),
        ("bedrock-invoke", "us.amazon.nova-pro-v1:0", "amazon.nova-lite-v1:0", True),
        ("bedrock-converse", "amazon.nova-pro-v1:0", "qwen.qwen3-32b-v1:0", False),
    ],
)
def test_which_models_a_request_may_be_asked_of(dialect, model, other, same):
    """Of the same maker, where the makers at one provider have forms of their own."""
    assert same_form(dialect, model, other) is same
