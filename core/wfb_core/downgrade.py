"""Downgrade: which model a call is asked of instead, as money runs out, and why it is not.

The rungs reached say what is wanted; a chain of obstacles says what stands against it, each with its sentence. What is
wanted most comes first: the rung at the highest percentage over all limits of all budgets. Patterns are held against
the model that the caller asked for, and a target is never downgraded again.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import NamedTuple

from wfb_core.budget import DOWNGRADE, REPORT, Budget, Limit, Rung
from wfb_core.call import CallFacts
from wfb_core.conversation import goes_on, holds_thinking
from wfb_core.dialects.request import Document
from wfb_core.model_names import same_form
from wfb_core.money import format_usd
from wfb_core.price import ModelPrice
from wfb_core.selectors import REMEMBERED_LONGEST, matches_model, model_allowed

REWRITTEN = frozenset(
    {
        "anthropic-messages",
        "bedrock-converse",
        "bedrock-invoke",
        "cohere-chat",
        "gemini-generate",
        "gemini-interactions",
        "ollama",
        "openai-chat",
        "openai-completions",
        "openai-responses",
    }
)
"""Dialects whose requests are asked of another model. Not embeddings, whose vectors are one model's alone; not sound,
pictures and batches, whose parameters and prices are each model's own; not gRPC, whose bodies are not rewritten."""

WRITING = frozenset(
    {
        "messages",
        "complete",
        "converse",
        "converse-stream",
        "invoke",
        "invoke-with-response-stream",
        "chat",
        "chat.completions",
        "completions",
        "responses",
        "generateContent",
        "streamGenerateContent",
        "interactions",
        "generate",
    }
)
"""Operations of these dialects that write text; others (embeddings, counting, images) stay with their model."""


REMEMBERED = 256
"""Models whose wishes are kept; the one unseen for longest gives way."""

DENSEST = 2
"""Bytes of a token in the densest text that people send; what may not fit so is not sent to a smaller model."""


class Wanted(NamedTuple):
    """What one rung wants of a call."""

    budget: Budget
    limit: Limit
    rung: Rung
    model: str
    """The model to ask instead."""
    literal: bool
    """Whether the rung names the model asked for itself, and not by a pattern."""

    @property
    def reported(self) -> bool:
        """Whether it is only written down: the budget reports."""
        return self.budget.enforcement == REPORT

    @property
    def where(self) -> str:
        """The rung, in words."""
        return f"budget {self.budget.key} ({self.limit.window} limit) at {self.rung.at_percent} %"


class Ask(NamedTuple):
    """A call and the model that a rung wants for it."""

    wanted: Wanted
    facts: CallFacts
    document: Document
    price: ModelPrice
    """Of the model asked for."""
    target: ModelPrice | None
    """Of the model to ask instead, at the same provider and host; None where none is known."""
    budgets: tuple[Budget, ...]


Obstacle = Callable[[Ask], str | None]


class _Step(NamedTuple):
    """A rung that asks other models."""

    place: int
    """Of its limit among those given."""
    budget: Budget
    limit: Limit
    rung: Rung


class Steps:
    """The rungs of some limits that ask other models: sorted once, and matched with each model once."""

    def __init__(self, limits: Iterable[tuple[Budget, Limit]]) -> None:
        steps = (
            _Step(place, budget, limit, rung)
            for place, (budget, limit) in enumerate(limits)
            for rung in budget.ladder_of(limit)
            if rung.action == DOWNGRADE
        )
        self._meant = partial(_meant, tuple(sorted(steps, key=_strictest)))
        self._known = lru_cache(REMEMBERED)(self._meant)

    def wants(self, model: str, spent: Callable[[int], int | None]) -> Iterator[Wanted]:
        """What the rungs reached want for a model: the strictest first, those of reporting budgets last.

        ``spent`` says what is spent of the limit at a place, nano-USD, and None where nothing was heard of it. One after
        the other: where the first is done, what the others name is not looked at. What several rungs want alike is wanted
        once: what stands against it stands against all of them.
        """
        told = set[tuple[str, bool, bool]]()
        for place, wanted in self._known(model) if len(model) <= REMEMBERED_LONGEST else self._meant(model):
            known = spent(place)
            if known is None or not wanted.rung.reached(known, wanted.limit.nanos):
                continue
            alike = wanted.model, wanted.literal, wanted.rung.mid_conversation
            if alike not in told:
                told.add(alike)
                yield wanted


def _strictest(step: _Step) -> tuple[bool, int]:
    return step.budget.enforcement == REPORT, -step.rung.at_percent


def _meant(steps: tuple[_Step, ...], model: str) -> tuple[tuple[int, Wanted], ...]:
    """(place, what is wanted) for a model, were every rung reached: of each rung the first pattern that means it."""
    found = []
    for place, budget, limit, rung in steps:
        pair = next((pair for pair in rung.models if matches_model(model, pair[0])), None)
        if pair is not None and pair[1] != model:
            found.append((place, Wanted(budget, limit, rung, pair[1], literal=pair[0] == model)))
    return tuple(found)


def _fixed(ask: Ask) -> str | None:
    facts = ask.facts
    if facts.signed:
        return "a signature covers the request"
    if facts.dialect not in REWRITTEN or facts.operation not in WRITING:
        return f"requests of this kind ({facts.dialect}, {facts.operation}) stay with their model"
    if facts.deployment and not ask.wanted.literal:
        return f"{facts.model!r} is a deployment's name, which only a rung that names it itself replaces"
    return None


def _running(ask: Ask) -> str | None:
    if not goes_on(ask.document, ask.facts):
        return None
    if not ask.wanted.rung.mid_conversation:
        return "the conversation goes on, and midConversation is false"
    return "its history holds the thoughts of the model before" if holds_thinking(ask.document) else None


def _features(ask: Ask) -> str | None:
    if ask.facts.unbounded:
        return f"{', '.join(ask.facts.unbounded)} may not be had of another model"
    if not {"cachedContent", "cached_content", "agent_id"}.isdisjoint(ask.facts.hidden_input):
        return "what the provider keeps for the request is one model's own"
    return None


def _priced(ask: Ask) -> str | None:
    if ask.target is None:
        return f"{ask.facts.provider} has no model {ask.wanted.model!r} with a known price"
    if ask.target.dearest(ask.facts.tier) is None:
        return f"{ask.wanted.model!r} has no price at service tier {ask.facts.tier!r}"
    return None


def _allowed(ask: Ask) -> str | None:
    for budget in ask.budgets:
        if budget.enforcement != REPORT and not model_allowed(budget, ask.wanted.model):
            return f"budget {budget.key} does not allow {ask.wanted.model!r}"
    return None


def _fits(ask: Ask) -> str | None:
    target = ask.target
    assert target is not None
    shows_images = ask.facts.media and any(kind == "image" for kind, _ in ask.facts.media)
    if shows_images and ask.price.image_tokens and not target.image_tokens:
        return f"{ask.wanted.model!r} is not known to read images"
    most = ask.price.context or 0
    needs = most if ask.facts.hidden_input else min(most, ask.facts.input_bytes // DENSEST)
    if target.context and needs > target.context:
        return f"the request may not fit into the {target.context} tokens that {ask.wanted.model!r} reads"
    return None


def _family(ask: Ask) -> str | None:
    if same_form(ask.facts.dialect, ask.facts.model, ask.wanted.model):
        return None
    return f"{ask.wanted.model!r} is another maker's, whose requests have another form"


OBSTACLES: tuple[Obstacle, ...] = (_fixed, _running, _features, _priced, _allowed, _fits, _family)
"""In this order; the first is the one that is told."""


def obstacle(ask: Ask) -> str | None:
    """What stands against a downgrade, in a sentence's part; None where nothing does."""
    for found in OBSTACLES:
        if (text := found(ask)) is not None:
            return text
    return None


def per_million(price: ModelPrice) -> str:
    """The rates of a model, in words: ``$2.50 in and $10.00 out per million tokens``."""
    rates = price.standard[0][1]
    return f"${format_usd(rates.input)} in and ${format_usd(rates.output)} out per million tokens"
