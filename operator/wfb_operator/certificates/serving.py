"""The certificate that a server of ours shows: read again when its files change, without an end to any connection."""

import asyncio
import logging
import os
import ssl

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0


class ServingCertificate:
    """``tls.crt`` and ``tls.key`` of one folder, such as a mounted Secret's."""

    def __init__(self, directory: str) -> None:
        """Raises OSError or ssl.SSLError where the pair cannot be used."""
        self._files = os.path.join(directory, "tls.crt"), os.path.join(directory, "tls.key")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._seen = self._stamp()
        self.context.load_cert_chain(*self._files)

    def look(self) -> bool:
        """Takes changed files in and says whether there were any; handshakes from now on get the new pair.

        A pair that cannot be used is left alone, and looked at again: a Secret's files do not change at one moment
        everywhere.
        """
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return False
            # A pair is tried on a context of its own: loading a bad one would leave the served context half changed.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self._files)
            self.context.load_cert_chain(*self._files)
        except (OSError, ssl.SSLError) as error:
            log.warning("the changed certificate cannot be used, the former is served on: %s", error)
            return False
        self._seen = stamp
        return True

    async def watch(self) -> None:
        """Looks now and then, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self.look():
                log.info("serving a new certificate")

    def _stamp(self) -> tuple[tuple[int, int, int], ...]:
        found = (os.stat(path) for path in self._files)
        return tuple((s.st_ino, s.st_mtime_ns, s.st_size) for s in found)
