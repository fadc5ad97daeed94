"""The WebSocket layer of mitmproxy with two changes.

Messages are forgotten once they have passed, and a socket can be closed from here, with a code and a reason, when its
budget is gone.
"""

from typing import Any

import wsproto.events
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.websocket import WebsocketEndHook, WebsocketLayer, WebsocketMessageHook
from wsproto.connection import ConnectionState

CLOSE = "close_socket"
"""flow.metadata: (code, reason) of RFC 6455 with which the socket is closed once its hook has returned."""

POLICY_VIOLATION = 1008
"""The close code of RFC 6455 7.4.1 for a message that breaks the endpoint's policy."""

INTERNAL_ERROR = 1011
"""The close code of RFC 6455 7.4.1 for an endpoint that failed inside."""

_LONGEST_REASON = 123
"""Bytes of a close frame's reason: a control frame has 125, two of which are the code."""


class MeteredWebsocket(WebsocketLayer):
    """One socket, both ways."""

    def relay_messages(self, event: events.Event) -> layer.CommandGenerator[None]:
        """As in the parent; where the socket is to be closed, the client's message does not go on, the server's does."""
        from_client = isinstance(event, events.ConnectionEvent) and event.connection == self.context.client
        for command in super().relay_messages(event):
            if from_client and self._wanted and isinstance(command, commands.SendData):
                break
            yield command
            if isinstance(command, WebsocketMessageHook) and self.flow.websocket is not None:
                self.flow.websocket.messages.clear()
        if self._wanted and self.flow.live:
            yield from self._close()

    @property
    def _wanted(self) -> bool:
        return CLOSE in self.flow.metadata

    def _close(self) -> layer.CommandGenerator[None]:
        code, reason = self.flow.metadata[CLOSE]
        text = reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
        for ws in (self.server_ws, self.client_ws):
            if ws.state is ConnectionState.OPEN:
                yield ws.send2(wsproto.events.CloseConnection(code, text))
            yield commands.CloseConnection(ws.conn)
        yield WebsocketEndHook(self.flow)
        self.flow.live = False
        self._handle_event: Any = self.done
