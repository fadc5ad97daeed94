"""The HTTP layer of mitmproxy with three changes.

A client that leaves is heard at once, some answers are read to their end without it, and a refused request's body is
thrown away as it comes.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from mitmproxy import flow as mflow
from mitmproxy import http
from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import DropStream, HttpLayer, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import (  # the events have no public home
    RequestData,
    RequestEndOfMessage,
    RequestProtocolError,
    ResponseEndOfMessage,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook

from wfb_sidecar.websocket import MeteredWebsocket

LEFT = "on_client_left"
"""flow.metadata: called when the client leaves before its answer is whole; returns True to read the answer on."""

GROWN = "on_body_grown"
"""flow.metadata: called with the size of a body that is read whole; returns True where it has been refused for it."""

SENT = "on_request_sent"
"""flow.metadata: called when the whole request is on its way to the provider."""

_PIECE = 256 * 1024
"""Bytes of one write; OpenSSL's buffers never shrink, so they are not made to hold a whole body."""


def trust_own_messages() -> None:
    """Ends mitmproxy's check of every field's type, by reflection, in each request and answer that it has itself parsed.

    For addons and flow files it earns its time, and here are neither: it is a twelfth of what a relayed call costs.
    """
    http.MessageData.__post_init__ = lambda _self: None  # type: ignore[method-assign]


class MeteredStream(HttpStream):
    """One request and its answer."""

    _left = False

    def handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Hears a client's leaving even while a hook is awaited, for a waiting call must give up its place."""
        if isinstance(event, RequestProtocolError) and self._paused is not None and not self._left:
            self._read_on()
        return super().handle_event(event)  # no generator of our own: this is called for every event of a call

    def state_consume_request_body(self, event: events.Event) -> Any:
        """Drops the body of a request that was refused at its headers, or when a body without a length grew too large."""
        if isinstance(event, RequestData):
            if self.flow.response is not None:
                return iter(())
            grown: Callable[[int], bool] | None = self.flow.metadata.get(GROWN)
            if grown is not None and grown(len(self.request_body_buf) + len(event.data)):
                self.request_body_buf.clear()  # type: ignore[no-untyped-call]
                return iter(())
        return super().state_consume_request_body(event)

    def handle_protocol_error(
        self, event: RequestProtocolError | ResponseProtocolError
    ) -> layer.CommandGenerator[None]:
        """Lets the provider go on where its answer must be read to the end."""
        talking = self.client_state == self.state_done and self.server_state not in (
            self.state_done,
            self.state_errored,
        )
        if isinstance(event, RequestProtocolError) and talking and self._read_on():
            self.client_state = self.state_errored
            return
        if isinstance(event, ResponseProtocolError) and self._reads_on and self.server_state != self.state_errored:
            # The parent tells no error of a stream whose client is gone already, and the call would never end.
            self.server_state = self.state_errored
            self.flow.error = mflow.Error(event.message)
            yield HttpErrorHook(self.flow)
            self.flow.live = False
            yield DropStream(self.stream_id)
            return
        yield from super().handle_protocol_error(event)

    def check_killed(self, emit_error_hook: bool) -> layer.CommandGenerator[bool]:
        """A client that left during a hook does not end an answer that is read on."""
        if self._left and self._reads_on and not self._killed():
            for queued in [e for e in self._paused_event_queue if isinstance(e, RequestProtocolError)]:
                self._paused_event_queue.remove(queued)
            self.client_state = self.state_errored
            return False
        return (yield from super().check_killed(emit_error_hook))

    def flow_done(self) -> layer.CommandGenerator[None]:
        """As in the parent, with our WebSocket layer."""
        if not self.flow.websocket:
            yield from super().flow_done()
            return
        self.child_layer = MeteredWebsocket(self.context, self.flow)
        self._handle_event: Any = self.passthrough
        yield from self.child_layer.handle_event(events.Start())
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)

    _reads_on = False

    def _killed(self) -> bool:
        return self.flow.error is not None and self.flow.error.msg == mflow.Error.KILLED_MESSAGE

    def _read_on(self) -> bool:
        if not self._left:
            self._left = True
            heard: Callable[[], bool] | None = self.flow.metadata.get(LEFT)
            self._reads_on = heard is not None and heard()
        return self._reads_on


class MeteredLayer(HttpLayer):
    """An HTTP layer whose streams are metered."""

    def make_stream(self, stream_id: int) -> layer.CommandGenerator[None]:
        """As in the parent, with our stream."""
        self.streams[stream_id] = MeteredStream(self.context.fork(), stream_id)
        yield from self.event_to_child(self.streams[stream_id], events.Start())

    def event_to_child(self, child: Any, event: events.Event) -> layer.CommandGenerator[None]:
        """As in the parent, but a large body goes to the provider in pieces, and is forgotten once it has gone."""
        if not isinstance(child, MeteredStream):
            if isinstance(event, RequestData) and len(event.data) > _PIECE:
                return self._in_pieces(child, event)
            if isinstance(event, RequestEndOfMessage):
                self._sent(event.stream_id)
        return super().event_to_child(child, event)

    def _in_pieces(self, child: Any, event: RequestData) -> layer.CommandGenerator[None]:
        for at in range(0, len(event.data), _PIECE):
            yield from super().event_to_child(child, RequestData(event.stream_id, event.data[at : at + _PIECE]))

    def _sent(self, stream_id: int) -> None:
        stream = self.streams.get(stream_id)
        if stream is None:
            return
        stream.flow.request.data.content = None
        told: Callable[[], None] | None = stream.flow.metadata.get(SENT)
        if told is not None:
            told()

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        """As in the parent, but what goes to one connection in a row goes as one: a TLS record for each frame is dear."""
        pieces: list[bytes] = []
        size = 0
        to: Connection | None = None
        for command in super()._handle_event(event):
            if isinstance(command, commands.SendData) and (command.connection is to or not pieces) and size < _PIECE:
                to = command.connection
                pieces.append(command.data)
                size += len(command.data)
                continue
            if pieces and to is not None:
                yield commands.SendData(to, b"".join(pieces))
                pieces, size = [], 0
            yield command
        if pieces and to is not None:
            yield commands.SendData(to, b"".join(pieces))


class Root(layer.Layer):
    """The bottom of a stack: hands everything to the layer above it. mitmproxy's TLS layer wants a parent.

    A hook that need not wait runs here, right after the event that caused it: a task for each would cost more than most
    of them do.
    """

    child: layer.Layer

    def __init__(self, context: Context, run: Callable[[commands.StartHook], bool]) -> None:
        """`run` runs a hook; False where it must be awaited, which is the connection handler's business."""
        super().__init__(context)
        self._run = run

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        rest = deque((event,))
        while rest:
            for command in self.child.handle_event(rest.popleft()):
                if not isinstance(command, commands.StartHook) or not self._run(command):
                    yield command
                elif command.blocking:
                    rest.append(events.HookCompleted(command))

    handle_event: Any = _handle_event  # nothing here blocks: no need of the parent's queue


__all__ = ["GROWN", "LEFT", "SENT", "MeteredLayer", "MeteredStream", "Root", "trust_own_messages"]
