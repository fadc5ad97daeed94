"""The names under which one model is asked for, served and listed: prefixes of routes, regions and dates around it."""

import re
from collections.abc import Iterator
from datetime import date

_COMPACT_DATE = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|@|$)")
_DATED = re.compile(r"[-@](?:20\d{2}(-?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])|default|latest)$")
_RESOURCE = re.compile(r"(?:^|/)models/(?P<name>[^/]+)$")
_ARN = re.compile(r"arn:aws[a-z-]*:bedrock:[^/]*(?:foundation-model|[^/]*inference-profile)/(?P<name>.+)$")
_REGION = re.compile(r"^(?:us|eu|uk|ap|apac|au|jp|in|ca|sa|me|af|mx|il|kr|sg|us-gov)\.(?=[a-z0-9-]+\.)")
_VARIANT = re.compile(r":(?:free|nitro|floor|online|exacto|extended|thinking|beta)$")
"""OpenRouter's words for routes to a model: https://openrouter.ai/docs/guides/routing/model-variants."""

HUGGING_FACE = "huggingface"
"""The router, whose model names end in the provider that serves and bills: ``meta-llama/Llama-3.3-70B:together``."""


def names(provider: str, model: str) -> Iterator[str]:
    """What a price list may call a model, the name itself first, in lower case; some may repeat.

    A part is only taken away where the provider documents it as no part of the model: nothing is guessed. An
    application's inference profile on Bedrock hides its model and yields only itself.
    """
    name = model.lower()
    yield name
    yield _COMPACT_DATE.sub(_dash, name)
    for bare in _bare(provider, name):
        yield bare
        yield _COMPACT_DATE.sub(_dash, bare)
        if dated := _DATED.search(bare):
            yield bare[: dated.start()]
    if dated := _DATED.search(name):
        yield name[: dated.start()]


def routed(provider: str, model: str) -> tuple[str, str]:
    """The provider that bills and the model it is asked for, where a router's model name says both."""
    if provider.partition("_")[0] != HUGGING_FACE:
        return provider, model
    name, colon, served_by = model.rpartition(":")
    if not colon or served_by in {"fastest", "cheapest", "preferred"}:
        return provider, name or model
    return (f"{HUGGING_FACE}_{served_by.lower()}" if provider == HUGGING_FACE else provider), name


def _bare(provider: str, name: str) -> Iterator[str]:
    """The name without what stands around it."""
    if provider == "aws":
        if found := _ARN.match(name):
            if "application-inference-profile" in name:
                return
            name = found["name"]
            yield name
        if _REGION.match(name):
            yield _REGION.sub("", name)
        return
    if found := _RESOURCE.search(name):
        yield found["name"]
    if provider == "openrouter":
        yield _VARIANT.sub("", name)
        return
    if name.startswith(f"{provider}/"):
        yield name[len(provider) + 1 :]


def _dash(found: re.Match[str]) -> str:
    """``-20251211`` as ``-2025-12-11``, the form the data knows; routers send the other."""
    year, month, day = (int(found.group(i)) for i in (1, 2, 3))
    try:
        date(year, month, day)
    except ValueError:
        return found.group(0)
    return f"-{year:04d}-{month:02d}-{day:02d}"


def same_form(dialect: str, model: str, other: str) -> bool:
    """Whether a request of a dialect for a model may be asked of another model of the provider at all.

    Bedrock's requests have each maker's own form; Google sells Gemini and Claude, each in the form of its maker.
    """
    if dialect.startswith("bedrock-"):
        return _maker(model) == _maker(other)
    if dialect.startswith(("gemini-", "anthropic-")):
        return ("claude" in model) == ("claude" in other)
    return True


def _maker(model: str) -> str:
    """Who made a model on Bedrock: ``us.anthropic.claude-…`` and ARNs name it before the last dot of the head."""
    name = model.rpartition("/")[2]
    parts = name.split(".")
    return parts[1] if len(parts) > 2 and len(parts[0]) <= 6 else parts[0]
