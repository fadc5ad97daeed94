"""The aggregated API's routes: who asks, may they, and the books as they are for the namespace that is asked about."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from wfb_operator.ledger.cluster import ClusterAwayError
from wfb_operator.ledger.people import discovery
from wfb_operator.ledger.people.access import Access, Wish
from wfb_operator.ledger.people.person import FrontProxy, NotTheFrontProxyError, Person
from wfb_operator.ledger.readings import Reading, Readings
from wfb_operator.ledger.service import UnavailableError
from wfb_operator.ledger.store.port import StoreError
from wfb_operator.page import files

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PeopleHttp:
    """What the API server passes on."""

    def __init__(self, readings: Readings, access: Access, front_proxy: Callable[[], FrontProxy]) -> None:
        """``front_proxy`` tells what holds of the API server's certificate now."""
        self._access, self._front_proxy = access, front_proxy
        self._readings: dict[str, Reading] = {
            "summaries": readings.summary,
            "usage": readings.usage,
            "decisions": readings.decisions,
            "stages": readings.stages,
            "runs": readings.runs,
            "anomalies": readings.anomalies,
            "loops": readings.loops,
        }

    def application(self) -> web.Application:
        """All routes; the listener has to ask for the API server's certificate."""
        app = web.Application(middlewares=[_errors])
        app.add_routes(
            [
                web.get("/healthz", self._known(_told({"ok": True}))),
                web.get("/apis", self._known(_told(discovery.groups()))),
                web.get(f"/apis/{discovery.GROUP}", self._known(_told(discovery.group()))),
                web.get(discovery.ROOT, self._known(_told(discovery.resources()))),
                web.get(f"{discovery.ROOT}/{discovery.PAGE}/{{name}}", self._known(self._page)),
            ]
        )
        for resource in discovery.RESOURCES:
            reading = self._known(self._read(resource))
            app.router.add_get(f"{discovery.ROOT}/{resource}", reading)
            app.router.add_get(f"{discovery.ROOT}/namespaces/{{namespace}}/{resource}", reading)
        return app

    def _known(self, answer: Callable[[web.Request, Person], Awaitable[web.StreamResponse]]) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            certificate = request.transport.get_extra_info("peercert") if request.transport else None
            return await answer(request, self._front_proxy().person(certificate, request.headers.items()))

        return handler

    def _read(self, resource: str) -> Callable[[web.Request, Person], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request, person: Person) -> web.StreamResponse:
            namespace = request.match_info.get("namespace", "")
            await self._may(person, Wish("list", resource, namespace))
            found = await self._readings[resource](request.query, namespace)
            head = {"kind": discovery.kind_of(resource), "apiVersion": f"{discovery.GROUP}/{discovery.VERSION}"}
            return web.json_response({**head, "metadata": {}, **found}, headers={"cache-control": "no-store"})

        return answer

    async def _page(self, request: web.Request, person: Person) -> web.StreamResponse:
        name = request.match_info["name"]
        await self._may(person, Wish("get", discovery.PAGE, name=name))
        file = files.file(name)
        if file is None:
            return _status(404, "NotFound", f"the page has no file {name[:80]!r}; it has {', '.join(files.NAMES)}")
        return web.Response(body=file.body, headers=file.headers)

    async def _may(self, person: Person, wish: Wish) -> None:
        if not await self._access.allowed(person, wish):
            where = f"in the namespace {wish.namespace!r}" if wish.namespace else "at the cluster scope"
            raise web.HTTPForbidden(
                reason=f"{person.name[:200]!r} cannot {wish.verb} {wish.resource} of {discovery.GROUP} {where}"
            )


def _told(document: dict[str, Any]) -> Callable[[web.Request, Person], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request, __: Person) -> web.StreamResponse:
        return web.json_response(document)

    return answer


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error as a Status of the Kubernetes API, so that its clients say the sentence."""
    try:
        return await handler(request)
    except NotTheFrontProxyError as error:
        return _status(401, "Unauthorized", str(error))
    except web.HTTPForbidden as error:
        return _status(403, "Forbidden", error.reason)
    except (UnavailableError, StoreError, ClusterAwayError) as error:
        return _status(503, "ServiceUnavailable", str(error))
    except ValueError as error:
        return _status(400, "BadRequest", str(error))
    except web.HTTPException as error:
        return _status(error.status, error.reason.replace(" ", ""), f"{request.method} {request.path[:80]}")


def _status(code: int, reason: str, message: str) -> web.Response:
    document = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": code,
    }
    return web.json_response(document, status=code)
