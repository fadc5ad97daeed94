"""The provider itself: takes calls, behaves as told, bills."""

import gzip
import itertools
import json
import secrets
import time
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import parse_qs, parse_qsl

from simulator.answer import Answer, Ask, plan
from simulator.asked import Asked, read_body
from simulator.behaviour import ERRORS, WITHHOLDING, Behaviour, said_by_headers, said_by_text
from simulator.bill import Bill, Line
from simulator.chat import CHAT
from simulator.refused import Refused
from simulator.routes import Route, route, without_host
from simulator.shape import Headers, Shape
from simulator.websocket import WebSocket
from simulator.wire import Connection, Request, chunk, head

HANG_SECONDS = 60.0
"""How long a hanging call waits for its client to leave."""

BILL_CUTS = ("whole", "made")
"""Whether a stream whose client leaves costs the whole answer or what was made of it."""

_FLUSH_BYTES = 65_536
_BLOCK = bytes(range(256)) * 1024
_NOT_JSON = b"<!doctype html><title>502 Bad Gateway</title><p>An intermediary answered in place of the provider.</p>"
_REMEMBERED = 256


class Provider:
    """One simulated provider with its bill.

    ``bill_cut`` is one of BILL_CUTS; ``defaults`` are behaviour by dashed names, for calls that say nothing of their
    own; with an ``api_key`` every other key is refused with 401. Raises ValueError for values that mean nothing.
    """

    def __init__(
        self, *, bill_cut: str = "whole", defaults: Mapping[str, object] | None = None, api_key: str | None = None
    ) -> None:
        self._first = (_bill_cut(bill_cut), Behaviour().changed(defaults or {}))
        self.api_key = api_key
        self.reset()
        self._run = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    def reset(self) -> None:
        """An empty bill, and the behaviour the provider began with; calls still open bill into the old one."""
        self.bill_cut, self.defaults = self._first
        self.bill = Bill()
        self.seen: deque[dict[str, Any]] = deque(maxlen=_REMEMBERED)
        """The last model calls as they arrived: label, path, headers, body."""
        self.uploaded_bytes = 0
        self.kept: dict[str, list[bytes]] = {}
        """What later looks at calls in the background are given, by id; the last one stays."""

    def behave(self, said: Mapping[str, object]) -> None:
        """Changes the defaults by dashed names; ``bill-cut`` too. Raises ValueError, and changes nothing then."""
        said = dict(said)
        cut = _bill_cut(said.pop("bill-cut", self.bill_cut))
        self.defaults = self.defaults.changed(said)
        self.bill_cut = cut

    # connections

    def swallows(self, method: str, path: str) -> bool:
        """Whether a request's body is only counted."""
        return method == "POST" and path == "/v1/files"

    async def answer(self, connection: Connection, request: Request) -> None:
        """Answers one request."""
        own = _ROUTES.get((request.method, request.path))
        if own is not None:
            await own(self, connection, request)
            return
        host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
        path, host = without_host(request.path, host)
        request = request._replace(path=path)
        found = route(request.method, path, host, for_anthropic="anthropic-version" in request.headers)
        if found.kind == "call":
            await self._call(connection, request, found)
        elif found.kind == "socket":
            await self._socket(connection, request, found)
        else:
            self._free(connection, request, found)

    async def _socket(self, connection: Connection, request: Request, found: Route) -> None:
        key = request.headers.get("sec-websocket-key")
        if key is None:
            self._refuse(connection, found.api.shape, Refused(400, "This path speaks WebSocket only."))
            return
        asked = _asked(request, found, {})
        self.seen.append({"label": "", "path": request.path, "headers": request.headers, "body": {}})
        await cast("Any", found.handler)(self, WebSocket(connection, key), asked)
        connection.cut()

    def _free(self, connection: Connection, request: Request, found: Route) -> None:
        try:
            if found.handler is None:
                raise Refused(404, f"Invalid URL ({request.method} {request.path})")
            body = read_body(request.headers, request.body) if request.method == "POST" else {}
            said = cast("Any", found.handler)(self, _asked(request, found, body))
        except Refused as refused:
            self._refuse(connection, found.api.shape, refused)
        else:
            _send(connection, 200, said if isinstance(said, bytes) else json.dumps(said).encode())

    # model calls

    async def _call(self, connection: Connection, request: Request, found: Route) -> None:
        bill, shape = self.bill, cast("Shape", found.handler)
        bill.begin()
        try:
            behaviour, answer = self._plan(request, found, shape)
            if behaviour.latency_ms:
                await connection.pause(behaviour.latency_ms / 1000)
            if behaviour.fault in ERRORS:
                raise _Faulty(int(behaviour.fault), behaviour.retry_after)
            call = _Call(self, connection, shape, behaviour, answer, bill)
            await (call.stream() if answer.ask.stream else call.unary())
        except Refused as refused:
            self._refuse(connection, shape, refused)
        finally:
            bill.end()

    def _plan(self, request: Request, found: Route, shape: Shape) -> tuple[Behaviour, Answer]:
        body = read_body(request.headers, request.body)
        behaviour = self._behaviour(request.headers, shape.told_in_metadata(body))
        shown = {name: f"{len(v)} bytes" if isinstance(v, bytes) else v for name, v in body.items()}
        self.seen.append({"label": behaviour.label, "path": request.path, "headers": request.headers, "body": shown})
        asked = _asked(request, found, body)
        if self.api_key is not None and _key(asked) != self.api_key:
            raise Refused(401, "Incorrect API key provided.")
        answer = self._answer(shape.id_prefix, shape.read(asked), behaviour)
        if answer.usage.input > answer.ask.model.context:
            raise shape.too_long(answer.usage.input, answer.ask.model.context)
        if later := shape.polls(answer):
            self.kept[answer.id] = later
        return behaviour, answer

    def _answer(self, prefix: str, ask: Ask, behaviour: Behaviour) -> Answer:
        repeated = behaviour.fault == "repeat-id"
        id_ = f"{prefix}{'repeated' if repeated else f'{self._run}{next(self._numbers):010x}'}"
        return plan(ask, behaviour, id_, int(time.time()))

    @contextmanager
    def answering(self, prefix: str, ask: Ask, asked: Asked) -> Iterator[Answer]:
        """The answer to one turn of a socket; billed whole at the end."""
        bill = self.bill
        bill.begin()
        try:
            answer = self._answer(prefix, ask, self._behaviour(asked.headers, ""))
            yield answer
            _charge(bill, answer, cut=False)
        finally:
            bill.end()

    def _behaviour(self, headers: Mapping[str, str], in_body: str) -> Behaviour:
        said = said_by_headers(headers)
        if not said and not in_body:
            return self.defaults
        try:
            return self.defaults.changed({**said_by_text(in_body), **said})
        except ValueError as error:
            raise Refused(400, f"simulator: {error}") from error

    def _refuse(self, connection: Connection, shape: Shape, refused: Refused) -> None:
        request_id = f"req_{self._run}{next(self._numbers):010x}"
        more = [(shape.request_id_header, request_id), *shape.error_headers(refused)]
        if isinstance(refused, _Faulty) and refused.retry_after is not None:
            more.append(("retry-after", str(refused.retry_after)))
        _send(connection, refused.status, shape.error(refused, request_id), more)

    # everything else

    async def _files(self, connection: Connection, request: Request) -> None:
        self.uploaded_bytes += request.body_bytes
        about = {"id": f"file-{self._run}{next(self._numbers):010x}", "object": "file", "bytes": request.body_bytes}
        more = {"created_at": int(time.time()), "filename": "upload", "purpose": "batch", "status": "processed"}
        _send_json(connection, {**about, **more})

    async def _download(self, connection: Connection, request: Request) -> None:
        asked = _query(request, "bytes") or "1048576"
        if not asked.isdecimal():
            self._refuse(connection, CHAT, Refused(400, f"bytes {asked!r} is not a count: use a whole number"))
            return
        left = int(asked)
        connection.send(head(200, (("content-type", "application/octet-stream"), ("content-length", str(left)))))
        while left > 0 and await connection.drained():
            block = _BLOCK[:left]
            connection.send(block)
            left -= len(block)

    async def _sim_bill(self, connection: Connection, request: Request) -> None:
        if _query(request, "wait"):
            await self.bill.idle()
        _send(connection, 200, self.bill.as_lines(_query(request, "label")), content_type="application/x-ndjson")

    async def _sim_summary(self, connection: Connection, request: Request) -> None:
        if _query(request, "wait"):
            await self.bill.idle()
        _send_json(connection, self.bill.summary())

    async def _sim_seen(self, connection: Connection, request: Request) -> None:
        label = _query(request, "label")
        _send_json(connection, [call for call in self.seen if label is None or call["label"] == label])

    async def _sim_reset(self, connection: Connection, _request: Request) -> None:
        self.reset()
        _send_json(connection, {"reset": True})

    async def _sim_defaults(self, connection: Connection, request: Request) -> None:
        try:
            said = json.loads(request.body)
            if not isinstance(said, dict):
                raise ValueError("the defaults are not a JSON object: send names and values")
            self.behave(said)
        except ValueError as error:
            self._refuse(connection, CHAT, Refused(400, f"simulator: {error}"))
        else:
            _send_json(connection, said)


_ROUTES: dict[tuple[str, str], Callable[[Provider, Connection, Request], Awaitable[None]]] = {
    ("POST", "/v1/files"): Provider._files,
    ("GET", "/download"): Provider._download,
    ("GET", "/sim/bill"): Provider._sim_bill,
    ("GET", "/sim/bill/summary"): Provider._sim_summary,
    ("GET", "/sim/seen"): Provider._sim_seen,
    ("POST", "/sim/reset"): Provider._sim_reset,
    ("PUT", "/sim/defaults"): Provider._sim_defaults,
}


class _Faulty(Refused):
    """An error that the behaviour asked for."""

    def __init__(self, status: int, retry_after: int | None) -> None:
        super().__init__(status, f"The simulator was asked to answer {status}.")
        self.retry_after = retry_after


class _Call:
    """One admitted call, from its first byte to its line in the bill."""

    def __init__(
        self,
        provider: Provider,
        connection: Connection,
        shape: Shape,
        behaviour: Behaviour,
        answer: Answer,
        bill: Bill,
    ) -> None:
        self.provider = provider
        self.connection = connection
        self.shape = shape
        self.behaviour = behaviour
        self.answer = answer
        self.bill = bill

    async def unary(self) -> None:
        """A unary answer; billed whole whatever becomes of it."""
        connection, fault = self.connection, self.behaviour.fault
        if fault == "hang":
            await self._hang()
            self._charge(cut=True)
            return
        self._charge(cut=connection.gone or fault in {"cut", "truncate"})
        if fault == "not-json":
            _send(connection, 200, _NOT_JSON, (self._request_id(),), content_type="text/html")
            return
        body = self.shape.whole(self.answer)
        more = [self._request_id(), *self.shape.headers(self.answer)]
        kind = self.shape.content_type(self.answer)
        if fault == "gzip":
            body = gzip.compress(body, compresslevel=1)
            more.append(("content-encoding", "gzip"))
        if fault in {"cut", "truncate"}:
            _send(connection, 200, body, more, content_type=kind, sent=len(body) // 2)
            connection.cut()
        else:
            _send(connection, 200, body, more, content_type=kind)

    async def stream(self) -> None:
        """A streamed answer; every pause notices a client that has left."""
        connection, behaviour, answer, fault = self.connection, self.behaviour, self.answer, self.behaviour.fault
        if fault == "hang":
            await self._hang()
            self._charge_cut(0)
            return
        if fault == "not-json":
            self._charge(cut=connection.gone)
            _send(connection, 200, _NOT_JSON, (self._request_id(),), content_type="text/html")
            return
        more = (("content-type", self.shape.stream_type(answer)), self._request_id(), *self.shape.headers(answer))
        out = _Stream(connection, more, compressed=fault == "gzip")
        whole = answer.shown * answer.ask.choices
        made = chunks = 0
        broken = False
        for frame, tokens in self.shape.frames(answer):
            if tokens:
                if behaviour.pace_ms and chunks:
                    await out.pause(behaviour.pace_ms)
                if chunks == behaviour.stall_after:
                    await out.pause(behaviour.stall_ms)
                chunks += 1
            if connection.gone:
                self._charge_cut(made)
                return
            made += tokens
            out.add(frame)
            if out.held > _FLUSH_BYTES and made < whole:
                await out.flush()
            if made * 2 >= whole:
                if fault == "cut":
                    self._charge_cut(made)
                    await out.flush()
                    connection.cut()
                    return
                if fault == "malformed-frame" and not broken:
                    out.add(self.shape.broken_frame(answer))
                    broken = True
                if fault == "failed":
                    self._charge_cut(made)
                    out.add(self.shape.failed_frame(answer, Refused(500, "The model failed to go on.")))
                    out.finish()
                    return
                if fault == "truncate" and made == whole:
                    break
        self._charge(cut=connection.gone or fault == "truncate")
        out.finish()

    async def _hang(self) -> None:
        await self.connection.pause(HANG_SECONDS)
        if not self.connection.gone:
            self.connection.cut()

    def _charge_cut(self, made: int) -> None:
        """A stream that did not reach its end, with so many visible tokens made.

        Hidden reasoning comes before the first visible token, so all of it has been made.
        """
        if self.provider.bill_cut == "made":
            self.answer.usage = self.answer.usage._replace(output=self.answer.reasoning + made)
        self._charge(cut=True)

    def _charge(self, *, cut: bool) -> None:
        _charge(self.bill, self.answer, cut=cut)

    def _request_id(self) -> tuple[str, str]:
        return self.shape.request_id_header, f"req_{self.answer.id}"


def _charge(bill: Bill, answer: Answer, *, cut: bool) -> None:
    ask, behaviour = answer.ask, answer.behaviour
    bill.lines.append(
        Line(
            id=answer.id,
            at=time.time(),
            provider=ask.model.provider,
            model=ask.named,
            served_model=answer.model,
            stream=ask.stream,
            usage=answer.usage,
            usd=answer.usd,
            cut=cut,
            usage_withheld=behaviour.fault in WITHHOLDING,
            label=behaviour.label,
            fault=behaviour.fault,
            units=ask.units,
        )
    )


class _Stream:
    """A streamed answer in chunked encoding, a chunk a frame; frames are held until there is a reason to send."""

    def __init__(self, connection: Connection, headers: Headers, *, compressed: bool) -> None:
        self.held = 0
        self._connection = connection
        self._packer = zlib.compressobj(1, zlib.DEFLATED, 31) if compressed else None
        more = (("content-encoding", "gzip"),) if compressed else ()
        said = (*headers, ("cache-control", "no-cache"), ("transfer-encoding", "chunked"), *more)
        self._pieces = [head(200, said)]

    def add(self, frame: bytes) -> None:
        """One frame."""
        if self._packer is not None:
            frame = self._packer.compress(frame) + self._packer.flush(zlib.Z_SYNC_FLUSH)
        self._pieces.append(chunk(frame))
        self.held += len(frame)

    async def flush(self) -> None:
        """Sends what is held, and waits until the socket takes more."""
        self._send()
        await self._connection.drained()

    async def pause(self, milliseconds: int) -> None:
        """Sends what is held and waits."""
        self._send()
        await self._connection.pause(milliseconds / 1000)

    def finish(self) -> None:
        """Sends what is held and the end of the body."""
        if self._packer is not None:
            self._pieces.append(chunk(self._packer.flush()))
        self._pieces.append(b"0\r\n\r\n")
        self._send()

    def _send(self) -> None:
        if self._pieces:
            self._connection.send(b"".join(self._pieces))
            self._pieces = []
            self.held = 0


def _bill_cut(said: object) -> str:
    if said not in BILL_CUTS:
        raise ValueError(f"bill-cut {said!r} is unknown: use one of {', '.join(BILL_CUTS)}")
    return str(said)


def _asked(request: Request, found: Route, body: dict[str, Any]) -> Asked:
    query = dict(parse_qsl(request.query)) if request.query else {}
    return Asked(found.api.provider, request.method, request.path, found.names, query, request.headers, body)


def _key(asked: Asked) -> str | None:
    """The key of a call, wherever its provider's SDK puts it."""
    named = (asked.headers.get(name) for name in ("x-api-key", "x-goog-api-key", "api-key"))
    bearer = asked.headers.get("authorization", "").removeprefix("Bearer ")
    return next(filter(None, named), None) or bearer or asked.query.get("key")


def _query(request: Request, name: str) -> str | None:
    values = parse_qs(request.query).get(name) if request.query else None
    return values[-1] if values else None


def _send_json(connection: Connection, body: object) -> None:
    _send(connection, 200, json.dumps(body).encode())


def _send(
    connection: Connection,
    status: int,
    body: bytes,
    headers: Any = (),
    *,
    content_type: str = "application/json",
    sent: int | None = None,
) -> None:
    """A whole answer; with ``sent`` only so many bytes of the body, though its length says more."""
    said = (("content-type", content_type), ("content-length", str(len(body))), *headers)
    connection.send(head(status, said) + body[:sent])
