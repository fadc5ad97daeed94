"""The provider itself: takes calls, behaves as told, bills."""

import gzip
import itertools
import json
import secrets
import time
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qs

from simulator import chat, messages, prices, responses
from simulator.answer import Answer, Ask, plan
from simulator.behaviour import ERRORS, WITHHOLDING, Behaviour, said_by_headers, said_by_text
from simulator.bill import Bill, Line
from simulator.openai_errors import no_such_model
from simulator.refused import Refused
from simulator.wire import Connection, Request, chunk, head

HANG_SECONDS = 60.0
"""How long a hanging call waits for its client to leave."""

BILL_CUTS = ("whole", "made")
"""Whether a stream whose client leaves costs the whole answer or what was made of it."""

_FLUSH_BYTES = 65_536
_BLOCK = bytes(range(256)) * 1024
_NOT_JSON = b"<!doctype html><title>502 Bad Gateway</title><p>An intermediary answered in place of the provider.</p>"
_REMEMBERED = 256


class Dialect(Protocol):
    """What each of chat, responses and messages offers."""

    PROVIDER: str
    ID_PREFIX: str
    BROKEN_FRAME: bytes

    def told_in_metadata(self, body: dict[str, Any]) -> str:
        """The behaviour that the request's metadata asks for."""

    def read(self, body: dict[str, Any]) -> Ask:
        """What the request asks; raises Refused."""

    def whole(self, answer: Answer) -> bytes:
        """The unary body."""

    def frames(self, answer: Answer) -> Iterator[tuple[bytes, int]]:
        """The stream's frames, each with the tokens it shows."""

    def error(self, refused: Refused, request_id: str) -> bytes:
        """The body of an error answer."""

    def too_long(self, tokens: int, most: int) -> Refused:
        """What the provider says of input beyond the context window."""


DIALECTS: Mapping[str, Dialect] = {
    "/v1/chat/completions": chat,
    "/v1/responses": responses,
    "/v1/messages": messages,
}


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
        dialect = DIALECTS.get(request.path) if request.method == "POST" else None
        if dialect is not None:
            await self._call(connection, request, dialect)
            return
        route = _ROUTES.get((request.method, request.path))
        if route is not None:
            await route(self, connection, request)
            return
        shape = messages if "anthropic-version" in request.headers else chat
        if request.method == "GET" and request.path.startswith("/v1/models/"):
            self._model(connection, shape, request.path.removeprefix("/v1/models/"))
        else:
            self._refuse(connection, shape, Refused(404, f"Invalid URL ({request.method} {request.path})"))

    # model calls

    async def _call(self, connection: Connection, request: Request, dialect: Dialect) -> None:
        bill = self.bill
        bill.begin()
        try:
            behaviour, answer, asked = self._plan(request, dialect)
            if behaviour.latency_ms:
                await connection.pause(behaviour.latency_ms / 1000)
            if behaviour.fault in ERRORS:
                raise _Faulty(int(behaviour.fault), behaviour.retry_after)
            call = _Call(self, connection, dialect, behaviour, answer, asked, bill)
            await (call.stream() if answer.ask.stream else call.unary())
        except Refused as refused:
            self._refuse(connection, dialect, refused)
        finally:
            bill.end()

    def _plan(self, request: Request, dialect: Dialect) -> tuple[Behaviour, Answer, str]:
        try:
            body = json.loads(request.body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refused(400, "We could not parse the JSON body of your request. Send a JSON object.")
        behaviour = self._behaviour(request, dialect, body)
        self.seen.append({"label": behaviour.label, "path": request.path, "headers": request.headers, "body": body})
        if self.api_key is not None and _key(request.headers) != self.api_key:
            raise Refused(401, "Incorrect API key provided.")
        ask = dialect.read(body)
        repeated = behaviour.fault == "repeat-id"
        id_ = f"{dialect.ID_PREFIX}{'repeated' if repeated else f'{self._run}{next(self._numbers):010x}'}"
        answer = plan(ask, behaviour, id_, int(time.time()))
        if answer.usage.input > ask.model.context:
            raise dialect.too_long(answer.usage.input, ask.model.context)
        return behaviour, answer, body["model"]

    def _behaviour(self, request: Request, dialect: Dialect, body: dict[str, Any]) -> Behaviour:
        said = said_by_headers(request.headers)
        in_body = dialect.told_in_metadata(body)
        if not said and not in_body:
            return self.defaults
        try:
            return self.defaults.changed({**said_by_text(in_body), **said})
        except ValueError as error:
            raise Refused(400, f"simulator: {error}") from error

    def _refuse(self, connection: Connection, dialect: Dialect, refused: Refused) -> None:
        request_id = f"req_{self._run}{next(self._numbers):010x}"
        more = []
        if isinstance(refused, _Faulty) and refused.retry_after is not None:
            more.append(("retry-after", str(refused.retry_after)))
        _send(connection, refused.status, dialect.error(refused, request_id), (_request_id(dialect, request_id), *more))

    # everything else

    async def _models(self, connection: Connection, request: Request) -> None:
        if "anthropic-version" in request.headers:
            listed = [_model_in_messages(name) for name in prices.names("anthropic")]
            ends = {"has_more": False, "first_id": listed[0]["id"], "last_id": listed[-1]["id"]}
            _send_json(connection, {"data": listed, **ends})
        else:
            _send_json(
                connection, {"object": "list", "data": [_model_in_chat(name) for name in prices.names("openai")]}
            )

    def _model(self, connection: Connection, shape: Dialect, name: str) -> None:
        if prices.find(shape.PROVIDER, name) is None:
            missing = no_such_model(name) if shape is chat else Refused(404, f"model: {name}")
            self._refuse(connection, shape, missing)
        else:
            _send_json(connection, _model_in_chat(name) if shape is chat else _model_in_messages(name))

    async def _files(self, connection: Connection, request: Request) -> None:
        self.uploaded_bytes += request.body_bytes
        about = {"id": f"file-{self._run}{next(self._numbers):010x}", "object": "file", "bytes": request.body_bytes}
        more = {"created_at": int(time.time()), "filename": "upload", "purpose": "batch", "status": "processed"}
        _send_json(connection, {**about, **more})

    async def _download(self, connection: Connection, request: Request) -> None:
        asked = _query(request, "bytes") or "1048576"
        if not asked.isdecimal():
            self._refuse(connection, chat, Refused(400, f"bytes {asked!r} is not a count: use a whole number"))
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
            self._refuse(connection, chat, Refused(400, f"simulator: {error}"))
        else:
            _send_json(connection, said)


_ROUTES: dict[tuple[str, str], Callable[[Provider, Connection, Request], Awaitable[None]]] = {
    ("GET", "/v1/models"): Provider._models,
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
        dialect: Dialect,
        behaviour: Behaviour,
        answer: Answer,
        asked: str,
        bill: Bill,
    ) -> None:
        self.provider = provider
        self.connection = connection
        self.dialect = dialect
        self.behaviour = behaviour
        self.answer = answer
        self.asked = asked
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
        body = self.dialect.whole(self.answer)
        more = [self._request_id()]
        if fault == "gzip":
            body = gzip.compress(body, compresslevel=1)
            more.append(("content-encoding", "gzip"))
        if fault in {"cut", "truncate"}:
            _send(connection, 200, body, more, sent=len(body) // 2)
            connection.cut()
        else:
            _send(connection, 200, body, more)

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
        out = _Stream(connection, (self._request_id(),), compressed=fault == "gzip")
        whole = answer.shown * answer.ask.choices
        made = chunks = 0
        broken = False
        for frame, tokens in self.dialect.frames(answer):
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
                    out.add(self.dialect.BROKEN_FRAME)
                    broken = True
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
        answer, model, fault = self.answer, self.answer.ask.model, self.behaviour.fault
        self.bill.lines.append(
            Line(
                id=answer.id,
                at=time.time(),
                provider=model.provider,
                model=self.asked,
                served_model=answer.model,
                stream=answer.ask.stream,
                usage=answer.usage,
                usd=model.cost(answer.usage),
                cut=cut,
                usage_withheld=fault in WITHHOLDING,
                label=self.behaviour.label,
                fault=fault,
            )
        )

    def _request_id(self) -> tuple[str, str]:
        return _request_id(self.dialect, f"req_{self.answer.id}")


class _Stream:
    """An SSE answer in chunked encoding, a chunk a frame; frames are held until there is a reason to send."""

    def __init__(self, connection: Connection, headers: tuple[tuple[str, str], ...], *, compressed: bool) -> None:
        self.held = 0
        self._connection = connection
        self._packer = zlib.compressobj(1, zlib.DEFLATED, 31) if compressed else None
        more = (("content-encoding", "gzip"),) if compressed else ()
        kind = ("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache")
        self._pieces = [head(200, (*kind, ("transfer-encoding", "chunked"), *headers, *more))]

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


def _key(headers: Mapping[str, str]) -> str | None:
    return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ") or None


def _request_id(dialect: Dialect, id_: str) -> tuple[str, str]:
    return ("request-id" if dialect.PROVIDER == "anthropic" else "x-request-id", id_)


def _query(request: Request, name: str) -> str | None:
    values = parse_qs(request.query).get(name) if request.query else None
    return values[-1] if values else None


def _model_in_chat(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "system"}


def _model_in_messages(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "2025-01-01T00:00:00Z"}


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
