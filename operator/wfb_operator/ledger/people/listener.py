"""The listener for the API server: TLS that asks for its certificate, and begins anew when who signs that changes."""

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping

from aiohttp import web

from wfb_operator.certificates.serving import ServingCertificate
from wfb_operator.ledger.cluster import ClusterAwayError
from wfb_operator.ledger.people.person import FrontProxy, NotTheFrontProxyError

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
"""Between two looks at what the API server says of its certificate."""

AGAIN_SECONDS = 5.0


class PeopleListener:
    """One address at which only the API server is answered."""

    def __init__(self, look: Callable[[], Mapping[str, str]], certificates: str, host: str, port: int) -> None:
        """``look`` reads the ConfigMap's data, and blocks; ``certificates`` is the folder of tls.crt and tls.key."""
        self._look, self._certificates = look, certificates
        self._host, self._port = host, port
        self._front_proxy: FrontProxy | None = None
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def front_proxy(self) -> FrontProxy:
        """What holds now; raises NotTheFrontProxyError before anything was heard."""
        if self._front_proxy is None:
            raise NotTheFrontProxyError("what the API server's certificate is has not been heard yet")
        return self._front_proxy

    async def start(self, application: web.Application) -> None:
        """Begins to listen as soon as the API server has said what its certificate is."""
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        self._tasks = [asyncio.create_task(self._follow(), name="people-listener")]

    async def stop(self) -> None:
        """Answers what was asked, and nobody after it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _follow(self) -> None:
        while True:
            pause = await self._look_once()
            await asyncio.sleep(pause)

    async def _look_once(self) -> float:
        """One look; returns the seconds until the next."""
        try:
            found = FrontProxy.from_config(await asyncio.to_thread(self._look))
            if found != self._front_proxy:
                await self._listen(found)
        except (ClusterAwayError, ValueError, OSError, ssl.SSLError) as error:
            log.warning("people cannot read the ledger through the API server for now: %s", error)
        return LOOK_SECONDS if self._site is not None else AGAIN_SECONDS

    async def _listen(self, front_proxy: FrontProxy) -> None:
        assert self._runner is not None
        certificate = ServingCertificate(self._certificates)
        certificate.context.verify_mode = ssl.CERT_REQUIRED
        certificate.context.load_verify_locations(cadata=front_proxy.roots)
        if self._site is not None:
            await self._site.stop()  # a context forgets no root: the listener begins anew with the new ones alone
            self._site = None
        self._site = web.TCPSite(self._runner, self._host, self._port, ssl_context=certificate.context)
        await self._site.start()
        self._front_proxy = front_proxy
        for task in self._tasks[1:]:
            task.cancel()
        self._tasks[1:] = [asyncio.create_task(certificate.watch(), name="people-certificate")]
        log.info("people are answered through the API server at %s:%d", self._host, self._port)
