"""What a call is settled at, however it ended: exactly where the provider said what it used, else a marked estimate."""

from dataclasses import dataclass

from wfb_core.usage import Usage

COMPLETE, CUT, LEFT, FAILED = "complete", "cut", "left", "failed"
"""How an answer ended: whole; broken off by the provider; by the client; before its first byte or with an error status."""

TAIL_SECONDS = 2.0
"""How long a provider may go on generating after its stream was closed; priced at the stream's own pace."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What passed of an answer whose usage did not."""

    output_bytes: int
    seconds: float
    """From the first to the last byte seen."""
    hidden_output: bool
    """Whether output may have been generated that did not pass: reasoning."""
    billed_whole: bool
    """Whether the provider bills a cut stream to its end."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """The cost to book, and how sure it is."""

    cost: int
    usage: Usage | None
    estimated: bool
    finding: str | None = None
    list_cost: int | None = None
    """What the provider's list price would be; None where only the effective price is known, as of an estimate."""
    source: str = ""
    """Where the price came from, if not from the snapshot in force: REPORTED or STATED."""


REPORTED, STATED = "provider", "budget"
"""The provider said itself what a call cost; a budget states a price for models that have none."""


def exact(
    cost: int, usage: Usage, finding: str | None = None, list_cost: int | None = None, source: str = ""
) -> Settlement:
    """The provider said what it used."""
    return Settlement(cost, usage, estimated=False, finding=finding, list_cost=list_cost, source=source)


def nothing() -> Settlement:
    """An error before the first byte costs nothing."""
    return Settlement(0, Usage(), estimated=False)


def estimate(hold: int, input_cost: int, output_rate: int, seen: Seen, finding: str) -> Settlement:
    """Bytes seen count as tokens, plus a tail at the stream's own pace; never above the hold.

    `input_cost` is the hold's own part for the input; `output_rate` nano-USD per million tokens. Where output can be
    hidden, or the provider bills what nobody reads, only the hold is sure to cover it.
    """
    if seen.hidden_output or seen.billed_whole:
        return Settlement(hold, None, estimated=True, finding=finding)
    pace = seen.output_bytes / seen.seconds if seen.seconds > 0 else seen.output_bytes
    tokens = seen.output_bytes + int(min(pace * TAIL_SECONDS, 1e12)) + 1
    output = -(-tokens * output_rate // 1_000_000)
    return Settlement(min(hold, input_cost + output), None, estimated=True, finding=finding)
