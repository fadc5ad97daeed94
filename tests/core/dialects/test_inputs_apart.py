"""Requests that hold many inputs: each may fill a context window of its own, so the bound of one is not theirs."""

import json

import pytest

from wfb_core import bounds
from wfb_core.dialects import DIALECTS
from wfb_core.price import ModelPrice
from wfb_core.rates import Rates

CLAUDE = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
GEMINI = "/v1beta/models/gemini-embedding-001:"
CALLS = {
    "a list to embed": ("openai-embeddings", "/v1/embeddings", {"model": "m", "input": ["a", "b", "c"]}, 3),
    "tokens to embed": ("openai-embeddings", "/v1/embeddings", {"model": "m", "input": [1, 2, 3]}, 1),
    "lists of tokens": ("openai-embeddings", "/v1/embeddings", {"model": "m", "input": [[1, 2], [3]]}, 2),
    "documents to rank": ("openai-embeddings", "/v1/rerank", {"model": "m", "query": "q", "documents": ["a", "b"]}, 2),
    "texts of Cohere": ("cohere-embed", "/v2/embed", {"model": "m", "texts": ["a", "b", "c", "d"]}, 4),
    "documents of Cohere": ("cohere-embed", "/v2/rerank", {"model": "m", "query": "q", "documents": ["a", "b"]}, 2),
    "a batch of Gemini": (
        "gemini-embeddings",
        GEMINI + "batchEmbedContents",
        {"requests": [{"content": {"parts": [{"text": "a"}]}}] * 5},
        5,
    ),
    "instances of Vertex": ("gemini-embeddings", GEMINI + "predict", {"instances": [{"content": "a"}] * 6}, 6),
    "a batch of messages": (
        "anthropic-batches",
        "/v1/messages/batches",
        {"requests": [{"custom_id": str(i), "params": CLAUDE} for i in range(3)]},
        3,
    ),
    "texts of Bedrock": ("bedrock-invoke", "/model/cohere.embed-v4%3A0/invoke", {"texts": ["a", "b", "c"]}, 3),
    "inputs of Ollama": ("ollama", "/api/embed", {"model": "m", "input": ["a", "b"]}, 2),
    "prompts": ("openai-completions", "/v1/completions", {"model": "m", "prompt": ["a", "b"], "n": 2}, 2),
    "one of each": ("openai-chat", "/v1/chat/completions", {"model": "m", "messages": []}, 1),
}


@pytest.mark.parametrize(("dialect", "path", "body", "inputs"), CALLS.values(), ids=CALLS)
def test_inputs_are_counted_apart(dialect, path, body, inputs):
    """Every dialect that takes many inputs says how many."""
    facts, _ = DIALECTS[dialect].read_request("POST", path, {}, json.dumps(body).encode())
    assert facts.inputs == inputs


def test_a_long_list_is_held_for_all_of_it():
    """Three texts of eight thousand tokens each are no more bounded by one window than they are charged by one."""
    price = ModelPrice("p", "m", "v", ((-1, Rates.flat(20_000_000, 0)),), {}, 0, 8_192, None, False)
    body = json.dumps({"model": "m", "input": ["x" * 30_000] * 3}).encode()
    facts, _ = DIALECTS["openai-embeddings"].read_request("POST", "/v1/embeddings", {}, body)
    assert bounds.input_tokens_bound(facts, price) == 3 * 8_192
