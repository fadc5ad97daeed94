"""What a request says about the call it asks for, before any answer exists."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallFacts:
    """One call as its dialect read it: enough to bound, price and decide it, and none of its content."""

    dialect: str
    """Wire shape: ``openai-chat``, ``openai-responses``, ``anthropic-messages``."""
    provider: str
    """Who bills: ``openai``, ``anthropic``."""
    operation: str
    """What is asked for, in the dialect's own word: ``chat.completions``, ``responses``, ``messages``."""
    model: str
    """The model requested."""
    stream: bool
    """Whether the answer comes in server-sent events."""
    cap: int | None
    """The request's own bound on output tokens, per choice; None where it sets none."""
    choices: int = 1
    """How many answers are generated and billed."""
    inputs: int = 1
    """How many texts or requests it holds that the model reads apart, each within a context window of its own."""
    tier: str | None = None
    """The service tier asked for, in the provider's word; None where the request names none or its default."""
    input_bytes: int = 0
    """Decoded text of the input in bytes, each string at max(UTF-8, UTF-8 after NFKC): no byte-level tokenizer makes
    more tokens of it."""
    messages: int = 0
    """Messages, items and system blocks: each costs a few tokens of framing."""
    tools: int = 0
    """Tool definitions: each costs framing, and the first a preamble."""
    media: tuple[tuple[str, int], ...] = ()
    """Parts that are not text: (kind, payload bytes) for ``image``, ``document``, ``audio``."""
    hidden_input: tuple[str, ...] = ()
    """Fields that add input which the body does not show: ``previous_response_id``, ``file_id``, ``url`` …"""
    unbounded: tuple[str, ...] = ()
    """Features that may bill beyond any bound: hosted tools, fallbacks to other models, background mode."""
    cache_write: bool = False
    """Whether the request asks for its input to be written to a cache."""
    cache_write_1h: bool = False
    """Whether it asks for an hour's time to live."""
    wants_usage_chunk: bool = True
    """For OpenAI chat streams: whether the caller itself asked for the usage chunk."""
    reasoning: bool | None = None
    """Whether the request turns on reasoning that its answer may hide; None where it does not say."""
    signed: bool = False
    """Whether a signature covers the body and the path: a change would break it."""
    deployment: bool = False
    """Whether `model` is a deployment's or a profile's name, which says nothing of the model behind it."""
    units: tuple[tuple[str, int], ...] = ()
    """What the request itself is billed for beside tokens, as Usage.units: characters to speak, images to draw."""
    polls: str | None = None
    """The id of an earlier answer that the request only reads again: its usage is settled once, with the first result."""
