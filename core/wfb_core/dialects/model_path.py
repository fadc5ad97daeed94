"""Which model a request asks for, where its path or a suffix says it: Azure, Vertex, Databricks, HuggingFace."""

import re
from urllib.parse import quote, unquote

from wfb_core.dialects.request import Document, model_of

_IN_PATH = (
    re.compile(r"(/deployments/)([^/]+)"),
    re.compile(r"(/publishers/mistralai/models/)([^/:]+)"),
    re.compile(r"(/serving-endpoints/)([^/]+)(?=/invocations)"),
    re.compile(r"(?<=/models)(/)([^/]+(?:/[^/]+)?)(?=/v1/)"),
)
"""Where paths name a model: Azure's deployments, Mistral's models on Vertex, Databricks' endpoints, HuggingFace's
serverless models."""


def deployment_in(path: str) -> str | None:
    """The deployment that an Azure path names: ``…/openai/deployments/NAME/…``; None in others."""
    found = _IN_PATH[0].search(path.partition("?")[0])
    return unquote(found[2]) if found else None


def is_deployment(path: str, provider: str) -> bool:
    """Whether the model asked for is a deployment's name: in Azure's paths, and in the bodies of its newer ones."""
    return provider == "azure" or deployment_in(path) is not None


def path_model(path: str) -> str | None:
    """The model that a path names, decoded; None where the body does."""
    plain = path.partition("?")[0]
    found = next(filter(None, (pattern.search(plain) for pattern in _IN_PATH)), None)
    return unquote(found[2]) if found else None


def path_with_model(path: str, model: str) -> str:
    """The path with another model, where it names one."""
    plain, mark, query = path.partition("?")
    for pattern in _IN_PATH:
        kept = "/" if pattern is _IN_PATH[-1] else ""
        plain = pattern.sub(lambda found, kept=kept: found[1] + quote(model, safe=kept), plain, count=1)  # type: ignore[misc]
    return plain + mark + query


_PLACEHOLDERS = ("tgi",)
"""What stands for the model in the body where the path names it: huggingface_hub, text-generation-inference."""


def asked_model(document: Document, path: str) -> str:
    """The model asked for, by the body or else by the path, or the agent that stands for one at Mistral.

    Raises NotUnderstood where none is named. Agents: mistralai 3.7, models/agentscompletionrequest.py.
    """
    elsewhere = path_model(path) or document.get("agent_id")
    asked = document.get("model")
    if not elsewhere or (asked and asked not in _PLACEHOLDERS):
        return model_of(document)
    return model_of({"model": elsewhere})


_ROUTES = frozenset(
    {
        "cerebras",
        "fireworks-ai",
        "groq",
        "hyperbolic",
        "nebius",
        "novita",
        "nscale",
        "ovhcloud",
        "publicai",
        "sambanova",
        "together",
    }
)
"""Providers behind HuggingFace's router: ids of genai-prices after ``huggingface_``."""


def biller_of(provider: str, model: str) -> str:
    """Who bills: behind HuggingFace's router it is who the model's suffix names (``org/model:together``)."""
    if provider != "huggingface":
        return provider
    route = model.rpartition(":")[2]
    return f"huggingface_{route}" if route in _ROUTES else provider
