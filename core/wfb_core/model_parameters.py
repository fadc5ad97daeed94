"""Parameters that one model takes and another refuses: what is left out where a request goes to another model.

Left out is what a provider documents as an error for the model asked instead: how to think and how hard, sampling that
reasoning models refuse, betas. What says what is asked for (messages, tools, formats, stop sequences) is never touched.
Sources: platform.claude.com/docs on extended and adaptive thinking, effort, and what changed with 4.7 (sampling
parameters and ``budget_tokens`` are errors); OpenAI's guide to reasoning models (no temperature, top_p, penalties,
logprobs; max_completion_tokens for max_tokens) and to the latest models (verbosity); ai.google.dev/gemini-api/docs/thinking
(thinkingBudget of 2.5, thinkingLevel of 3).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wfb_core.bounds import claude_version
from wfb_core.dialects.request import Document
from wfb_core.price import ModelPrice

COMMON_EFFORTS = frozenset({"low", "medium", "high"})
"""Efforts that every reasoning model knows."""
COMMON_LEVELS = frozenset({"low", "high"})
"""Thinking levels that every Gemini from 3 on knows."""
MOST_THINKING = 24_576
"""The largest thinking budget that every Gemini 2.5 takes."""

_REASONS = re.compile(r"(?:^|[/.:])(?:ft:)?(?:o\d|gpt-(?:[5-9]|\d\d))(?!.*-chat)")
_VERBOSE = re.compile(r"(?:^|[/.:])(?:ft:)?gpt-(?:[5-9]|\d\d)(?!.*-chat)")
_GEMINI = re.compile(r"gemini-(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Rule:
    """A field of some dialects' bodies, and whether a value of it is none for a model."""

    dialects: frozenset[str]
    path: tuple[str, ...]
    """Top-level name, or the name of an object and one below it; in every spelling that the dialect reads."""
    refused: Callable[[Any, str], bool]
    """(value, model asked instead): whether the model refuses it."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A request as another model takes it."""

    document: Document
    """A copy in what was changed; the rest is shared."""
    dropped: tuple[str, ...]
    """Paths of the parameters left out, dotted."""


def reasons(model: str) -> bool:
    """Whether it is one of OpenAI's reasoning models, by its name."""
    return _REASONS.search(model.lower()) is not None


def _gemini(model: str) -> tuple[int, int]:
    found = _GEMINI.search(model.lower())
    return (0, 0) if found is None else (int(found[1]), int(found[2] or 0))


def _claude(model: str) -> tuple[int, int]:
    return claude_version(model) or (0, 0)


def _no_thinking(value: Any, model: str) -> bool:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "enabled":
        return not (3, 7) <= _claude(model) < (4, 7)
    if kind == "adaptive":
        return _claude(model) < (4, 6)
    return kind != "disabled"


def _no_claude_effort(_: Any, model: str) -> bool:
    version = _claude(model)
    return version < (4, 6) and not (version == (4, 5) and "opus" in model.lower())


def _no_sampling(_: Any, model: str) -> bool:
    return _claude(model) >= (4, 7)


def _no_effort(value: Any, model: str) -> bool:
    return not reasons(model) or not isinstance(value, str) or value not in COMMON_EFFORTS


def _unless_reasoning(_: Any, model: str) -> bool:
    return not reasons(model)


def _if_reasoning(_: Any, model: str) -> bool:
    return reasons(model)


def _no_verbosity(_: Any, model: str) -> bool:
    return _VERBOSE.search(model.lower()) is None


def _no_budget(value: Any, model: str) -> bool:
    version = _gemini(model)
    return version < (2, 5) or (version < (3, 0) and isinstance(value, int) and not 0 < value <= MOST_THINKING)


def _no_level(value: Any, model: str) -> bool:
    return _gemini(model) < (3, 0) or str(value).lower() not in COMMON_LEVELS


def _before_thinking(_: Any, model: str) -> bool:
    return _gemini(model) < (2, 5)


def _unless_named(part: str) -> Callable[[Any, str], bool]:
    return lambda _, model: part not in model.lower()


def _always(_: Any, __: str) -> bool:
    return True


def _rules(
    dialects: tuple[str, ...], where: tuple[str, ...], fields: Mapping[str, Callable[[Any, str], bool]]
) -> tuple[Rule, ...]:
    return tuple(Rule(frozenset(dialects), (*where, name), refused) for name, refused in fields.items())


_CLAUDE = {
    "thinking": _no_thinking,
    "reasoning_config": _no_thinking,
    "effort": _no_claude_effort,
    "temperature": _no_sampling,
    "top_p": _no_sampling,
    "top_k": _no_sampling,
    "speed": _always,  # fast mode is one model's, and a dearer one's
}
_SAMPLING = dict.fromkeys(
    ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias"),
    _if_reasoning,
)
_GEMINI_THINKING = {
    "thinkingBudget": _no_budget,
    "thinking_budget": _no_budget,
    "thinkingLevel": _no_level,
    "thinking_level": _no_level,
    "includeThoughts": _before_thinking,
    "include_thoughts": _before_thinking,
}

RULES: tuple[Rule, ...] = (
    *_rules(("anthropic-messages", "bedrock-invoke"), (), _CLAUDE),
    *_rules(("anthropic-messages", "bedrock-invoke"), ("output_config",), {"effort": _no_claude_effort}),
    *_rules(("bedrock-converse",), ("additionalModelRequestFields",), _CLAUDE),
    *_rules(("bedrock-converse",), ("inferenceConfig",), {"temperature": _no_sampling, "topP": _no_sampling}),
    *_rules(("openai-chat", "openai-responses"), (), _SAMPLING),
    *_rules(("openai-chat",), (), {"reasoning_effort": _no_effort, "verbosity": _no_verbosity}),
    *_rules(("openai-chat",), (), {"reasoning": _unless_reasoning, "prompt_mode": _unless_named("magistral")}),
    *_rules(("openai-responses",), (), {"reasoning": _unless_reasoning}),
    *_rules(("openai-responses",), ("reasoning",), {"effort": _no_effort}),
    *_rules(("openai-responses",), ("text",), {"verbosity": _no_verbosity}),
    *_rules(("gemini-generate",), ("generationConfig", "thinkingConfig"), _GEMINI_THINKING),
    *_rules(("gemini-generate",), ("generation_config", "thinking_config"), _GEMINI_THINKING),
    *_rules(("gemini-generate",), ("generationConfig", "thinking_config"), _GEMINI_THINKING),
    *_rules(("gemini-interactions",), ("generation_config",), {"thinking_level": _no_level}),
    *_rules(("cohere-chat",), (), {"thinking": _unless_named("reasoning")}),
    *_rules(("ollama",), (), {"think": _always}),
)
"""What is left out, by dialect and field."""

BETAS: Mapping[str, Callable[[str, ModelPrice], bool]] = {
    "context-1m-": lambda _, price: (price.context or 0) < 1_000_000,
    "effort-": lambda model, _: _no_claude_effort(None, model),
    "fast-mode-": lambda _, __: True,
    "interleaved-thinking-": lambda model, _: "haiku" in model.lower() or _claude(model) < (4, 0),
}
"""Anthropic's betas that some models refuse, by the beginning of their names: whether a model does."""

ENCRYPTED = "reasoning.encrypted_content"
"""An item of `include` that only reasoning models know (Responses)."""


def fit(dialect: str, document: Document, model: str, price: ModelPrice) -> Fitted:
    """The request without what the model refuses; the document given stays as it is."""
    fitted, dropped = dict(document), list[str]()
    for rule in RULES:
        if dialect in rule.dialects and _drop(fitted, rule.path, rule.refused, model):
            dropped.append(".".join(rule.path))
    if dialect == "openai-chat" and reasons(model) and fitted.get("max_tokens") is not None:
        cap = fitted.pop("max_tokens")
        fitted.setdefault("max_completion_tokens", cap)
    include = fitted.get("include")
    if isinstance(include, list) and ENCRYPTED in include and not reasons(model):
        fitted["include"] = [item for item in include if item != ENCRYPTED]
        dropped.append(f"include.{ENCRYPTED}")
    for name in ("betas", "anthropic_beta"):
        if isinstance(asked := fitted.get(name), list) and (kept := betas(asked, model, price)) != asked:
            fitted[name] = kept
            dropped.append(name)
    return Fitted(fitted, tuple(dropped))


def betas(asked: list[Any], model: str, price: ModelPrice) -> list[Any]:
    """Anthropic's betas without those that the model refuses."""
    return [
        beta
        for beta in asked
        if not any(str(beta).strip().startswith(name) and refused(model, price) for name, refused in BETAS.items())
    ]


def _drop(document: Document, path: tuple[str, ...], refused: Callable[[Any, str], bool], model: str) -> bool:
    """Leaves out what a path holds where the model refuses it; what is above it becomes a copy, or goes when empty."""
    head, *below = path
    value = document.get(head)
    if value is None:
        return False
    if not below:
        if refused(value, model):
            del document[head]
            return True
        return False
    if not isinstance(value, dict):
        return False
    inner = dict(value)
    if not _drop(inner, tuple(below), refused, model):
        return False
    if inner:
        document[head] = inner
    else:
        del document[head]
    return True
