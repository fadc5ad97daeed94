"""Metering a conversation over a WebSocket: messages of both sides in, one Answer for each response that was billed.

A socket's dialect is opened with the path and headers of its upgrade. Money is held for one response at a time: `facts`
says what the next one may cost, `received` what one has used; a socket whose budget is gone can only be closed.
"""

from collections.abc import Mapping
from typing import Protocol

from wfb_core.call import CallFacts
from wfb_core.dialects.answer import Answer


class SocketMeter(Protocol):
    """What a dialect learns from the messages of one socket; never raises."""

    def sent(self, message: bytes) -> None:
        """A message of the client: what it asks for, its caps, what of its input counts."""

    def received(self, message: bytes) -> tuple[Answer, ...]:
        """A message of the server: the answers whose usage it completes, none in most."""

    def facts(self) -> CallFacts | None:
        """What the next response may cost as far as it is known; None while no model is named."""

    def end(self) -> Answer | None:
        """What was under way when the socket closed; None where nothing was."""


class SocketDialect(Protocol):
    """One wire shape over a WebSocket."""

    name: str
    """As in CallFacts.dialect and the host table."""

    def open(self, path: str, headers: Mapping[str, str], provider: str) -> SocketMeter:
        """The meter of a socket that is opened with this path and these headers."""
