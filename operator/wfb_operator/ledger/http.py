"""The ledger's routes: read the request, ask the service, write the answer. Every error is JSON that says what is needed."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from wfb_core.money import format_usd
from wfb_core.wire import decode_dispatch, encode_response
from wfb_operator.ledger.budgets import Budgets, DocumentsError
from wfb_operator.ledger.cluster import ClusterAwayError
from wfb_operator.ledger.identities import CONTROLLER, READER, ROLES, SIDECAR, Identity, parse_identities, token_sha256
from wfb_operator.ledger.memory import Memory
from wfb_operator.ledger.metrics_access import MetricsAccess
from wfb_operator.ledger.readings import Reading, Readings, whole
from wfb_operator.ledger.reviews import AUDIENCE, TokenReviews
from wfb_operator.ledger.service import LedgerService, UnavailableError
from wfb_operator.ledger.store.port import Store, StoreError
from wfb_operator.ledger.summary import scope_of

BODY_MOST = 8 * 1024 * 1024
WAIT_MOST = 60.0

Answer = Awaitable[web.StreamResponse]
Handler = Callable[[web.Request], Answer]


class _HttpError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(message)


class LedgerHttp:
    """The HTTP side of one ledger."""

    def __init__(
        self,
        service: LedgerService,
        store: Store,
        admin_sha256: str = "",
        reviews: TokenReviews | None = None,
        metrics_access: MetricsAccess | None = None,
    ) -> None:
        """``admin_sha256`` is the hash of the token that acts as controller without being stored; empty for none.

        ``reviews`` knows the tokens of a cluster's service accounts; None where there is no cluster.
        ``metrics_access`` says who may read the metrics; None lets everybody.
        """
        self._metrics_access = metrics_access
        self._service, self._store, self._reviews = service, store, reviews
        self._admin = Identity(admin_sha256, CONTROLLER)
        self._readings = Readings(service, store)

    def application(self) -> web.Application:
        """All routes."""
        app = web.Application(client_max_size=BODY_MOST, middlewares=[_errors])
        app.add_routes(
            [
                web.post("/v1/report", self._for((SIDECAR,), self._report)),
                web.get("/v1/scope", self._for((SIDECAR,), self._scope)),
                web.get("/v1/prices/{sha256}", self._for(ROLES, self._prices)),
                web.get("/v1/budgets", self._for((READER, CONTROLLER), self._budgets)),
                web.put("/v1/budgets", self._for((CONTROLLER,), self._put_budgets)),
                web.put("/v1/prices", self._for((CONTROLLER,), self._put_prices)),
                web.put("/v1/identities", self._for((CONTROLLER,), self._put_identities)),
                web.post("/v1/release", self._for((CONTROLLER,), self._release)),
                web.get("/v1/summary", self._for((READER, CONTROLLER), self._read(self._readings.summary))),
                web.get("/v1/usage", self._for((READER, CONTROLLER), self._read(self._readings.usage))),
                web.get("/v1/decisions", self._for((READER, CONTROLLER), self._read(self._readings.decisions))),
                web.get("/v1/stages", self._for((READER, CONTROLLER), self._read(self._readings.stages))),
                web.get("/v1/anomalies", self._for((READER, CONTROLLER), self._read(self._readings.anomalies))),
                web.get("/v1/loops", self._for((READER, CONTROLLER), self._read(self._readings.loops))),
                web.get("/v1/runs", self._for((READER, CONTROLLER), self._read(self._readings.runs))),
                web.get("/v1/notices", self._for((CONTROLLER,), self._read(self._readings.notices))),
                web.post("/v1/notices", self._for((CONTROLLER,), self._mark_notice)),
                web.get("/healthz", self._healthz),
                web.get("/metrics", self._metrics),
            ]
        )
        return app

    # -- who may
    def _for(self, roles: tuple[str, ...], answer: Callable[[web.Request, Identity], Answer]) -> Handler:
        needed = " or ".join(roles)

        async def handler(request: web.Request) -> web.StreamResponse:
            kind, _, token = request.headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or not token:
                self._service.metrics.denied.labels("401").inc()
                raise _HttpError(401, f"send authorization: Bearer with a token of role {needed}")
            identity = await self._who(token.strip())
            if identity is None:
                self._service.metrics.denied.labels("401").inc()
                raise _HttpError(401, self._unknown(needed))
            if identity.role not in roles:
                self._service.metrics.denied.labels("403").inc()
                raise _HttpError(403, f"{request.path} is for {needed}; this token is a {identity.role}'s")
            return await answer(request, identity)

        return handler

    async def _who(self, token: str) -> Identity | None:
        sha256 = token_sha256(token)
        if sha256 == self._admin.token_sha256:
            return self._admin
        stored = self._memory().identities.get(sha256)
        if stored is not None or self._reviews is None:
            return stored
        try:
            return await self._reviews.identity(token)
        except ClusterAwayError as error:
            raise UnavailableError(f"whose the token is cannot be asked: {error}") from error

    def _unknown(self, needed: str) -> str:
        if self._reviews is None:
            return f"the token is not known: the controller has to put its identity, of role {needed}"
        return (
            f"the token is not one of a running pod for the audience {AUDIENCE}: project a service account's token"
            f" with that audience into the pod; needed here is the role {needed}"
        )

    def _memory(self) -> Memory:
        return self._service.known_memory()

    # -- sidecars
    async def _report(self, request: web.Request, identity: Identity) -> web.StreamResponse:
        with self._service.metrics.report_seconds.time():
            dispatch = decode_dispatch(await request.read())
            holder = dispatch.report.holder
            if not holder.startswith(identity.holder_prefix):
                self._service.metrics.denied.labels("403").inc()
                raise _HttpError(
                    403,
                    f"holder {holder[:80]!r} is not this token's to report for: its name must begin with"
                    f" {identity.holder_prefix!r}",
                )
            body = encode_response(await self._service.report(identity, dispatch))
        return web.Response(body=body, content_type="application/json")

    async def _scope(self, request: web.Request, identity: Identity) -> web.StreamResponse:
        after, wait = whole(request.query, "after", 0), _seconds(request, "wait", 0.0)
        if not await self._service.wait_for_scope(after, min(wait, WAIT_MOST)):
            return web.Response(status=204)
        memory = self._memory()
        return web.json_response(scope_of(memory, memory.known(identity), self._service.clock.now()))

    async def _prices(self, request: web.Request, _: Identity) -> web.StreamResponse:
        sha256 = request.match_info["sha256"]
        snapshot = await self._store.snapshot(sha256)
        if snapshot is None:
            raise _HttpError(404, f"no prices {sha256[:80]!r}: the scope names those in force")
        headers = {"cache-control": "public, max-age=31536000, immutable", "etag": f'"{sha256}"'}
        return web.Response(body=snapshot, content_type="application/octet-stream", headers=headers)

    # -- the controller
    async def _budgets(self, _: web.Request, __: Identity) -> web.StreamResponse:
        documents = [entry.document for entry in self._memory().budgets.entries.values()]
        return web.json_response({"budgets": documents})

    async def _put_budgets(self, request: web.Request, _: Identity) -> web.StreamResponse:
        body = await _json(request)
        budgets = Budgets.from_documents(body.get("budgets") if isinstance(body, dict) else None)
        version = await self._service.put_budgets(budgets)
        return web.json_response({"version": version, "budgets": len(budgets.entries)})

    async def _put_prices(self, request: web.Request, _: Identity) -> web.StreamResponse:
        snapshot = await request.read()
        if not snapshot:
            raise _HttpError(422, "the body is empty: send a price snapshot")
        return web.json_response({"prices": await self._service.put_prices(snapshot)})

    async def _put_identities(self, request: web.Request, _: Identity) -> web.StreamResponse:
        body = await _json(request)
        try:
            identities = parse_identities(body)
        except ValueError as error:
            raise _HttpError(422, str(error)) from error
        if any(identity.token_sha256 == self._admin.token_sha256 for identity in identities):
            raise _HttpError(422, "identities: one has the admin token's hash, which is not to be given away")
        await self._service.put_identities(identities)
        return web.json_response({"identities": len(identities)})

    async def _release(self, request: web.Request, _: Identity) -> web.StreamResponse:
        body = await _json(request)
        holder = body.get("holder") if isinstance(body, dict) else None
        if not isinstance(holder, str) or not holder:
            raise _HttpError(422, 'holder: is missing: send {"holder": "…"}, a name of lost_holders in /v1/summary')
        given = await self._service.release(holder)
        if given is None:
            raise _HttpError(404, f"holder {holder[:80]!r} is not known")
        return web.json_response({"released": {window: format_usd(nanos) for window, nanos in given.items()}})

    async def _mark_notice(self, request: web.Request, _: Identity) -> web.StreamResponse:
        match await _json(request):
            case {"window": str(window), "at_percent": int(percent), "delivered": list(names), "done": bool(done)} if (
                all(isinstance(name, str) for name in names)
            ):
                await self._service.mark_notice(window, percent, names, done=done)
                return web.json_response({"done": done})
        raise _HttpError(422, 'send {"window": "…", "at_percent": 70, "delivered": ["…"], "done": true}')

    # -- readers
    def _read(self, reading: Reading) -> Callable[[web.Request, Identity], Answer]:
        async def answer(request: web.Request, _: Identity) -> web.StreamResponse:
            return web.json_response(await reading(request.query, ""))

        return answer

    # -- anybody
    async def _healthz(self, _: web.Request) -> web.StreamResponse:
        problem = self._service.unhealthy()
        return web.json_response({"ok": not problem, "error": problem}, status=503 if problem else 200)

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        access = self._metrics_access
        if access is not None and not access.allowed(request.headers.get("authorization", "")):
            self._service.metrics.denied.labels("401").inc()
            raise _HttpError(401, "send authorization: Bearer with the token of --metrics-token-file")
        return web.Response(
            body=await self._service.metrics.text(), headers={"content-type": "text/plain; version=0.0.4"}
        )


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error as JSON with a sentence, whoever raised it."""
    try:
        return await handler(request)
    except DocumentsError as error:
        return web.json_response({"errors": error.errors}, status=422)
    except _HttpError as error:
        return _error(error.status, error.message)
    except (UnavailableError, StoreError) as error:
        answer = _error(503, str(error))
        answer.headers["retry-after"] = "1"
        return answer
    except ValueError as error:
        return _error(400, str(error))
    except web.HTTPRequestEntityTooLarge:
        return _error(413, f"the body is larger than {BODY_MOST} bytes")
    except web.HTTPException as error:
        return _error(error.status, f"{request.method} {request.path[:80]}: {error.reason}")


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)


async def _json(request: web.Request) -> Any:
    try:
        return json.loads(await request.read(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _HttpError(400, f"the body is not JSON: {error}") from error


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON knows")


def _seconds(request: web.Request, name: str, default: float) -> float:
    text = request.query.get(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < 1e9:
        raise _HttpError(400, f"{name}: {text[:40]!r} is not a number of seconds")
    return value
