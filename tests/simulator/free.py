"""What costs nothing: lists of models, counts of tokens, and later looks at answers that were billed when they were made."""

from typing import Any

from simulator import messages, prices
from simulator.answer import count_tokens
from simulator.asked import Asked
from simulator.openai_errors import no_such_model
from simulator.refused import Refused


def kept(provider: Any, asked: Asked) -> object:
    """A response in the background or a batch, as far as it has come."""
    bodies = provider.kept.get(asked.names[0])
    if bodies is None:
        raise Refused(404, f"No such object: {asked.names[0]}")
    return bodies.pop(0) if len(bodies) > 1 else bodies[0]


def _of_openai(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "system"}


def _of_anthropic(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "2025-01-01T00:00:00Z"}


def models_of_openai(provider: Any, asked: Asked) -> object:
    """The list as OpenAI has it, and all who speak so."""
    return {"object": "list", "data": [_of_openai(name) for name in prices.names(asked.provider)]}


def model_of_openai(provider: Any, asked: Asked) -> object:
    """One of that list."""
    if prices.find(asked.provider, asked.names[-1]) is None:
        raise no_such_model(asked.names[-1])
    return _of_openai(asked.names[-1])


def models_of_anthropic(provider: Any, asked: Asked) -> object:
    """The list as Anthropic has it."""
    listed = [_of_anthropic(name) for name in prices.names("anthropic")]
    return {"data": listed, "has_more": False, "first_id": listed[0]["id"], "last_id": listed[-1]["id"]}


def model_of_anthropic(provider: Any, asked: Asked) -> object:
    """One of that list."""
    if prices.find("anthropic", asked.names[0]) is None:
        raise Refused(404, f"model: {asked.names[0]}")
    return _of_anthropic(asked.names[0])


def models_of_google(provider: Any, asked: Asked) -> object:
    """The list as Google has it."""
    return {"models": [{"name": f"models/{name}", "displayName": name} for name in prices.names("google")]}


def models_of_cohere(provider: Any, asked: Asked) -> object:
    """The list as Cohere has it."""
    return {"models": [{"name": name, "endpoints": ["chat"]} for name in prices.names("cohere")]}


def models_of_ollama(provider: Any, asked: Asked) -> object:
    """The list as Ollama has it."""
    return {"models": [{"name": name, "model": name, "size": 1} for name in prices.names("ollama")]}


def version_of_ollama(provider: Any, asked: Asked) -> object:
    """Ollama's version."""
    return {"version": "0.12.0"}


def count_of_openai(provider: Any, asked: Asked) -> object:
    """How many tokens a response's input would have."""
    tokens = count_tokens(asked.body.get("input"), asked.body.get("instructions"), asked.body.get("tools"))
    return {"object": "response.input_tokens", "input_tokens": tokens}


def count_of_anthropic(provider: Any, asked: Asked) -> object:
    """How many tokens a message's input would have."""
    return {"input_tokens": messages.input_tokens(asked.body)}


def count_of_google(provider: Any, asked: Asked) -> object:
    """How many tokens contents would have."""
    return {"totalTokens": count_tokens(asked.body.get("contents"), asked.body.get("systemInstruction"))}


def count_of_bedrock(provider: Any, asked: Asked) -> object:
    """How many tokens a conversation would have."""
    return {"inputTokens": count_tokens(asked.body.get("input"))}


def count_of_cohere(provider: Any, asked: Asked) -> object:
    """The tokens of a text."""
    count = count_tokens(asked.body.get("text"))
    return {"tokens": list(range(count)), "token_strings": ["the "] * count}
