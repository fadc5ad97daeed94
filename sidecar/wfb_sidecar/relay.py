"""One intercepted client connection: mitmproxy's connection handler with our hooks in it, and nothing of its addons.

mitmproxy swallows what an addon raises, so that a crash lets the call through; here every hook is guarded, and a failure
refuses the call.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from mitmproxy import http
from mitmproxy import options as mitm_options
from mitmproxy import tls as mitm_tls
from mitmproxy.connection import ConnectionState, Server
from mitmproxy.proxy import commands, events, layers, mode_specs, server
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import HTTPMode

from wfb_core import reasons
from wfb_core.dialects import SOCKETS
from wfb_core.hosts import FREE, METERED, UNMETERED, HostRow, Route
from wfb_core.runs import HEADER as RUN_HEADER
from wfb_core.settle import COMPLETE, CUT, FAILED
from wfb_core.settle import LEFT as CLIENT_LEFT
from wfb_sidecar.admission import Admitted
from wfb_sidecar.body_gate import FREE as PASSES_GATE
from wfb_sidecar.body_gate import LARGEST, UNKNOWN
from wfb_sidecar.books import Refused
from wfb_sidecar.call import Call
from wfb_sidecar.corked import CorkedWriter
from wfb_sidecar.house import House
from wfb_sidecar.providers import find, refusal_dialect
from wfb_sidecar.sockets import Socket
from wfb_sidecar.stream import GROWN, LEFT, SENT, MeteredLayer, Root, trust_own_messages
from wfb_sidecar.websocket import CLOSE, INTERNAL_ERROR, POLICY_VIOLATION

log = logging.getLogger(__name__)

CONNECT_SECONDS = 30.0
LINGER_SECONDS = 600.0
"""How long an answer is read on after its client has gone."""

_OWN_HEADERS = b"x-wfb-"


def make_options() -> mitm_options.Options:
    """The options of mitmproxy with the few that its addons would have added."""
    options = mitm_options.Options()
    for name, kind, value in (
        ("store_streamed_bodies", bool, False),
        ("connection_strategy", str, "lazy"),
        ("keep_host_header", bool, True),
        ("validate_inbound_headers", bool, True),
        ("stream_large_bodies", str, ""),
        ("body_size_limit", str, ""),
        ("normalize_outbound_headers", bool, True),
        ("websocket", bool, True),
        ("rawtcp", bool, False),
        ("http_connect_send_host_header", bool, True),
        ("http2_ping_keepalive", int, 0),
        ("proxy_debug", bool, False),
        ("tcp_timeout", int, 900),
    ):
        if name not in options:
            options.add_option(name, kind, value, "")
    trust_own_messages()
    options.update(tcp_timeout=900)  # type: ignore[no-untyped-call]
    return options


class Relay(server.LiveConnectionHandler):
    """Serves one client connection to a provider's host."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        house: House,
        target: tuple[str, int] | None,
        *,
        client_tls: bool,
        mode: HTTPMode = HTTPMode.transparent,
    ) -> None:
        """`target` is the provider's host and port; None where each request says it (base-url, plain proxy)."""
        super().__init__(reader, writer, house.options, mode_specs.ProxyMode.parse("regular"))
        self._house = house
        self._base_url = target is None and mode is HTTPMode.transparent
        self._calls: dict[str, Call] = {}
        self._sockets: dict[str, Socket] = {}
        self._reading_on: set[str] = set()
        self._idle = asyncio.Event()
        self._rooms: dict[str, int] = {}
        """By flow: what its body takes of the gate."""
        self._emptying: asyncio.Task[None] | None = None
        self._begun: dict[commands.StartHook, asyncio.Task[None]] = {}
        self._corked: list[CorkedWriter] = []
        self.transports[self.client].writer = self._cork(writer)
        context = Context(self.client, house.options)
        context.server = Server(address=target or ("base-url.invalid", 80))
        if target is not None and client_tls:
            context.server.tls = True
        if house.upstream_proxy is not None:
            context.server.via = house.upstream_proxy  # type: ignore[assignment]
        root = Root(context, self._run_hook)
        http_layer: Any
        if client_tls:
            tls_layer = layers.ClientTLSLayer(context)
            root.child = tls_layer
            http_layer = MeteredLayer(context, mode)
            tls_layer.child_layer = http_layer
        else:
            http_layer = MeteredLayer(context, mode)
            root.child = http_layer
        self.layer = root

    # -- the connection's life

    async def handle_client(self) -> None:
        """As in the parent, but answers that must be read to their end outlive the client."""
        watch = asyncio.get_running_loop().create_task(self.timeout_watchdog.watch())  # type: ignore[no-untyped-call]
        await self.server_event(events.Start())
        handler = asyncio.get_running_loop().create_task(self.handle_connection(self.client))
        self.transports[self.client].handler = handler
        await asyncio.wait([handler])
        if not handler.cancelled() and (e := handler.exception()):
            log.error("a client connection broke", exc_info=e)
        watch.cancel()
        if self._reading_on:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), LINGER_SECONDS)
        for timer in list(self.wakeup_timer):
            timer.cancel()
        rest = [io.handler for io in self.transports.values() if io.handler]
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest)
        for socket in self._sockets.values():
            socket.end()
        for call in self._calls.values():  # whatever became of its flow, a hold is never forgotten
            self._house.calls.settling.finish(call, CLIENT_LEFT)
        for room in self._rooms.values():
            self._house.gate.leave(room)
        self._rooms.clear()

    async def open_connection(self, command: commands.OpenConnection) -> None:
        """Connects to a provider, where the configuration says to connect instead."""
        connection = command.connection
        address = connection.address
        if not address:
            await self.server_event(events.OpenConnectionCompleted(command, "no destination"))
            return
        connection.timestamp_start = time.time()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(*self._house.connect_address(address))
        except (OSError, TimeoutError, UnicodeError) as e:
            connection.error = f"{type(e).__name__} {e}".strip()
            self._house.metrics.connect_errors.inc()
            await self.server_event(events.OpenConnectionCompleted(command, connection.error))
            return
        except asyncio.CancelledError:
            connection.error = "cancelled"
            await self.server_event(events.OpenConnectionCompleted(command, connection.error))
            raise
        connection.timestamp_tcp_setup = time.time()
        connection.state = ConnectionState.OPEN
        connection.peername = writer.get_extra_info("peername")
        connection.sockname = writer.get_extra_info("sockname")
        self.transports[connection] = server.ConnectionIO(asyncio.current_task(), reader, self._cork(writer))
        await self.server_event(events.OpenConnectionCompleted(command, None))
        try:
            await self.handle_connection(connection)
        finally:
            connection.timestamp_end = time.time()

    async def server_event(self, event: events.Event) -> None:
        """As in the parent; what it wrote leaves in one piece a connection."""
        await super().server_event(event)
        self._flush()

    def _flush(self) -> None:
        while self._corked:
            self._corked.pop().flush()

    def _cork(self, writer: asyncio.StreamWriter) -> Any:
        return CorkedWriter(writer, self._corked)

    def log(self, message: str, level: int = logging.INFO, exc_info: Any = None) -> None:
        """What mitmproxy says may quote requests: only their errors are kept, without content."""
        del message
        if level >= logging.ERROR:
            self._house.metrics.internal_errors.inc()
            log.error("the relay failed inside", exc_info=exc_info)

    # -- hooks

    def _run_hook(self, hook: commands.StartHook) -> bool:
        """Runs the hook's method here; False where something in it must be awaited, which `handle_hook` then does."""
        method: Callable[..., Coroutine[Any, Any, None] | None] | None = _HOOKS.get(hook.name)
        if method is None:
            return True
        try:
            work = method(self, getattr(hook, "flow", None) or hook.args()[0])  # `args` reads the fields anew
        except Exception:
            log.exception("the %s hook failed", hook.name)
            self._failed(hook)
            return True
        if work is None:
            return True
        # Most calls find money at hand and wait for nothing: those that do not go on in a task.
        task = asyncio.Task(work, loop=asyncio.get_running_loop(), eager_start=True)
        if not task.done():
            self._begun[hook] = task
            return False
        if task.cancelled() or (e := task.exception()):
            log.error("the %s hook failed", hook.name, exc_info=None if task.cancelled() else e)
            self._failed(hook)
        return True

    async def handle_hook(self, hook: commands.StartHook) -> None:
        """Awaits what `_run_hook` could not."""
        try:
            await self._begun.pop(hook)
        except Exception:
            log.exception("the %s hook failed", hook.name)
            self._failed(hook)

    def _failed(self, hook: commands.StartHook) -> None:
        """What a hook raises refuses its call."""
        self._house.metrics.internal_errors.inc()
        flow = next(iter(hook.args()), None)
        if isinstance(flow, http.HTTPFlow):
            self._refuse_after_failure(flow)
        # A TLS hook that fails leaves no context behind, and mitmproxy then closes the connection.

    def _refuse_after_failure(self, flow: http.HTTPFlow) -> None:
        if flow.websocket is not None:
            flow.metadata[CLOSE] = INTERNAL_ERROR, "the sidecar failed inside; the socket was closed"
            return
        call: Call | None = flow.metadata.get("call")
        if call is not None and not call.forwarded:
            self._house.calls.settling.finish(call, FAILED)
            flow.metadata.pop("call")
            self._calls.pop(flow.id, None)
        if flow.response is None:
            row: HostRow | None = flow.metadata.get("row")
            if row is not None:
                _answer(flow, self._house.calls.admission.internal_error(refusal_dialect(row), row.provider))
            else:
                flow.response = http.Response.make(500, b"the sidecar failed inside; the call was refused")
        elif not flow.response.stream:
            flow.response.stream = True  # an answer whose reader failed is handed on; its call is settled at its hold

    def tls_start_client(self, data: mitm_tls.TlsData) -> None:
        """Shows the client a certificate of our own for the host it asked for."""
        host = data.context.server.address[0] if data.context.server.address else ""
        data.ssl_conn = self._house.certificates.connection(host)
        data.conn.alpn_offers = [b"http/1.1", b"h2"]

    def tls_start_server(self, data: mitm_tls.TlsData) -> None:
        """Verifies the provider: chain and name."""
        assert isinstance(data.conn, Server)
        assert data.conn.address is not None
        name = data.conn.sni or data.conn.address[0]
        data.ssl_conn = self._house.upstream_tls.connection(name, http2=self.client.alpn == b"h2")

    def tls_failed_client(self, data: mitm_tls.TlsData) -> None:
        """A client that does not trust us is counted by host: the first thing to look at when calls fail."""
        host = data.context.server.address[0] if data.context.server.address else ""
        self._house.metrics.client_refused(host)

    def tls_failed_server(self, data: mitm_tls.TlsData) -> None:
        """A provider that could not be verified."""
        del data
        self._house.metrics.upstream_tls_failed.inc()

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """CONNECT is handled before a relay begins; inside one it has no business."""
        flow.response = http.Response.make(400, b"open a new connection for CONNECT")

    def requestheaders(self, flow: http.HTTPFlow) -> Coroutine[Any, Any, None] | None:
        """Finds the route, and decides whether the body is read whole or streams through."""
        request = flow.request
        if self._base_url and not self._to_provider(flow):
            return None
        flow.metadata["run"] = request.headers.get(RUN_HEADER, "")
        if any(name.lower().startswith(_OWN_HEADERS) for name, _ in request.headers.fields):
            request.headers.fields = tuple(
                (name, value) for name, value in request.headers.fields if not name.lower().startswith(_OWN_HEADERS)
            )
        row = find(self._house.hosts, request.host, request.port)
        if row is None:
            request.stream = True  # a plain-HTTP request to somebody else, through the explicit proxy
            self._house.metrics.passed.labels("plain").inc()
            return None
        flow.metadata["row"] = row
        route = row.route(request.method, request.path)
        flow.metadata["route"] = route
        if route.kind == FREE:
            request.stream = True
            return None
        if route.kind == UNMETERED:
            refused = self._house.calls.admission.judge_unread(
                row, reasons.UNMETERED, f"{request.method} {_path(request)} on {request.host} is not metered."
            )
            if refused is not None:
                _answer(flow, refused)
            else:
                request.stream = True
            return None
        return self._make_room(flow, row)

    def _make_room(self, flow: http.HTTPFlow, row: HostRow) -> Coroutine[Any, Any, None] | None:
        length = flow.request.headers.get("content-length", "")
        size = int(length) if length.isdigit() else UNKNOWN
        if size > LARGEST:
            _answer(flow, self._house.calls.admission.too_large(row, size))
            return None
        flow.metadata[GROWN] = lambda grown: self._grown(flow, row, grown)
        return None if size <= PASSES_GATE else self._wait_for_room(flow, size)

    async def _wait_for_room(self, flow: http.HTTPFlow, size: int) -> None:
        self._rooms[flow.id] = await self._house.gate.enter(size)

    def _grown(self, flow: http.HTTPFlow, row: HostRow, size: int) -> bool:
        if size <= LARGEST:
            return False
        _answer(flow, self._house.calls.admission.too_large(row, size))
        return True

    def _to_provider(self, flow: http.HTTPFlow) -> bool:
        """Base-url mode: `/openai/v1/…` becomes `https://api.openai.com/v1/…`."""
        target = self._house.hosts.for_base_url(flow.request.path)
        if target is None:
            flow.response = http.Response.make(
                404, b"no provider has this prefix; use /openai/v1 or /anthropic", {"content-type": "text/plain"}
            )
            return False
        row, path = target
        request = flow.request
        request.scheme, request.host, request.port, request.path = "https", row.pattern, 443, path
        request.host_header = row.pattern
        return True

    async def request(self, flow: http.HTTPFlow) -> None:
        """Decides a metered call: it is forwarded, perhaps with a lower cap, or answered here."""
        route: Route | None = flow.metadata.get("route")
        if route is None or route.kind != METERED or flow.response is not None:
            return
        row: HostRow = flow.metadata["row"]
        request = flow.request
        if route.dialect in SOCKETS:
            await self._open_socket(flow, row, route)
            return
        flow.metadata[LEFT] = lambda: self._client_left(flow)
        try:
            outcome = await self._admit(flow, row, route)
            if isinstance(outcome, Admitted):  # from here on a failure of ours finds the call and settles it
                flow.metadata["call"] = self._calls[flow.id] = outcome.call
        except BaseException:
            self._leave_room(flow)
            raise
        if outcome is None:
            return
        if flow.id in self._rooms:
            flow.metadata[SENT] = lambda: self._on_its_way(flow)
        if isinstance(outcome, Refused):
            _answer(flow, outcome)
            return
        call = outcome.call
        if outcome.body is not request.raw_content:
            request.headers.pop("content-encoding", None)
            request.headers.pop("transfer-encoding", None)
            request.raw_content = outcome.body
            request.headers["content-length"] = str(len(outcome.body))
        if outcome.path:
            request.path = outcome.path
        for name, value in outcome.headers.items():
            request.headers.pop(name, None)
            if value:
                request.headers[name] = value
        request.headers["accept-encoding"] = "identity"
        call.forwarded = True

    async def _open_socket(self, flow: http.HTTPFlow, row: HostRow, route: Route) -> None:
        """Holds money for a socket's first response, where its upgrade names the model."""
        request = flow.request
        provider = route.provider or row.provider
        meter = SOCKETS[route.dialect or ""].open(request.path, plain_headers(request.headers), provider)
        socket = self._sockets[flow.id] = Socket(self._house.calls, meter, provider, flow.metadata.get("run", ""))
        refused = await socket.opening()
        if refused is not None:
            _answer(flow, refused)

    def websocket_message(self, flow: http.HTTPFlow) -> Coroutine[Any, Any, None] | None:
        """Meters one message; a client's may have to wait for money."""
        socket = self._sockets.get(flow.id)
        if socket is None or flow.websocket is None:
            return None
        message = flow.websocket.messages[-1]
        if not message.from_client:
            socket.received(message.content)
            return None
        return self._sent(flow, socket, message.content)

    async def _sent(self, flow: http.HTTPFlow, socket: Socket, content: bytes) -> None:
        refused = await socket.sent(content)
        if refused is not None:
            flow.metadata[CLOSE] = POLICY_VIOLATION, refused.message

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        """The socket is closed."""
        self._closed(flow)

    async def _admit(self, flow: http.HTTPFlow, row: HostRow, route: Route) -> Admitted | Refused | None:
        request = flow.request
        asking = flow.metadata["asking"] = asyncio.current_task()
        assert asking is not None
        begun = time.perf_counter()
        try:
            outcome = await self._house.calls.admission.admit(
                row,
                route,
                request.method,
                request.path,
                plain_headers(request.headers),
                request.raw_content or b"",
                flow.metadata.get("run", ""),
            )
            if isinstance(outcome, Admitted):
                self._house.metrics.admitted(time.perf_counter() - begun, outcome.call.waited)
            return outcome
        except asyncio.CancelledError:
            if flow.metadata.get("left") and not asking.uncancel():
                return None  # mitmproxy has the client's end queued and closes the flow
            raise
        finally:
            flow.metadata.pop("asking", None)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Lets the answer stream through, read as it passes."""
        assert flow.response is not None
        call: Call | None = flow.metadata.get("call")
        if flow.metadata.get("answered"):
            return
        flow.response.stream = True
        if call is None:
            return
        for name, value in self._house.calls.marks.of_answer(call, flow.response.status_code).items():
            flow.response.headers[name] = value
        reader = self._house.calls.settling.answering(
            call, flow.response.status_code, plain_headers(flow.response.headers)
        )
        if reader is None:
            return
        if call.facts.stream and not call.facts.wants_usage_chunk and "content-length" in flow.response.headers:
            del flow.response.headers["content-length"]
            flow.response.headers["transfer-encoding"] = "chunked"

        def tap(chunk: bytes) -> Iterable[bytes]:
            out = self._house.calls.settling.pass_on(call, chunk)
            # mitmproxy writes an empty chunk as the end of a chunked body.
            return (out,) if out else ()

        flow.response.stream = tap

    def response(self, flow: http.HTTPFlow) -> None:
        """The answer is whole; after the one that opens a socket its messages follow."""
        if flow.websocket is not None:
            return
        call: Call | None = flow.metadata.get("call")
        if call is not None and flow.response is not None:
            if not call.facts.stream:
                self._flush()  # the client need not wait for our books; a stream's last bytes leave with its end
            with self._house.metrics.settle_seconds.time():
                self._house.calls.settling.finish(call, COMPLETE if flow.response.status_code < 300 else FAILED)
        self._closed(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """The answer will never be whole."""
        call: Call | None = flow.metadata.get("call")
        if call is not None:
            if call.left:
                ending = CLIENT_LEFT
            elif flow.response is None or flow.response.status_code >= 300:
                ending = FAILED
            else:
                ending = CUT
            self._house.calls.settling.finish(call, ending, flow.error.msg if flow.error else "")
        self._closed(flow)

    def _client_left(self, flow: http.HTTPFlow) -> bool:
        call: Call | None = flow.metadata.get("call")
        if call is not None:
            if self._house.calls.settling.client_left(call):
                self._reading_on.add(flow.id)
                self._idle.clear()  # an earlier call of this connection has set it
                return True
            return False
        flow.metadata["left"] = True
        asking = flow.metadata.get("asking")
        if asking is not None:
            asking.cancel()
        return False

    def _leave_room(self, flow: http.HTTPFlow) -> None:
        if room := self._rooms.pop(flow.id, 0):
            self._house.gate.leave(room)
            self._house.heap.gone(room)

    def _on_its_way(self, flow: http.HTTPFlow) -> None:
        """A large body keeps its room until the provider has taken it from our buffers."""
        io = self.transports.get(flow.server_conn)
        if io is None or io.writer is None:
            self._leave_room(flow)
        else:
            self._emptying = asyncio.get_running_loop().create_task(self._leave_when_drained(flow, io.writer))

    async def _leave_when_drained(self, flow: http.HTTPFlow, writer: Any) -> None:
        try:
            await writer.drain()
        except OSError:
            pass  # the connection broke: nothing is kept for it
        finally:
            self._leave_room(flow)

    def _closed(self, flow: http.HTTPFlow) -> None:
        if (socket := self._sockets.pop(flow.id, None)) is not None:
            socket.end()
        self._leave_room(flow)
        flow.request.data.content = None
        self._calls.pop(flow.id, None)
        self._reading_on.discard(flow.id)
        if not self._reading_on:
            self._idle.set()


_HOOKS: dict[str, Callable[..., Any]] = {
    "tls_start_client": Relay.tls_start_client,
    "tls_start_server": Relay.tls_start_server,
    "tls_failed_client": Relay.tls_failed_client,
    "tls_failed_server": Relay.tls_failed_server,
    "http_connect": Relay.http_connect,
    "requestheaders": Relay.requestheaders,
    "request": Relay.request,
    "responseheaders": Relay.responseheaders,
    "response": Relay.response,
    "error": Relay.error,
    "websocket_message": Relay.websocket_message,
    "websocket_end": Relay.websocket_end,
}


def _answer(flow: http.HTTPFlow, refused: Refused) -> None:
    flow.metadata["answered"] = True
    flow.response = http.Response.make(refused.status, refused.body, dict(refused.headers))


def plain_headers(headers: http.Headers) -> dict[str, str]:
    """Headers as a dictionary, names in lower case, repeated ones joined: mitmproxy's own walk all of them at each look-up."""
    plain: dict[str, str] = {}
    for raw_name, raw_value in headers.fields:
        name, value = raw_name.decode("utf-8", "surrogateescape").lower(), raw_value.decode("utf-8", "surrogateescape")
        plain[name] = f"{plain[name]}, {value}" if name in plain else value
    return plain


def _path(request: http.Request) -> str:
    return request.path.partition("?")[0]
